"""Names and predecessors: who is judged to be dead, and what is done about what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent import identity
from agent.succession import VARIABLE, named, predecessors
from dispatcher.errors import ConsumerNameTaken
from dispatcher.models import Consumer
from tests.consumers import is_dead
from tests.polling import poll_until

ME = Consumer(
    id="ME",
    name="worker-host",
    pool="pool",
    kind="worker",
    type="process",
    host=identity.host(),
    boot=identity.boot(),
    pid=os.getpid(),
    born_at_ms=identity.born_at_ms(os.getpid()),
    version="1",
    selector="*",
    prefetch_ms=0,
    limit=None,
)
LIVE = replace(ME, id="LIVE")  # this process, under another session: as alive as can be
REUSED = replace(ME, id="REUSED", born_at_ms=ME.born_at_ms - 60_000)  # the pid is there, but it is another process


@pytest.fixture
def dead() -> Consumer:
    with subprocess.Popen(["true"]) as process:
        return replace(ME, id="DEAD", pid=process.pid, born_at_ms=identity.born_at_ms(process.pid))


@pytest.fixture
def zombie() -> Iterator[Consumer]:
    with subprocess.Popen(["true"]) as process:
        row = replace(ME, id="ZOMBIE", pid=process.pid, born_at_ms=identity.born_at_ms(process.pid))
        poll_until(lambda: is_dead(process.pid), 5, "the process has ended")
        yield row


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ([], "worker-host"),
        ([LIVE], "worker-host-2"),
        ([LIVE, replace(LIVE, id="L2", name="worker-host-2")], "worker-host-3"),
        ([replace(LIVE, name="another")], "worker-host"),
        ([REUSED], "worker-host"),
        ([replace(LIVE, host="elsewhere")], "worker-host"),
        ([replace(LIVE, boot="before")], "worker-host"),
    ],
)
def test_a_default_name_is_the_first_free_one(others: list[Consumer], name: str) -> None:
    assert named(ME, others, is_chosen=False).name == name


def test_a_chosen_name_is_refused_only_while_its_holder_lives() -> None:
    with pytest.raises(ConsumerNameTaken, match=rf"'worker-host' \(process {os.getpid()}\) serves work pool 'pool'"):
        named(ME, [LIVE], is_chosen=True)
    assert named(ME, [REUSED], is_chosen=True).name == "worker-host"
    assert named(ME, [ME], is_chosen=True).name == "worker-host", "it is not its own rival"


def test_only_the_dead_of_this_host_and_boot_are_predecessors(dead: Consumer, zombie: Consumer) -> None:
    rows = [ME, LIVE, REUSED, dead, zombie, replace(dead, id="A", host="elsewhere"), replace(dead, id="B", boot="x")]
    assert predecessors(ME, rows) == ["REUSED", "DEAD", "ZOMBIE"]


def test_what_a_dead_consumer_left_running_is_killed_first(dead: Consumer) -> None:
    wait = [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)"]
    environment = {**os.environ, VARIABLE: "DEAD"}
    left = subprocess.Popen(wait, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    other = subprocess.Popen(wait, env={**environment, VARIABLE: "LIVE"}, stdout=subprocess.PIPE)
    try:
        for process in (left, other):
            assert process.stdout is not None
            process.stdout.readline()
        assert predecessors(ME, [LIVE, dead]) == ["DEAD"]
        assert is_dead(left.pid)
        assert not is_dead(other.pid)
    finally:
        for process in (left, other):
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("box", "worker-box"),
        ("büro pc (2)", "worker-b-ro-pc-2"),
        ("", "worker-localhost"),
        ("x" * 200, "worker-" + "x" * 83),
    ],
)
def test_the_default_name_is_made_of_the_host(monkeypatch: pytest.MonkeyPatch, host: str, name: str) -> None:
    monkeypatch.setattr(identity, "host", lambda: host)
    assert identity.default_name("worker") == name

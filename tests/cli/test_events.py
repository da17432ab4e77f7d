"""`dispatcher events tail`: what came before, and what comes, of one pool and of all."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Any

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import pools, queues
from tests.cli.conftest import Submit, nothing_changes
from tests.cli.project import Project

PATIENCE_S = 30
ALL = ("events", "tail", "--no-follow")


class Followed:
    """A tail that is at work, and its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        try:
            return self._lines.get(timeout=PATIENCE_S)
        except Empty:
            raise AssertionError("no line came") from None

    def until(self, word: str) -> str:
        """Reads on to the line that has the word."""
        while word not in (line := self.line()):
            pass
        return line


@contextmanager
def followed(project: Project, *words: str) -> Iterator[Followed]:
    process = project.start("events", "tail", *words)
    try:
        yield Followed(process)
    finally:
        process.kill()
        process.communicate()


def names(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["work_pool_name"], event["event"]) for event in found]


@pytest.fixture
def history(client: Client) -> None:
    """Events in each of two pools, in turns."""
    for pool in ("p", "q"):
        client.run(pools.create(pool))
    for limit in (1, 2):
        for pool in ("p", "q"):
            client.run(pools.set_limit(pool, limit))


@pytest.mark.usefixtures("history")
def test_what_came_before_of_all_pools_in_the_order_of_time(project: Project) -> None:
    found = project.json(*ALL)
    kinds = ["pool-created", "pool-set", "pool-set"]
    assert [[kind for name, kind in names(found) if name == pool] for pool in ("p", "q")] == [kinds, kinds]
    assert found == sorted(found, key=lambda event: event["time"])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in found)
    assert found[0] == {
        "id": found[0]["id"], "time": found[0]["time"], "work_pool_name": "p", "event": "pool-created",
        "type": "agent", "limit": None,
    }  # fmt: skip
    assert project.json(*ALL, "-n", "2") == found[-2:]
    assert project.json(*ALL, "-n", "0") == []
    assert project.json(*ALL, "-p", "q") == [event for event in found if event["work_pool_name"] == "q"]
    lines = project.done(*ALL).stdout.splitlines()
    assert len(lines) == len(found)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  p  pool-created   type=agent limit=", lines[0])


def test_a_run_is_told_by_its_id_and_state(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    run = submit("p")
    project.work("p")
    found = [event for event in project.json(*ALL, "-n", "99") if event.get("run") == run]
    assert [(event["event"], event["state"], event["epoch"]) for event in found] == [
        ("submitted", "SCHEDULED", 0),
        ("claimed", "PENDING", 1),
        ("started", "RUNNING", 1),
        ("finished", "COMPLETED", 1),
    ]
    consumer = found[1]["consumer"]
    shown = project.done(*ALL, "-n", "99").stdout
    assert f"submitted      {run} quick-fox SCHEDULED in default\n" in shown
    assert f"claimed        {run} quick-fox PENDING in default by {consumer} epoch 1\n" in shown
    assert {(event["run_name"], event["deployment"]) for event in found} == {("quick-fox", None)}
    project.done("flow-run", "delete", run, "--yes")
    assert f"submitted      {run} SCHEDULED in default\n" in project.done(*ALL, "-n", "99").stdout, (
        "nobody knows its name"
    )


def test_a_run_is_told_with_its_deployment(project: Project) -> None:
    project.write("etl.py", "def load(): return 1\n")
    project.done("deploy", "etl.py:load", "-n", "nightly")
    run = project.json("deployment", "run", "nightly", "--name", "early-bird")["id"]
    [event] = [event for event in project.json(*ALL, "-n", "99") if event.get("run") == run]
    assert (event["run_name"], event["deployment"]) == ("early-bird", "load/nightly")
    assert f"submitted      {run} early-bird of load/nightly SCHEDULED" in project.done(*ALL, "-n", "99").stdout


@pytest.mark.usefixtures("history")
def test_since(project: Project) -> None:
    everything = project.json(*ALL)
    assert project.json(*ALL, "--since", "1h") == everything
    assert project.json(*ALL, "--since", "2020-01-01") == everything
    assert project.json(*ALL, "--since", everything[2]["time"]) == [
        event for event in everything if event["time"] >= everything[2]["time"]
    ]
    assert project.json(*ALL, "--since", "2099-01-01") == []
    assert project.json(*ALL, "--since", "1h", "-n", "1") == everything[-1:]


def test_since_tells_more_than_ten(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    for number in range(20):
        client.run(queues.create("p", f"q{number}"))
    assert len(project.json(*ALL)) == 10
    assert len(project.json(*ALL, "--since", "1h")) == 21


def test_what_comes_is_told_as_it_comes(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    client.run(pools.create("other"))
    with followed(project, "-p", "p", "-n", "1") as tail:
        assert "p  pool-created" in tail.line()
        client.run(queues.create("other", "unseen"))
        client.run(queues.create("p", "high", limit=3))
        assert tail.line().endswith("p  queue-created  queue=high priority=2 limit=3")
        tail.process.send_signal(signal.SIGINT)
        assert tail.process.wait(PATIENCE_S) == 130


def test_pools_made_meanwhile_are_followed_too(project: Project, client: Client) -> None:
    with followed(project, "-o", "json") as tail:
        client.run(pools.create("p"))
        assert json.loads(tail.line())["work_pool_name"] == "p"
        client.run(pools.create("q"))
        client.run(pools.pause("q", "why not"))
        assert json.loads(tail.until('"name": "note"'))["value"] == "why not"
        client.run(pools.delete("q"))
        client.run(queues.create("p", "high"))
        assert json.loads(tail.until("queue-created"))["queue"] == "high"


def test_the_end_of_the_only_pool_is_the_end(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    with followed(project, "-p", "p") as tail:
        tail.line()
        client.run(pools.delete("p"))
        assert tail.process.wait(PATIENCE_S) == 1
        assert tail.process.stderr
        assert "Work pool 'p' was not found" in tail.process.stderr.read()


def test_names_cannot_steer_the_terminal(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    client.run(pools.update("p", description="\x1b[31mred\n"))
    assert "\\x1b[31mred" in project.done(*ALL).stdout
    assert "\x1b" not in project.done(*ALL).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-p", "nope"], 1, "Work pool 'nope' was not found"),
        (["-p", "a b"], 1, "is not valid"),
        (["--since", "soon"], 2, "is neither a duration, such as 10m, nor a time"),
        (["-n", "-1"], 2, "is not in the range"),
        (["extra"], 2, "unexpected extra argument"),
    ],
)
def test_refused(project: Project, server_connection: redis.Redis, words: list[str], code: int, said: str) -> None:
    with nothing_changes(server_connection):
        assert said in project.refused("events", "tail", *words, code=code)


def test_nothing_has_happened(project: Project) -> None:
    assert project.done(*ALL).stdout == ""
    assert project.json(*ALL) == []

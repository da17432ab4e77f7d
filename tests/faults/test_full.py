"""A Redis that has reached its memory limit: what is new is refused in plain words and whole, what is held goes on to
its end, and everything goes on once memory is free again. Real memory is filled, of a server that only this test uses.
"""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dispatcher import broker, keyspace
from dispatcher.errors import BrokerFull
from dispatcher.models import DEFAULT_POOL
from dispatcher.ops import audits, pools, queues, runs
from dispatcher.states import State
from tests.cli.conftest import nothing_changes
from tests.cli.project import Project
from tests.consumers import LEASE_S, POOL, Scene, opened
from tests.polling import poll_until

BALLAST, BALLAST_BYTES = "ballast", 8 << 20
SAID = "is full: it has reached its memory limit (maxmemory)"


class Server:
    """Its memory can be filled and freed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: redis.Redis = redis.Redis.from_url(url, decode_responses=True)

    def fill(self) -> None:
        self.connection.setrange(BALLAST, BALLAST_BYTES, "x")  # not sent, or buffers would be full of it for a second
        info: Any = self.connection.info("memory")
        self.connection.config_set("maxmemory", info["used_memory"] - BALLAST_BYTES // 2)
        with pytest.raises(redis.OutOfMemoryError):
            self.connection.set("more", "x")

    def free(self) -> None:
        self.connection.delete(BALLAST)
        self.connection.set("more", "x")
        self.connection.delete("more")


@pytest.fixture
def server(server_binary: Path) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))
    try:
        server = Server(broker.ensure(folder))
        yield server
        server.connection.close()
    finally:
        broker.stop(folder)
        shutil.rmtree(folder)


@pytest.fixture
def scene(server: Server, tmp_path: Path) -> Iterator[Scene]:
    with opened(server.url, tmp_path) as scene:
        yield scene


@pytest.fixture
def project(server: Server, scene: Scene) -> Project:
    return Project(scene.folder, server.url)


NEEDS_MEMORY = [
    "work-pool create another",
    "work-queue create another -p scene",
    "work-queue create another",
    "work-queue create another -t tag",
    "deploy flows.py:hello -n other -p scene",
    "deploy flows.py:hello -n known -p scene --tag changed",
    "deployment run hello/known",
    "deployment pause hello/known",
    "deployment schedule create hello/known --cron @daily",
    "run flows.py:hello --pool scene",
    "agent start -t tag --run-once",
]
NEEDS_NONE = [
    "work-pool pause scene --note full",
    "work-pool resume scene",
    "work-pool update scene --limit 3 --retention 1h",
    "work-queue set-priority low 1 -p scene",
    "work-queue pause low -p scene",
    "work-queue delete low -p scene --yes",
    "flow-run why run-hello",
    "flow-run cancel run-hello",
    "flow-run delete run-hello --yes",
    "repair -p scene",
    "deployment delete hello/known --yes",
    "work-pool delete scene --yes",
]


def test_what_needs_memory_is_refused_whole_and_the_rest_is_done(
    project: Project, scene: Scene, server: Server
) -> None:
    scene.client.run(queues.create(POOL, "low"))
    project.done("deploy", "flows.py:hello", "-n", "known", "-p", POOL)
    scene.submit("hello")
    project.done("work-pool", "ls")
    server.fill()
    with nothing_changes(server.connection):
        for typed in NEEDS_MEMORY:
            stderr = project.refused(*typed.split(), code=1)
            assert SAID in stderr, typed
            assert "raise the limit" in stderr
    checks = {check["check"]: check for check in project.typed("doctor", "-o", "json").json}
    assert (checks["memory"]["status"], checks["memory"]["advice"]) == (
        "finding", "raise maxmemory, or keep fewer runs",
    )  # fmt: skip
    for typed in NEEDS_NONE:
        project.done(*typed.split())
    server.free()
    project.done("work-pool", "create", POOL)
    project.done("deploy", "flows.py:hello", "-n", "other", "-p", POOL)


def test_consumers_go_on_while_it_is_full_and_recover_when_it_is_not(scene: Scene, server: Server) -> None:
    worker = scene.start("--limit", "2")
    long = scene.submit("chat", parameters={"until": "go"})
    scene.until(long, State.RUNNING)
    scene.file("chat")
    waiting = [scene.submit("hello") for _ in range(3)]
    failing = scene.submit("fail_until", parameters={"times": 1}, retries=1)
    unwanted, scheduled = scene.submit("hold"), scene.submit("hello", delay_ms=3_000)
    scene.held()
    server.fill()
    filled_ms = server.connection.zscore(keyspace.leases(POOL), long)
    assert filled_ms is not None
    with pytest.raises(BrokerFull, match="is full"):
        scene.submit("hello")

    scene.client.run(runs.cancel(POOL, unwanted))
    assert scene.finished(unwanted).state is State.CANCELLED
    for run in (*waiting, failing, scheduled):
        assert scene.finished(run).state is State.COMPLETED
    assert scene.read(failing).attempts == 2
    poll_until(
        lambda: (server.connection.zscore(keyspace.leases(POOL), long) or 0) > filled_ms + LEASE_S * 1000,
        20,
        "the lease was renewed beyond its old end",
    )
    scene.folder.joinpath("more").touch()
    poll_until(lambda: f"({long}) is not kept" in worker.log, 20, "the worker says that output is not kept")
    scene.file("said-more")

    server.free()
    fresh = scene.submit("hello")
    assert scene.finished(fresh).state is State.COMPLETED
    scene.go()
    done = scene.finished(long)
    assert (done.state, done.epoch, done.lost, done.attempts) == (State.COMPLETED, 1, 0, 1)
    before, gap, *kept, after = scene.log(long)
    assert (before, after) == ("before", "after")
    missing = re.fullmatch(r"\[(\d+) lines are missing here: Redis refused them\]", gap)
    assert missing
    assert kept == [f"more {number}" for number in range(int(missing[1]), 200)]
    assert worker.log.count(f"({long}) is not kept") == 1, "once a run, not once a line"
    assert scene.client.run(audits.audit(POOL)) == []
    assert scene.pool().slots_used == 0
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert "\nTraceback" not in worker.log


@pytest.mark.parametrize("kind", ["agent", "worker"])
def test_a_consumer_starts_and_ends_on_a_full_redis(scene: Scene, server: Server, kind: str) -> None:
    pool = DEFAULT_POOL if kind == "agent" else POOL
    scene.client.run(pools.ensure(DEFAULT_POOL))
    scene.client.run(queues.create(pool, "low"))
    server.fill()
    consumer = scene.begin(kind, "-p", pool, "-q", "low", "--run-once")
    assert consumer.exit_code() == 0
    assert SAID not in consumer.log


def test_a_consumer_whose_queue_cannot_be_made_waits_for_memory(scene: Scene, server: Server) -> None:
    server.fill()
    worker = scene.begin("worker", "-p", POOL, "-q", "new", "--run-once")
    poll_until(lambda: "Trying again until it is accepted" in worker.log, 20, "the worker says what it waits for")
    assert SAID in worker.log
    server.free()
    assert worker.exit_code() == 0
    assert "Work queue new of work pool scene did not exist and was made" in worker.log
    assert "Redis has accepted it now" in worker.log

"""A run's life on a real worker where something comes between its steps."""

from __future__ import annotations

import signal
import textwrap
from typing import Any

import psutil
import pytest
import redis

from dispatcher import keyspace
from dispatcher.ops import pools, runs
from dispatcher.states import State
from tests.consumers import PATIENCE_S, POOL, ConsumerProcess, Scene, is_dead
from tests.polling import poll_until


def prepared_child(worker: ConsumerProcess) -> psutil.Process:
    """The process of a run that waits for its word."""

    def found() -> psutil.Process | None:
        children = psutil.Process(worker.pid).children()
        return next((child for child in children if "run" in child.cmdline()), None)

    child = poll_until(found, 10, "a process was prepared")
    assert child is not None
    return child


def test_a_prepared_process_that_is_killed_before_its_run_is_due_is_an_attempt(scene: Scene) -> None:
    once = scene.submit("hello", delay_ms=8000)
    worker = scene.start("--prefetch-seconds", "10")
    prepared_child(worker).kill()
    found = scene.finished(once, timeout_s=5)
    assert (found.state, found.attempts, found.exit_code, found.started_at_ms) == (State.CRASHED, 1, -9, None)
    assert found.message.startswith("killed by signal 9 (SIGKILL)")

    again = scene.submit("hello", delay_ms=4000, retries=1, retry_delay_s=0.01)
    begin_ms = scene.read(again).due_at_ms
    prepared_child(worker).kill()
    found = scene.finished(again)
    assert (found.state, found.attempts, found.lost) == (State.COMPLETED, 2, 0)
    assert found.started_at_ms is not None
    assert found.started_at_ms >= begin_ms, "another attempt is no earlier than the first one would have been"
    assert "a bug in the consumer" not in worker.log


EARLY = """
    import time
    print("imported", flush=True)

    def main():
        return time.time_ns() // 1_000_000
"""


def loaded(scene: Scene, **of: Any) -> str:
    """A run of the future whose flow is imported already."""
    (scene.folder / "early.py").write_text(textwrap.dedent(EARLY))
    run = scene.submit(entrypoint="early.py:main", **of)
    poll_until(lambda: scene.log(run) == ["imported"], PATIENCE_S, "what the import printed is in the log")
    assert scene.read(run).state is State.PENDING
    return run


def test_a_flow_is_imported_early_and_begins_at_its_time_and_not_before(scene: Scene) -> None:
    scene.start("--prefetch-seconds", "10")
    run = scene.finished(loaded(scene, delay_ms=6000))
    assert run.state is State.COMPLETED
    assert run.started_at_ms is not None
    assert run.due_at_ms <= run.started_at_ms <= run.result + 1
    assert run.result - run.due_at_ms < 5000


@pytest.mark.parametrize("end", ["cancel", "force", "signal"])
def test_nothing_of_a_flow_is_called_when_its_run_ends_before_its_time(scene: Scene, end: str) -> None:
    worker = scene.start("--prefetch-seconds", "60", "--grace-seconds", "60", "--limit", "1")
    run = loaded(scene, delay_ms=30_000)
    child = prepared_child(worker).pid
    if end == "signal":
        worker.signal(signal.SIGTERM)
    else:
        scene.client.run(runs.cancel(POOL, run, force=end == "force"))
    poll_until(lambda: is_dead(child), 5, "its process is killed at once")
    found = scene.until(run, State.SCHEDULED if end == "signal" else State.CANCELLED, timeout_s=5)
    assert (found.started_at_ms, found.lost) == (None, 0)
    assert scene.log(run) == ["imported"]
    assert scene.pool().slots_used == 0
    if end == "signal":
        assert worker.exit_code() == 0
    else:
        assert scene.finished(scene.submit("hello")).state is State.COMPLETED, "the slot is free"


def test_an_import_that_fails_ends_the_run_before_its_time(scene: Scene) -> None:
    scene.start("--prefetch-seconds", "60")
    (scene.folder / "broken.py").write_text("1/0\n")
    failed = scene.finished(scene.submit(entrypoint="broken.py:main", delay_ms=30_000))
    assert (failed.state, failed.attempts, failed.started_at_ms) == (State.FAILED, 1, None)
    assert failed.message == "ZeroDivisionError: division by zero"
    assert scene.log(failed.id)[-1] == failed.message
    missing = scene.finished(scene.submit("nothing", delay_ms=30_000))
    assert (missing.state, missing.message[:15]) == (State.CRASHED, "could not start")
    again = scene.submit(entrypoint="broken.py:main", delay_ms=30_000, retries=3, retry_delay_s=0.01)
    begin_ms = scene.read(again).due_at_ms
    poll_until(lambda: scene.read(again).attempts, PATIENCE_S, "the first attempt has failed")
    assert scene.read(again).due_at_ms >= begin_ms


def test_a_lease_that_was_made_shorter_is_renewed_in_time(scene: Scene) -> None:
    scene.client.run(pools.update(POOL, lease_ms=60_000))
    scene.start()
    scene.client.run(pools.update(POOL, lease_ms=5_000))
    run = scene.submit("hold")
    scene.held()
    with redis.Redis.from_url(scene.url) as server:
        key = keyspace.leases(POOL)
        claimed = server.zscore(key, run)
        poll_until(lambda: server.zscore(key, run) > claimed, 4, "the run's lease is renewed before it ends")
    scene.go()
    assert scene.finished(run).lost == 0

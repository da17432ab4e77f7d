"""A run's life on a real worker where something comes between its steps."""

from __future__ import annotations

import psutil
import redis

from dispatcher import keyspace
from dispatcher.ops import pools
from dispatcher.states import State
from tests.consumers import POOL, ConsumerProcess, Scene
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
    prepared_child(worker).kill()
    found = scene.finished(again)
    assert (found.state, found.attempts, found.lost) == (State.COMPLETED, 2, 0)
    assert "a bug in the consumer" not in worker.log


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

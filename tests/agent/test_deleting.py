"""Deleting a pool under a consumer that runs something of it."""

from __future__ import annotations

from dispatcher.client import Client
from dispatcher.ops import pools
from dispatcher.states import State
from tests.consumers import Scene, is_dead
from tests.polling import poll_until


def test_deleting_a_pool_with_a_running_run_stops_it_and_leaves_nothing(scene: Scene, redis_url: str) -> None:
    run = scene.submit("hold")
    scene.submit("hold", delay_ms=60_000)
    consumer = scene.start("--limit", "1")
    child, grandchild = scene.held()
    scene.until(run, State.RUNNING)
    with Client(redis_url) as client:
        assert client.run(pools.delete(scene.pool().name, cancel_runs=True, longest_wait_s=30)) == 2
        assert client.run(pools.names()) == []
    poll_until(lambda: is_dead(child) and is_dead(grandchild), 5, "the run was stopped")
    poll_until(lambda: "Looking for it" in consumer.log, 10, "the consumer says that its pool is gone")

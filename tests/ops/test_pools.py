"""Work pools: make, read, change, tick, delete."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import (
    BadName,
    BadValue,
    PoolBeingDeleted,
    PoolExists,
    PoolHasRuns,
    PoolNotFound,
    PoolRunsStopping,
)
from dispatcher.models import RunInput
from dispatcher.models.deployments import Deployment
from dispatcher.ops import consumers, deployments, leases, pools, queues, runs
from dispatcher.states import State
from tests.scene import POOL, Scene, new_consumer, new_run

BAD_NAMES = ["", "a/b", "a b", "{x}", "-a", ".a", "a:b", "ü", "a" * 101, "a" * 200, "a\n"]


# malformed and refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(scene: Scene, name: str) -> None:
    scene.refused(pools.create(name), BadName)
    for operation in (pools.read, pools.update, pools.pause, pools.resume):
        with pytest.raises(BadName):
            operation(name)
    scene.refused(pools.delete(name), BadName)


@pytest.mark.parametrize("limit", [-1, -5])
def test_negative_limit(scene: Scene, limit: int) -> None:
    scene.refused(pools.create("other", limit=limit), BadValue, "limit of -")
    with pytest.raises(BadValue):
        pools.update(POOL, limit=limit)
    with pytest.raises(BadValue):
        pools.set_limit(POOL, limit)


@pytest.mark.parametrize("lease_ms", [0, 4_999, 3_600_001])
def test_lease_out_of_range(scene: Scene, lease_ms: int) -> None:
    scene.refused(pools.create("other", lease_ms=lease_ms), BadValue, "lease of")
    with pytest.raises(BadValue):
        pools.update(POOL, lease_ms=lease_ms)


def test_unknown_type(scene: Scene) -> None:
    scene.refused(pools.create("other", type="vm"), BadValue, "choose one of agent, process")


def test_a_name_can_be_taken_once(scene: Scene) -> None:
    scene.refused(pools.create(POOL), PoolExists, "'p' exists already")


def test_unknown_pool(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        pools.read("x"),
        pools.update("x", description="d"),
        pools.set_limit("x", 1),
        pools.pause("x"),
        pools.resume("x"),
        pools.tick("x"),
        pools.delete("x"),
    ]
    for operation in operations:
        scene.refused(operation, PoolNotFound, "'x' was not found")


# make and read ------------------------------------------------------------------------------------------------------


def test_a_pool_is_made_as_asked(scene: Scene) -> None:
    made = scene.run(pools.create("etl", type="process", description="d", limit=3, is_paused=True, lease_ms=5_000))
    assert (made.name, made.type, made.description, made.limit, made.is_paused, made.lease_ms) == (
        "etl", "process", "d", 3, True, 5_000,
    )  # fmt: skip
    assert made == scene.run(pools.read("etl"))
    assert [(queue.name, queue.priority) for queue in made.queues] == [("default", 1)]
    assert made.created_at_ms == made.updated_at_ms == scene.clock.now_ms
    assert scene.run(pools.names()) == ["etl", POOL]


def test_ensure_makes_what_is_missing_and_changes_nothing_else(scene: Scene) -> None:
    assert scene.run(pools.ensure("new", type="process")) is True
    assert scene.run(pools.read("new")).type == "process"
    assert scene.run(pools.ensure("new")) is False
    assert scene.run(pools.ensure(POOL, type="process")) is False
    assert scene.pool().type == "agent"


def test_list_passes_over_what_only_the_directory_knows(scene: Scene) -> None:
    scene.run(pools.create("a"))
    scene.server.sadd(keyspace.pools(), "ghost")
    assert [pool.name for pool in scene.run(pools.list_all())] == ["a", POOL]
    assert scene.run(pools.names()) == ["a", "ghost", POOL]


def test_counts_tell_what_is_in_the_pool(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q")
    asked = scene.running(one)
    scene.running(one, "q")
    scene.held(one, "q")
    scene.submit_many(2)
    scene.submit(delay_ms=60_000)
    scene.run(runs.cancel(POOL, asked[0]))
    found = scene.pool()
    counts = found.counts
    assert (counts.scheduled, counts.late, counts.pending, counts.running, counts.cancelling) == (3, 0, 1, 1, 1)
    assert found.slots_used == 3
    by_queue = {queue.name: (queue.counts.scheduled, queue.slots_used) for queue in found.queues}
    assert by_queue == {"default": (3, 1), "q": (0, 2)}


def test_runs_of_a_deleted_queue_still_count(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q")
    held = scene.running(one, "q")
    scene.run(queues.delete(POOL, "q"))
    assert scene.pool().counts.running == 1
    scene.finish(one, held)
    assert scene.pool().counts.running == 0


@pytest.mark.parametrize("priorities", [[100], [1, 100, 1000]])
def test_late_is_waiting_15_s_past_the_start(scene: Scene, priorities: list[int]) -> None:
    for priority in priorities:
        scene.submit(priority=priority)
    scene.submit(delay_ms=1)
    scene.clock.advance(15_000)
    assert scene.pool().counts.late == 0
    scene.clock.advance(1)
    assert scene.pool().counts.late == len(priorities)
    scene.clock.advance(1)
    assert scene.pool().counts.late == len(priorities) + 1, "a run whose time came unseen is late as well"
    assert scene.pool().queues[0].counts.late == len(priorities) + 1


def test_status_follows_pause_and_consumers(scene: Scene) -> None:
    assert scene.pool().status == "not_ready"
    one = scene.join(selector="=default")
    scene.queue("q")
    found = scene.pool()
    assert [found.status, *(queue.status for queue in found.queues)] == ["ready", "ready", "not_ready"]
    scene.run(pools.pause(POOL))
    assert scene.pool().status == "paused"
    scene.run(pools.resume(POOL))
    scene.run(consumers.leave(POOL, one))
    assert scene.pool().status == "not_ready"


# change -------------------------------------------------------------------------------------------------------------


def test_update_changes_what_is_given_alone(scene: Scene) -> None:
    scene.run(pools.create("etl", description="d", limit=3, lease_ms=5_000))
    scene.clock.advance(10)
    before = scene.run(pools.read("etl"))
    scene.run(pools.update("etl", description=""))
    scene.run(pools.update("etl", limit=0))
    scene.run(pools.update("etl", lease_ms=6_000))
    after = scene.run(pools.read("etl"))
    assert (after.description, after.limit, after.lease_ms) == ("", 0, 6_000)
    assert (after.id, after.type, after.created_at_ms) == (before.id, before.type, before.created_at_ms)
    assert after.updated_at_ms == scene.clock.now_ms


def test_limit_admits_that_many(scene: Scene) -> None:
    one = scene.join()
    scene.run(pools.set_limit(POOL, 2))
    scene.submit_many(5)
    assert len(scene.take(one)) == 2
    parked = scene.claim(one, 5)
    assert (parked.runs, parked.reason) == ((), "full")
    scene.run(pools.set_limit(POOL, 3))
    assert len(scene.take(one)) == 1
    scene.run(pools.set_limit(POOL, None))
    assert scene.pool().limit is None
    assert len(scene.take(one)) == 2


def test_limit_0_admits_nothing(scene: Scene) -> None:
    one = scene.join()
    scene.run(pools.set_limit(POOL, 0))
    scene.submit()
    assert scene.pool().limit == 0
    assert scene.claim(one).reason == "full"


def test_limit_below_what_is_used_preempts_nothing(scene: Scene) -> None:
    one = scene.join()
    held = [scene.running(one) for _ in range(3)]
    scene.submit()
    scene.run(pools.set_limit(POOL, 1))
    assert [scene.state(run) for run, _ in held] == [State.RUNNING] * 3
    for left in (2, 1):
        scene.finish(one, held.pop())
        assert (scene.used()[""], scene.take(one)) == (left, [])
    scene.finish(one, held.pop())
    assert len(scene.take(one)) == 1


def test_paused_pool_hands_nothing_out_and_lets_runs_go_on(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    waiting = scene.submit()
    scene.run(pools.pause(POOL, "maintenance"))
    assert (scene.pool().is_paused, scene.pool().note) == (True, "maintenance")
    assert scene.claim(one).reason == "paused"
    assert scene.finish(one, held) == "COMPLETED"
    scene.run(pools.resume(POOL))
    assert (scene.pool().is_paused, scene.pool().note) == (False, "")
    assert scene.take(one) == [waiting]


# tick ---------------------------------------------------------------------------------------------------------------


def test_tick_makes_due_runs_ready_64_at_a_time(scene: Scene) -> None:
    scene.submit_many(70, delay_ms=1_000)
    scene.clock.advance(999)
    assert scene.run(pools.tick(POOL)) is False
    assert scene.server.zcard(keyspace.ready(POOL, "default")) == 0
    scene.clock.advance(1)
    assert scene.run(pools.tick(POOL)) is True
    assert scene.server.zcard(keyspace.ready(POOL, "default")) == 64
    assert scene.run(pools.tick(POOL)) is False
    assert scene.server.zcard(keyspace.ready(POOL, "default")) == 70


# delete -------------------------------------------------------------------------------------------------------------


def test_a_pool_with_unfinished_runs_is_kept(scene: Scene) -> None:
    one = scene.join()
    held = scene.held(one)
    scene.refused(pools.delete(POOL), PoolHasRuns, "1 unfinished")
    scene.submit()
    scene.submit(delay_ms=1_000)
    scene.refused(pools.delete(POOL), PoolHasRuns, "3 unfinished")
    assert scene.state(held[0]) == State.PENDING


def test_delete_leaves_nothing(scene: Scene) -> None:
    one = scene.join(selector="=q", prefetch_ms=1_000)
    scene.queue("q", limit=1)
    scene.claim(one)
    scene.submit_many(2, "q", deployment="f/d", idempotency_key="k")
    held = scene.claim(one).runs[0]
    scene.run(leases.log(POOL, one, held.id, held.epoch, ["line"]))
    scene.finish(one, (held.id, held.epoch), State.FAILED, result_json="1", message="m")
    scene.claim(one)
    scene.run(deployments.save(Deployment("f/d", "1", POOL, "q", RunInput())))
    assert scene.run(pools.delete(POOL)) == 0
    assert list(scene.server.scan_iter()) == []
    scene.refused(pools.read(POOL), PoolNotFound)


def test_delete_cancels_when_asked(scene: Scene) -> None:
    scene.submit_many(150)
    scene.submit_many(100, delay_ms=1_000)
    assert scene.run(pools.delete(POOL, cancel_runs=True)) == 250
    assert list(scene.server.scan_iter()) == []


def test_delete_asks_holders_to_stop_and_waits_for_them(scene: Scene) -> None:
    one = scene.join()
    first, second = scene.running(one), scene.running(one)
    waiting = scene.submit()
    with pytest.raises(PoolRunsStopping, match="2 of its runs"):
        scene.run(pools.delete(POOL, cancel_runs=True))
    assert [scene.state(run) for run in (first[0], second[0], waiting)] == ["CANCELLING", "CANCELLING", "CANCELLED"]
    assert scene.doorbell(one) == ["control"]
    assert scene.renew(one, first, second).cancelling == (first, second)
    assert [scene.finish(one, held) for held in (first, second)] == ["CANCELLED", "CANCELLED"]
    assert scene.run(pools.delete(POOL, cancel_runs=True)) == 0
    assert list(scene.server.scan_iter()) == []


def test_a_pool_that_is_being_deleted_takes_and_gives_nothing(scene: Scene) -> None:
    one = scene.join()
    done = scene.finished(one)
    held = scene.running(one)
    with pytest.raises(PoolRunsStopping):
        scene.run(pools.delete(POOL, cancel_runs=True))
    scene.refused(runs.submit(POOL, [new_run()]), PoolBeingDeleted)
    scene.refused(queues.create(POOL, "q"), PoolBeingDeleted)
    scene.refused(runs.retry(POOL, done), PoolBeingDeleted)
    assert scene.claim(one).reason == "paused"
    scene.release(one, held)
    scene.run(pools.resume(POOL))
    assert scene.claim(one).reason == "paused", "resuming does not call a deletion off"


def test_delete_when_leases_end_at_that_moment(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    lost, kept = scene.running(one), scene.running(two)
    for _ in range(3):  # no silence: somebody else is alive
        scene.clock.advance(10_000)
        scene.renew(two, kept)
    scene.finish(two, kept)
    scene.clock.advance(2_000)
    assert scene.state(lost[0]) == State.RUNNING, "the next script will take it from its holder"
    assert scene.run(pools.delete(POOL, cancel_runs=True)) == 1
    assert list(scene.server.scan_iter()) == []


def test_delete_forgets_the_deployments_of_the_pool(scene: Scene) -> None:
    scene.run(pools.create("other"))
    scene.run(deployments.save(Deployment("f/here", "1", POOL, "default", RunInput())))
    scene.run(deployments.save(Deployment("f/there", "2", "other", "default", RunInput())))
    scene.run(pools.delete(POOL))
    assert [found.name for found in scene.run(deployments.list_all())] == ["f/there"]
    assert scene.server.hgetall(keyspace.deployments()) == {"f/there": "other"}


def test_delete_of_a_pool_that_only_the_directory_knows_tidies_up(scene: Scene) -> None:
    scene.server.sadd(keyspace.pools(), "ghost")
    with pytest.raises(PoolNotFound):
        scene.run(pools.delete("ghost"))
    assert scene.run(pools.names()) == [POOL]


def test_a_new_pool_of_the_same_name_starts_empty(scene: Scene) -> None:
    scene.run(consumers.register(new_consumer()))
    scene.run(pools.delete(POOL))
    scene.run(pools.create(POOL))
    assert scene.run(consumers.list_all(POOL)) == []
    assert scene.priorities() == {"default": 1}


def test_delete_asks_every_holder_to_stop(scene: Scene) -> None:
    one = scene.join()
    scene.submit_many(150)
    held = [(run.id, run.epoch) for _ in range(3) for run in scene.claim(one, 64).runs]
    with pytest.raises(PoolRunsStopping, match="150 of its runs"):
        scene.run(pools.delete(POOL, cancel_runs=True))
    assert set(scene.renew(one, *held).cancelling) == set(held)


@pytest.mark.parametrize("limit", [-1, 1_000_000_000, 10**400])
def test_a_limit_has_at_most_nine_digits(scene: Scene, limit: int) -> None:
    operations: list[Callable[[], Call[Any] | Flow[Any]]] = [
        lambda: pools.create("x", limit=limit),
        lambda: pools.update(POOL, limit=limit),
        lambda: pools.set_limit(POOL, limit),
        lambda: queues.create(POOL, "x", limit=limit),
    ]
    for operation in operations:
        with pytest.raises(BadValue, match="give 0 or more, 999999999 at most"):
            scene.run(operation())


def test_pausing_again_keeps_the_note_unless_another_is_given(scene: Scene) -> None:
    scene.run(pools.pause(POOL, "first"))
    scene.run(pools.pause(POOL))
    assert scene.pool().note == "first"
    scene.run(pools.pause(POOL, ""))
    assert scene.pool().note == ""


@pytest.mark.parametrize("again", [pools.ensure, pools.create])
def test_a_pool_that_a_crash_left_out_of_the_directory_is_listed_again(
    scene: Scene, again: Callable[[str], Flow[object]]
) -> None:
    scene.server.delete(keyspace.pools())
    with contextlib.suppress(PoolExists):
        scene.run(again(POOL))
    assert scene.run(pools.names()) == [POOL]


@pytest.mark.parametrize("value", [1.5, True, "3"], ids=repr)
def test_a_count_that_is_no_whole_number_is_in_nobodys_way(scene: Scene, value: Any) -> None:
    for change in ({"limit": value}, {"lease_ms": value}, {"keep_ms": value}, {"keep_runs": value}):
        with pytest.raises(BadValue, match=re.escape(repr(value))):
            scene.run(pools.update(POOL, **change))
        with pytest.raises(BadValue):
            scene.run(pools.create("other", **change))
    with pytest.raises(BadValue, match=re.escape(repr(value))):
        scene.run(queues.create(POOL, "q", priority=value))
    with pytest.raises(BadValue, match=re.escape(repr(value))):
        scene.run(queues.set_priorities(POOL, {"default": value}))
    assert scene.pool().name == POOL

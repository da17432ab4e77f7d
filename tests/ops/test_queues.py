"""Work queues: make, read, change, priorities, limits, pause, delete."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.call import Call, Flow
from dispatcher.errors import (
    BadName,
    BadValue,
    DefaultQueueProtected,
    PoolNotFound,
    PrioritiesCollide,
    QueueExists,
    QueueHasRuns,
    QueueNotFound,
)
from dispatcher.ops import pools, queues, runs
from dispatcher.states import State
from tests.ops.test_pools import BAD_NAMES
from tests.scene import POOL, Scene

# malformed and refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name(scene: Scene, name: str) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: queues.create(POOL, name),
        lambda: queues.ensure(POOL, name),
        lambda: queues.pause(POOL, name),
        lambda: queues.resume(POOL, name),
        lambda: queues.set_limit(POOL, name, 1),
        lambda: queues.set_priorities(POOL, {name: 1}),
        lambda: queues.create(name, "q"),
    ]
    for maker in makers:
        with pytest.raises(BadName):
            maker()


@pytest.mark.parametrize("priority", [0, -1, 1_000_000_000])
def test_priority_out_of_range(scene: Scene, priority: int) -> None:
    with pytest.raises(BadValue, match="1 goes first"):
        queues.create(POOL, "q", priority=priority)
    with pytest.raises(BadValue):
        queues.set_priorities(POOL, {"default": priority})


def test_negative_limit(scene: Scene) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: queues.create(POOL, "q", limit=-1),
        lambda: queues.update(POOL, "default", limit=-1),
        lambda: queues.set_limit(POOL, "default", -1),
    ]
    for maker in makers:
        with pytest.raises(BadValue, match="limit of -1"):
            maker()


def test_unknown_pool(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        queues.create("x", "q"),
        queues.ensure("x", "q"),
        queues.list_all("x"),
        queues.read("x", "q"),
        queues.update("x", "q", limit=1),
        queues.set_limit("x", "q", 1),
        queues.pause("x", "q"),
        queues.resume("x", "q"),
        queues.set_priorities("x", {"q": 1}),
        queues.delete("x", "q"),
    ]
    for operation in operations:
        scene.refused(operation, PoolNotFound, "'x' was not found")


def test_unknown_queue(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        queues.read(POOL, "q"),
        queues.update(POOL, "q", limit=1),
        queues.set_limit(POOL, "q", 1),
        queues.pause(POOL, "q"),
        queues.resume(POOL, "q"),
        queues.set_priorities(POOL, {"default": 7, "q": 1}),
        queues.delete(POOL, "q"),
    ]
    for operation in operations:
        scene.refused(operation, QueueNotFound, "Work queue 'q' was not found in work pool 'p'")


def test_a_name_can_be_taken_once(scene: Scene) -> None:
    scene.queue("q", 5)
    scene.refused(queues.create(POOL, "q", priority=1), QueueExists, "'q' exists already")
    scene.refused(queues.create(POOL, "default"), QueueExists)


# make and read ------------------------------------------------------------------------------------------------------


def test_a_queue_is_made_as_asked(scene: Scene) -> None:
    scene.run(queues.create(POOL, "q", limit=0, priority=7, description="d", is_paused=True))
    found = scene.run(queues.read(POOL, "q"))
    assert (found.limit, found.priority, found.description, found.is_paused) == (0, 7, "d", True)
    assert found.created_at_ms == found.updated_at_ms == scene.clock.now_ms
    assert scene.run(queues.read(POOL, found.id)) == found, "it is found by its id as well"


def test_ensure_makes_what_is_missing_and_changes_nothing_else(scene: Scene) -> None:
    assert scene.run(queues.ensure(POOL, "q")) is True
    scene.run(queues.set_limit(POOL, "q", 3))
    before = scene.run(queues.read(POOL, "q"))
    assert scene.run(queues.ensure(POOL, "q")) is False
    assert scene.run(queues.read(POOL, "q")) == before


def test_list_is_by_priority_and_may_be_of_a_prefix(scene: Scene) -> None:
    for name, priority in (("dev-b", 9), ("dev-a", 5), ("prod", 3)):
        scene.queue(name, priority)
    assert [queue.name for queue in scene.run(queues.list_all(POOL))] == ["default", "prod", "dev-a", "dev-b"]
    assert [queue.name for queue in scene.run(queues.list_all(POOL, "dev-"))] == ["dev-a", "dev-b"]


# priorities ---------------------------------------------------------------------------------------------------------


def test_without_a_priority_the_lowest_free_number_is_given(scene: Scene) -> None:
    scene.queue("three", 3)
    assert scene.run(queues.create(POOL, "a")) == 2
    assert scene.run(queues.create(POOL, "b")) == 4


def test_the_newcomer_keeps_its_number_and_others_move_no_further_than_needed(scene: Scene) -> None:
    for name, priority in (("two", 2), ("three", 3), ("five", 5)):
        scene.queue(name, priority)
    assert scene.run(queues.create(POOL, "new", priority=1)) == 1
    assert scene.priorities() == {"new": 1, "default": 2, "two": 3, "three": 4, "five": 5}


def test_gaps_stay(scene: Scene) -> None:
    scene.queue("ten", 10)
    scene.queue("twelve", 12)
    scene.queue("new", 10)
    assert scene.priorities() == {"default": 1, "new": 10, "ten": 11, "twelve": 12}
    scene.run(queues.set_priorities(POOL, {"new": 20}))
    assert scene.priorities() == {"default": 1, "ten": 11, "twelve": 12, "new": 20}


def test_a_queue_that_moves_pushes_whoever_has_its_number(scene: Scene) -> None:
    for name, priority in (("two", 2), ("three", 3), ("five", 5)):
        scene.queue(name, priority)
    scene.run(queues.set_priorities(POOL, {"five": 2}))
    assert scene.priorities() == {"default": 1, "five": 2, "two": 3, "three": 4}
    scene.run(queues.set_priorities(POOL, {"default": 1}))
    assert scene.priorities() == {"default": 1, "five": 2, "two": 3, "three": 4}, "its own number is no collision"


def test_several_can_swap(scene: Scene) -> None:
    for name, priority in (("two", 2), ("three", 3)):
        scene.queue(name, priority)
    scene.run(queues.set_priorities(POOL, {"two": 3, "three": 2}))
    assert scene.priorities() == {"default": 1, "three": 2, "two": 3}
    scene.run(queues.set_priorities(POOL, {"two": 1, "default": 2, "three": 3}))
    assert scene.priorities() == {"two": 1, "default": 2, "three": 3}


def test_one_number_for_two_is_refused_as_a_whole(scene: Scene) -> None:
    scene.queue("a", 5)
    scene.queue("b", 6)
    scene.refused(queues.set_priorities(POOL, {"default": 9, "a": 7, "b": 7}), PrioritiesCollide)


def test_priorities_stay_unique_whatever_is_asked(scene: Scene) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    names = [f"q{number}" for number in range(6)]
    for name in names:
        scene.queue(name, dice.choice([None, dice.randint(1, 8)]))
    for _ in range(20):
        before = scene.priorities()
        moving = dice.sample(names, dice.randint(1, 3))
        wanted = dict(zip(moving, dice.sample(range(1, 9), len(moving)), strict=True))
        scene.run(queues.set_priorities(POOL, wanted))
        after = scene.priorities()
        assert {name: after[name] for name in wanted} == wanted
        assert len(set(after.values())) == len(after)
        others = [name for name in before if name not in wanted]
        assert all(after[name] >= before[name] for name in others), "others only move up"
        assert sorted(others, key=before.__getitem__) == sorted(others, key=after.__getitem__), "in their order"


def test_priority_decides_from_the_next_claim_on(scene: Scene) -> None:
    one = scene.join()
    scene.queue("high", 5)
    low = scene.submit_many(2, "default")
    high = scene.submit_many(2, "high")
    assert scene.take(one, 1) == low[:1]
    scene.run(queues.set_priorities(POOL, {"high": 1}))
    assert scene.take(one) == [*high, low[1]]


# limits and pause ---------------------------------------------------------------------------------------------------


def test_update_changes_what_is_given_alone(scene: Scene) -> None:
    scene.run(queues.create(POOL, "q", limit=3, description="d"))
    scene.clock.advance(5)
    scene.run(queues.update(POOL, "q", description="e"))
    scene.run(queues.update(POOL, "q", limit=0))
    found = scene.run(queues.read(POOL, "q"))
    assert (found.description, found.limit, found.updated_at_ms) == ("e", 0, scene.clock.now_ms)


def test_limit_admits_that_many_and_leaves_the_others_alone(scene: Scene) -> None:
    one = scene.join()
    scene.queue("high", 5, limit=2)
    scene.run(queues.set_priorities(POOL, {"high": 1, "default": 5}))
    high = scene.submit_many(3, "high")
    low = scene.submit_many(2)
    assert scene.take(one) == [*high[:2], *low], "a full queue does not hold up those behind it"
    scene.run(queues.set_limit(POOL, "high", 3))
    assert scene.take(one) == [high[2]]


def test_limit_0_admits_nothing_and_none_everything(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q", limit=0)
    waiting = scene.submit_many(3, "q")
    assert scene.claim(one).reason == "empty"
    scene.run(queues.set_limit(POOL, "q", None))
    assert scene.run(queues.read(POOL, "q")).limit is None
    assert scene.take(one) == waiting


def test_limit_below_what_is_used_preempts_nothing(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q")
    held = [scene.running(one, "q") for _ in range(3)]
    scene.submit("q")
    scene.run(queues.set_limit(POOL, "q", 1))
    assert [scene.state(run) for run, _ in held] == [State.RUNNING] * 3
    while held:
        assert scene.take(one) == []
        scene.finish(one, held.pop())
    assert len(scene.take(one)) == 1


def test_both_limits_hold(scene: Scene) -> None:
    one = scene.join()
    scene.queue("a", limit=2)
    scene.queue("b", limit=2)
    scene.run(pools.set_limit(POOL, 3))
    scene.submit_many(5, "a")
    scene.submit_many(5, "b")
    assert len(scene.take(one)) == 3
    assert scene.used() == {"": 3, "default": 0, "a": 2, "b": 1}


def test_paused_queue_hands_nothing_out_and_the_others_go_on(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q")
    held = scene.running(one, "q")
    waiting, other = scene.submit("q"), scene.submit()
    scene.run(queues.pause(POOL, "q", "broken"))
    found = scene.run(queues.read(POOL, "q"))
    assert (found.is_paused, found.note, found.status) == (True, "broken", "paused")
    assert scene.take(one) == [other]
    assert scene.finish(one, held) == "COMPLETED"
    scene.run(queues.resume(POOL, "q"))
    assert scene.run(queues.read(POOL, "q")).note == ""
    assert scene.take(one) == [waiting]


# delete -------------------------------------------------------------------------------------------------------------


def test_default_cannot_be_deleted(scene: Scene) -> None:
    scene.refused(queues.delete(POOL, "default"), DefaultQueueProtected)
    scene.submit()
    scene.refused(queues.delete(POOL, "default", cancel_runs=True), DefaultQueueProtected)


def test_a_queue_with_waiting_runs_is_kept_unless_told_what_becomes_of_them(scene: Scene) -> None:
    scene.queue("q")
    scene.submit("q")
    scene.submit("q", delay_ms=1_000)
    scene.refused(queues.delete(POOL, "q"), QueueHasRuns, "waiting runs: 2")
    scene.refused(queues.delete(POOL, "q", move_to="q"), BadValue, "to itself")
    scene.refused(queues.delete(POOL, "q", move_to="ghost"), QueueNotFound, "'ghost'")
    scene.refused(queues.delete(POOL, "q", move_to="a/b"), BadName)


def test_an_empty_queue_is_deleted(scene: Scene) -> None:
    scene.queue("q")
    assert scene.run(queues.delete(POOL, "q")) == 0
    assert scene.priorities() == {"default": 1}
    scene.refused(queues.delete(POOL, "q"), QueueNotFound)


def test_waiting_runs_move_with_their_priority_and_time(scene: Scene) -> None:
    one = scene.join(selector="=other")
    scene.queue("q")
    scene.queue("other")
    late = scene.submit("q", priority=200)
    early = scene.submit("q", priority=50)
    future = scene.submit("q", delay_ms=5_000)
    many = scene.submit_many(150, "q")
    assert scene.run(queues.delete(POOL, "q", move_to="other")) == 153
    assert scene.see(future).due_at_ms == scene.clock.now_ms + 5_000
    assert {scene.see(run).queue for run in (late, early, future, many[-1])} == {"other"}
    assert [*scene.take(one), *scene.take(one), *scene.take(one)] == [early, *many, late]
    scene.clock.advance(5_000)
    assert scene.take(one) == [future]


def test_waiting_runs_are_cancelled_when_asked(scene: Scene) -> None:
    scene.queue("q")
    waiting = [*scene.submit_many(120, "q"), scene.submit("q", delay_ms=9_000)]
    assert scene.run(queues.delete(POOL, "q", cancel_runs=True)) == 121
    found = scene.run(runs.read_many(POOL, [waiting[0], waiting[-1]]))
    assert [(run.state, run.message) for run in found] == [
        (State.CANCELLED, "cancelled: its queue is being deleted")
    ] * 2


def test_running_runs_keep_their_slots_until_they_end(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q", limit=1)
    held = scene.running(one, "q")
    scene.run(queues.delete(POOL, "q"))
    assert scene.used() == {"": 1, "default": 0}
    scene.queue("q", limit=1)
    assert scene.used()["q"] == 1, "a queue of the same name knows them again"
    assert scene.finish(one, held) == "COMPLETED"
    assert scene.used() == {"": 0, "default": 0, "q": 0}


@pytest.mark.parametrize("way", ["release", "retry", "lost", "operator"])
def test_a_run_whose_queue_is_gone_waits_in_default(scene: Scene, way: str) -> None:
    one, two = scene.join(), scene.join("two", selector="=none")
    scene.queue("q")
    run, epoch = scene.running(one, "q")
    if way == "operator":
        scene.finish(one, (run, epoch))
    scene.run(queues.delete(POOL, "q"))
    if way == "release":
        scene.release(one, (run, epoch))
    elif way == "retry":
        scene.finish(one, (run, epoch), State.FAILED, retry_in_ms=0)
    elif way == "lost":
        scene.pass_lease(two)
    else:
        scene.run(runs.retry(POOL, run))
    found = scene.see(run)
    assert (found.state, found.queue) == (State.SCHEDULED, "default")

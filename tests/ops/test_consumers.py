"""Consumers: join a pool, follow a dead predecessor, leave, be listed, listen at the doorbell."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import BadName, PoolNotFound, PoolTypeDiffers
from dispatcher.ops import consumers, pools
from dispatcher.states import State
from tests.dumps import unchanged
from tests.scene import LEASE_MS, POOL, Scene, new_consumer

DAY_MS = 86_400_000


# malformed and refused ----------------------------------------------------------------------------------------------


def test_bad_pool_name(scene: Scene) -> None:
    with pytest.raises(BadName):
        consumers.register(new_consumer(pool="a/b"))
    with pytest.raises(BadName):
        consumers.list_all("a/b")


def test_unknown_pool(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        consumers.register(new_consumer(pool="x")),
        consumers.leave("x", "c"),
        consumers.list_all("x"),
    ]
    for operation in operations:
        scene.refused(operation, PoolNotFound, "'x' was not found")


def test_another_type_than_the_pools(scene: Scene) -> None:
    scene.run(pools.create("typed", type="process"))
    scene.refused(
        consumers.register(new_consumer(pool="typed")), PoolTypeDiffers,
        "is of type 'process', not 'agent'. Start `dispatcher worker start --pool typed`",
    )  # fmt: skip
    worker = new_consumer(kind="worker", type="process")
    scene.refused(consumers.register(worker), PoolTypeDiffers, "Start `dispatcher agent start --pool p`")


# register -----------------------------------------------------------------------------------------------------------


def test_a_consumer_is_listed_as_it_registered(scene: Scene) -> None:
    given = new_consumer("b", limit=3, selector="=q", prefetch_ms=1_500)
    assert scene.run(consumers.register(given)) == (LEASE_MS, 0)
    scene.join("a")
    first, second = scene.run(consumers.list_all(POOL))
    assert (first.name, first.limit, first.selector, first.prefetch_ms) == ("a", None, "*", 0)
    expected = {"running": 0, "seen_at_ms": scene.clock.now_ms, "is_online": True}
    for field in given.__dataclass_fields__:
        assert getattr(second, field) == expected.get(field, getattr(given, field)), field


def test_registering_twice_is_registering_once(scene: Scene) -> None:
    call = consumers.register(new_consumer())
    scene.run(call)
    with unchanged(scene.server):
        assert scene.run(call) == (LEASE_MS, 0)


def test_what_a_dead_predecessor_held_waits_again_at_once(scene: Scene) -> None:
    old = scene.join()
    held = [scene.running(old), scene.held(old)]
    new = new_consumer()
    assert scene.run(consumers.register(new, [old, "GHOST"])) == (LEASE_MS, 2)
    for run, _ in held:
        found = scene.see(run)
        assert (found.state, found.lost, found.attempts) == (State.SCHEDULED, 1, 0)
        assert "died and has started again" in found.message
    assert [consumer.id for consumer in scene.run(consumers.list_all(POOL))] == [new.id]
    assert scene.used()[""] == 0
    assert scene.finish(old, held[0]) == "FENCED"
    assert scene.take(new.id) == [run for run, _ in held]


def test_a_predecessor_stays_readable_for_a_week(scene: Scene) -> None:
    old = scene.join("old")
    run = scene.finished(old)
    scene.join("new", predecessors=(old,))
    seen = scene.see(run).consumer
    assert seen is not None
    assert seen.name == "old"
    assert 0 < scene.server.pttl(keyspace.consumer(POOL, old)) <= 7 * DAY_MS


def test_a_predecessor_that_was_parked_leaves_no_doorbell(scene: Scene) -> None:
    old = scene.join()
    scene.claim(old)
    scene.submit()
    assert scene.doorbell(old) == ["work"]
    new = scene.join("new", predecessors=(old,))
    assert scene.doorbell(old) == []
    scene.take(new)
    assert scene.claim(new).reason == "empty"
    scene.submit()
    assert scene.doorbell(new) == ["work"]


def test_registering_takes_those_off_the_list_that_were_silent_for_a_day(scene: Scene) -> None:
    old, holding = scene.join("old"), scene.join("holding")
    scene.claim(old)
    scene.clock.advance(LEASE_MS + DAY_MS - 1)
    scene.held(holding)
    scene.join("new")
    assert len(scene.run(consumers.list_all(POOL))) == 3
    scene.clock.advance(1)
    scene.join("newer")
    assert [consumer.name for consumer in scene.run(consumers.list_all(POOL))] == ["holding", "new", "newer"]


# leave --------------------------------------------------------------------------------------------------------------


def test_what_a_leaver_holds_waits_again(scene: Scene) -> None:
    one = scene.join()
    run = scene.running(one)[0]
    assert scene.run(consumers.leave(POOL, one)) == 1
    found = scene.see(run)
    assert (found.state, found.lost, found.attempts) == (State.SCHEDULED, 1, 0)
    assert scene.run(consumers.list_all(POOL)) == []
    with unchanged(scene.server):
        assert scene.run(consumers.leave(POOL, one)) == 0


def test_a_leaver_passes_its_wake_on(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    scene.claim(one, load=0)
    scene.claim(two, load=5)
    scene.submit()
    assert scene.doorbell(one) == ["work"]
    scene.run(consumers.leave(POOL, one))
    assert scene.doorbell(one) == []
    assert scene.doorbell(two), "somebody looks"


def test_a_keeper_that_leaves_hands_the_timer_on(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    scene.submit(delay_ms=3_000)
    assert scene.claim(one).is_timer
    scene.claim(two)
    scene.run(consumers.leave(POOL, one))
    assert scene.doorbell(two) == ["timer"]
    assert scene.claim(two).block_ms == 3_000
    scene.run(consumers.leave(POOL, two))
    assert scene.server.exists(keyspace.timers(POOL)) == 0


# list and listen ----------------------------------------------------------------------------------------------------


def test_a_consumer_is_offline_after_three_heartbeats(scene: Scene) -> None:
    one = scene.join()
    scene.held(one)

    def seen() -> tuple[bool, int, int]:
        (found,) = scene.run(consumers.list_all(POOL))
        return found.is_online, found.running, found.seen_at_ms - scene.clock.now_ms

    scene.clock.advance(LEASE_MS - 1)
    assert seen() == (True, 1, 1 - LEASE_MS)
    scene.clock.advance(1)
    assert seen() == (False, 1, -LEASE_MS)
    scene.renew(one)
    assert seen() == (True, 1, 0)


def test_a_token_is_heard_once(scene: Scene) -> None:
    one = scene.join()
    scene.claim(one)
    scene.submit()
    assert scene.run(consumers.listen(POOL, one, waits_ms=60_000)) == "work"
    assert scene.run(consumers.listen(POOL, one, waits_ms=1)) is None


@pytest.mark.parametrize("waits_ms", [0, -5])
def test_a_wait_of_nothing_is_not_a_wait_for_ever(scene: Scene, waits_ms: int) -> None:
    assert scene.run(consumers.listen(POOL, scene.join(), waits_ms=waits_ms)) is None

"""Who is woken, when, and by which token; and who keeps the pool's timer while everyone is idle.

Consumers block outside; here their doorbells are looked at. A wake is answered by a claim; so that a lost answer costs
a second at most, whoever rings one consumer while others are idle makes one of those keep the timer: that token is left
out where only work is looked at. `alive` lets consumers live on the simulated clock.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher import keyspace
from dispatcher.models import Claim
from dispatcher.ops import pools, queues, runs
from tests.scene import LEASE_MS, POOL, Scene

SAFETY_MS = 5_000


def parked(scene: Scene, *names: str, prefetch_ms: int = 0, selector: str = "*") -> list[str]:
    """Idle consumers, the first one least loaded."""
    found = [scene.join(name, prefetch_ms=prefetch_ms, selector=selector) for name in names]
    for load, consumer in enumerate(found):
        assert scene.claim(consumer, load=load).runs == ()
    return found


def rung(scene: Scene, consumers: list[str], token: str = "work") -> list[str]:
    """One word for each consumer: this token, or nothing."""
    doorbells = [scene.doorbell(consumer) for consumer in consumers]
    assert all(len(tokens) <= 1 for tokens in doorbells), "at most one token"
    return [token if tokens == [token] else "" for tokens in doorbells]


def alive(scene: Scene, consumers: list[str], ms: int, *, safety: bool = True) -> dict[str, int]:
    """Lets idle consumers live for so long: each one claims when its doorbell rings or its wait is over, and keeps
    what it gets. Without `safety` the safety look is left out. Returns after how many ms each run was claimed."""
    start_ms = scene.clock.now_ms
    looks_ms = dict.fromkeys(consumers, start_ms)
    taken: dict[str, int] = {}
    while True:
        awake = [one for one in consumers if scene.doorbell(one) or looks_ms[one] <= scene.clock.now_ms]
        for consumer in awake:
            claim = scene.claim(consumer)
            taken |= {run.id: scene.clock.now_ms - start_ms for run in claim.runs}
            wait_ms = claim.block_ms if safety or claim.is_timer else 3_600_000
            looks_ms[consumer] = scene.clock.now_ms + (0 if claim.runs else wait_ms)
        if not awake:
            moment_ms = min([start_ms + ms, *looks_ms.values()])
            if moment_ms >= start_ms + ms:
                scene.clock.now_ms = start_ms + ms
                return taken
            scene.clock.now_ms = moment_ms


def told(claim: Claim) -> tuple[int, bool, str]:
    assert claim.runs == ()
    return claim.block_ms, claim.is_timer, claim.reason


# work ---------------------------------------------------------------------------------------------------------------


def test_new_work_rings_one_idle_consumer_the_least_loaded(scene: Scene) -> None:
    idle = parked(scene, "a", "b", "c")
    scene.submit()
    assert rung(scene, idle) == ["work", "", ""]


def test_a_token_carries_nothing_and_there_is_one(scene: Scene) -> None:
    idle = parked(scene, "a")
    scene.submit_many(3)
    scene.submit()
    assert rung(scene, idle) == ["work"]
    assert 0 < scene.server.pttl(keyspace.wake(POOL, idle[0])) <= 60_000


def test_as_many_are_woken_as_there_are_runs_and_at_most_four(scene: Scene) -> None:
    idle = parked(scene, *"abcdef")
    scene.submit_many(3)
    assert rung(scene, idle) == ["work"] * 3 + [""] * 3
    scene.submit_many(20)
    assert all(scene.doorbell(consumer) for consumer in idle)


def test_one_that_takes_work_wakes_two_more(scene: Scene) -> None:
    idle = parked(scene, *"abcdefghij")
    scene.submit_many(20)
    assert [bool(scene.doorbell(consumer)) for consumer in idle] == [True] * 5 + [False] * 5, "four and a keeper"
    assert len(scene.take(idle[0], 1)) == 1
    assert [bool(scene.doorbell(consumer)) for consumer in idle[1:]] == [True] * 7 + [False] * 2


def test_no_more_are_woken_than_slots_are_free(scene: Scene) -> None:
    scene.run(pools.set_limit(POOL, 2))
    idle = parked(scene, *"abcd")
    scene.submit_many(9)
    assert rung(scene, idle) == ["work", "work", "", ""]


def test_no_more_are_woken_than_a_queue_admits(scene: Scene) -> None:
    scene.queue("q", limit=1)
    idle = parked(scene, *"abcd")
    scene.submit_many(9, "q")
    assert rung(scene, idle) == ["work", "", "", ""]


def test_only_those_are_woken_who_serve_the_queue(scene: Scene) -> None:
    scene.queue("q")
    others = parked(scene, "a", "b", selector="=default") + parked(scene, "c", selector="^x")
    serving = parked(scene, "d", selector="=q") + parked(scene, "e", selector="^q")
    scene.submit("q")
    assert rung(scene, others) == ["", "", ""]
    assert rung(scene, serving) == ["work", "work"], "one of each group: which of them is quicker is not known"


def paused_pool(scene: Scene) -> Callable[[], None]:
    scene.run(pools.pause(POOL))
    return lambda: scene.run(pools.resume(POOL))


def paused_queue(scene: Scene) -> Callable[[], None]:
    scene.run(queues.pause(POOL, "default"))
    return lambda: scene.run(queues.resume(POOL, "default"))


def pool_limit_0(scene: Scene) -> Callable[[], None]:
    scene.run(pools.set_limit(POOL, 0))
    return lambda: scene.run(pools.set_limit(POOL, 1))


def queue_limit_0(scene: Scene) -> Callable[[], None]:
    scene.run(queues.set_limit(POOL, "default", 0))
    return lambda: scene.run(queues.set_limit(POOL, "default", None))


def slot_of_the_pool(scene: Scene) -> Callable[[], None]:
    busy = scene.join("busy")
    held = scene.running(busy)
    scene.run(pools.set_limit(POOL, 1))
    return lambda: [scene.finish(busy, held)].clear()


def slot_of_the_queue(scene: Scene) -> Callable[[], None]:
    busy = scene.join("busy")
    held = scene.running(busy)
    scene.run(queues.set_limit(POOL, "default", 1))
    return lambda: [scene.run(runs.cancel(POOL, held[0], force=True))].clear()


@pytest.mark.parametrize(
    "hinder", [paused_pool, paused_queue, pool_limit_0, queue_limit_0, slot_of_the_pool, slot_of_the_queue]
)
def test_whatever_makes_work_possible_wakes_who_can_do_it(
    scene: Scene, hinder: Callable[[Scene], Callable[[], None]]
) -> None:
    free = hinder(scene)
    idle = parked(scene, "a", "b")
    run = scene.submit()
    assert rung(scene, idle) == ["", ""]
    free()
    assert rung(scene, idle) == ["work", ""]
    assert scene.take(idle[0]) == [run]


def test_who_is_offline_is_passed_over(scene: Scene) -> None:
    dead = parked(scene, "a")
    scene.clock.advance(LEASE_MS)
    alive = parked(scene, "b")
    scene.submit()
    assert rung(scene, dead + alive) == ["", "work"]
    assert scene.server.zscore(keyspace.parked(POOL, "0/*"), dead[0]) is None, "dropped on the way"


def test_an_answer_that_does_not_come_in_a_second_is_not_waited_for(scene: Scene) -> None:
    dead, *living = parked(scene, "a", "b", "c")
    run = scene.submit()
    assert rung(scene, [dead, *living]) == ["work", "", ""]
    assert alive(scene, living, 10_000, safety=False)[run] <= 1_000


def test_a_keeper_that_dies_costs_its_deputys_250_ms(scene: Scene) -> None:
    run = scene.submit(delay_ms=3_000)
    _dead, *living = parked(scene, "a", "b", "c")
    assert alive(scene, living, 10_000, safety=False)[run] <= 3_250


def test_when_keeper_and_deputy_die_the_safety_look_finds_the_work(scene: Scene) -> None:
    run = scene.submit(delay_ms=3_000)
    *_dead, living = parked(scene, "a", "b", "c")
    assert alive(scene, [living], 20_000)[run] <= 3_000 + SAFETY_MS


def test_every_run_is_claimed_at_its_time_without_safety_looks(scene: Scene) -> None:
    idle = parked(scene, *"abc")
    due = {scene.submit(delay_ms=delay_ms): delay_ms for delay_ms in (1, 700, 700, 701, 5_000, 9_999)}
    assert alive(scene, idle, 10_000, safety=False) == due


def test_idle_consumers_look_rarely(scene: Scene) -> None:
    idle = parked(scene, *"abcde")
    scene.submit(delay_ms=3_600_000)
    before = scene.server.info("commandstats")["cmdstat_evalsha"]["calls"]
    alive(scene, idle, 60_000)
    scripts = scene.server.info("commandstats")["cmdstat_evalsha"]["calls"] - before
    assert scripts <= 5 * (60_000 // SAFETY_MS + 1) + 5


def test_a_claim_empties_the_doorbell(scene: Scene) -> None:
    idle = parked(scene, "a")
    scene.submit()
    scene.take(idle[0])
    assert rung(scene, idle) == [""]


# control ------------------------------------------------------------------------------------------------------------


def test_control_outranks_work(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.claim(one)
    scene.submit()
    assert scene.doorbell(one) == ["work"]
    scene.run(runs.cancel(POOL, held[0]))
    assert scene.doorbell(one) == ["control"]
    scene.submit()
    assert scene.doorbell(one) == ["control"]


def test_control_reaches_a_consumer_that_is_not_parked(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.run(runs.cancel(POOL, held[0]))
    assert scene.doorbell(one) == ["control"]


# timers -------------------------------------------------------------------------------------------------------------


def test_with_nothing_to_come_everyone_takes_the_safety_look(scene: Scene) -> None:
    for name in "abc":
        assert told(scene.claim(scene.join(name))) == (SAFETY_MS, False, "empty")


def test_one_keeps_the_timer_and_one_is_its_deputy(scene: Scene) -> None:
    scene.submit(delay_ms=3_000)
    found = [told(scene.claim(scene.join(name))) for name in "abcd"]
    assert found == [(3_000, True, "empty"), (3_250, True, "empty"), *[(SAFETY_MS, False, "empty")] * 2]


def test_a_moment_behind_the_safety_look_needs_no_exact_wait(scene: Scene) -> None:
    scene.submit(delay_ms=SAFETY_MS + 1)
    one = scene.join()
    assert told(scene.claim(one)) == (SAFETY_MS, False, "empty")
    scene.clock.advance(SAFETY_MS)
    assert told(scene.claim(one)) == (1, True, "empty")


def test_the_keeper_looks_in_time_for_its_prefetch(scene: Scene) -> None:
    scene.submit(delay_ms=3_000)
    assert told(scene.claim(scene.join(prefetch_ms=1_000))) == (2_000, True, "empty")


def test_the_keeper_looks_when_a_lease_can_be_reaped(scene: Scene) -> None:
    scene.run(pools.update(POOL, lease_ms=5_000))
    busy, one = scene.join("busy"), scene.join()
    scene.held(busy)
    scene.clock.advance(2_500)
    assert told(scene.claim(one)) == (4_500, True, "empty")


def test_an_earlier_moment_rings_the_keeper_anew(scene: Scene) -> None:
    scene.submit(delay_ms=4_000)
    idle = parked(scene, "a", "b")
    scene.submit(delay_ms=2_000)
    assert rung(scene, idle, "timer") == ["timer", ""]
    assert told(scene.claim(idle[0])) == (2_000, True, "empty")
    scene.submit(delay_ms=3_000)
    assert [scene.doorbell(consumer) for consumer in idle] == [[], []], "a later one needs nobody"


def test_what_is_due_is_claimed_by_the_keeper_and_the_baton_goes_on(scene: Scene) -> None:
    scene.submit_many(3, delay_ms=1_000)
    idle = parked(scene, "a", "b", "c")
    scene.clock.advance(1_000)
    assert len(scene.take(idle[0], 1)) == 1
    assert rung(scene, idle) == ["", "work", "work"]


def test_the_deputy_of_a_dead_keeper_takes_over_and_does_not_spin(scene: Scene) -> None:
    scene.queue("unserved")
    scene.submit("unserved", delay_ms=1_000)
    scene.submit("unserved", delay_ms=60_000)
    keeper, deputy = parked(scene, "a", "b", selector="=default")
    scene.clock.advance(1_250)  # the keeper has not come
    looks = 0
    while scene.clock.now_ms < 1_800_000_000_000 + 5_000:
        claim = scene.claim(deputy)
        scene.clock.advance(claim.block_ms)
        looks += 1
    assert looks <= 3
    assert scene.server.zrange(keyspace.timers(POOL), 0, 0) == [deputy], f"not {keeper}"


def test_a_keeper_that_vanished_is_replaced_by_whoever_comes(scene: Scene) -> None:
    scene.queue("unserved")
    scene.submit("unserved", delay_ms=1_000)
    scene.submit("unserved", delay_ms=4_000)
    (keeper,) = parked(scene, "a", selector="=default")
    scene.clock.advance(2_000)
    other = scene.join("b", selector="=default")
    assert told(scene.claim(other)) == (1_000, True, "empty"), "the vanished one is given a second to answer"
    assert scene.server.zrange(keyspace.timers(POOL), 0, -1) == [other], f"not {keeper}"


def test_the_pool_is_looked_at_every_five_seconds_however_many_are_idle(scene: Scene) -> None:
    for number in range(100):
        claim = scene.claim(scene.join(str(number)))
    assert claim.block_ms == SAFETY_MS
    for number in range(100):
        claim = scene.claim(scene.join(f"{number} more"))
    assert claim.block_ms == 2 * SAFETY_MS


def test_the_reason_says_why_there_is_nothing(scene: Scene) -> None:
    one = scene.join()
    assert scene.claim(one).reason == "empty"
    scene.run(pools.set_limit(POOL, 0))
    assert scene.claim(one).reason == "full"
    scene.run(pools.pause(POOL))
    assert scene.claim(one).reason == "paused"

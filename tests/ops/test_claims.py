"""Which runs a claim gives: order, selectors, shares, prefetch, and the same again for the same request."""

from __future__ import annotations

import pytest

from dispatcher.ids import new_id
from dispatcher.models import Outcome
from dispatcher.ops import leases, pools, queues, runs
from dispatcher.states import State
from tests.dumps import unchanged
from tests.scene import LEASE_MS, POOL, Scene

# claim: order -------------------------------------------------------------------------------------------------------


def test_a_claim_tells_all_about_a_run(scene: Scene) -> None:
    one = scene.join()
    run = scene.submit(deployment="f/d", start_at_ms=scene.clock.now_ms - 5)
    claim = scene.claim(one)
    (found,) = claim.runs
    assert (found.id, found.epoch, found.queue, found.wait_ms, found.attempts, found.lost) == (
        run, 1, "default", 0, 0, 0,
    )  # fmt: skip
    assert (found.name, found.deployment, found.due_at_ms) == ("r", "f/d", scene.clock.now_ms - 5)
    assert (claim.lease_ms, claim.block_ms) == (LEASE_MS, 0)
    seen = scene.see(run)
    assert (seen.state, seen.claimed_at_ms) == (State.PENDING, scene.clock.now_ms)
    assert seen.consumer is not None
    assert seen.consumer.name == "one"


def test_order_is_queue_then_run_priority_then_time_then_id(scene: Scene) -> None:
    one = scene.join()
    scene.queue("low", 9)
    scene.queue("high", 2)
    now = scene.clock.now_ms
    last = scene.submit("low", priority=1)
    by_id = scene.submit_many(3, "high", start_at_ms=now)
    earlier = scene.submit("high", start_at_ms=now - 1)
    urgent = scene.submit("high", priority=99, start_at_ms=now)
    lazy = scene.submit("high", priority=101, start_at_ms=now - 1_000)
    first = scene.submit("default", priority=1000)
    assert scene.take(one) == [first, urgent, earlier, *by_id, lazy, last]


def test_a_claim_takes_what_is_wanted_and_at_most_64(scene: Scene) -> None:
    one = scene.join()
    waiting = scene.submit_many(70)
    assert scene.take(one, 3) == waiting[:3]
    assert scene.take(one, 100) == waiting[3:67]
    assert scene.take(one, 100) == waiting[67:]


@pytest.mark.parametrize(
    ("selector", "served"),
    [("*", "default dev-a dev-b prod"), ("=prod,dev-b", "dev-b prod"), ("^dev-", "dev-a dev-b"), ("^de,pr", "*"),
     ("=ghost", ""), ("^x", "")],
)  # fmt: skip
def test_a_consumer_serves_the_queues_of_its_selector(scene: Scene, selector: str, served: str) -> None:
    for name in ("dev-a", "dev-b", "prod"):
        scene.queue(name)
    where = {scene.submit(name): name for name in ("prod", "dev-b", "dev-a", "default")}
    one = scene.join(selector=selector)
    found = [where[run] for run in scene.take(one)]
    assert found == ("default dev-a dev-b prod" if served == "*" else served).split()


def test_prefixes_follow_new_queues(scene: Scene) -> None:
    one = scene.join(selector="^dev-")
    scene.claim(one)
    scene.queue("dev-new")
    run = scene.submit("dev-new")
    assert scene.doorbell(one) == ["work"]
    assert scene.take(one) == [run]


def test_idle_consumers_get_their_share(scene: Scene) -> None:
    idle = [scene.join(f"idle {number}") for number in range(3)]
    for consumer in idle:
        scene.claim(consumer)
    late = scene.join("late")
    scene.submit_many(8)
    assert len(scene.take(late)) == 2, "8 runs for one that asks and three that are idle"
    assert [len(scene.take(consumer)) for consumer in idle] == [2, 2, 2], "those who were woken as well"


def test_busy_consumers_take_no_share(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    scene.held(two)
    scene.submit_many(8)
    assert len(scene.take(one)) == 8


# claim: prefetch ----------------------------------------------------------------------------------------------------


def test_prefetch_takes_runs_before_their_time(scene: Scene) -> None:
    one = scene.join(prefetch_ms=10_000)
    near, far = scene.submit(delay_ms=10_000), scene.submit(delay_ms=10_001)
    (found,) = scene.claim(one, 5).runs
    assert (found.id, found.wait_ms) == (near, 10_000)
    assert scene.used()[""] == 1, "it holds a slot from now on"
    scene.clock.advance(1)
    assert scene.take(one) == [far]


def test_ready_runs_go_before_early_ones_of_a_better_queue(scene: Scene) -> None:
    one = scene.join(prefetch_ms=10_000)
    scene.queue("low", 9)
    early, ready = scene.submit(delay_ms=1_000), scene.submit("low")
    assert scene.take(one) == [ready, early]


def test_early_runs_go_by_their_time(scene: Scene) -> None:
    one = scene.join(prefetch_ms=10_000)
    scene.queue("q")
    second, first, third = scene.submit(delay_ms=500), scene.submit("q", delay_ms=400), scene.submit("q", delay_ms=600)
    assert scene.take(one) == [first, second, third]


def test_paused_and_full_queues_are_not_prefetched(scene: Scene) -> None:
    one = scene.join(prefetch_ms=10_000)
    scene.queue("paused")
    scene.queue("full", limit=1)
    scene.run(queues.pause(POOL, "paused"))
    scene.held(one, "full")
    for queue in ("paused", "full"):
        scene.submit(queue, delay_ms=1_000)
    run = scene.submit(delay_ms=5_000)
    assert scene.take(one) == [run]
    scene.run(queues.resume(POOL, "paused"))
    assert len(scene.take(one)) == 1


def test_without_prefetch_nothing_is_early(scene: Scene) -> None:
    scene.submit(delay_ms=1)
    assert scene.claim(scene.join()).reason == "empty"


# claim: sent again --------------------------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_runs(scene: Scene) -> None:
    one = scene.join()
    scene.submit_many(3)
    first = scene.claim(one, 2, request="R")
    with unchanged(scene.server):
        again = scene.claim(one, 2, request="R")
    assert again == first
    assert len(scene.claim(one, 2, request="S").runs) == 1


def test_the_same_request_is_parked_the_same(scene: Scene) -> None:
    one = scene.join()
    scene.submit(delay_ms=3_000)
    first = scene.claim(one, request="R")
    assert (first.runs, first.block_ms, first.is_timer) == ((), 3_000, True)
    with unchanged(scene.server):
        assert scene.claim(one, request="R") == first


def test_a_repeated_answer_leaves_out_what_is_lost_meanwhile(scene: Scene) -> None:
    one = scene.join()
    scene.submit_many(2)
    first, second = scene.claim(one, 2, request="R").runs
    scene.run(runs.cancel(POOL, first.id, force=True))
    assert scene.claim(one, 2, request="R").runs == (second,)


def test_ids_of_requests_are_the_consumers_own(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    scene.submit_many(2)
    request = new_id()
    first, second = scene.claim(one, request=request), scene.claim(two, request=request)
    assert {first.runs[0].id} != {second.runs[0].id}


def test_a_run_that_waits_for_its_retry_is_not_prefetched_and_holds_no_slot(scene: Scene) -> None:
    one = scene.join(prefetch_ms=10_000)
    run, epoch = scene.running(one)
    outcome = Outcome(run, epoch, State.FAILED, retry_in_ms=5_000)
    assert scene.run(leases.finish(POOL, one, [outcome])) == ["SCHEDULED"]
    early = scene.submit(delay_ms=6_000)
    assert scene.take(one) == [early], "what was never tried is prefetched beside it"
    seen = scene.see(run)
    assert (seen.state_name, scene.run(pools.read(POOL)).slots_used) == ("AwaitingRetry", 1)
    claim = scene.claim(one)
    assert (claim.block_ms, claim.is_timer) == (5_000, True), "somebody looks when it is due"
    scene.clock.advance(5_000)
    assert scene.take(one) == [run]


def test_a_run_that_waits_for_its_retry_still_does_so_in_another_queue(scene: Scene) -> None:
    one = scene.join(prefetch_ms=10_000)
    scene.queue("old", 2)
    run, epoch = scene.running(one, "old")
    scene.run(leases.finish(POOL, one, [Outcome(run, epoch, State.FAILED, retry_in_ms=5_000)]))
    assert scene.run(queues.delete(POOL, "old", move_to="default")) == 1
    assert scene.take(one) == []
    scene.clock.advance(5_000)
    assert scene.take(one) == [run]

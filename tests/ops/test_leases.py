"""What a consumer does with runs it holds: start, log, finish, release, renew; leases; and what stale calls do not do.

Which runs a claim gives stands in `test_claims.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import ConsumerUnknown, LeaseLost, PoolNotFound
from dispatcher.models import Outcome
from dispatcher.ops import consumers, leases, pools, queues, runs, views
from dispatcher.states import State
from tests.dumps import unchanged
from tests.scene import LEASE_MS, POOL, Scene

# malformed and refused ----------------------------------------------------------------------------------------------


def test_unknown_pool(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        leases.claim("x", "c", request="r", want=1, load=0),
        leases.start("x", "c", "r", 1, pid=1),
        leases.log("x", "c", "r", 1, ["line"]),
        leases.finish("x", "c", [Outcome("r", 1, State.COMPLETED)]),
        leases.release("x", "c", [("r", 1)]),
        leases.renew("x", "c", []),
    ]
    for operation in operations:
        scene.refused(operation, PoolNotFound, "'x' was not found")


def test_unknown_consumer(scene: Scene) -> None:
    scene.submit()
    scene.refused(leases.claim(POOL, "c", request="r", want=1, load=0), ConsumerUnknown, "must register again")
    scene.refused(leases.renew(POOL, "c", []), ConsumerUnknown)


def test_a_consumer_that_left_is_unknown(scene: Scene) -> None:
    one = scene.join()
    scene.submit()
    scene.run(consumers.leave(POOL, one))
    scene.refused(leases.claim(POOL, one, request="r", want=1, load=0), ConsumerUnknown)
    scene.refused(leases.renew(POOL, one, []), ConsumerUnknown)


@pytest.mark.parametrize("stale", ["epoch before", "epoch to come", "another consumer", "no such run"])
def test_who_does_not_hold_a_run_changes_nothing(scene: Scene, stale: str) -> None:
    one, two = scene.join(), scene.join("two")
    scene.release(one, scene.held(one))
    (held,) = scene.claim(one).runs
    assert held.epoch == 2
    who = two if stale == "another consumer" else one
    run = "GHOST" if stale == "no such run" else held.id
    epoch = {"epoch before": 1, "epoch to come": 3}.get(stale, 2)
    scene.refused(leases.start(POOL, who, run, epoch, pid=1), LeaseLost, f"not held at epoch {epoch}")
    scene.refused(leases.log(POOL, who, run, epoch, ["line"]), LeaseLost)
    with unchanged(scene.server):
        assert scene.finish(who, (run, epoch)) == "FENCED"
        assert scene.release(who, (run, epoch)) == ["FENCED"]


@pytest.mark.parametrize("how", ["waiting", "finished", "cancelled by force", "lost"])
def test_a_run_that_is_not_held_any_more_is_fenced(scene: Scene, how: str) -> None:
    one, two = scene.join(), scene.join("two", selector="=none")
    held = scene.running(one)
    if how == "waiting":
        scene.release(one, held)
    elif how == "finished":
        scene.finish(one, held)
    elif how == "cancelled by force":
        scene.run(runs.cancel(POOL, held[0], force=True))
    else:
        scene.pass_lease(two)
    scene.refused(leases.start(POOL, one, *held, pid=1), LeaseLost)
    scene.refused(leases.log(POOL, one, *held, ["line"]), LeaseLost)
    with unchanged(scene.server):
        assert scene.release(one, held) == ["FENCED"]
        assert scene.finish(one, held) == ("already" if how == "finished" else "FENCED")
    assert scene.renew(one, held).lost == (held,)


def test_an_end_that_is_none_is_not_taken(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    with unchanged(scene.server):
        for state in (State.CANCELLED, State.RUNNING, State.SCHEDULED):
            assert scene.finish(one, held, state) == "FENCED"


# start and log ------------------------------------------------------------------------------------------------------


def test_start_is_said_once(scene: Scene) -> None:
    one = scene.join()
    held = scene.held(one)
    scene.clock.advance(7)
    assert scene.start(one, held) == State.RUNNING
    found = scene.see(held[0])
    assert (found.state, found.started_at_ms, found.infrastructure_pid) == (State.RUNNING, scene.clock.now_ms, 11)
    with unchanged(scene.server):
        assert scene.start(one, held) == State.RUNNING


@pytest.mark.parametrize("where", ["pool", "queue"])
def test_what_was_claimed_does_not_begin_where_it_is_paused_now(scene: Scene, where: str) -> None:
    one = scene.join(prefetch_ms=10_000)
    early, begun = scene.held(one, delay_ms=5_000), scene.running(one)
    pause = pools.pause(POOL) if where == "pool" else queues.pause(POOL, "default")
    scene.run(pause)
    found = scene.run(views.why(POOL, early[0]))
    assert [reason.code for reason in found.reasons] == ["starting", "not-due", f"{where}-paused"]
    scene.clock.advance(5_000)
    with unchanged(scene.server):
        assert scene.start(one, early) == State.PENDING
        assert scene.start(one, begun) == State.RUNNING, "it had begun before"
    scene.run(pools.resume(POOL) if where == "pool" else queues.resume(POOL, "default"))
    assert scene.start(one, early) == State.RUNNING


def test_the_log_keeps_the_newest_lines(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LOG_BYTES", 100 * (64 + 4))
    one = scene.join()
    held = scene.running(one)
    for start in range(0, 2_000, 500):
        scene.run(leases.log(POOL, one, *held, [str(number) for number in range(start, start + 500)]))
    assert scene.server.xlen(keyspace.run_log(POOL, held[0])) == 100, "lines of four digits, and 64 more for each"
    assert scene.run(runs.log_end(POOL, held[0], most=1))[0].text == "1999"


# finish -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CRASHED])
@pytest.mark.parametrize("is_started", [False, True])
def test_an_attempt_ends(scene: Scene, state: State, is_started: bool) -> None:
    one = scene.join()
    held = scene.running(one) if is_started else scene.held(one)
    scene.clock.advance(9)
    assert scene.finish(one, held, state, message="m", exit_code=0, result_json='{"a":1}') == state
    found = scene.see(held[0])
    assert (found.state, found.message, found.exit_code, found.result, found.attempts, found.ended_at_ms) == (
        state, "m", 0, {"a": 1}, 1, scene.clock.now_ms,
    )  # fmt: skip
    assert scene.used()[""] == 0


def test_finish_sent_again_is_already_done(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.finish(one, held)
    with unchanged(scene.server):
        assert scene.finish(one, held) == "already"


def test_one_word_for_each_of_several(scene: Scene) -> None:
    one = scene.join()
    first, second = scene.running(one), scene.running(one)
    outcomes = [Outcome(*first, State.FAILED), Outcome("GHOST", 1, State.FAILED), Outcome(*second, State.COMPLETED)]
    assert scene.run(leases.finish(POOL, one, [*outcomes, outcomes[0]])) == [
        "FAILED", "FENCED", "COMPLETED", "already",
    ]  # fmt: skip


def test_a_failed_attempt_is_made_again_when_told(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    assert scene.finish(one, held, State.FAILED, retry_in_ms=5_000, message="m", exit_code=1) == "SCHEDULED"
    found = scene.see(held[0])
    assert (found.state, found.state_name, found.attempts, found.message, found.due_at_ms) == (
        State.SCHEDULED, "AwaitingRetry", 1, "m", scene.clock.now_ms + 5_000,
    )  # fmt: skip
    assert scene.used()[""] == 0, "waiting for a retry holds no slot"
    with unchanged(scene.server):
        assert scene.finish(one, held, State.FAILED, retry_in_ms=5_000) == "already"
    assert scene.take(one) == []
    scene.clock.advance(5_000)
    (again,) = scene.claim(one).runs
    assert (again.id, again.epoch, again.attempts) == (held[0], held[1] + 1, 1)


def test_a_cancel_wins_over_success_and_retry(scene: Scene) -> None:
    one = scene.join()
    for state, retry_in_ms in ((State.COMPLETED, None), (State.FAILED, 1_000), (State.CANCELLED, None)):
        held = scene.running(one)
        scene.run(runs.cancel(POOL, held[0]))
        assert scene.finish(one, held, state, retry_in_ms=retry_in_ms) == "CANCELLED"
        with unchanged(scene.server):
            assert scene.finish(one, held, state, retry_in_ms=retry_in_ms) == "already"


def test_a_report_in_the_grace_counts_before_the_lease_is_looked_at(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    held = scene.running(one)
    for _ in range(3):
        scene.clock.advance(10_000)
        scene.renew(two)
    scene.clock.advance(2_000)
    assert scene.finish(one, held) == "COMPLETED", "nobody has taken it yet, so it was not lost"
    assert scene.see(held[0]).lost == 0


# release ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_started", [False, True])
def test_release_charges_no_attempt(scene: Scene, is_started: bool) -> None:
    one = scene.join()
    held = scene.running(one) if is_started else scene.held(one)
    behind = scene.submit()
    assert scene.release(one, held) == ["SCHEDULED"]
    found = scene.see(held[0])
    assert (found.state, found.attempts, found.releases, found.started_at_ms, found.infrastructure_pid) == (
        State.SCHEDULED, 0, 1, None, None,
    )  # fmt: skip
    assert scene.take(one) == [held[0], behind], "it waits where it stood"


def test_a_prefetched_run_goes_back_to_its_time(scene: Scene) -> None:
    one, two = scene.join(prefetch_ms=10_000), scene.join("two")
    held = scene.held(one, delay_ms=5_000)
    scene.release(one, held)
    assert scene.take(two) == []
    scene.clock.advance(5_000)
    assert scene.take(two) == [held[0]]


def test_release_of_a_run_that_was_to_stop_ends_it(scene: Scene) -> None:
    one = scene.join()
    held, other = scene.running(one), scene.running(one)
    scene.run(runs.cancel(POOL, held[0]))
    assert scene.release(one, held, other) == ["CANCELLED", "SCHEDULED"]
    assert scene.see(held[0]).attempts == 0


# leases and the loss of them ----------------------------------------------------------------------------------------


def test_a_lease_lasts_while_it_is_renewed(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    for _ in range(10):
        scene.clock.advance(LEASE_MS // 3)
        found = scene.renew(one, held)
        assert (found.lease_ms, found.lost, found.cancelling) == (LEASE_MS, (), ())
    assert scene.state(held[0]) == State.RUNNING


def test_a_silent_holder_loses_its_run_two_seconds_after_the_lease(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two", selector="=none")
    held = scene.running(one)
    scene.pass_lease(two, ms=LEASE_MS + 1_999)
    assert scene.state(held[0]) == State.RUNNING
    scene.clock.advance(1)
    scene.tick()
    found = scene.see(held[0])
    assert (found.state, found.lost, found.attempts, scene.used()[""]) == (State.SCHEDULED, 1, 0, 0)
    assert "fell silent" in found.message


def test_a_run_that_was_to_stop_is_cancelled_when_its_holder_is_lost(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    held = scene.running(one)
    scene.run(runs.cancel(POOL, held[0]))
    scene.pass_lease(two)
    found = scene.see(held[0])
    assert (found.state, found.lost) == (State.CANCELLED, 1)


def test_a_run_that_is_lost_three_times_crashes(scene: Scene) -> None:
    one, two = scene.join(selector="=default"), scene.join("two", selector="=none")
    run = scene.submit()
    for lost in (1, 2, 3):
        assert scene.take(one) == [run]
        scene.pass_lease(two)
        assert scene.see(run).lost == lost
    found = scene.see(run)
    assert (found.state, found.attempts) == (State.CRASHED, 0)
    assert "lost 3 times" in found.message
    scene.run(runs.retry(POOL, run))
    for state in (State.SCHEDULED, State.SCHEDULED, State.CRASHED):
        assert scene.take(one) == [run], "an operator's retry gives it three more"
        scene.pass_lease(two)
        assert scene.state(run) == state


def test_nothing_is_reaped_after_a_silence_until_a_lease_has_passed(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    held, kept = scene.running(one), scene.running(two)
    scene.clock.advance(10 * LEASE_MS)  # Redis was down, or its machine asleep
    scene.tick()
    assert [scene.state(run) for run, _ in (held, kept)] == [State.RUNNING] * 2
    assert scene.renew(two, kept).lost == ()
    scene.pass_lease(ms=LEASE_MS - 1)
    assert scene.state(held[0]) == State.RUNNING, "held until now"
    scene.renew(two, kept)
    scene.clock.advance(1)
    scene.tick()
    assert (scene.state(held[0]), scene.state(kept[0])) == (State.SCHEDULED, State.RUNNING)


def test_an_idle_pool_has_no_silence(scene: Scene) -> None:
    scene.clock.advance(10 * LEASE_MS)
    scene.tick()
    assert scene.server.hget(keyspace.state(POOL), "hold_ms") is None


@pytest.mark.parametrize("back_ms", [1_001, 3_600_000])
def test_a_clock_that_jumps_back_keeps_no_lease_for_long(scene: Scene, back_ms: int) -> None:
    one, two = scene.join(), scene.join("two")
    held = scene.running(one)
    scene.clock.advance(-back_ms)
    scene.tick()
    until = scene.server.zscore(keyspace.leases(POOL), held[0])
    assert until <= scene.clock.now_ms + LEASE_MS
    assert scene.state(held[0]) == State.RUNNING
    scene.pass_lease(two)
    assert scene.state(held[0]) == State.SCHEDULED


def test_a_small_step_back_changes_nothing(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    until = scene.server.zscore(keyspace.leases(POOL), held[0])
    scene.clock.advance(-1_000)
    scene.tick()
    assert scene.server.zscore(keyspace.leases(POOL), held[0]) == until


def test_a_new_lease_length_counts_from_the_next_renewal(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.run(pools.update(POOL, lease_ms=60_000))
    assert scene.renew(one, held).lease_ms == 60_000
    assert scene.server.zscore(keyspace.leases(POOL), held[0]) == scene.clock.now_ms + 60_000


# what rare looks must not delay ---------------------------------------------------------------------------------------


def test_a_silence_that_nobody_ended_by_renewing_is_not_held_for_twice(scene: Scene) -> None:
    one = scene.join()
    run, _ = scene.running(one)
    for _ in range(4):  # nobody is left but somebody who looks now and then, more rarely than half a lease
        scene.clock.advance(LEASE_MS * 2 // 3)
        scene.run(pools.tick(POOL))
    assert (scene.see(run).state, scene.see(run).lost) == (State.SCHEDULED, 1)


def test_a_tick_says_when_leases_are_left_to_reap(scene: Scene) -> None:
    one = scene.join()
    scene.submit_many(40)
    scene.claim(one, 40)
    for _ in range(4):  # not a silence
        scene.clock.advance(LEASE_MS // 4)
        scene.run(pools.tick(POOL))
    scene.clock.advance(2_000)
    assert [scene.run(pools.tick(POOL)) for _ in range(3)] == [True, True, False], "16 at a time"
    assert scene.run(pools.read(POOL)).slots_used == 0


def test_a_claim_sees_what_it_has_just_taken_from_the_dead(scene: Scene) -> None:
    scene.queue("high", 1)
    dead, alive = scene.join("dead"), scene.join("alive")
    lost, _ = scene.running(dead, "high")
    scene.submit("default")
    for _ in range(4):  # not a silence
        scene.clock.advance(LEASE_MS // 4)
        scene.renew(alive)
    scene.clock.advance(2_000)
    assert scene.take(alive, 1) == [lost], "the better queue goes first, though it was empty a moment ago"


def test_a_claim_does_not_silence_a_cancel(scene: Scene) -> None:
    one = scene.join()
    run, _ = scene.running(one)
    scene.run(runs.cancel(POOL, run))
    scene.claim(one)
    assert scene.run(consumers.listen(POOL, one, waits_ms=1)) == "control"

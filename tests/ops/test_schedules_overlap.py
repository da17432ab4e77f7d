"""Runs of one schedule that would overlap, and runs that are not worth it any more after a time."""

from dataclasses import replace

import pytest

from dispatcher import keyspace
from dispatcher.models import Run
from dispatcher.ops import deployments, queues, runs
from dispatcher.ops.leases import Held
from dispatcher.states import State
from tests.deploying import MINUTE_MS, NAME, START_MS, Office, every, minutes
from tests.scene import POOL, Scene


@pytest.fixture
def office(scene: Scene) -> Office:
    return Office(scene.run, scene.clock, scene.server)


@pytest.fixture
def consumer(scene: Scene) -> str:
    return scene.join()


def to_minute(scene: Scene, minute: float, *held: Held, consumer: str = "") -> None:
    """The clock goes to this minute after 08:00, with heartbeats on the way."""
    end_ms = START_MS + round(minute * MINUTE_MS)
    while scene.clock.now_ms < end_ms:
        scene.clock.advance(min(10_000, end_ms - scene.clock.now_ms))
        if consumer:
            scene.renew(consumer, *held)
        scene.tick()


def claimed(scene: Scene, consumer: str) -> Held:
    (run,) = scene.claim(consumer).runs
    return run.id, run.epoch


def started(scene: Scene, consumer: str) -> Held:
    held = claimed(scene, consumer)
    scene.start(consumer, held)
    return held


def at(office: Office, minute: float) -> Run:
    """The run that was made for this minute."""
    (found,) = [run for run in office.kept() if minutes(run.due_at_ms) == minute]
    return found


# overlap: skip ------------------------------------------------------------------------------------------------------


def test_skip_leaves_out_what_is_due_while_an_earlier_run_runs(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, overlap="skip"))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 20, held, consumer=consumer)
    skipped = at(office, 20)
    assert (skipped.state, skipped.message) == (
        State.CANCELLED,
        "skipped: an earlier run of its schedule is not finished",
    )
    assert scene.finish(consumer, held) == "COMPLETED"
    to_minute(scene, 30)
    assert scene.take(consumer) == [at(office, 30).id]


def test_skip_leaves_out_what_is_due_while_an_earlier_run_is_late(office: Office, scene: Scene) -> None:
    office.deploy(every(10, overlap="skip"))
    to_minute(scene, 35)
    states = [run.state for run in office.kept()][:4]
    assert states == [State.SCHEDULED, State.CANCELLED, State.CANCELLED, State.SCHEDULED]


@pytest.mark.parametrize("delay_minutes", [5, 15])
def test_skip_leaves_out_what_is_due_while_an_earlier_run_waits_for_its_retry(
    office: Office, scene: Scene, consumer: str, delay_minutes: int
) -> None:
    office.deploy(every(10, overlap="skip"))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 19, held, consumer=consumer)
    delay_ms = delay_minutes * MINUTE_MS
    assert scene.finish(consumer, held, State.FAILED, retry_in_ms=delay_ms) == "SCHEDULED"
    to_minute(scene, 20)
    assert scene.take(consumer) == []
    assert {run.state for run in office.kept()} == {State.SCHEDULED, State.CANCELLED}
    to_minute(scene, 19 + delay_minutes)
    assert scene.take(consumer) == [held[0]], "the retry itself is never skipped"


def test_skip_leaves_out_what_is_due_while_an_earlier_run_is_tried_again(
    office: Office, scene: Scene, consumer: str
) -> None:
    office.deploy(every(10, overlap="skip"))
    to_minute(scene, 10)
    assert scene.finish(consumer, started(scene, consumer), State.FAILED, retry_in_ms=5 * MINUTE_MS) == "SCHEDULED"
    to_minute(scene, 15)
    held = started(scene, consumer)
    to_minute(scene, 20, held, consumer=consumer)
    assert [run.state for run in office.kept()][:2] == [State.RUNNING, State.CANCELLED]


def test_skip_lets_a_run_begin_when_the_earlier_one_is_finished(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, overlap="skip"))
    for minute in (10, 20, 30):
        to_minute(scene, minute)
        assert scene.finish(consumer, started(scene, consumer)) == "COMPLETED"


def test_schedules_of_one_deployment_do_not_stand_in_each_others_way(
    office: Office, scene: Scene, consumer: str
) -> None:
    office.deploy(every(10, overlap="skip"), every(15, overlap="skip"))
    to_minute(scene, 15)
    assert len(scene.take(consumer)) == 2


def test_what_must_not_overlap_is_not_prefetched(office: Office, scene: Scene) -> None:
    office.deploy(every(10, overlap="skip"))
    early = scene.join("two", prefetch_ms=10_000)
    scene.clock.advance(10 * MINUTE_MS - 5_000)
    assert scene.take(early) == []
    scene.clock.advance(5_000)
    assert len(scene.take(early)) == 1


def test_a_run_whose_turn_was_decided_keeps_it(office: Office, scene: Scene, consumer: str) -> None:
    """Given back, lost or moved to another queue, it is not looked at as a newcomer."""
    office.deploy(every(10, overlap="skip"))
    scene.queue("other")
    to_minute(scene, 10)
    held = claimed(scene, consumer)
    assert scene.release(consumer, held) == ["SCHEDULED"]
    held = claimed(scene, consumer)
    scene.pass_lease()
    assert scene.see(held[0]).lost == 1
    scene.run(deployments.change(NAME, lambda found: replace(found, queue="other")))
    scene.tick()
    assert scene.see(held[0]).queue == "other"
    assert scene.take(scene.join("two")) == [held[0]]


def test_a_person_may_retry_what_was_skipped(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, overlap="skip"))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 20, held, consumer=consumer)
    skipped = at(office, 20)
    assert scene.run(runs.retry(POOL, skipped.id)) is State.SCHEDULED
    assert scene.take(consumer) == [skipped.id]


# overlap: cancel_running --------------------------------------------------------------------------------------------


def test_cancel_running_stops_the_earlier_run_and_begins_when_it_has_ended(
    office: Office, scene: Scene, consumer: str
) -> None:
    office.deploy(every(10, overlap="cancel_running"))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 20, held, consumer=consumer)
    assert scene.see(held[0]).state is State.CANCELLING
    assert scene.doorbell(consumer) == ["control"], "its holder is told at once"
    assert scene.take(consumer) == [], "not before it has ended"
    scene.clock.advance(3_000)
    scene.tick()
    assert scene.take(consumer) == []
    assert scene.finish(consumer, held, State.CANCELLED) == "CANCELLED"
    scene.clock.advance(1_000)
    (later,) = scene.take(consumer)
    assert minutes(scene.see(later).due_at_ms) == 20


def test_cancel_running_waits_for_a_consumer_that_is_gone_until_its_lease_ends(
    office: Office, scene: Scene, consumer: str
) -> None:
    office.deploy(every(10, overlap="cancel_running"))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 20, held, consumer=consumer)
    other = scene.join("two")
    scene.pass_lease(other)
    assert scene.state(held[0]) is State.CANCELLED
    scene.clock.advance(1_000)
    assert len(scene.take(other)) == 1


@pytest.mark.parametrize("delay_minutes", [0, 5, 15])
def test_cancel_running_takes_the_place_of_what_waits(
    office: Office, scene: Scene, consumer: str, delay_minutes: int
) -> None:
    """Late, or for its next attempt."""
    office.deploy(every(10, overlap="cancel_running"))
    to_minute(scene, 10)
    if delay_minutes:
        held = started(scene, consumer)
        to_minute(scene, 19, held, consumer=consumer)
        scene.finish(consumer, held, State.FAILED, retry_in_ms=delay_minutes * MINUTE_MS)
    first = office.kept()[0].id if not delay_minutes else held[0]
    to_minute(scene, 20)
    assert scene.see(first).state is State.CANCELLED
    assert scene.see(first).message == "cancelled: a later run of its schedule takes its place"
    assert len(scene.take(consumer)) == 1


def test_cancel_running_after_an_outage_only_the_last_begins(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, overlap="cancel_running"))
    scene.clock.advance(45 * MINUTE_MS)
    (run,) = scene.take(consumer)
    assert minutes(scene.see(run).due_at_ms) == 40
    assert [found.state for found in office.kept()][:4] == [*[State.CANCELLED] * 3, State.PENDING]


def test_cancel_running_when_the_retry_comes_due_in_the_same_look(office: Office, scene: Scene, consumer: str) -> None:
    """Nobody looks from the 20th minute to the 30th: the run of 08:20 takes the place of the attempt of 08:22."""
    office.deploy(every(10, overlap="cancel_running"))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 17, held, consumer=consumer)
    scene.finish(consumer, held, State.FAILED, retry_in_ms=5 * MINUTE_MS)
    scene.clock.advance(8 * MINUTE_MS)
    scene.tick()
    assert scene.state(held[0]) is State.CANCELLED
    (run,) = scene.take(consumer)
    assert minutes(scene.see(run).due_at_ms) == 20


# expires ------------------------------------------------------------------------------------------------------------


def test_what_was_not_started_in_time_is_cancelled(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, expires_s=120))
    to_minute(scene, 10)
    (first, *_) = office.kept()
    assert first.expires_at_ms == first.due_at_ms + 120_000
    to_minute(scene, 11.9)
    assert scene.see(first.id).state is State.SCHEDULED
    to_minute(scene, 12)
    assert (scene.see(first.id).state, scene.see(first.id).message) == (
        State.CANCELLED,
        "expired: it was not started in time",
    )
    assert scene.take(consumer) == []


def test_what_expires_while_an_earlier_run_is_not_finished_was_skipped(
    office: Office, scene: Scene, consumer: str
) -> None:
    """Nobody looks between its time and its expiry."""
    office.deploy(every(10, overlap="skip", expires_s=2))
    to_minute(scene, 10)
    held = started(scene, consumer)
    to_minute(scene, 19.9, held, consumer=consumer)
    scene.clock.advance(10_000)
    scene.tick()
    assert at(office, 20).message == "skipped: an earlier run of its schedule is not finished"
    assert scene.finish(consumer, held) == "COMPLETED"
    to_minute(scene, 29.9)
    scene.clock.advance(10_000)
    scene.tick()
    assert at(office, 30).message == "expired: it was not started in time", "none is before it"


def test_an_idle_consumer_looks_exactly_when_a_run_expires(office: Office, scene: Scene) -> None:
    office.deploy(every(10, expires_s=2.5))
    scene.run(queues.pause(POOL, "default"))
    consumer = scene.join()
    to_minute(scene, 10)
    parked = scene.claim(consumer)
    assert (parked.block_ms, parked.is_timer) == (2_500, True)
    scene.clock.advance(2_500)
    scene.claim(consumer)
    assert office.kept()[0].state is State.CANCELLED


def test_what_is_held_or_was_started_in_time_does_not_expire(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, expires_s=120))
    to_minute(scene, 10)
    held = claimed(scene, consumer)
    to_minute(scene, 13, held, consumer=consumer)
    assert scene.state(held[0]) is State.PENDING
    assert scene.start(consumer, held) is State.RUNNING
    scene.pass_lease()
    assert (scene.state(held[0]), scene.see(held[0]).lost) == (State.SCHEDULED, 1), "its consumer died, it goes on"
    held = started(scene, consumer)
    assert scene.finish(consumer, held, State.FAILED, retry_in_ms=1_000) == "SCHEDULED"
    scene.clock.advance(60_000)
    assert scene.take(consumer) == [held[0]]


def test_what_is_given_back_after_its_time_expires(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, expires_s=120))
    to_minute(scene, 10)
    held = claimed(scene, consumer)
    to_minute(scene, 13, held, consumer=consumer)
    scene.release(consumer, held)
    scene.tick()
    assert scene.state(held[0]) is State.CANCELLED


def test_a_person_may_retry_what_has_expired(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10, expires_s=120))
    to_minute(scene, 12)
    (first, *_) = office.kept()
    scene.run(runs.retry(POOL, first.id))
    to_minute(scene, 14)
    assert scene.take(consumer) == [first.id]


def test_expiry_counts_from_the_start_that_jitter_put_off(office: Office) -> None:
    office.deploy(every(10, jitter_s=60, expires_s=30))
    for run in office.kept():
        assert run.expires_at_ms == run.due_at_ms + 30_000


def test_after_an_outage_only_what_has_not_expired_is_made(office: Office) -> None:
    office.deploy(every(10, expires_s=1500, catchup="all"))
    office.clock.advance(240 * MINUTE_MS)
    office.perform()
    assert [start for start in office.made(State.SCHEDULED) if start <= 240] == [220, 230, 240]


def test_nothing_is_left_of_a_run_that_was_taken_back(office: Office, scene: Scene) -> None:
    office.deploy(every(10, expires_s=120, overlap="skip"))
    office.run(deployments.set_paused(NAME, True))
    assert office.made() == []
    for key in (keyspace.expiring(POOL), keyspace.runs_by_start(POOL), keyspace.next(POOL)):
        assert scene.server.exists(key) == 0

"""What a schedule admits: kept ahead, bounded, caught up as asked, nothing twice, nothing forgotten.

A small world plays the part of the schedulers and consumers: its clock jumps from one moment to the next at which
something happens, with outages of random length in between. Each pass is held against all the times of the schedule.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile

import pytest

from dispatcher import schedules, timings
from dispatcher.models import Schedule
from dispatcher.schedules import FARTHEST_MS, KEPT_MS, KEPT_RUNS, MOST_RUNS, Plan, planned

BEGIN_MS = 1_795_300_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

FREQUENT = (
    Schedule(cron="* * * * *"),
    Schedule(interval_s=7),
    Schedule(cron="7 * * * *"),
    Schedule(cron="0 4 * * *", timezone="Europe/Berlin"),
)
RARE = (
    Schedule(rrule="FREQ=DAILY;BYHOUR=4", timezone="Europe/Berlin"),
    Schedule(rrule="FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9", timezone="America/New_York"),
    Schedule(cron="0 9 1 1 *"),
    Schedule(interval_s=45 * 86_400),
    Schedule(rrule="FREQ=DAILY;COUNT=2200"),  # it ends on the way
)


@dataclass
class Kept:
    """One schedule in the world."""

    schedule: Schedule
    cursor_ms: int = BEGIN_MS
    look_at_ms: int | None = BEGIN_MS
    waiting: list[int] = field(default_factory=list)
    admitted: list[int] = field(default_factory=list)
    is_full: bool = False

    def pass_over(self, now_ms: int) -> Plan:
        before_ms = self.cursor_ms
        plan = planned(self.schedule, cursor_ms=before_ms, now_ms=now_ms, waiting_ms=self.waiting)
        self.check_pass(plan, before_ms, now_ms)
        self.waiting += plan.times
        self.admitted += plan.times
        self.cursor_ms, self.look_at_ms = plan.cursor_ms, plan.look_at_ms
        self.is_full = len(self.waiting) >= MOST_RUNS
        return plan

    def check_pass(self, plan: Plan, before_ms: int, now_ms: int) -> None:
        assert plan.cursor_ms >= before_ms
        assert len(self.waiting) + len(plan.times) <= max(MOST_RUNS, len(self.waiting))
        assert plan.look_at_ms is None or plan.look_at_ms > now_ms, "it would be looked at for ever"
        undecided = timings.times(self.schedule, before_ms)
        every = list(takewhile(lambda at_ms: at_ms <= max(plan.cursor_ms, now_ms), undecided))
        missed = [at_ms for at_ms in every if at_ms <= now_ms]
        future = [at_ms for at_ms in every if at_ms > now_ms]
        made_late = [at_ms for at_ms in plan.times if at_ms <= now_ms]
        match self.schedule.catchup:
            case "none":
                assert made_late == []
            case "latest":
                assert made_late == missed[-1:] or (made_late == [] and plan.cursor_ms == before_ms)
            case "all":
                assert made_late == missed[: len(made_late)]
                assert made_late == missed or plan.cursor_ms <= now_ms
        assert [at_ms for at_ms in plan.times if at_ms > now_ms] == future[: len(plan.times) - len(made_late)]
        assert all(at_ms <= now_ms + FARTHEST_MS for at_ms in plan.times)
        decided = [at_ms for at_ms in future if at_ms <= plan.cursor_ms]
        assert decided == [at_ms for at_ms in plan.times if at_ms > now_ms], "no time ahead is decided but not made"

    def check_kept(self, now_ms: int) -> None:
        """At least 3 runs and 1 hour ahead, unless a maximum binds."""
        if self.is_full:
            return
        following_ms = timings.first(self.schedule, self.cursor_ms)
        if following_ms is None or following_ms >= now_ms + FARTHEST_MS:
            return
        assert following_ms > now_ms + KEPT_MS, self.schedule.timing
        assert sum(1 for at_ms in self.waiting if at_ms > now_ms) >= KEPT_RUNS, self.schedule.timing


def live(world: list[Kept], now_ms: int, until_ms: int, dice: random.Random) -> int:
    """Schedulers look when they were told to, or a little earlier; consumers take each run when it is due."""
    passes = 0
    while True:
        looks = [one.look_at_ms for one in world if one.look_at_ms is not None]
        now_ms = max(now_ms, min([*looks, until_ms]))
        for one in world:
            if now_ms >= until_ms or one.look_at_ms == now_ms:  # before it looks it has the least
                one.check_kept(now_ms)
            one.waiting = [at_ms for at_ms in one.waiting if at_ms > now_ms]
        if now_ms >= until_ms:
            return passes
        for one in world:
            if one.look_at_ms is not None and one.look_at_ms <= now_ms + dice.choice((0, 0, 60_000)):
                one.pass_over(now_ms)
                passes += 1


@pytest.mark.parametrize("catchup", ["latest", "all", "none"])
@pytest.mark.parametrize(("which", "longest_ms", "seeds"), [(FREQUENT, 8 * HOUR_MS, 6), (RARE, 250 * DAY_MS, 3)])
def test_a_world_with_outages(which: tuple[Schedule, ...], longest_ms: int, seeds: int, catchup: str) -> None:
    for seed in range(seeds):
        dice = random.Random(seed)
        world = [Kept(replace(schedule, catchup=catchup)) for schedule in which]
        now_ms = BEGIN_MS
        for _ in range(4):
            for one in world:
                one.look_at_ms = now_ms if one.look_at_ms is not None else None
            catching_up_ms = now_ms  # all that was missed, before anything is promised again
            while any(one.cursor_ms < catching_up_ms and one.look_at_ms is not None for one in world):
                for one in world:
                    if one.look_at_ms is not None and one.look_at_ms <= now_ms:
                        one.pass_over(now_ms)
                    one.waiting = [at_ms for at_ms in one.waiting if at_ms > now_ms]
                now_ms += schedules.CROWDED_MS
            for one in world:
                if one.look_at_ms is not None:
                    one.pass_over(now_ms)
            lived_ms = round(longest_ms * dice.random() ** 2)
            live(world, now_ms, now_ms + lived_ms, dice)
            now_ms += lived_ms + round(longest_ms * dice.random() ** 2)
        for one in world:
            assert one.admitted == sorted(set(one.admitted)), "a time was made twice"
            if catchup == "all":
                expected = timings.times(one.schedule, BEGIN_MS)
                assert one.admitted == list(islice(expected, len(one.admitted)))


def test_a_schedule_by_the_minute_is_admitted_every_five_minutes() -> None:
    world = [Kept(Schedule(cron="* * * * *")), Kept(Schedule(cron="0 4 * * *")), Kept(Schedule(cron="0 9 1 1 *"))]
    for one in world:
        one.pass_over(BEGIN_MS)
    passes = live(world, BEGIN_MS, BEGIN_MS + DAY_MS, random.Random(0))
    assert 1440 + 60 <= len(world[0].admitted) <= 1440 + 65
    assert passes < 1440 / 5 + 20


def test_a_schedule_whose_runs_nobody_executes_stops_at_100() -> None:
    kept = Kept(Schedule(interval_s=7))
    now_ms = BEGIN_MS
    for _ in range(200):
        kept.pass_over(now_ms)
        assert kept.look_at_ms is not None
        assert kept.look_at_ms >= now_ms + schedules.CROWDED_MS
        now_ms = kept.look_at_ms
    assert len(kept.waiting) == MOST_RUNS
    kept.waiting.clear()
    kept.pass_over(now_ms)
    late = [at_ms for at_ms in kept.waiting if at_ms <= now_ms]
    assert late == [timings.latest(kept.schedule, BEGIN_MS, now_ms)], "only the latest, when they are taken at last"


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        (Schedule(cron="* * * * *"), 65),
        (Schedule(interval_s=7), 100),
        (Schedule(cron="0 * * * *"), 4),
        (Schedule(cron="0 4 * * *"), 4),
        (Schedule(cron="0 4 1 * *"), 4),
        (Schedule(cron="0 9 1 1 *"), 1),
        (Schedule(cron="0 9 1 7 *"), 0),
    ],
)
def test_how_much_is_made_at_first(schedule: Schedule, runs: int) -> None:
    plan = planned(schedule, cursor_ms=BEGIN_MS, now_ms=BEGIN_MS, waiting_ms=())
    assert len(plan.times) == runs
    assert plan.cursor_ms == (plan.times[-1] if runs else BEGIN_MS)
    assert plan.look_at_ms is not None


def test_a_rare_schedule_is_looked_at_when_its_time_comes_within_reach() -> None:
    schedule = Schedule(cron="0 9 1 7 *")
    plan = planned(schedule, cursor_ms=BEGIN_MS, now_ms=BEGIN_MS, waiting_ms=())
    following_ms = timings.first(schedule, BEGIN_MS)
    assert following_ms is not None
    assert plan == Plan((), BEGIN_MS, following_ms - FARTHEST_MS)
    assert planned(schedule, cursor_ms=BEGIN_MS, now_ms=following_ms - FARTHEST_MS, waiting_ms=()).times == (
        following_ms,
    )


def test_after_a_year_the_latest_is_found_soon() -> None:
    schedule = Schedule(interval_s=1)
    plan = planned(schedule, cursor_ms=BEGIN_MS - 365 * DAY_MS, now_ms=BEGIN_MS, waiting_ms=())
    assert plan.times[0] == BEGIN_MS
    assert len(plan.times) == MOST_RUNS


def test_all_that_was_missed_comes_in_hundreds() -> None:
    schedule = Schedule(cron="* * * * *", catchup="all")
    cursor_ms = BEGIN_MS - 250 * MINUTE_MS
    counts = []
    while cursor_ms < BEGIN_MS:
        plan = planned(schedule, cursor_ms=cursor_ms, now_ms=BEGIN_MS, waiting_ms=())
        cursor_ms = plan.cursor_ms
        counts.append(len(plan.times))
    assert counts == [100, 100, 50 + 50]


def test_late_runs_leave_less_room() -> None:
    late = [BEGIN_MS - n * MINUTE_MS for n in range(97)]
    schedule = Schedule(cron="* * * * *")
    assert len(planned(schedule, cursor_ms=BEGIN_MS, now_ms=BEGIN_MS, waiting_ms=late).times) == 3


@pytest.mark.parametrize("catchup", ["latest", "all"])
def test_what_would_have_expired_already_is_not_made(catchup: str) -> None:
    schedule = Schedule(cron="0 * * * *", catchup=catchup, expires_s=60)
    on_the_hour_ms = BEGIN_MS // HOUR_MS * HOUR_MS

    def made_late(now_ms: int) -> list[int]:
        plan = planned(schedule, cursor_ms=now_ms - DAY_MS, now_ms=now_ms, waiting_ms=())
        return [at_ms for at_ms in plan.times if at_ms <= now_ms]

    assert made_late(on_the_hour_ms + 59_000) == [on_the_hour_ms]
    assert made_late(on_the_hour_ms + 61_000) == []


def test_a_paused_schedule_makes_nothing_and_misses_nothing() -> None:
    schedule = Schedule(cron="* * * * *", catchup="all", is_active=False)
    plan = planned(schedule, cursor_ms=BEGIN_MS - DAY_MS, now_ms=BEGIN_MS, waiting_ms=())
    assert plan == Plan((), BEGIN_MS, None)


def test_a_schedule_that_ended_is_not_looked_at_again() -> None:
    schedule = Schedule(rrule="FREQ=DAILY;COUNT=3")
    assert planned(schedule, cursor_ms=BEGIN_MS, now_ms=BEGIN_MS, waiting_ms=()) == Plan((), BEGIN_MS, None)


def test_jitter_is_the_same_for_everybody_and_stays_within_bounds() -> None:
    schedule = Schedule(cron="* * * * *", jitter_s=30)
    nominal = timings.preview(schedule, BEGIN_MS, 500)
    put_off = [schedules.start_ms(schedule, "etl/nightly", at_ms) - at_ms for at_ms in nominal]
    assert put_off == [schedules.start_ms(schedule, "etl/nightly", at_ms) - at_ms for at_ms in nominal]
    assert put_off != [schedules.start_ms(schedule, "etl/other", at_ms) - at_ms for at_ms in nominal]
    assert min(put_off) >= 0
    assert max(put_off) <= 30_000
    assert min(put_off) < 3000 < 27_000 < max(put_off), "it is spread"
    assert schedules.start_ms(replace(schedule, jitter_s=0), "etl/nightly", BEGIN_MS) == BEGIN_MS


def test_jitter_does_not_change_with_a_release() -> None:
    """Schedulers of two releases work side by side."""
    schedule = Schedule(cron="0 4 * * *", timezone="Europe/Berlin", jitter_s=30)
    assert schedules.start_ms(schedule, "etl/nightly", BEGIN_MS) - BEGIN_MS == 29_173

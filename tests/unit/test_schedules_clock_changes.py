"""Schedules in the nights on which clocks change: every change of every zone in two years, against oracles.

The first oracle walks the minutes of world time through each change, looks at a wall clock, and applies the rules as
docs/schedules.md has them; it never asks which local times are missing or come twice, it sees it. The second is
croniter, where its rules are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from croniter import croniter  # type: ignore[import-untyped]

from dispatcher import timings, zones
from dispatcher.models import Schedule

# This year, and one in which Samoa skipped a day, and zones changed that do not any more.
YEARS = (2011, 2026)
BEGIN = "DTSTART:20000101T000000"  # before any of them; the default anchor is not
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOT_IN_THE_PACKAGE = {"localtime"}  # what Debian adds: the host's own zone


@dataclass(frozen=True)
class Change:
    """A change of a zone's offset, and all zones that have just this one."""

    at: datetime  # the first instant with the new offset
    before: timedelta
    after: timedelta
    zones: tuple[str, ...]

    @property
    def window(self) -> tuple[datetime, datetime]:
        """Longer before and after than the clocks jump."""
        margin = abs(self.after - self.before) + 4 * HOUR
        return self.at - margin, self.at + margin


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


@lru_cache(maxsize=1)
def changes() -> tuple[Change, ...]:
    found: dict[tuple[datetime, timedelta, timedelta], list[str]] = defaultdict(list)
    for name in sorted(available_timezones() - NOT_IN_THE_PACKAGE):
        of = zones.zone(name)

        def offset(at: datetime, of: object = of) -> timedelta:
            return at.astimezone(of).utcoffset() or timedelta()  # type: ignore[arg-type]

        for year in YEARS:
            at = datetime(year, 1, 1, tzinfo=UTC)
            while at.year == year:
                low, high = at, at + DAY
                before, after = offset(low), offset(high)
                while before != after and high - low > timedelta(seconds=1):
                    middle = low + (high - low) // 2
                    low, high = (middle, high) if offset(middle) == before else (low, middle)
                if before != after:
                    found[high.replace(microsecond=0), before, after].append(name)
                at += DAY
    return tuple(Change(*key, tuple(names)) for key, names in sorted(found.items()))


@lru_cache(maxsize=1024)
def wall(change: Change) -> tuple[tuple[datetime, datetime], ...]:
    """Each minute of the window, and what a clock on the wall shows then."""
    start, end = change.window
    of = zones.zone(change.zones[0])
    count = int((end - start) / MINUTE)
    return tuple((at, at.astimezone(of).replace(tzinfo=None)) for at in (start + n * MINUTE for n in range(count)))


def fixed_cron(change: Change, minutes: set[int], hours: set[int]) -> Iterator[datetime]:
    """Once for each time, the first; those that the clock jumped over when it has jumped."""
    shown: set[datetime] = set()
    last = wall(change)[0][1] - MINUTE
    for at, local in wall(change):
        skipped = [last + n * MINUTE for n in range(1, int((local - last) / MINUTE))]
        due = [one for one in (*skipped, local) if one.minute in minutes and one.hour in hours and one not in shown]
        if due:
            yield at
        shown |= {*skipped, local}
        last = local


def wildcard_cron(change: Change, minutes: set[int], hours: set[int]) -> Iterator[datetime]:
    """Whenever the clock shows such a time."""
    return (at for at, local in wall(change) if local.minute in minutes and local.hour in hours)


def calendar(change: Change, minutes: set[int], hours: set[int]) -> list[datetime]:
    """Once for each time, the first; what the clock jumped over is put off by what it jumped."""
    shown: dict[datetime, datetime] = {}
    for at, local in wall(change):
        shown.setdefault(local, at)
    found = {at for local, at in shown.items() if local.minute in minutes and local.hour in hours}
    jump = change.after - change.before
    local = (change.at + change.before).replace(tzinfo=None)
    while local < (change.at + change.after).replace(tzinfo=None):
        if local.minute in minutes and local.hour in hours:
            found.add(shown[local + jump])
        local += MINUTE
    return sorted(found)


def made(change: Change, schedule: Schedule) -> list[datetime]:
    start, end = change.window
    found: list[datetime] = []
    for at_ms in timings.times(schedule, ms(start) - 1):
        if at_ms >= ms(end):
            return found
        found.append(datetime.fromtimestamp(at_ms / 1000, UTC))
    return found


def hours_around(change: Change) -> list[int]:
    """Of the wall clock, from before the change until after it, whichever way it went."""
    edges = [(change.at + change.before).hour, (change.at + change.after).hour]
    return sorted({(edge + more) % 24 for edge in edges for more in (-1, 0, 1, 2)})


def named(change: Change) -> str:
    return f"{change.zones[0]} {change.at.isoformat()} {change.before} -> {change.after}"


ALL_MINUTES, ALL_HOURS = set(range(60)), set(range(24))


def test_every_zone_and_both_kinds_of_change_are_there() -> None:
    assert available_timezones() - NOT_IN_THE_PACKAGE == zones.names()
    found = changes()
    assert {change.at.year for change in found} == set(YEARS)
    assert any(change.after - change.before == DAY for change in found), "Samoa skipped a day"
    assert any(change.after - change.before == -timedelta(minutes=30) for change in found), "Lord Howe"
    assert {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"} <= {
        name for change in found for name in change.zones
    }


def test_fixed_crons_at_every_change() -> None:
    for change in changes():
        for hour in hours_around(change):
            for minutes in ("30", "0,15,30,45"):
                schedule = Schedule(cron=f"{minutes} {hour} * * *", timezone=change.zones[0])
                expected = list(fixed_cron(change, {int(one) for one in minutes.split(",")}, {hour}))
                assert made(change, schedule) == expected, (named(change), schedule.timing)
        schedule = Schedule(cron="0-59/10 0-23 * * *", timezone=change.zones[0])
        assert made(change, schedule) == list(fixed_cron(change, set(range(0, 60, 10)), ALL_HOURS)), named(change)


@pytest.mark.parametrize(
    ("cron", "minutes", "hours"),
    [
        ("* * * * *", ALL_MINUTES, ALL_HOURS),
        ("*/15 * * * *", {0, 15, 30, 45}, ALL_HOURS),
        ("0 * * * *", {0}, ALL_HOURS),
        ("20,50 */2 * * *", {20, 50}, set(range(0, 24, 2))),
        ("*/20 0-3 * * *", {0, 20, 40}, {0, 1, 2, 3}),
    ],
)
def test_crons_with_a_star_at_every_change(cron: str, minutes: set[int], hours: set[int]) -> None:
    for change in changes():
        schedule = Schedule(cron=cron, timezone=change.zones[0])
        assert made(change, schedule) == list(wildcard_cron(change, minutes, hours)), named(change)


def test_rules_and_whole_days_at_every_change() -> None:
    for change in changes():
        name = change.zones[0]
        hours = hours_around(change)
        rule = f"{BEGIN} FREQ=DAILY;BYHOUR={','.join(map(str, hours))};BYMINUTE=0,20,30"
        assert made(change, Schedule(rrule=rule, timezone=name)) == calendar(change, {0, 20, 30}, set(hours)), (
            named(change),
            rule,
        )
        by_minutes = Schedule(rrule=f"{BEGIN} FREQ=MINUTELY;INTERVAL=10", timezone=name)
        assert made(change, by_minutes) == calendar(change, set(range(0, 60, 10)), ALL_HOURS), named(change)
        for hour in hours:
            daily = Schedule(interval_s=86_400, anchor=f"2001-06-01T{hour:02}:30", timezone=name)
            assert made(change, daily) == calendar(change, {30}, {hour}), (named(change), hour)


def test_other_intervals_do_not_see_the_change() -> None:
    for change in changes():
        found = made(change, Schedule(interval_s=1800, timezone=change.zones[0]))
        assert {later - earlier for earlier, later in pairwise(found)} == {30 * MINUTE}


def test_all_zones_of_a_change_make_the_same_times() -> None:
    for change in changes():
        for cron in ("30 1,2,3 * * *", "*/30 * * * *"):
            found = {tuple(made(change, Schedule(cron=cron, timezone=name))) for name in change.zones}
            assert len(found) == 1, (named(change), cron)


def croniter_agrees(change: Change, cron: str) -> bool:
    start = (change.at - 2 * DAY).astimezone(zones.zone(change.zones[0]))
    other = croniter(cron, start)
    expected = [round(other.get_next(float) * 1000) for _ in range(12)]
    return timings.preview(Schedule(cron=cron, timezone=change.zones[0]), ms(start), 12) == expected


@pytest.mark.parametrize("cron", ["*/15 * * * *", "0 * * * *", "30 12 * * *", "0 18 * * MON-FRI", "0 9 1,15 * *"])
def test_croniter_agrees_at_every_change(cron: str) -> None:
    assert [named(change) for change in changes() if not croniter_agrees(change, cron)] == []


def test_croniter_agrees_on_fixed_times_in_every_gap() -> None:
    """Not in a fold: there it runs them twice."""
    for change in changes():
        if change.after > change.before:
            for hour in hours_around(change):
                assert croniter_agrees(change, f"0,30 {hour} * * *"), (named(change), hour)


def test_the_middle_of_a_change_is_where_one_may_ask_too() -> None:
    """Asked at any minute, the next time is the one that comes when all are listed."""
    for change in changes():
        for schedule in (
            Schedule(cron="0,30 1-3 * * *", timezone=change.zones[0]),
            Schedule(cron="*/30 * * * *", timezone=change.zones[0]),
            Schedule(rrule=f"{BEGIN} FREQ=HOURLY;BYMINUTE=10", timezone=change.zones[0]),
        ):
            listed = [ms(at) for at in made(change, schedule)]
            for at, _ in wall(change)[::41]:
                expected = next((one for one in listed if one > ms(at)), None)
                if expected is not None:
                    assert timings.first(schedule, ms(at)) == expected, (named(change), at, schedule.timing)

"""Recurrences (RFC 5545) as local times: which a rule means. The text of a rule is read by `dispatcher/rrules.py`.

Time zones play no part here: `dispatcher/zones.py` makes instants of what comes out. python-dateutil knows which days
fit a rule. The times of a day are ours, because dateutil walks from DTSTART and looks for a time that never comes until
the year 9999. Three things bound it here: it starts near the time that is asked for; it is given years so near to its
end that it looks ahead for centuries, not for millennia (the calendar repeats after 400 years); and steps without a
time are counted.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from typing import Any, cast

from dispatcher.errors import ScheduleInvalid

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
UNIT_S = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}  # those that count within a day

# Days and minutes that are looked at without finding a time, before a rule is given up: less than half a second.
MOST_STEPS = 100_000
YEARS_LEFT = 50  # at least, before dateutil comes to its end
CALENDAR_YEARS = 400

DAY_S = 86_400
EPOCH = datetime(1970, 1, 1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """One RRULE, understood. `by`: the values of its BY… parts but BYDAY, which `days` holds as (weekday, n)."""

    text: str
    frequency: str
    start: datetime
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    week_start: int = 0
    by: tuple[tuple[str, tuple[int, ...]], ...] = ()
    days: tuple[tuple[int, int | None], ...] = ()

    def values(self, name: str) -> tuple[int, ...]:
        return next((values for key, values in self.by if key == name), ())

    @property
    def hours(self) -> tuple[int, ...]:
        every = range(24) if self.frequency in UNIT_S else (self.start.hour,)
        return self.values("BYHOUR") or tuple(every)

    @property
    def minutes(self) -> tuple[int, ...]:
        every = range(60) if self.frequency in ("MINUTELY", "SECONDLY") else (self.start.minute,)
        return self.values("BYMINUTE") or tuple(every)

    @property
    def seconds(self) -> tuple[int, ...]:
        every = range(60) if self.frequency == "SECONDLY" else (self.start.second,)
        return self.values("BYSECOND") or tuple(every)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What a text means: all times of its rules and its RDATEs, but those of its EXDATEs."""

    rules: tuple[Rule, ...]
    dates: tuple[datetime, ...] = ()
    without: frozenset[datetime] = field(default_factory=frozenset)


def occurrences(of: Recurrence, after: datetime) -> Iterator[datetime]:
    """Local times after `after`, ascending; one may come twice. Raises `ScheduleInvalid` if it looked in vain for too
    long."""
    dates = of.dates[bisect_right(of.dates, after) :]
    for found in heapq.merge(dates, *(_after(rule, after) for rule in of.rules)):
        if found not in of.without:
            yield found


def _after(rule: Rule, after: datetime) -> Iterator[datetime]:
    if rule.count is None:
        return _walked(rule, after)
    counted = _counted(rule)
    return iter(counted[bisect_right(counted, after) :])


@lru_cache(maxsize=256)
def _counted(rule: Rule) -> tuple[datetime, ...]:
    """COUNT counts from the beginning, so there is no way but to walk; once."""
    return tuple(islice(_walked(rule, rule.start - SECOND), rule.count))


def _walked(rule: Rule, after: datetime) -> Iterator[datetime]:
    after = max(after, rule.start - SECOND)
    if rule.until is not None and rule.until <= after:
        return iter(())
    times = _days(rule, after) if rule.values("BYSETPOS") else _timed(rule, after)
    until = rule.until or datetime.max
    return takewhile(lambda time: time <= until, (time for time in times if time > after))


def _timed(rule: Rule, after: datetime) -> Iterator[datetime]:
    steps = 0
    for day in _days(rule, after):
        steps += 1
        if day.date() < after.date():
            continue
        for seconds in _minutes(rule, day, after.hour if day.date() == after.date() else 0):
            steps += 1
            for second in seconds:
                steps = 0
                yield day + second * SECOND
            if steps > MOST_STEPS:
                raise ScheduleInvalid(
                    schedule=f"rrule {rule.text}",
                    detail=f"no time was found within {MOST_STEPS} steps after {after.isoformat(' ', 'seconds')}: its "
                    "INTERVAL and its BYHOUR, BYMINUTE or BYSECOND meet never, or hardly ever",
                )


def _minutes(rule: Rule, day: datetime, from_hour: int) -> Iterator[list[int]]:
    """Of each minute that is looked at: its times, in seconds since midnight; often none."""
    unit, interval = UNIT_S.get(rule.frequency, DAY_S), rule.interval
    midnight, begin = (day - EPOCH) // SECOND, (rule.start - EPOCH) // SECOND
    if unit < DAY_S:
        next_unit = midnight // unit + (begin // unit - midnight // unit) % interval
        if next_unit * unit >= midnight + DAY_S:
            return  # the interval steps over the whole day
    for hour in rule.hours:
        if hour < from_hour or (unit == 3600 and (midnight // unit + hour - begin // unit) % interval):
            yield []
            continue
        for minute in rule.minutes:
            at = hour * 3600 + minute * 60
            if unit == 60 and ((midnight + at) // unit - begin // unit) % interval:
                yield []
            elif unit > 1:
                yield [at + second for second in rule.seconds]
            else:
                fitting = range(at + (begin - midnight - at) % interval, at + 60, interval)
                yield [second for second in fitting if second - at in rule.seconds]


def _days(rule: Rule, after: datetime) -> Iterator[datetime]:
    """By dateutil: the days of the rule as midnights, from `after` or a little earlier; with BYSETPOS its times."""
    from dateutil import rrule

    start = _near(rule, after)
    years = (datetime.max.year - YEARS_LEFT - start.year) // CALENDAR_YEARS * CALENDAR_YEARS
    within_a_day = rule.frequency in UNIT_S
    fits: dict[str, Any] = {name.lower(): values for name, values in rule.by}
    fits |= {"byhour": 0, "byminute": 0, "bysecond": 0}
    if rule.values("BYSETPOS"):
        fits |= {"byhour": rule.hours, "byminute": rule.minutes, "bysecond": rule.seconds}
    if rule.days:
        fits["byweekday"] = [rrule.weekdays[weekday](cast(int, n)) for weekday, n in rule.days]
    elif not {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"} & {name for name, _ in rule.by}:
        # What dateutil would take from its DTSTART, which is not the rule's.
        if rule.frequency == "WEEKLY":
            fits["byweekday"] = rule.start.weekday()
        if rule.frequency in ("YEARLY", "MONTHLY"):
            fits["bymonthday"] = rule.start.day
        if rule.frequency == "YEARLY":
            fits.setdefault("bymonth", rule.start.month)
    found = rrule.rrule(
        rrule.DAILY if within_a_day else cast(Any, FREQUENCIES.index(rule.frequency)),
        dtstart=start.replace(year=start.year + years),
        interval=1 if within_a_day else rule.interval,
        wkst=rule.week_start,
        **fits,
    )
    walk = iter(found)
    while True:
        try:
            day = next(walk)
        except (StopIteration, ValueError, OverflowError):  # the end of dateutil's calendar
            return
        yield day.replace(year=day.year - years)


def _near(rule: Rule, after: datetime) -> datetime:
    """The beginning of the rule, or of a period of it shortly before `after`, at which it may as well begin."""
    start = datetime.combine(rule.start, time())
    interval = rule.interval
    if rule.frequency in UNIT_S:
        return datetime.combine(max(rule.start, after), time())
    if rule.frequency in ("YEARLY", "MONTHLY"):
        months = interval * (12 if rule.frequency == "YEARLY" else 1)
        passed = (after.year - start.year) * 12 + after.month - start.month
        if (periods := passed // months - 1) <= 0:
            return start
        month = start.year * 12 + start.month - 1 + periods * months
        first_of_year = rule.frequency == "YEARLY"
        return datetime(month // 12, 1 if first_of_year else month % 12 + 1, 1)
    days = interval * (7 if rule.frequency == "WEEKLY" else 1)
    return start + timedelta(days=days * max((after - start).days // days - 1, 0))

"""When a schedule fires: its nominal times, from its cron, interval or rrule in its time zone.

Pure: which moment is now is said by who asks. A nominal time is in ms since 1970, and the same for everybody who
computes it, because it follows from the schedule and the tzdata package alone. The rules for the nights on which clocks
change are docs/schedules.md's; in short:

- cron, as Debian's: where minute and hour are both fixed, a time in the gap fires at the end of the gap, and a time
  that happens twice fires the first time. Where one of the two begins with `*`, what counts is that the clock shows a
  fitting time: nothing in the gap, and both times in the fold.
- rrule, and an interval of whole days: local times; one in the gap is put off by the length of the gap, one that
  happens twice fires the first time.
- any other interval: elapsed time; clocks play no part.

A new kind needs a line in `_times`, in `faults`, and a rule for gap and fold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from dispatcher import recurrences, rrules, zones

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from dispatcher.models.schedules import Schedule

DAY_MS = zones.DAY_MS
# Where an interval counts from, and an rrule begins, when nothing else says so: always the same, so that deploying
# again moves no time. Midnight in the schedule's zone.
ANCHOR = datetime(2020, 1, 1)

SHORTEST_MS = 1000
LONGEST_MS = 3650 * DAY_MS
MOST_TEXT = 200  # characters of a cron

FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31 or L",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}
MACROS = {  # as Debian's cron has them
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def times(schedule: Schedule, after_ms: int) -> Iterator[int]:
    """The nominal times after `after_ms`, ascending, each once; endless unless the schedule ends.

    Raises `ScheduleInvalid` when a rule found no time within its steps, see `dispatcher/recurrences.py`.
    """
    try:
        yield from (at_ms for at_ms in _times(schedule, after_ms) if at_ms > after_ms)
    except OverflowError:  # the year 9999
        return


def first(schedule: Schedule, after_ms: int) -> int | None:
    return next(times(schedule, after_ms), None)


def latest(schedule: Schedule, after_ms: int, until_ms: int) -> int | None:
    """The last nominal time after `after_ms`, and not after `until_ms`.

    By halving: the times between are not walked, so a schedule by the second costs the same after a year as after a
    minute.
    """
    low, high = first(schedule, after_ms), until_ms
    if low is None or low > until_ms:
        return None
    while low < high:
        middle = (low + high) // 2
        found = first(schedule, middle)
        if found is None or found > until_ms:
            high = middle
            continue
        low = found
        following = first(schedule, low)
        if following is None or following > until_ms:
            break
    return low


def preview(schedule: Schedule, after_ms: int, most: int) -> list[int]:
    """The next nominal times, `most` at most."""
    return list(islice(times(schedule, after_ms), most))


def local_iso(schedule: Schedule, at_ms: int) -> str:
    """The instant in the schedule's zone: `2026-03-29T03:00:00+02:00`."""
    of = zones.zone(schedule.timezone)
    return zones.local(of, at_ms).isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds")


def faults(schedule: Schedule) -> list[str]:
    """Everything because of which the times cannot be made, or there is none; empty when they can."""
    said = _kinds(schedule)
    found = [] if len(said) == 1 else [f"give exactly one of cron, interval and rrule, not {len(said)}"]
    if schedule.timezone not in zones.names():
        near = zones.nearest(schedule.timezone)
        meant = f" (did you mean {near!r}?)" if near else ""
        found.append(f"the time zone {schedule.timezone!r} is not known{meant}; it is a name like 'Europe/Berlin'")
        if schedule.rrule is not None and "TZID" in schedule.rrule.upper():
            return found  # whether the rule fits follows from the zone
        schedule = replace(schedule, timezone="UTC")
    if len(said) == 1:
        of = {"cron": _cron_faults, "interval": _interval_faults, "rrule": _recurrence_faults}[said[0]]
        found += of(schedule)
    return found


def named(schedule: Schedule) -> str:
    """The schedule in words, also one that says its times in no way or in several."""
    said = _kinds(schedule)
    return schedule.timing if len(said) == 1 else " and ".join(f"{kind} {_said(schedule, kind)}" for kind in said)


def _kinds(schedule: Schedule) -> list[str]:
    return [kind for kind in ("cron", "interval", "rrule") if _said(schedule, kind) is not None]


def _said(schedule: Schedule, kind: str) -> object:
    return {"cron": schedule.cron, "interval": schedule.interval_s, "rrule": schedule.rrule}[kind]


def _cron_faults(schedule: Schedule) -> Iterator[str]:
    from cronsim import CronSim, CronSimError

    text = schedule.cron or ""
    if schedule.anchor is not None:
        yield "a cron has no anchor; an anchor is where an interval counts from and an rrule begins"
    if text in MACROS:
        return
    fields = text.split()
    fault = None
    if text.startswith("@"):
        fault = f"of the names that stand for five fields, only these are known: {', '.join(MACROS)}"
    elif len(fields) != len(FIELDS):
        fault = f"a cron has {len(FIELDS)} fields ({', '.join(FIELDS)}), this has {len(fields)}"
    elif len(text) > MOST_TEXT:
        fault = f"it is longer than {MOST_TEXT} characters"
    if fault is not None:
        yield fault
        return
    is_valid = True
    for place, (name, allowed) in enumerate(FIELDS.items()):
        alone = ["*"] * len(FIELDS)
        alone[place] = fields[place]
        try:
            CronSim(" ".join(alone), ANCHOR)
        except (CronSimError, ValueError):
            is_valid = False
            yield f"the {name} field {fields[place]!r} is not valid ({allowed})"
    try:
        if is_valid:
            next(CronSim(text, ANCHOR))
    except (CronSimError, StopIteration):
        yield "it never fires: no month has such a day"


def _interval_faults(schedule: Schedule) -> Iterator[str]:
    seconds = schedule.interval_s
    if seconds is None or not math.isfinite(seconds):
        yield "an interval is a number of seconds"
    elif not SHORTEST_MS <= seconds * 1000 <= LONGEST_MS:
        yield f"an interval is 1 s to {LONGEST_MS // DAY_MS} days long, this is {seconds:g} s"
    elif abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
        yield f"an interval is a whole number of milliseconds, this is {seconds!r} s"
    try:
        _wall(zones.zone(schedule.timezone), schedule.anchor)
    except ValueError as error:
        yield str(error)


def _recurrence_faults(schedule: Schedule) -> Iterator[str]:
    try:
        found = _recurrence(schedule.rrule or "", schedule.timezone, schedule.anchor)
    except ValueError as error:
        yield str(error)
        return
    beginning = datetime(zones.YEARS[0] - 1, 1, 1)
    for number, rule in enumerate(found.rules, 1):
        if next(recurrences.occurrences(replace(found, rules=(rule,), dates=()), beginning), None) is None:
            yield "it never fires" if len(found.rules) == 1 else f"its {number}. RRULE never fires"


def _times(schedule: Schedule, after_ms: int) -> Iterator[int]:
    of = zones.zone(schedule.timezone)
    if schedule.cron is not None:
        from cronsim import CronSim

        fields = MACROS.get(schedule.cron, schedule.cron)
        minute, hour = fields.split()[:2]
        local = CronSim(fields, zones.earliest(of, after_ms))
        if minute.startswith("*") or hour.startswith("*"):
            return zones.instants(of, local, gap="skip", fold="both")
        return zones.instants(of, local, gap="end", fold="first")
    if schedule.interval_s is not None:
        return _interval_times(schedule, after_ms)
    recurrence = _recurrence(schedule.rrule or "", schedule.timezone, schedule.anchor)
    local_times = recurrences.occurrences(recurrence, zones.earliest(of, after_ms))
    return zones.instants(of, local_times, gap="forward", fold="first")


def _interval_times(schedule: Schedule, after_ms: int) -> Iterator[int]:
    of = zones.zone(schedule.timezone)
    step_ms = round((schedule.interval_s or 0) * 1000)
    anchor = _wall(of, schedule.anchor) or ANCHOR
    if step_ms % DAY_MS == 0:
        local_times = _every(timedelta(milliseconds=step_ms), anchor, zones.earliest(of, after_ms))
        return zones.instants(of, local_times, gap="forward", fold="first")
    said = datetime.fromisoformat(schedule.anchor) if schedule.anchor is not None else ANCHOR
    if said.tzinfo is None:
        anchor_ms = next(zones.instants(of, [said], gap="forward", fold="first"))
    else:
        anchor_ms = _ms(said.astimezone(UTC).replace(tzinfo=None))
    return _every_ms(step_ms, anchor_ms, after_ms)


def _every(step: timedelta, anchor: datetime, after: datetime) -> Iterator[datetime]:
    at = anchor + ((after - anchor) // step) * step
    while True:
        yield at
        at += step


def _every_ms(step_ms: int, anchor_ms: int, after_ms: int) -> Iterator[int]:
    at_ms = after_ms + step_ms - (after_ms - anchor_ms) % step_ms
    while True:
        yield at_ms
        at_ms += step_ms


def _wall(of: ZoneInfo, anchor: str | None) -> datetime | None:
    if anchor is None:
        return None
    try:
        return zones.wall(of, anchor)
    except ValueError as error:
        raise ValueError(f"the anchor {anchor!r} is not a time like 2026-01-31T09:00:00 ({error})") from None


@lru_cache(maxsize=1024)
def _recurrence(text: str, timezone: str, anchor: str | None) -> recurrences.Recurrence:
    of = zones.zone(timezone)
    return rrules.read(text, of, _wall(of, anchor), ANCHOR)


def _ms(time: datetime) -> int:
    return (time - zones.EPOCH) // zones.MILLISECOND

"""What a schedule admits, and when to look at it again: its horizon, its catchup, its jitter.

Pure: the clock, the cursor and the waiting runs are arguments, and whoever plans with the same ones plans the same.
When a schedule fires is said by `dispatcher/timings.py`; `dispatcher/ops/schedules.py` makes the runs. The invariant:
times are decided in ascending order, each once, and the cursor is the last one that was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from dispatcher import timings
from dispatcher.errors import ScheduleInvalid

if TYPE_CHECKING:
    from dispatcher.models.schedules import Schedule

# What must be there at every moment, unless one of the two maxima is reached.
KEPT_RUNS = 3
KEPT_MS = 3_600_000
# What is made when it is looked at: one more run and five minutes more, so that a schedule by the minute is looked at
# every five minutes and not every minute.
FILLED_RUNS = KEPT_RUNS + 1
FILLED_MS = KEPT_MS + 300_000
# Late runs count too: a schedule whose runs nobody executes stops here.
MOST_RUNS = 100
FARTHEST_MS = 100 * timings.DAY_MS
# A schedule that has its 100 runs is looked at when half of what lies ahead is over, but not more often than this.
CROWDED_MS = 10_000

LONGEST_S = 3650 * 86_400  # a jitter, an expiry


@dataclass(frozen=True, slots=True)
class Plan:
    """`times`: nominal times, in ms, whose runs are to be made now. `cursor_ms`: the last time that is then decided.
    `look_at_ms`: when to plan again at the latest; None: there is nothing left to plan, ever."""

    times: tuple[int, ...]
    cursor_ms: int
    look_at_ms: int | None


def checked(schedule: Schedule) -> Schedule:
    """The schedule itself, unchanged. Raises `ScheduleInvalid` with every fault."""
    if found := faults(schedule):
        raise ScheduleInvalid(schedule=timings.named(schedule), detail="; ".join(found))
    return schedule


def faults(schedule: Schedule) -> list[str]:
    """Everything that is wrong with the schedule, its times first; empty when nothing is."""
    from dispatcher.models.schedules import CATCHUPS, OVERLAPS

    found = timings.faults(schedule)
    if schedule.catchup not in CATCHUPS:
        found.append(f"catchup is one of {', '.join(CATCHUPS)}, not {schedule.catchup!r}")
    if schedule.overlap not in OVERLAPS:
        found.append(f"overlap is one of {', '.join(OVERLAPS)}, not {schedule.overlap!r}")
    if not (math.isfinite(schedule.jitter_s) and 0 <= schedule.jitter_s <= LONGEST_S):
        found.append(f"jitter_seconds is 0 to {LONGEST_S}, not {schedule.jitter_s:g}")
    expires_s = schedule.expires_s
    if expires_s is not None and not (math.isfinite(expires_s) and 0 < expires_s <= LONGEST_S):
        found.append(f"expires_seconds is more than 0, at most {LONGEST_S}, not {expires_s:g}")
    return found


def check_not_over(schedule: Schedule, now_ms: int) -> None:
    """Raises `ScheduleInvalid` for times that are all over: nobody means to make a schedule that never fires.

    Of what is wrong otherwise, and where no time is found within a rule's steps, it says nothing.
    """
    if timings.faults(schedule):
        return
    try:
        if timings.first(schedule, now_ms) is not None:
            return
    except ScheduleInvalid:
        return
    rule = (schedule.rrule or "").upper()
    if "DTSTART" in rule:
        beginning = "It begins at its DTSTART: give a later one"
    elif schedule.anchor is not None:
        beginning = f"It begins at its anchor {schedule.anchor}: give a later anchor date"
    else:
        beginning = (
            f"It begins at {timings.ANCHOR.isoformat()}, because nothing else is said: give an anchor date, the time "
            "at which it is to begin"
        )
    ends = [word for word in ("COUNT", "UNTIL") if f"{word}=" in rule]
    later = f", or another {' or '.join(ends)}" if ends else ""
    raise ScheduleInvalid(schedule=schedule.timing, detail=f"its last time has passed. {beginning}{later}.")


def planned(schedule: Schedule, *, cursor_ms: int, now_ms: int, waiting_ms: Sequence[int]) -> Plan:
    """What to admit now. `waiting_ms`: the nominal times of the schedule's unfinished runs, late ones too.

    At most 100 times, and never so many that more than 100 runs wait. A paused schedule admits nothing, and what passes
    meanwhile was not missed. Raises `ScheduleInvalid` when a rule found no time within its steps.
    """
    if not schedule.is_active:
        return Plan((), max(cursor_ms, now_ms), None)
    room = max(MOST_RUNS - len(waiting_ms), 0)
    new, cursor_ms = _missed(schedule, cursor_ms, now_ms, room)
    if cursor_ms < now_ms:
        return Plan(tuple(new), cursor_ms, now_ms + CROWDED_MS)
    room -= len(new)
    ahead = sorted(at_ms for at_ms in waiting_ms if at_ms > now_ms)
    for at_ms in timings.times(schedule, cursor_ms):
        is_wanted = len(ahead) < FILLED_RUNS or at_ms <= now_ms + FILLED_MS
        is_near = at_ms <= now_ms + FARTHEST_MS
        if is_wanted and is_near and room:
            new.append(at_ms)
            ahead.append(at_ms)
            cursor_ms = at_ms
            room -= 1
            continue
        if is_wanted and is_near:
            half_ms = (max(ahead) - now_ms) // 2 if ahead else 0
            return Plan(tuple(new), cursor_ms, now_ms + max(half_ms, CROWDED_MS))
        # One ms before one of the two would not be kept any more, or when the time comes within reach.
        few_at_ms = ahead[-KEPT_RUNS] if len(ahead) >= KEPT_RUNS else now_ms
        look_at_ms = max(min(few_at_ms, at_ms - KEPT_MS) - 1, at_ms - FARTHEST_MS)
        return Plan(tuple(new), cursor_ms, look_at_ms)
    return Plan(tuple(new), cursor_ms, None)


def _missed(schedule: Schedule, cursor_ms: int, now_ms: int, room: int) -> tuple[list[int], int]:
    """Which of the times that passed undecided are to be made, and the cursor after it: before now if there is no room
    for the rest. One whose run would have expired already is none of them."""
    since_ms = cursor_ms
    if schedule.expires_s is not None:
        since_ms = max(since_ms, now_ms - round((schedule.expires_s + schedule.jitter_s) * 1000))
    if cursor_ms >= now_ms or schedule.catchup == "none":
        return [], max(cursor_ms, now_ms)
    if schedule.catchup == "latest":
        found = timings.latest(schedule, since_ms, now_ms)
        if found is not None and not room:
            return [], cursor_ms
        return ([] if found is None else [found]), now_ms
    passed = takewhile(lambda at_ms: at_ms <= now_ms, timings.times(schedule, since_ms))
    new = list(islice(passed, room + 1))
    if len(new) <= room:
        return new, now_ms
    new.pop()
    return new, new[-1] if new else cursor_ms


def start_ms(schedule: Schedule, deployment: str, nominal_ms: int) -> int:
    """When the run of a nominal time is to start: up to `jitter_s` later, always the same for the same run."""
    most_ms = round(schedule.jitter_s * 1000)
    seed = f"{deployment}\n{schedule.id}\n{nominal_ms}".encode()
    return nominal_ms + int.from_bytes(hashlib.sha256(seed).digest()[:8]) % (most_ms + 1)

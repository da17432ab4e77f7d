"""Parameter types of the command line: durations, and points in time.

A duration is `90` (seconds), `90s`, `30m`, `5h`, `2d`, `1h30m`, or ISO 8601 (`PT1H30M`); it becomes
milliseconds. A time is ISO 8601 with a zone, or without one in the local zone; it becomes milliseconds
since the epoch. Both are what operations take. What cannot be read is wrong usage, exit code 2.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    Milliseconds = click.ParamType[int]
else:
    Milliseconds = click.ParamType  # not generic in the older versions of click that we allow

_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"\d+(?:\.\d+)?"
_SHORT = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS_S), re.ASCII)
_ISO = re.compile(
    rf"P(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?=\d)(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.ASCII
)
_PLAIN = re.compile(_NUMBER, re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=18_250)  # instants in Redis end in 2109 (`keyspace.ready`), and nobody means more


def duration_of(text: str) -> timedelta:
    """Raises `ValueError` for what is not a duration."""
    text = text.strip()
    if _PLAIN.fullmatch(text):
        seconds = float(text)
    else:
        found = _ISO.fullmatch(text.upper()) or _SHORT.fullmatch(text.lower().replace(" ", ""))
        if found is None or not any(found.groups()):
            raise ValueError(f"{text!r} is not a duration: give seconds (90), 90s, 30m, 5h, 2d, 1h30m or PT1H30M")
        seconds = sum(float(part or 0) * unit_s for part, unit_s in zip(found.groups(), _UNITS_S.values(), strict=True))
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than fifty years")
    return timedelta(seconds=seconds)


def time_of(text: str) -> datetime:
    """Raises `ValueError` for what is not a time from 1970 to 2100."""
    try:
        found = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is not a time: give ISO 8601, such as 2026-11-21T18:30:00+01:00, or 2026-11-21T18:30 (local)"
        ) from None
    if not 1970 <= found.year < 2100:
        raise ValueError(f"{text!r} is not between 1970 and 2100")
    return found


class Duration(Milliseconds):
    """`1h30m` as milliseconds; `is_positive`: 0 is refused."""

    name = "duration"

    def __init__(self, *, is_positive: bool = False) -> None:
        self.is_positive = is_positive

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = duration_of(value) // timedelta(milliseconds=1)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self.is_positive and not found:
            self.fail(f"{value!r} is too short: give more than 0", param, ctx)
        return found


class Time(Milliseconds):
    """`2026-11-21T18:30:00+01:00` as milliseconds since the epoch."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return (time_of(value) - EPOCH) // timedelta(milliseconds=1)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Hours(Milliseconds):
    """A number of hours, as milliseconds."""

    name = "hours"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            hours = float(value)
        except ValueError:
            hours = math.nan
        if not 0 <= hours <= LONGEST / timedelta(hours=1):  # not a number is neither
            self.fail(f"{value!r} is not a number of hours from 0 to {LONGEST // timedelta(hours=1)}", param, ctx)
        return int(hours * 3_600_000)


DURATION = Duration()
POSITIVE_DURATION = Duration(is_positive=True)
HOURS = Hours()
TIME = Time()

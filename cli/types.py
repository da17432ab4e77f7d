"""Parameter types of the command line: durations, points in time, words.

A duration becomes milliseconds, a time milliseconds since the epoch (`dispatcher/durations.py` reads both), which is
what operations take. What cannot be read is wrong usage, exit code 2.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from dispatcher.durations import LONGEST, duration_of, time_of

if TYPE_CHECKING:
    Milliseconds = click.ParamType[int]
    Text = click.ParamType[str]
else:
    Milliseconds = Text = click.ParamType  # not generic in the older versions of click that we allow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST = 999_999_999  # of anything that is counted; Redis takes no number of more than 19 digits


class Whole(click.IntRange):
    """A whole number of a range. What is none is refused in these words, not as no "valid integer range"."""

    name = "integer"


class Duration(Milliseconds):
    """`1h30m` as milliseconds; `is_positive`: 0 is refused; `words` names the range from `least_ms` to `most_ms`."""

    name = "duration"

    def __init__(
        self, *, is_positive: bool = False, least_ms: int = 0, most_ms: float = math.inf, words: str = ""
    ) -> None:
        self.is_positive = is_positive
        self.least_ms, self.most_ms, self.words = least_ms, most_ms, words

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = duration_of(value) // timedelta(milliseconds=1)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self.is_positive and not found:
            self.fail(f"{value!r} is too short: give more than 0", param, ctx)
        if not self.least_ms <= found <= self.most_ms:
            self.fail(f"{value!r} is not possible: give {self.words}", param, ctx)
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
            self.fail(f"{value[:50]!r} is not a number of hours from 0 to {LONGEST // timedelta(hours=1)}", param, ctx)
        return int(hours * 3_600_000)


class Word(Text):
    """A text that is not empty: an empty one is what an unset variable of a shell gives, and never meant."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("it is empty: give a text, or leave it out", param, ctx)
        return value


DURATION = Duration()
POSITIVE_DURATION = Duration(is_positive=True)
HOURS = Hours()
TIME = Time()
WORD = Word()

"""The text of a recurrence rule (RFC 5545): read, or refused in words.

`FREQ=…`, or lines `DTSTART`, `RRULE` (several), `RDATE`, `EXDATE`. Nothing is guessed: a part that is not understood,
or cannot mean what it says, is refused, because a rule that is misread fires at the wrong time and nobody is told.
What it means is worked out by `dispatcher/recurrences.py`. Sizes are limited, so that every rule is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from math import prod
from typing import TYPE_CHECKING

from dispatcher import zones
from dispatcher.recurrences import FREQUENCIES, UNIT_S, Recurrence, Rule

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
# Smallest and largest value; where the smallest is negative, it counts from the end, and 0 is none.
RANGES = {
    "BYSECOND": (0, 59),
    "BYMINUTE": (0, 59),
    "BYHOUR": (0, 23),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYMONTH": (1, 12),
    "BYSETPOS": (-366, 366),
}
PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *RANGES)
LINES = ("DTSTART", "RRULE", "RDATE", "EXDATE")

MOST_TEXT = 4000  # characters
MOST_RULES = 10
MOST_COUNT = 10_000  # a rule with COUNT is walked from its beginning
MOST_INTERVAL = 1_000_000_000
MOST_TIMES_OF_DAY = 1440  # of a rule with BYSETPOS, whose times are made before one is picked


def read(text: str, of: ZoneInfo, start: datetime | None, default_start: datetime) -> Recurrence:
    """`start`: the local time at which the rule begins, if something else than its DTSTART says so.

    Raises `ValueError` with what is wrong.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"it is longer than {MOST_TEXT} characters")
    lines = [_line(line) for line in text.split()]
    starts = [_time(value, of, parameters) for name, parameters, value in lines if name == "DTSTART"]
    if len(starts) > 1:
        raise ValueError("DTSTART is there twice")
    if starts and start is not None:
        raise ValueError("its DTSTART and an anchor both say when it begins: give one of them")
    begin = starts[0] if starts else start or default_start
    if begin.microsecond:
        raise ValueError("it begins at a fraction of a second; a recurrence rule counts whole seconds")
    rules = [_rule(value, of, begin) for name, _, value in lines if name == "RRULE"]
    if not rules:
        raise ValueError("it has no RRULE")
    if len(rules) > MOST_RULES:
        raise ValueError(f"it has more than {MOST_RULES} RRULEs")
    return Recurrence(
        rules=tuple(rules),
        dates=tuple(sorted(_times(lines, "RDATE", of))),
        without=frozenset(_times(lines, "EXDATE", of)),
    )


def _line(line: str) -> tuple[str, list[str], str]:
    head, colon, value = line.partition(":")
    if not colon or "FREQ=" in head.upper():
        head, value = "RRULE", line
    name, *parameters = head.split(";")
    if name.upper() not in LINES:
        raise ValueError(f"{name!r} is not known; lines are {', '.join(LINES)}")
    return name.upper(), parameters, value


def _times(lines: list[tuple[str, list[str], str]], wanted: str, of: ZoneInfo) -> Iterable[datetime]:
    for name, parameters, value in lines:
        for text in value.split(",") if name == wanted else ():
            if "T" not in text.upper():
                raise ValueError(f"{wanted} {text!r} has no time of day; write {text}T090000")
            yield _time(text, of, parameters)


def _time(text: str, of: ZoneInfo, parameters: Iterable[str] = ()) -> datetime:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.upper() == "TZID" and value == of.key:
            continue
        if name.upper() == "TZID":
            raise ValueError(f"its TZID is {value!r}, the schedule's time zone {of.key!r}: one schedule, one time zone")
        if (name.upper(), value.upper()) not in {("VALUE", "DATE"), ("VALUE", "DATE-TIME")}:
            raise ValueError(f"{parameter!r} is not known")
    try:
        return zones.wall(of, text.upper())
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time like 20260131T090000 ({error})") from None


def _rule(text: str, of: ZoneInfo, start: datetime) -> Rule:
    parts: dict[str, str] = {}
    for part in text.upper().rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError(f"{part!r} is not NAME=VALUE")
        if name not in PARTS:
            raise ValueError(f"{name!r} is not known; parts of a rule are {', '.join(PARTS)}")
        if name in parts:
            raise ValueError(f"{name} is there twice")
        parts[name] = value
    frequency = parts.get("FREQ", "")
    if frequency not in FREQUENCIES:
        found = f"FREQ={frequency} is not known" if frequency else "it has no FREQ"
        raise ValueError(f"{found}; it is one of {', '.join(FREQUENCIES)}")
    rule = Rule(
        text=text,
        frequency=frequency,
        start=start,
        interval=_number("INTERVAL", parts.get("INTERVAL", "1"), 1, MOST_INTERVAL),
        count=_number("COUNT", parts["COUNT"], 1, MOST_COUNT) if "COUNT" in parts else None,
        until=_time(parts["UNTIL"], of) if "UNTIL" in parts else None,
        by=tuple((name, _numbers(name, parts[name])) for name in RANGES if name in parts),
        days=tuple(_weekday(day, frequency) for day in parts["BYDAY"].split(",")) if "BYDAY" in parts else (),
    )
    if "WKST" in parts:
        rule = replace(rule, week_start=_weekday(parts["WKST"], "WKST")[0])
    _check_together(rule)
    return rule


def _check_together(rule: Rule) -> None:
    if rule.count is not None and rule.until is not None:
        raise ValueError("COUNT and UNTIL both say when it ends: give one of them")
    if rule.values("BYWEEKNO") and rule.frequency != "YEARLY":
        raise ValueError("BYWEEKNO goes with FREQ=YEARLY only")
    if rule.values("BYWEEKNO") and any(n for _, n in rule.days):
        raise ValueError("a BYDAY with a number does not go with BYWEEKNO")
    if rule.values("BYSETPOS"):
        if rule.frequency in UNIT_S:
            raise ValueError(f"BYSETPOS does not go with FREQ={rule.frequency}")
        if prod(map(len, (rule.hours, rule.minutes, rule.seconds))) > MOST_TIMES_OF_DAY:
            raise ValueError(f"BYSETPOS picks from more than {MOST_TIMES_OF_DAY} times a day")


def _numbers(name: str, text: str) -> tuple[int, ...]:
    return tuple(sorted({_number(name, value, *RANGES[name]) for value in text.split(",")}))


def _number(name: str, text: str, smallest: int, largest: int) -> int:
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,10}", text) else None
    if number is None or not smallest <= number <= largest or (smallest < 0 and number == 0):
        allowed = f"1 to {largest} or -1 to {smallest}" if smallest < 0 else f"{smallest} to {largest}"
        raise ValueError(f"{name}={text} is not valid: {allowed}")
    return number


def _weekday(text: str, frequency: str) -> tuple[int, int | None]:
    """`MO`, or, by the month and the year, `1MO`, `-1FR`: the first Monday, the last Friday."""
    found = re.fullmatch(r"([+-]?[0-9]{1,2})?([A-Z]{2})", text)
    if not found or found[2] not in WEEKDAYS or (found[1] and not int(found[1])):
        raise ValueError(f"{text!r} is not a day of the week: {', '.join(WEEKDAYS)}, or as in 1MO, -1FR")
    if found[1] and frequency not in ("YEARLY", "MONTHLY"):
        raise ValueError(f"{text!r} has a number, which means something with FREQ=MONTHLY and YEARLY only")
    return WEEKDAYS.index(found[2]), int(found[1]) if found[1] else None

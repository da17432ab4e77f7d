"""Durations and times as people write them: `90` (seconds), `90s`, `30m`, `5h`, `2d`, `1h30m`, or ISO 8601 (`PT1H30M`);
a time is ISO 8601 with a zone, or without one in the local zone.

The command line, the settings and Python read them alike.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

LONGEST = timedelta(days=18_250)  # instants in Redis end in 2109 (`keyspace.ready`), and nobody means more
_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"\d+(?:\.\d+)?"
_SHORT = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS_S), re.ASCII)
_ISO = re.compile(
    rf"P(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?=\d)(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.ASCII
)
_PLAIN = re.compile(_NUMBER, re.ASCII)


def duration_of(text: str) -> timedelta:
    """Raises `ValueError` for what is not a duration, or is longer than fifty years."""
    text = text.strip()
    if _PLAIN.fullmatch(text):
        seconds = float(text)
    else:
        found = _ISO.fullmatch(text.upper()) or _SHORT.fullmatch(text.lower().replace(" ", ""))
        if found is None or not any(found.groups()):
            raise ValueError(f"{text[:50]!r} is not a duration: give seconds (90), 90s, 30m, 5h, 2d, 1h30m or PT1H30M")
        seconds = sum(float(part or 0) * unit_s for part, unit_s in zip(found.groups(), _UNITS_S.values(), strict=True))
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text[:50]!r} is longer than fifty years")
    return timedelta(seconds=seconds)


def time_of(text: str) -> datetime:
    """Raises `ValueError` for what is not a time from 1970 to 2100."""
    try:
        found = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text[:50]!r} is not a time: give ISO 8601, such as 2026-11-21T18:30:00+01:00, "
            "or 2026-11-21T18:30 (local)"
        ) from None
    if not 1970 <= found.year < 2100:
        raise ValueError(f"{text[:50]!r} is not between 1970 and 2100")
    return found

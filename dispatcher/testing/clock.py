"""The time in a test: it stands still until it is moved."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from dispatcher.requests import instant_ms, seconds


class Clock:
    """Begins at the present, or at `now`. Scripts see this time in place of the server's."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now_ms = time.time_ns() // 1_000_000 if now is None else instant_ms("now", now)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._now_ms / 1000, UTC)

    def advance(self, length: float | timedelta) -> None:
        """Moves on by so many seconds, or a timedelta."""
        self._now_ms += round(1000 * seconds("length", length))

    def set(self, now: datetime) -> None:
        """Moves to this instant, without a zone in the local one."""
        self._now_ms = instant_ms("now", now)

    def __call__(self) -> int:
        """In milliseconds since 1970, as clients ask for it."""
        return self._now_ms

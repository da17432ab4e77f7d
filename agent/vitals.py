"""What a consumer knows of its own health: when Redis answered it last, what it has taken, how that ended.

Noted by the consumer and its executions in passing, whether anyone asks or not; judged here, shown elsewhere
(`health.py`, `metrics.py`). A consumer is healthy while its claims and heartbeats are answered in time. One that is
parked for long is: it owes the pool no look before the moment that its last claim named. So is one that drains: it is
to claim nothing more, and whoever restarts what is not healthy must not kill the runs that it waits for.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.clock import now_s

ANSWER_S = 5.0  # in which a claim must be answered, and by which a look may be late
CLAIM_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class Beat:
    """Of the heartbeat: how long ago one was answered, and how far apart they are."""

    ago_s: float
    period_s: float

    @property
    def is_late(self) -> bool:
        return self.ago_s > self.period_s + min(self.period_s, ANSWER_S)


class Vitals:
    """Facts about one consumer. Everything but `heartbeat` is called in the event loop."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}  # who this is, once it is known
        self.limit: int | None = None
        self.taken = 0
        self.ends: Counter[str] = Counter()  # by the state in which a run was left
        self.claims = [0] * (len(CLAIM_BUCKETS_S) + 1)  # answered, by how long that took
        self.claims_s = 0.0
        self.running: Callable[[], int] = int
        self.is_away: Callable[[], bool] = bool
        self.heartbeat: Callable[[], Beat | None] = lambda: None  # None: there is none yet
        self._asked_s: float | None = None
        self._answered_s: float | None = None
        self._look_by_s: float | None = None
        self._is_draining = False

    # Noting ---------------------------------------------------------------------------------------------------------

    def asked(self) -> None:
        """A claim, or what has to come before it, is being sent."""
        if self._asked_s is None:
            self._asked_s = now_s()

    def answered(self, took_s: float) -> None:
        self.claims[bisect.bisect_left(CLAIM_BUCKETS_S, took_s)] += 1
        self.claims_s += took_s
        self._asked_s, self._answered_s = None, now_s()

    def looks_in(self, look_in_s: float | None) -> None:
        """The next claim is due then; None: it is for a run to end first."""
        self._look_by_s = None if look_in_s is None else now_s() + look_in_s

    def drains(self) -> None:
        self._is_draining = True

    def ended(self, state: str) -> None:
        self.ends[state] += 1

    # Judging --------------------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """Why this consumer is not healthy, in words; empty when it is."""
        beat, now = self.heartbeat(), now_s()
        found = []
        if beat is None:
            found.append("it has not joined its pool yet")
        elif beat.is_late:
            found.append(f"no heartbeat was answered for {beat.ago_s:.1f} s")
        if self._is_draining:
            return found
        if self._answered_s is None:
            found.append("no claim has been answered yet")
        elif self._asked_s is not None:
            if now - self._asked_s > ANSWER_S:
                found.append(f"a claim has not been answered for {now - self._asked_s:.1f} s")
        elif self._look_by_s is not None and now - self._look_by_s > ANSWER_S:
            found.append(f"a look for runs is {now - self._look_by_s:.1f} s overdue")
        return found

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether it is healthy, and the facts."""
        faults, beat = self.faults(), self.heartbeat()
        status = "draining" if self._is_draining else "working"
        return not faults, {
            "status": "not healthy" if faults else status,
            "faults": faults,
            **self.facts,
            "running": self.running(),
            "limit": self.limit,
            "last_claim_answered_seconds_ago": self.claim_ago_s,
            "next_look_in_seconds": None if self._look_by_s is None else round(self._look_by_s - now_s(), 3),
            "last_heartbeat_answered_seconds_ago": None if beat is None else round(beat.ago_s, 3),
            "heartbeat_period_seconds": None if beat is None else round(beat.period_s, 3),
            "is_redis_away": self.is_away(),
        }

    @property
    def claim_ago_s(self) -> float | None:
        return None if self._answered_s is None else round(now_s() - self._answered_s, 3)

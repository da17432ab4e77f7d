"""A schedule of a deployment: when runs are made by themselves. The arithmetic is in `dispatcher/schedules.py`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from dispatcher.models.runs import Document

CATCHUPS = ("latest", "all", "none")
OVERLAPS = ("allow", "skip", "cancel_running")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Exactly one of `cron`, `interval_s` and `rrule` is set.

    `timezone`: an IANA name. `anchor`: ISO 8601, without an offset the schedule's local time; from where an interval
    counts and an rrule without DTSTART begins. `catchup`: what becomes of times that passed while nobody scheduled.
    `overlap`: what becomes of a run that is due while an earlier one of this schedule is not finished. `jitter_s`: a
    run is put off by up to so much. `expires_s`: a run that was not started so long after its time is cancelled.
    """

    cron: str | None = None
    interval_s: float | None = None
    rrule: str | None = None
    timezone: str = "UTC"
    anchor: str | None = None
    parameters: Document = field(default_factory=dict)
    is_active: bool = True
    catchup: str = "latest"
    overlap: str = "allow"
    jitter_s: float = 0.0
    expires_s: float | None = None

    @property
    def id(self) -> str:
        """Unique within the deployment: two schedules with the same times would be one. It follows from what says the
        times, so a deployment that is stored again, even by ten commands at once, keeps its schedules."""
        timing = [self.cron, self.interval_s, self.rrule, self.timezone, self.anchor]
        return hashlib.sha1(json.dumps(timing).encode(), usedforsecurity=False).hexdigest()[:10]

    @property
    def timing(self) -> str:
        """In words: `cron 0 4 * * * (Europe/Berlin)`."""
        said = f"cron {self.cron}" if self.cron is not None else f"rrule {self.rrule}"
        if self.interval_s is not None:
            said = f"every {self.interval_s:g} s"
        return f"{said} ({self.timezone})"

    def document(self) -> Document:
        return {
            "id": self.id,
            "cron": self.cron,
            "interval": self.interval_s,
            "rrule": self.rrule,
            "timezone": self.timezone,
            "anchor_date": self.anchor,
            "parameters": self.parameters,
            "active": self.is_active,
            "catchup": self.catchup,
            "overlap": self.overlap,
            "jitter_seconds": self.jitter_s,
            "expires_seconds": self.expires_s,
        }

    @staticmethod
    def read(of: Document) -> Schedule:
        return Schedule(
            cron=of.get("cron"),
            interval_s=of.get("interval"),
            rrule=of.get("rrule"),
            timezone=of.get("timezone", "UTC"),
            anchor=of.get("anchor_date"),
            parameters=of.get("parameters") or {},
            is_active=of.get("active", True),
            catchup=of.get("catchup", "latest"),
            overlap=of.get("overlap", "allow"),
            jitter_s=of.get("jitter_seconds", 0.0),
            expires_s=of.get("expires_seconds"),
        )

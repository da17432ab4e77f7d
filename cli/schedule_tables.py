"""How schedules are shown: in words, as JSON with their next times, and how far they have come.

The next times are the nominal ones, from the schedule alone; of a paused one there are none. What the options of a
command say is in `schedule_options.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli import render

if TYPE_CHECKING:
    from dispatcher import Client
    from dispatcher.models import Deployment, Schedule
    from dispatcher.ops.schedules import Progress

NEXT = 3  # times that are shown where nobody asked for a number


@dataclass(frozen=True, slots=True)
class Shown:
    """A schedule with its next times (ms); `progress` None: it is not stored yet. `fault`: why it makes no runs."""

    deployment: Deployment
    schedule: Schedule
    times_ms: tuple[int, ...]
    fault: str
    progress: Progress | None = None

    @property
    def is_paused(self) -> bool:
        return self.deployment.is_paused or not self.schedule.is_active

    def document(self) -> dict[str, Any]:
        """The schedule's document with `next_times`, how far its runs are made (`cursor`), when that is looked at again
        (`next_look`), its unfinished runs, and the `fault`."""
        from dispatcher.models.instants import iso

        found = {
            **self.schedule.document(),
            "next_times": [iso(at_ms) for at_ms in self.times_ms],
            "fault": self.fault or None,
        }
        if self.progress is not None:
            found["cursor"] = iso(self.progress.cursor_ms) if self.progress.digest else None
            found["next_look"] = iso(self.progress.look_at_ms)
            found["unfinished_runs"] = len(self.progress.nominal_ms)
        return found

    def next_words(self, most: int = NEXT) -> str:
        """The next times in the schedule's own zone."""
        from dispatcher import timings

        if self.is_paused:
            return "paused"
        if self.fault:
            return self.fault
        return ", ".join(timings.local_iso(self.schedule, at_ms) for at_ms in self.times_ms[:most]) or "no more times"


def shown(deployment: Deployment, now_ms: int, *, progress: Sequence[Progress] = (), most: int = NEXT) -> list[Shown]:
    """Each schedule of the deployment; `progress` is theirs, in order."""
    return [
        _shown(deployment, schedule, now_ms, progress[place] if progress else None, most)
        for place, schedule in enumerate(deployment.schedules)
    ]


def _shown(deployment: Deployment, schedule: Schedule, now_ms: int, progress: Progress | None, most: int) -> Shown:
    times_ms: tuple[int, ...] = ()
    fault = progress.fault if progress else ""
    if schedule.is_active and not deployment.is_paused:
        times_ms, found = next_times(schedule, now_ms, most)
        fault = fault or found
    return Shown(deployment, schedule, times_ms, fault, progress)


def next_times(schedule: Schedule, after_ms: int, most: int) -> tuple[tuple[int, ...], str]:
    """The next nominal times, and what is wrong when there are none."""
    from dispatcher import timings
    from dispatcher.errors import ScheduleInvalid

    try:
        return tuple(timings.preview(schedule, after_ms, most)), ""
    except (ScheduleInvalid, KeyError) as error:  # KeyError: a zone that this host's tzdata does not have
        return (), str(error)


def looked_at(client: Client, deployments: Sequence[Deployment]) -> list[list[Shown]]:
    """The schedules of each deployment, with how far they have come. One call a pool."""
    from dispatcher.errors import PoolNotFound
    from dispatcher.ops import schedules

    found: dict[str, list[Shown]] = {}
    for pool in sorted({one.pool for one in deployments if one.schedules}):
        here = [one for one in deployments if one.pool == pool]
        pairs = [(one.name, schedule.id) for one in here for schedule in one.schedules]
        try:
            progress = client.run(schedules.progress(pool, pairs))
        except PoolNotFound:  # deleted in this moment
            continue
        for one in here:
            own, progress = progress[: len(one.schedules)], progress[len(one.schedules) :]
            found[one.name] = shown(one, own[0].now_ms, progress=own) if own else []
    return [found.get(one.name, []) for one in deployments]


def document(deployment: Deployment, of: Sequence[Shown]) -> dict[str, Any]:
    """The deployment's document, with more about its schedules."""
    return {**deployment.document(), "schedules": [one.document() for one in of]}


def details(schedule: Schedule) -> str:
    """What is unusual about it, beside its times."""
    said = [
        "" if schedule.catchup == "latest" else f"catchup {schedule.catchup}",
        "" if schedule.overlap == "allow" else f"overlap {schedule.overlap}",
        "" if not schedule.jitter_s else f"jitter {schedule.jitter_s:g} s",
        "" if schedule.expires_s is None else f"expires after {schedule.expires_s:g} s",
        "" if schedule.anchor is None else f"from {schedule.anchor}",
    ]
    return ", ".join(filter(None, said))


def marked_timing(schedule: Schedule) -> str:
    return render.marked(schedule.timing, not schedule.is_active)


def plural(count: int, noun: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def taken_back(count: int) -> str:
    """`3 waiting runs of it were taken back`."""
    return f"{plural(count, 'waiting run')} of it {'was' if count == 1 else 'were'} taken back"

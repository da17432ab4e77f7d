"""What the event stream of a pool tells: who held slots when, against which limits, and how each run went. Pure.

Limits are taken from the stream as well, and holders from the states alone, so that the verdict does not rest on
the counters of those that it judges. Dispatcher's demo prints it; anybody can replay a stream of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dispatcher.models import Event
from dispatcher.states import HELD, TERMINAL, State, known

POOL = ""  # the lane of the whole pool, beside those of its queues


@dataclass(slots=True)
class Lane:
    """The pool or one queue: its limit now, who holds a slot now, the most at once, claims beyond the limit."""

    limit: int | None = None
    holders: set[str] = field(default_factory=set)
    most: int = 0
    exceeded: int = 0


@dataclass(slots=True)
class Course:
    """One run. Instants are ms since the epoch."""

    queue: str
    state: State = State.SCHEDULED
    submitted_at_ms: int = 0
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    consumer: str = ""
    starts: int = 0
    ends: int = 0
    lost: int = 0

    @property
    def wait_ms(self) -> int | None:
        """From submit to the first start."""
        return None if self.started_at_ms is None else self.started_at_ms - self.submitted_at_ms


class Replay:
    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {POOL: Lane()}
        self.runs: dict[str, Course] = {}

    def feed(self, events: Iterable[Event]) -> None:
        for event in events:
            if "run" in event.fields:
                self._run(event)
            else:
                self._setting(event)

    def _setting(self, event: Event) -> None:
        of = event.fields
        lane = self.lanes.setdefault(of.get("queue", POOL), Lane())
        if event.event in ("pool-created", "queue-created"):
            lane.limit = int(of["limit"]) if of["limit"] else None
        elif event.event in ("pool-set", "queue-set") and of["name"] == "limit":
            lane.limit = int(of["value"]) if of["value"] else None

    def _run(self, event: Event) -> None:
        run, queue, state = event.fields["run"], event.fields["queue"], known(event.fields["state"])
        course = self.runs.setdefault(run, Course(queue, submitted_at_ms=event.at_ms))
        course.queue, course.state = queue, state
        if event.event == "started":
            course.starts += 1
            course.consumer = event.fields["consumer"]
            if course.started_at_ms is None:
                course.started_at_ms = event.at_ms
        course.lost += event.event == "lost"
        if state in TERMINAL:
            course.ends += 1
            course.ended_at_ms = event.at_ms
        for lane in (self.lanes[POOL], self.lanes.setdefault(queue, Lane())):
            if state not in HELD:
                lane.holders.discard(run)
                continue
            lane.holders.add(run)
            lane.most = max(lane.most, len(lane.holders))
            if event.event == "claimed" and lane.limit is not None and len(lane.holders) > lane.limit:
                lane.exceeded += 1

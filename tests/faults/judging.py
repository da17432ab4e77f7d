"""The judge of runs that were executed by many consumers: pure functions over two independent accounts.

The **journal** is written by the runs themselves, outside Redis: `begin` and `end`, each a single O_APPEND write with
run, epoch, queue and the machine's monotonic clock. It says what was executed when. The **events** are the pool's
stream: they put claims and changes of limits, pauses and priorities into one order, which no clock could.

What is judged, exactly:

- *once*: every submitted run has one `begin` and one `end` in the journal, and no other run has any; of epoch 1, or one
  more for each time that it was given back, which only a pause between its claim and its start explains.
- *limits*: whenever a run begins, the runs that are executed at that instant (by the journal: begun, not ended) are at
  most as many as the limit that was in force (by the events) when the last claimed of them was claimed; for the pool
  and for the run's queue. All others of them held their slots then already, so a correct admission cannot exceed it; a
  lowered limit may be exceeded only by runs that were all claimed before it was lowered.
- *admission*: at every claim the holders by the events, this one included, are within pool and queue limit, and
  neither pool nor queue is paused.
- *priority*: at every claim no queue of better priority had a waiting run while it was below its limit and not paused.
- *agreement*: a run begins after its claim and ends before its finish, so neither account can have invented the other.

A verdict is a list of sentences; empty is what a correct pool gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dispatcher.models import Event

POOL = ""  # the lane of the whole pool, beside those of its queues
SLACK_MS = 2  # the server's clock is read once per script and cut to milliseconds


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    word: str
    run: str
    epoch: int
    queue: str
    monotonic_ns: int
    wall_ms: float


def read_journal(text: str) -> list[Entry]:
    """The lines in the order of their clock."""
    entries = []
    for line in text.splitlines():
        word, run, epoch, queue, monotonic_ns, wall_ns = line.split()
        entries.append(Entry(word, run, int(epoch), queue, int(monotonic_ns), int(wall_ns) / 1e6))
    return sorted(entries, key=lambda entry: entry.monotonic_ns)


@dataclass(slots=True)
class Lane:
    """The pool or one queue, as of some event."""

    limit: int | None = None
    priority: int = 0
    is_paused: bool = False
    waiting: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    most: int = 0

    @property
    def is_open(self) -> bool:
        return not self.is_paused and (self.limit is None or len(self.holders) < self.limit)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as the events tell it: its place among all claims, and the limits that were in force."""

    place: int
    at_ms: int
    pool_limit: int | None
    queue_limit: int | None
    consumer: str


@dataclass(slots=True)
class Replay:
    """The pool by its events alone; `faults` are breaches of admission and priority."""

    lanes: dict[str, Lane] = field(default_factory=lambda: {POOL: Lane()})
    claimed: int = 0
    claims: dict[str, Claim] = field(default_factory=dict)  # the last one of each run
    released: Counter[str] = field(default_factory=Counter)
    finished_at_ms: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def feed(self, events: Iterable[Event]) -> None:
        for event in events:
            of = event.fields
            lane = self.lanes.setdefault(of.get("queue", POOL), Lane())
            if event.event in ("pool-created", "queue-created"):
                lane.limit = _limit(of["limit"])
                lane.priority = int(of.get("priority", 0))
            elif event.event in ("pool-set", "queue-set"):
                _set(lane, of["name"], of["value"])
            elif event.event == "submitted":
                lane.waiting.add(of["run"])
            elif event.event == "claimed":
                self._claim(event, lane)
            elif event.event == "finished":
                lane.holders.discard(of["run"])
                self.lanes[POOL].holders.discard(of["run"])
                self.finished_at_ms[of["run"]] = event.at_ms
            elif event.event == "released" and (lane.is_paused or self.lanes[POOL].is_paused):
                lane.holders.discard(of["run"])
                self.lanes[POOL].holders.discard(of["run"])
                lane.waiting.add(of["run"])
                self.released[of["run"]] += 1
            elif event.event in ("lost", "released", "retrying"):
                self.faults.append(f"{event.id}: nothing should be {event.event}: {of}")

    def _claim(self, event: Event, lane: Lane) -> None:
        run, queue, pool = event.fields["run"], event.fields["queue"], self.lanes[POOL]
        for noun, taken in (("the pool", pool), (f"queue {queue}", lane)):
            if not taken.is_open:
                state = "paused" if taken.is_paused else f"at {len(taken.holders)} of {taken.limit}"
                self.faults.append(f"{event.id}: run {run} was claimed while {noun} was {state}")
        for name, other in self.lanes.items():
            if name != POOL and other.priority < lane.priority and other.waiting and other.is_open:
                self.faults.append(
                    f"{event.id}: run {run} of {queue} was claimed while {name}, of better priority, was open and had "
                    f"{len(other.waiting)} waiting"
                )
        lane.waiting.discard(run)
        for found in (pool, lane):
            found.holders.add(run)
            found.most = max(found.most, len(found.holders))
        self.claims[run] = Claim(self.claimed, event.at_ms, pool.limit, lane.limit, event.fields["consumer"])
        self.claimed += 1


def _limit(text: str) -> int | None:
    return int(text) if text else None


def _set(lane: Lane, name: str, value: str) -> None:
    if name == "limit":
        lane.limit = _limit(value)
    elif name == "paused":
        lane.is_paused = value == "1"
    elif name == "priority":
        lane.priority = int(value)


def executed_once(submitted: Iterable[str], journal: Sequence[Entry], replay: Replay) -> list[str]:
    faults = []
    found: dict[str, list[str]] = {run: [] for run in submitted}
    for entry in journal:
        found.setdefault(entry.run, []).append(f"{entry.word} {entry.epoch}")
    for run, words in found.items():
        epoch = 1 + replay.released[run]
        if words != [f"begin {epoch}", f"end {epoch}"]:
            faults.append(f"run {run} was executed as {words}")
    return faults


def within_limits(journal: Sequence[Entry], replay: Replay) -> tuple[list[str], dict[str, int]]:
    """Faults of *limits*, and the most runs at once of the pool and of each queue."""
    faults: list[str] = []
    running: dict[str, set[str]] = {}
    most: dict[str, int] = {}
    for entry in journal:
        for lane in (POOL, entry.queue):
            now = running.setdefault(lane, set())
            if entry.word == "end":
                now.discard(entry.run)
                continue
            now.add(entry.run)
            most[lane] = max(most.get(lane, 0), len(now))
            last = max((replay.claims[run] for run in now), key=lambda claim: claim.place)
            limit = last.pool_limit if lane == POOL else last.queue_limit
            if limit is not None and len(now) > limit:
                faults.append(
                    f"{entry.monotonic_ns}: {len(now)} runs of {lane or 'the pool'} at once, the limit was {limit} "
                    "when the last of them was claimed"
                )
    return faults, most


def accounts_agree(journal: Sequence[Entry], replay: Replay) -> list[str]:
    faults = []
    for entry in journal:
        claim, finished_at_ms = replay.claims.get(entry.run), replay.finished_at_ms.get(entry.run)
        if claim is None or finished_at_ms is None:
            faults.append(f"run {entry.run} was executed, but the events know no claim or no finish of it")
        elif not claim.at_ms - SLACK_MS <= entry.wall_ms <= finished_at_ms + SLACK_MS:
            faults.append(
                f"run {entry.run}: {entry.word} at {entry.wall_ms:.1f} is not between claim {claim.at_ms} and finish "
                f"{finished_at_ms}"
            )
    return faults

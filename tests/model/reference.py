"""The rules of a pool in plain Python: what the scripts must do, said a second time and without Redis.

One object is one pool on one clock. Each method mirrors one script: it lets time pass where the script does, changes
the state, and returns what the reply must be. No indexes, no wake-ups: those are derived, and `invariants.py` checks
that they follow from this state. Kept small and slow on purpose; a rule that changes in `lua/` changes here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.lifecycle import ENDED, Lifecycle, RunState, ScheduleState

GRACE_MS = 2_000
BOUNDLESS = 10**9


@dataclass(frozen=True)
class FilterState:
    """What a filter queue shows. Every run of the model is of the infrastructure `process`."""

    tags: frozenset[str] = frozenset()
    deployments: frozenset[str] = frozenset()

    def matches(self, run: RunState) -> bool:
        return self.tags <= run.tags and (not self.deployments or run.deployment in self.deployments)


@dataclass
class QueueState:
    priority: int
    limit: int | None = None
    is_paused: bool = False
    filter: FilterState | None = None


@dataclass
class ConsumerState:
    selector: str
    prefetch: int
    seen_until: int

    def serves(self, queue: str) -> bool:
        kind, names = self.selector[0], self.selector[1:].split(",")
        return kind == "*" or (kind == "=" and queue in names) or (kind == "^" and queue.startswith(tuple(names)))


@dataclass(frozen=True)
class Source:
    """A queue; or, with a filter, what that filter queue shows of it."""

    queue: str
    filter: str
    name: str
    priority: int


@dataclass
class Reference(Lifecycle):
    lease_ms: int
    now: int
    last: int
    hold: int = 0
    limit: int | None = None
    is_paused: bool = False
    queues: dict[str, QueueState] = field(default_factory=lambda: {"default": QueueState(1)})
    runs: dict[str, RunState] = field(default_factory=dict)
    consumers: dict[str, ConsumerState] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)
    keep_runs: int = 10_000
    keep_ms: int = 604_800_000
    members: dict[str, dict[str, int]] = field(default_factory=dict)
    expiring: dict[str, int] = field(default_factory=dict)
    duties: dict[str, int] = field(default_factory=dict)
    schedules: dict[str, ScheduleState] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    gone: dict[str, tuple[int, bool]] = field(default_factory=dict)

    # what follows from the state ------------------------------------------------------------------------------------

    def held(self) -> list[RunState]:
        return [run for run in self.runs.values() if run.is_held]

    def pool_free(self) -> int:
        return BOUNDLESS if self.limit is None else self.limit - len(self.held())

    def queue_free(self, name: str) -> int:
        queue = self.queues.get(name)
        if queue is None or queue.is_paused:
            return 0
        return BOUNDLESS if queue.limit is None else queue.limit - len(self.holders(name))

    def holders(self, name: str) -> list[RunState]:
        """Who holds slots of the queue: its own runs; those that the filter matches, however they were claimed."""
        shown = self.queues[name].filter
        return [run for run in self.held() if (shown.matches(run) if shown else run.queue == name)]

    def homes(self) -> list[str]:
        """The queues in which runs live."""
        return [name for name, queue in self.queues.items() if queue.filter is None]

    def sources(self, consumer: ConsumerState) -> list[Source]:
        """Where such a consumer may take runs now: open queues, and open queues seen through an open filter."""
        open_homes = [name for name in self.homes() if self.queue_free(name) > 0]
        found = [Source(name, "", name, self.queues[name].priority) for name in open_homes if consumer.serves(name)]
        for filter_name, queue in self.queues.items():
            is_served = queue.filter and consumer.selector != "*" and consumer.serves(filter_name)
            if is_served and self.queue_free(filter_name) > 0:
                found += [Source(home, filter_name, f"{home}/{filter_name}", queue.priority) for home in open_homes]
        return sorted(found, key=lambda source: (source.priority, self.queues[source.queue].priority))

    def free_of(self, source: Source) -> int:
        free = self.queue_free(source.queue)
        return min(free, self.queue_free(source.filter)) if source.filter else free

    def shown(self, source: Source, runs: list[RunState]) -> list[RunState]:
        """Those of a queue's runs that can be had from the source."""
        shown = self.queues[source.filter].filter if source.filter else None
        return [run for run in runs if shown is None or shown.matches(run)]

    def ready(self, queue: str) -> list[RunState]:
        found = [run for run in self.runs.values() if run.queue == queue and run.is_waiting and run.is_ready]
        return sorted(found, key=lambda run: (run.priority, run.due, run.id))

    def early(self, queue: str) -> list[RunState]:
        """What may be prefetched: not what waits for its retry."""
        return [run for run in self.future(queue) if not run.is_retry]

    def available(self, consumer: ConsumerState) -> int:
        """How many runs a consumer like this could be given now, each source's ready and early ones counted apart as
        the scripts count them; the pool's own limit aside."""
        count = 0
        for source in self.sources(consumer):
            free = self.free_of(source)
            soon = [run for run in self.early(source.queue) if run.due <= self.now + consumer.prefetch]
            count += min(len(self.shown(source, self.ready(source.queue))), free)
            count += min(len(self.shown(source, soon)), free) if consumer.prefetch else 0
        return count

    def next_early(self, consumer: ConsumerState) -> list[tuple[int, str, RunState]]:
        """The first future run of each source that may be prefetched, earliest first."""
        heads = [(source, self.shown(source, self.early(source.queue))[:1]) for source in self.sources(consumer)]
        found = [(head[0].due, source.name, head[0]) for source, head in heads if head]
        return sorted(found, key=lambda one: one[:2])

    # time -----------------------------------------------------------------------------------------------------------

    def guard(self) -> None:
        newest = max((run.lease_until for run in self.held()), default=-1)
        if self.now - self.last > self.lease_ms / 2 and newest >= self.hold:
            self.hold = self.now + self.lease_ms
        elif self.last - self.now > 1000:
            self.hold = min(self.hold, self.now + self.lease_ms)
            for run in self.held():
                run.lease_until = min(run.lease_until, self.now + self.lease_ms)
        self.last = self.now

    def reap(self) -> None:
        if self.now >= self.hold:
            for run in self.held():
                if run.lease_until <= self.now - GRACE_MS:
                    self.lose(run)

    def catch_up(self) -> None:
        self.outlast()
        self.promote()
        self.reap()

    def pass_time(self) -> None:
        self.guard()
        self.catch_up()

    # one run --------------------------------------------------------------------------------------------------------

    def lose(self, run: RunState) -> None:
        run.lost += 1
        if run.state == "CANCELLING":
            self.conclude(run, "CANCELLED")
        elif run.lost >= run.crash_at:
            self.conclude(run, "CRASHED")
        else:
            self.place(run, run.due)

    def holds(self, consumer: str, run_id: str, epoch: int) -> bool:
        run = self.runs.get(run_id)
        return run is not None and run.is_held and run.consumer == consumer and run.epoch == epoch

    # scripts --------------------------------------------------------------------------------------------------------

    def submit(
        self, run_id: str, queue: str, priority: int, delay: int, deployment: str, key: str, tags: frozenset[str]
    ) -> tuple[str, bool]:
        known = run_id if run_id in self.runs else self.keys.get((deployment, key)) if key else None
        if known is not None:
            return known, False
        self.pass_time()
        run = RunState(run_id, queue, priority, self.now + delay, deployment, key, tags)
        self.runs[run_id] = run
        if key:
            self.keys[deployment, key] = run_id
        self.place(run, run.due)
        return run_id, True

    def claim(self, consumer_id: str, want: int, idle_beside: int) -> list[RunState]:
        self.pass_time()
        consumer = self.consumers[consumer_id]
        self.seen(consumer_id)
        want = min(want, 0 if self.is_paused else self.pool_free(), 64)
        if idle_beside and want > 1:
            want = min(want, max(1, -(-self.available(consumer) // (idle_beside + 1))))
        given: list[RunState] = []

        def take(run: RunState) -> None:
            run.state, run.consumer, run.epoch = "PENDING", consumer_id, run.epoch + 1
            run.lease_until, run.is_ready = self.now + self.lease_ms, False
            given.append(run)

        for source in self.sources(consumer):
            most = max(0, min(want - len(given), self.free_of(source)))
            for run in self.shown(source, self.ready(source.queue))[:most]:
                take(run)
        while consumer.prefetch and len(given) < want:
            early = self.next_early(consumer)
            if not early or early[0][0] > self.now + consumer.prefetch:
                break
            take(early[0][2])
        return given

    def start(self, consumer: str, run_id: str, epoch: int) -> str:
        if not self.holds(consumer, run_id, epoch):
            return "FENCED"
        run = self.runs[run_id]
        queue = self.queues.get(run.queue)
        is_paused = self.is_paused or (queue is not None and queue.is_paused)
        if run.state == "PENDING" and not is_paused:
            self.guard()
            run.state, run.expires = "RUNNING", None
            self.expiring.pop(run_id, None)
        return run.state

    def finish(self, consumer: str, run_id: str, epoch: int, state: str, retry_in: int | None) -> str:
        run = self.runs.get(run_id)
        if not self.holds(consumer, run_id, epoch):
            done = run is not None and run.ended_epoch == epoch and run.consumer == consumer and epoch > 0
            return "already" if done else "FENCED"
        assert run is not None
        self.guard()
        run.attempts += 1
        run.ended_epoch = epoch
        if run.state == "CANCELLING":
            self.conclude(run, "CANCELLED")
        elif retry_in is not None:
            self.place(run, self.now + retry_in, is_retry=True)
        else:
            self.conclude(run, state)
        word = run.state
        self.catch_up()
        return word

    def release(self, consumer: str, run_id: str, epoch: int) -> str:
        if not self.holds(consumer, run_id, epoch):
            return "FENCED"
        run = self.runs[run_id]
        self.guard()
        run.releases += 1
        if run.state == "CANCELLING":
            self.conclude(run, "CANCELLED")
        else:
            self.place(run, run.due)
        word = run.state
        self.catch_up()
        return word

    def renew(self, consumer: str, held: list[tuple[str, int]]) -> tuple[set[str], set[str]]:
        self.guard()
        lost = {run_id for run_id, epoch in held if not self.holds(consumer, run_id, epoch)}
        kept = [self.runs[run_id] for run_id, _ in held if run_id not in lost]
        for run in kept:
            run.lease_until = self.now + self.lease_ms
        self.seen(consumer)
        cancelling = {run.id for run in kept if run.state == "CANCELLING"}
        self.catch_up()
        for state in ENDED:
            self.trim(state, 8)
        return lost, cancelling

    def cancel(self, run_id: str, force: bool) -> str:
        run = self.runs[run_id]
        if not run.is_held and run.state != "SCHEDULED":
            return "FINISHED"
        if run.is_moving:
            return "MOVING"
        self.guard()
        if run.state == "SCHEDULED":
            self.conclude(run, "CANCELLED")
        elif force:
            run.attempts += 1
            self.conclude(run, "CANCELLED")
        else:
            run.state = "CANCELLING"
        self.catch_up()
        return run.state

    def retry(self, run_id: str) -> str:
        run = self.runs[run_id]
        if run.is_held or run.state == "SCHEDULED":
            return "UNFINISHED"
        self.guard()
        run.crash_at, run.ended_epoch, run.consumer = run.lost + 3, 0, ""
        run.overlap, run.expires = "", None
        self.place(run, self.now)
        self.catch_up()
        return run.state

    def delete(self, run_id: str) -> str:
        run = self.runs[run_id]
        if run.is_held or run.state == "SCHEDULED":
            return "UNFINISHED"
        self.erase(run)
        return "removed"

    # consumers and queues -------------------------------------------------------------------------------------------

    def seen(self, consumer: str) -> None:
        self.consumers[consumer].seen_until = int(self.now + 3 * min(self.lease_ms / 3, 10_000))

    def forget(self, consumer: str) -> int:
        held = [run for run in self.held() if run.consumer == consumer]
        for run in held:
            self.lose(run)
        self.consumers.pop(consumer, None)
        return len(held)

    def register(self, consumer: str, selector: str, prefetch: int, predecessors: list[str]) -> int:
        self.pass_time()
        self.consumers[consumer] = ConsumerState(selector, prefetch, 0)
        returned = sum(self.forget(old) for old in predecessors)
        self.seen(consumer)
        return returned

    def leave(self, consumer: str) -> int:
        if consumer not in self.consumers:
            return 0
        self.guard()
        returned = self.forget(consumer)
        self.promote()
        return returned

    def rank(self, name: str, number: int, queue: QueueState | None = None) -> None:
        """The newcomer keeps its number; others move up only as far as numbers are taken."""
        moving = self.queues.pop(name, None) or queue
        assert moving is not None
        holders = {other.priority: other for other in self.queues.values()}
        at = number
        while at in holders:
            at += 1
        for taken in range(at - 1, number - 1, -1):
            holders[taken].priority = taken + 1
        moving.priority = number
        self.queues[name] = moving

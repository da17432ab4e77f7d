"""A pool with queues, runs and consumers, set up and read back in few words, so that a test reads as what it says.

Everything goes through the operations of `dispatcher/ops`, by the driver and on the clock of the test; only doorbells
and dumps are looked at past them. Fixture: `scene` in `tests/ops/conftest.py`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import DispatcherError
from dispatcher.ids import new_id
from dispatcher.models import Claim, Consumer, Heartbeat, NewRun, Outcome, Pool, Run, RunInput
from dispatcher.ops import consumers, leases, pools, queues, runs
from dispatcher.ops.leases import Held
from dispatcher.states import State
from tests import conftest
from tests.dumps import unchanged

R = TypeVar("R")
POOL = "p"
LEASE_MS = 30_000


def new_run(queue: str = "default", **options: Any) -> NewRun:
    return NewRun(
        id=options.pop("id", None) or new_id(), name="r", queue=queue, input=options.pop("input", RunInput()), **options
    )


def new_consumer(name: str = "one", pool: str = POOL, **options: Any) -> Consumer:
    facts: dict[str, Any] = {
        "id": new_id(), "kind": "agent", "type": "agent", "host": "here", "boot": "b", "pid": 7, "born_at_ms": 1,
        "version": "0", "selector": "*", "prefetch_ms": 0, "limit": None,
    }  # fmt: skip
    return Consumer(name=name, pool=pool, **{**facts, **options})


class Scene:
    """One pool, made at the beginning, with the queue `default`; `pool` of a method names another one."""

    def __init__(self, run: conftest.Run, clock: conftest.Clock, server: Any, name: str = POOL) -> None:
        self.run = run
        self.clock = clock
        self.server = server
        self.name = name

    # given --------------------------------------------------------------------------------------

    def queue(self, name: str, priority: int | None = None, *, limit: int | None = None, pool: str = "") -> str:
        self.run(queues.create(pool or self.name, name, priority=priority, limit=limit))
        return name

    def submit(self, queue: str = "default", *, pool: str = "", **options: Any) -> str:
        (found,) = self.run(runs.submit(pool or self.name, [new_run(queue, **options)]))
        return found.id

    def submit_many(self, count: int, queue: str = "default", **options: Any) -> list[str]:
        """`count` runs, submitted together; their order in a queue is the order of the ids."""
        batch = [new_run(queue, **options) for _ in range(count)]
        for start in range(0, count, runs.SUBMIT_BATCH):
            self.run(runs.submit(self.name, batch[start : start + runs.SUBMIT_BATCH]))
        return [run.id for run in batch]

    def join(self, name: str = "one", *, predecessors: tuple[str, ...] = (), pool: str = "", **options: Any) -> str:
        consumer = new_consumer(name, pool or self.name, **options)
        self.run(consumers.register(consumer, predecessors))
        return consumer.id

    def held(self, consumer: str, queue: str = "default", **options: Any) -> Held:
        """A run that is submitted and claimed by the consumer: PENDING."""
        run = self.submit(queue, **options)
        (claimed,) = self.claim(consumer).runs
        assert claimed.id == run, "another run was claimed first"
        return run, claimed.epoch

    def running(self, consumer: str, queue: str = "default", **options: Any) -> Held:
        """The same, RUNNING."""
        held = self.held(consumer, queue, **options)
        self.start(consumer, held)
        return held

    def finished(self, consumer: str, state: State = State.COMPLETED) -> str:
        held = self.running(consumer)
        assert self.finish(consumer, held, state) == state
        return held[0]

    # when ---------------------------------------------------------------------------------------

    def claim(self, consumer: str, want: int = 1, *, load: int = 0, request: str = "", pool: str = "") -> Claim:
        return self.run(leases.claim(pool or self.name, consumer, request=request or new_id(), want=want, load=load))

    def take(self, consumer: str, want: int = 64) -> list[str]:
        """The ids that a claim gives, in its order."""
        return [claimed.id for claimed in self.claim(consumer, want).runs]

    def start(self, consumer: str, held: Held) -> State:
        return self.run(leases.start(self.name, consumer, *held, pid=11))

    def finish(self, consumer: str, held: Held, state: State = State.COMPLETED, **options: Any) -> str:
        (word,) = self.run(leases.finish(self.name, consumer, [Outcome(*held, state, **options)]))
        return word

    def release(self, consumer: str, *held: Held) -> list[str]:
        return self.run(leases.release(self.name, consumer, held))

    def renew(self, consumer: str, *held: Held) -> Heartbeat:
        return self.run(leases.renew(self.name, consumer, held))

    def tick(self) -> None:
        self.run(pools.tick(self.name))

    def pass_lease(self, *awake: str, ms: int = LEASE_MS + 2_000) -> None:
        """Time passes in steps that are no silence, until leases taken now are to be reaped; `awake` show signs."""
        while ms > 0:
            step = min(ms, 10_000)
            self.clock.advance(step)
            for consumer in awake:
                self.renew(consumer)
            self.tick()
            ms -= step

    # then ---------------------------------------------------------------------------------------

    def see(self, run: str) -> Run:
        return self.run(runs.read(self.name, run))

    def state(self, run: str) -> State:
        return self.see(run).state

    def pool(self) -> Pool:
        return self.run(pools.read(self.name))

    def priorities(self) -> dict[str, int]:
        return {queue.name: queue.priority for queue in self.pool().queues}

    def used(self) -> dict[str, int]:
        """Slots in use: of each queue, and of the pool under an empty name."""
        found = self.pool()
        return {"": found.slots_used, **{queue.name: queue.slots_used for queue in found.queues}}

    def doorbell(self, consumer: str) -> list[str]:
        """The tokens that lie at a consumer's door; they stay there."""
        return [str(token) for token in self.server.lrange(keyspace.wake(self.name, consumer), 0, -1)]

    def refused(self, operation: Call[R] | Flow[R], kind: type[DispatcherError], match: str | None = None) -> None:
        """The operation is refused with this error, and nothing in the server changed."""
        with unchanged(self.server), pytest.raises(kind, match=match) as caught:
            self.run(operation)
        assert type(caught.value) is kind
        assert "<" not in str(caught.value), "a placeholder was left without its fact"

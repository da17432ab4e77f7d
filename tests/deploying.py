"""Deployments with schedules, set up and read back in few words. The schedules' times are those of the test's clock,
which begins on 15 January 2027 at 08:00 UTC.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import DispatcherError
from dispatcher.models import Deployment, Run, RunInput, Saved, Schedule
from dispatcher.ops import deployments, pools, runs
from dispatcher.states import TERMINAL, State
from dispatcher.upkeep import duties
from tests.conftest import Clock
from tests.conftest import Run as Driver
from tests.scene import POOL

R = TypeVar("R")
NAME = "f/d"
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
START_MS = 1_800_000_000_000  # 08:00


def every(minutes: float = 10, **options: Any) -> Schedule:
    """An interval that counts from the beginning of the test's clock."""
    return Schedule(interval_s=minutes * 60, anchor="2027-01-15T08:00:00Z", **options)


def deployment(*schedules: Schedule, queue: str = "default", pool: str = POOL, **options: Any) -> Deployment:
    of = {"name": NAME, "id": "01", "input": RunInput(entrypoint="f.py:f"), **options}
    return Deployment(pool=pool, queue=queue, schedules=tuple(schedules), **of)


@dataclass(frozen=True, slots=True)
class Made:
    """A run of a schedule, by its times in minutes since 08:00."""

    id: str
    state: State
    start: float
    pool: str


class Office:
    """Deployments and what becomes of their runs, in any of the pools."""

    def __init__(self, run: Driver, clock: Clock, server: redis.Redis) -> None:
        self.run = run
        self.clock = clock
        self.server = server

    def deploy(self, *schedules: Schedule, **options: Any) -> Saved:
        return self.run(deployments.save(deployment(*schedules, **options)))

    def pools(self) -> list[str]:
        return self.run(pools.names())

    def perform(self, pool: str = POOL) -> int:
        """Does what a scheduler would do for the pool now, until there is nothing left."""
        count = 0
        while found := self.run(pools.duties(pool))[0]:
            count += self.run(duties.perform(pool, found))
        return count

    def pass_minutes(self, minutes: float, *, step: float = 1) -> None:
        """Time passes, with a scheduler that looks every `step` minutes."""
        while minutes > 0:
            self.clock.advance(round(min(step, minutes) * MINUTE_MS))
            minutes -= step
            for pool in self.pools():
                self.perform(pool)

    # then ---------------------------------------------------------------------------------------

    def kept(self, pool: str = POOL, name: str = NAME) -> list[Run]:
        """All runs of the deployment in the pool, the earliest start first."""
        return self.run(runs.list_pool(pool, deployment=name, most=10_000))[::-1]

    def made(self, *states: State, pool: str = POOL) -> list[float]:
        """When its runs start, in minutes since 08:00."""
        return [minutes(run.due_at_ms) for run in self.kept(pool) if not states or run.state in states]

    def waiting(self, pool: str = POOL) -> dict[str, float]:
        """Its waiting runs with their starts, in minutes since 08:00."""
        return {run.id: minutes(run.due_at_ms) for run in self.kept(pool) if run.state is State.SCHEDULED}

    def everywhere(self) -> dict[str, list[str]]:
        """Each run that exists with the pools where it is, one that is on its way out of reach not counted."""
        found: dict[str, list[str]] = {}
        for pool in self.pools():
            for run in self.kept(pool):
                if self.server.zscore(keyspace.moving(pool), run.id) is None:
                    found.setdefault(run.id, []).append(pool)
        return found

    def unfinished(self, pool: str = POOL) -> list[Run]:
        return [run for run in self.kept(pool) if run.state not in TERMINAL]


def minutes(at_ms: int) -> float:
    return (at_ms - START_MS) / MINUTE_MS


def until(operation: Flow[Any], calls: int) -> Flow[bool]:
    """The first so many calls of a flow, and then nothing any more, as when its process is killed; True: it had come to
    its end before."""
    try:
        call: Call[Any] = next(operation)
        for _ in range(calls):
            reply: Any = None
            try:
                reply = yield from call
            except DispatcherError as error:
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration:
        return True
    return False


def stopped_before(command: str, run: Driver, flow: Flow[Any]) -> Call[Any]:
    """The flow's first call of this command, which is not sent; `rest` goes on with it."""
    call: Call[Any] = next(flow)
    while call.command != command:
        call = flow.send(run(call))
    return call


def rest(run: Driver, flow: Flow[R], call: Call[Any]) -> R:
    """Goes on with a flow that stopped before this call; its result."""
    while True:
        try:
            call = flow.send(run(call))
        except StopIteration as end:
            result: R = end.value
            return result


def interleaved(run: Driver, flows: Sequence[Flow[Any]], chance: random.Random) -> None:
    """Drives several flows to their ends, one call of one of them at a time, in any order."""
    pending: dict[int, Call[Any]] = {}
    left = dict(enumerate(flows))
    for number, flow in list(left.items()):
        pending[number] = next(flow)
    while left:
        number = chance.choice(sorted(left))
        flow = left[number]
        try:
            try:
                reply = run(pending[number])
            except DispatcherError as error:
                pending[number] = flow.throw(error)
            else:
                pending[number] = flow.send(reply)
        except StopIteration:
            del left[number]

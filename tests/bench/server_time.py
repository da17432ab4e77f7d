"""Server time of each script, with few and many queues and few and many waiting runs: it should not matter.

All sizes are pools of one server and every round measures each operation in each pool in turn, so that noise of the
machine hits all alike. What is measured goes through the pool's best queue; the other queues and waiting runs are only
there. Calls go in pipelines: the time is the server's own, per script call (per run for the heartbeat).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dispatcher.call import Call
from dispatcher.ids import new_id
from dispatcher.models import Claimed, Consumer, NewRun, Outcome, RunInput
from dispatcher.ops import consumers, leases, pools, queues, runs
from dispatcher.states import State
from tests.bench.figures import Cell, Table, median, percentile
from tests.bench.stage import Stage, stage

BEST = "default"
QUIET = "quiet"  # a queue where nothing waits
ONE = 40  # calls a round of what concerns one run
BATCH = 20
BATCHES = 5


def new_run(queue: str = BEST) -> NewRun:
    payload = RunInput(entrypoint="flow.py:flow", parameters={"customer": 12345, "day": "2026-11-21"})
    return NewRun(new_id(), "steady-heron", queue, payload, deployment="etl/nightly")


def new_consumer(pool: str, selector: str = "*", prefetch_ms: int = 10_000) -> Consumer:
    me = new_id()
    return Consumer(
        id=me, name=me, pool=pool, kind="agent", type="agent", host="bench", boot="bench", pid=1, born_at_ms=1,
        version="1", selector=selector, prefetch_ms=prefetch_ms, limit=None,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    queues: int
    waiting: int

    @property
    def pool(self) -> str:
        return f"q{self.queues}-w{self.waiting}"

    @property
    def title(self) -> str:
        return f"{self.queues:,} q, {self.waiting:,} runs"


class Scene:
    """One pool of a size, with one busy consumer; measures a round and keeps every figure by operation."""

    def __init__(self, on: Stage, size: Size) -> None:
        self.on, self.size, self.pool = on, size, size.pool
        self.us: dict[str, list[float]] = {}
        self.commands: dict[str, list[float]] = {}
        client = on.client
        client.run(pools.create(self.pool))
        names = [BEST, *(f"lane-{number:05d}" for number in range(1, size.queues))]
        client.run_many([queues.create(self.pool, name) for name in [*names[1:], QUIET]])
        batch: list[Call[Any]] = []
        for start in range(0, size.waiting, runs.SUBMIT_BATCH):
            numbers = range(start, min(size.waiting, start + runs.SUBMIT_BATCH))
            fresh = [new_run(names[number * size.queues // size.waiting]) for number in numbers]
            batch.append(runs.submit(self.pool, fresh))
            if len(batch) == 20:
                client.run_many(batch)
                batch.clear()
        client.run_many(batch)
        self.me = self._joined("*")

    def _joined(self, selector: str) -> str:
        consumer = new_consumer(self.pool, selector)
        self.on.client.run(consumers.register(consumer))
        return consumer.id

    def _measured(self, name: str, calls: Sequence[Call[Any]], per_call: float = 1) -> list[Any]:
        """`per_call`: what a figure is of, in parts of a call."""
        self.on.reset()
        results = self.on.client.run_many(calls)
        counted = self.on.counted()
        self.us.setdefault(name, []).append(counted.us_per_call / per_call)
        self.commands.setdefault(name, []).append(counted.commands_per_call / per_call)
        return results

    def _claims(self, consumer: str, want: int, times: int) -> list[Call[Any]]:
        return [leases.claim(self.pool, consumer, request=new_id(), want=want, load=0) for _ in range(times)]

    def round(self) -> None:
        pool, me, measured = self.pool, self.me, self._measured
        measured("submit, 1 a call", [runs.submit(pool, [new_run()]) for _ in range(ONE)])
        measured("submit, 100 a call", [runs.submit(pool, [new_run() for _ in range(BATCH * BATCHES)])])
        held: list[Claimed] = []
        for claim in measured("claim, 1 at a time", self._claims(me, 1, ONE)):
            held += claim.runs
        measured("start", [leases.start(pool, me, run.id, run.epoch, pid=1) for run in held])
        pairs = [(run.id, run.epoch) for run in held[:BATCH]]
        measured("heartbeat, per run of 20", [leases.renew(pool, me, pairs) for _ in range(BATCH)], BATCH)
        measured("finish, 1 a call", [leases.finish(pool, me, [outcome(run)]) for run in held])
        batches = [claim.runs for claim in measured("claim, 20 at a time", self._claims(me, BATCH, BATCHES))]
        measured("finish, 20 a call", [leases.finish(pool, me, [outcome(run) for run in batch]) for batch in batches])
        idle = self._joined("=nothing-here")
        measured("claim that parks", self._claims(idle, 1, ONE))
        self.on.client.run(consumers.leave(pool, idle))
        self._whole_cycle()

    def _whole_cycle(self) -> None:
        """Submit, wake, claim, start, finish, park again: all that one run costs when the consumer was idle."""
        pool = self.pool
        idle = self._joined(f"={QUIET}")
        calls: list[Call[Any]] = self._claims(idle, 1, 1)
        for _ in range(ONE):
            run = new_run(QUIET)
            calls.append(runs.submit(pool, [run]))
            calls += self._claims(idle, 1, 1)
            calls.append(leases.start(pool, idle, run.id, 1, pid=1))
            calls.append(leases.finish(pool, idle, [Outcome(run.id, 1, State.COMPLETED)]))
            calls += self._claims(idle, 1, 1)
        self._measured("one run's whole cycle", calls, ONE / len(calls))
        self.on.client.run(consumers.leave(pool, idle))


def outcome(run: Claimed) -> Outcome:
    return Outcome(run.id, run.epoch, State.COMPLETED, exit_code=0)


def measure(queue_counts: Sequence[int], waiting: Sequence[int], rounds: int, say: Callable[[str], None]) -> Table:
    sizes = [Size(count, number) for number in waiting for count in queue_counts]
    with stage() as opened:
        scenes = []
        for size in sizes:
            say(f"filling a pool with {size.title}")
            scenes.append(Scene(opened, size))
        opened.settle()
        for number in range(rounds + 1):
            for scene in scenes:
                scene.round()
                if number == 0:  # the first round also loads the scripts and warms the caches
                    scene.us = {name: [] for name in scene.us}
                    scene.commands = {name: [] for name in scene.commands}
    rows: list[dict[str, Cell]] = []
    for name in scenes[0].us:
        quiet = [percentile(scene.us[name], 0.1) for scene in scenes]
        row: dict[str, Cell] = {"operation": name, "commands": median(scenes[0].commands[name])}
        row |= {scene.size.title: found for scene, found in zip(scenes, quiet, strict=True)}
        row |= {"max / min": max(quiet) / min(quiet), "largest, median": median(scenes[-1].us[name])}
        rows.append(row)
    return Table(
        "Server time in us (a script call; a run where it says so)",
        rows,
        (
            f"the quietest tenth of {rounds} interleaved rounds, because whatever else runs on the machine only adds",
            "INFO commandstats; commands: what the script calls",
            "whole cycle: submit, wake, claim, start, finish, park again, five script calls",
        ),
    )

"""Waiting runs that follow their deployment to another queue or pool.

Within a pool one script moves them. Between pools, whose keys may lie on different servers of a cluster, a run is
taken out of reach first, then adopted by the other pool, then forgotten by the first: at no time can both hand it out,
and what a crash leaves in between is finished by whoever gets the duty `move:<deployment>`.

Each going out has a number, and the pool that the run was to come to decides of each once: it adopted the run, or
refused it. So any number of processes may do this at the same time, stop, and go on late.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dispatcher import keyspace, templates
from dispatcher.call import Arg, Call, Flow, expect
from dispatcher.errors import DeploymentChanged, PoolBeingDeleted, PoolNotFound
from dispatcher.models import Document, Run
from dispatcher.ops import queues, runs
from dispatcher.ops.reading import fields, optional
from dispatcher.states import State

BATCH = 100


def duty(deployment: str) -> str:
    return f"move:{deployment}"


def queue_duty(deployment: str, before: str) -> str:
    return f"requeue:{deployment}:{before}"


def requeue(pool: str, deployment: str, *, before: str, after: str) -> Flow[int]:
    """Moves the waiting runs of the deployment from its queue before to the one after; returns how many. None, when it
    has yet another queue by now."""
    count = 0
    if before != after:
        yield from queues.ensure(pool, after)
        ids = yield from waiting(pool, deployment, queue=before)
        for start in range(0, len(ids), BATCH):
            count += yield from _requeued(pool, deployment, after, ids[start : start + BATCH])
    yield from done(pool, queue_duty(deployment, before))
    return count


def _requeued(pool: str, deployment: str, queue: str, ids: list[str]) -> Call[int]:
    decode = expect("requeued", pool=pool, queue=queue)
    args = (deployment, queue, *ids)
    return Call("run_requeue", (keyspace.pool(pool),), args, lambda reply: int(decode(reply)[0]))


def done(pool: str, duty: str) -> Call[None]:
    return Call("ZREM", (keyspace.duties(pool),), (duty,), optional)


def waiting(pool: str, deployment: str, *, queue: str = "") -> Flow[list[str]]:
    """Ids of the waiting runs of the deployment, in one queue or all."""
    return [run.id for run in (yield from waiting_runs(pool, deployment, queue=queue))]


def waiting_runs(pool: str, deployment: str, *, queue: str = "", is_whole: bool = False) -> Flow[list[Run]]:
    """As `waiting`: the runs, and only if whole what they execute."""
    found: list[Run] = []
    start, size = 0, runs.WHOLE_PAGE if is_whole else BATCH
    while True:
        page = (start, start + size - 1)
        ids: list[str] = yield from Call("ZRANGE", (keyspace.runs_of(pool, deployment),), page, list)
        if not ids:
            return found
        kept = yield from runs.read_many(pool, ids, is_whole=is_whole)
        found += [run for run in kept if run.state is State.SCHEDULED and queue in ("", run.queue)]
        start += size


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A run that is on its way out of its pool, for the time that `moves` says."""

    id: str
    moves: int
    goal: str
    flat: list[str]
    input: str
    has_log: bool

    @staticmethod
    def read(row: list[Any]) -> _Leaving:
        of = fields(row[1])
        return _Leaving(row[0], int(of["moves"]), of["moving_to"], row[1], row[2], bool(int(of.get("log_bytes", 0))))

    def renewed(self, was: Document | None, now: Document | None) -> _Leaving:
        """With the deployment's new job variables under its own: the pool that it goes to may not know the old ones."""
        of = json.loads(self.input)
        had, own = of.pop("job_variables", {}), of.pop("own_job_variables", None)
        own = own_variables(had, own, was, is_scheduled="schedule" in self.flat[::2])
        if now is None or own is None:
            return self
        if variables := templates.merged(now, own):
            of |= {"job_variables": variables, "own_job_variables": own}
        return replace(self, input=json.dumps(of, separators=(",", ":")))


def own_variables(
    had: Document, own: Document | None, was: Document | None, *, is_scheduled: bool = False
) -> Document | None:
    """Those of a run's job variables that it said itself; None: they cannot be told from the deployment's. `own`: as it
    is kept, `was`: the deployment's."""
    if own is not None:
        return own
    return {} if not had or had == was or is_scheduled else None


def move(
    pool: str, deployment: str, target: str, queue: str, *, was: Document | None = None, now: Document | None = None
) -> Flow[int]:
    """Moves the waiting runs of the deployment to the queue of another pool; returns how many. Those that were on their
    way to yet another one go there too. When the target is gone they wait where they were.

    `was` and `now` are the deployment's job variables here, if that is known, and there (None: the runs keep theirs).

    Raises `DeploymentChanged` when another decided otherwise meanwhile: then it has to be looked at anew where they go.
    """
    ids = yield from waiting(pool, deployment)
    gone: list[_Leaving] = []
    count = 0
    while True:
        batch, ids = ids[:BATCH], ids[BATCH:]
        leaving = yield from _step(pool, deployment, target, gone, batch)
        if not leaving and not ids:
            break
        to_target = [run for run in leaving if run.goal == target]
        gone, back = yield from _adopted(pool, target, queue, [run.renewed(was, now) for run in to_target])
        count += len(gone)
        if back and (yield from _is_there(target)):
            yield from _returned(pool, "", back)
            raise DeploymentChanged(deployment=deployment)
        ids = [] if back else ids
        for goal, arrived, refused in (yield from _decided([run for run in leaving if run.goal != target])):
            gone += arrived
            back += refused
            ids += [run.id for run in refused if goal != target]
        yield from _returned(pool, "", back)
    return count


def put_back(pool: str, deployment: str, queue: str) -> Flow[int]:
    """Lets what was on its way out of the pool, and did not arrive, wait here again: in this queue, or empty: where it
    was. Returns how many."""
    gone: list[_Leaving] = []
    count = 0
    while leaving := (yield from _step(pool, deployment, pool, gone, [])):
        gone = []
        for _, arrived, refused in (yield from _decided(leaving)):
            gone += arrived
            count += yield from _returned(pool, queue, refused)
    return count


def is_any_leaving(pool: str, deployment: str) -> Flow[bool]:
    """Whether waiting runs of the deployment are on their way out of the pool."""
    return bool((yield from _step(pool, deployment, pool, [], [])))


def _is_there(pool: str) -> Call[bool]:
    return Call("HMGET", (keyspace.pool(pool),), ("id", "deleting"), lambda reply: bool(reply[0]) and reply[1] != "1")


def _step(pool: str, deployment: str, target: str, gone: Sequence[_Leaving], batch: list[str]) -> Call[list[_Leaving]]:
    words = [f"{run.id}:{run.moves}" for run in gone]
    args: tuple[Arg, ...] = (deployment, target, len(words), *words, *batch)
    decode = expect("moving", pool=pool)
    return Call("run_move", (keyspace.pool(pool),), args, lambda reply: [_Leaving.read(row) for row in decode(reply)])


def _adopted(
    pool: str, target: str, queue: str, leaving: Sequence[_Leaving]
) -> Flow[tuple[list[_Leaving], list[_Leaving]]]:
    """The runs that the target has now, and those that it does not take. One with a log goes alone: it may be large."""
    parts = [[run] for run in leaving if run.has_log]
    if plain := [run for run in leaving if not run.has_log]:
        parts.append(plain)
    refused: set[str] = set()
    try:
        if parts:
            yield from queues.ensure(target, queue)
        for part in parts:
            args: list[Arg] = [queue]
            for run in part:
                log = json.dumps((yield from _log(pool, run.id))) if run.has_log else ""
                args += [run.id, json.dumps(run.flat), run.input, log]
            decode = expect("adopted", pool=target, queue=queue)
            refused |= set((yield from Call("run_adopt", (keyspace.pool(target),), tuple(args), decode)))
    except (PoolNotFound, PoolBeingDeleted):
        decided = yield from _decided(leaving)
        return [run for _, arrived, _ in decided for run in arrived], [run for *_, back in decided for run in back]
    return [run for run in leaving if run.id not in refused], [run for run in leaving if run.id in refused]


def _log(pool: str, run: str) -> Flow[list[Arg]]:
    """The log of a run that waits for its retry: number, ms and text of each line, in one list."""
    lines = yield from runs.log(pool, run)
    return [word for line in lines for word in (line.number, line.at_ms, line.text)]


def _decided(leaving: Sequence[_Leaving]) -> Flow[list[tuple[str, list[_Leaving], list[_Leaving]]]]:
    """Of each pool that runs were to go to: the runs that have arrived there, and those that cannot any more."""
    found = []
    for goal in sorted({run.goal for run in leaving}):
        here = [run for run in leaving if run.goal == goal]
        args = [word for run in here for word in (run.id, run.moves)]
        decode = expect("decided", pool=goal)
        refused = set((yield from Call("run_refuse", (keyspace.pool(goal),), tuple(args), decode)))
        arrived = [run for run in here if run.id not in refused]
        found.append((goal, arrived, [run for run in here if run.id in refused]))
    return found


def _returned(pool: str, queue: str, back: Sequence[_Leaving]) -> Flow[int]:
    if not back:
        return 0
    args = [word for run in back for word in (run.id, run.moves)]
    decode = expect("returned", pool=pool)
    call = Call("run_return", (keyspace.pool(pool),), (queue, *args), lambda reply: int(decode(reply)[0]))
    return (yield from call)

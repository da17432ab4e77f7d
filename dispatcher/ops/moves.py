"""Waiting runs that follow their deployment to another queue or pool.

Within a pool one script moves them. Between pools, whose keys may lie on different servers of a cluster, a run is
taken out of reach first, then adopted by the other pool, then forgotten by the first: at no time can both hand it out,
and what a crash leaves in between is finished by whoever gets the duty `move:<deployment>`.
"""

from __future__ import annotations

import json
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Arg, Call, Flow, expect
from dispatcher.errors import PoolBeingDeleted, PoolNotFound
from dispatcher.models import DEFAULT_QUEUE
from dispatcher.ops import queues, runs
from dispatcher.ops.reading import fields, optional
from dispatcher.states import State

BATCH = 100


def duty(deployment: str) -> str:
    return f"move:{deployment}"


def requeue(pool: str, deployment: str, *, before: str, after: str) -> Flow[int]:
    """Moves the waiting runs of the deployment from its queue before to the one after; returns how many."""
    ids = yield from waiting(pool, deployment, queue=before)
    count = 0
    for start in range(0, len(ids), BATCH):
        count += yield from _requeued(pool, after, ids[start : start + BATCH])
    return count


def _requeued(pool: str, queue: str, ids: list[str], *, put_back: bool = False) -> Call[int]:
    decode = expect("requeued", pool=pool, queue=queue)
    args: tuple[Arg, ...] = (queue, int(put_back), *ids)
    return Call("run_requeue", (keyspace.pool(pool),), args, lambda reply: int(decode(reply)[0]))


def waiting(pool: str, deployment: str, *, queue: str = "") -> Flow[list[str]]:
    """Ids of the waiting runs of the deployment, in one queue or all."""
    found: list[str] = []
    start = 0
    while True:
        page = (start, start + BATCH - 1)
        ids: list[str] = yield from Call("ZRANGE", (keyspace.runs_of(pool, deployment),), page, list)
        if not ids:
            return found
        kept = yield from runs.read_many(pool, ids, is_whole=False)
        found += [run.id for run in kept if run.state is State.SCHEDULED and queue in ("", run.queue)]
        start += BATCH


def move(pool: str, deployment: str, target: str | None, queue: str = DEFAULT_QUEUE) -> Flow[int]:
    """Moves the waiting runs of the deployment to the queue of another pool; returns how many. To be called again
    after a crash, with the pool that the deployment has by then; None: it has none or this one."""
    ids = (yield from waiting(pool, deployment)) if target else []
    adopted: list[str] = []
    count = 0
    while True:
        batch, ids = ids[:BATCH], ids[BATCH:]
        rows = yield from _step(pool, deployment, target or pool, adopted, batch)
        if not rows and not ids:
            break
        adopted = []
        for goal in sorted({fields(flat)["moving_to"] for _, flat, _ in rows}):
            here = [row for row in rows if fields(row[1])["moving_to"] == goal]
            taken = (yield from _adopted(pool, goal, queue, here)) if goal == target else None
            if taken is None:  # that pool went away, or the deployment went elsewhere since
                taken = yield from _arrived(goal, [row[0] for row in here])
                back = [row[0] for row in here if row[0] not in taken]
                yield from _requeued(pool, DEFAULT_QUEUE, back, put_back=True)
                ids += back if target and goal != target else []
            adopted += taken
        count += len(adopted)
    yield from Call("ZREM", (keyspace.duties(pool),), (duty(deployment),), optional)
    return count


def _arrived(pool: str, ids: list[str]) -> Flow[list[str]]:
    """Those of the runs that this pool has adopted already."""
    try:
        found = yield from runs.read_many(pool, ids, is_whole=False)
    except PoolNotFound:
        return []
    return [run.id for run in found]


def _step(pool: str, deployment: str, target: str, adopted: list[str], batch: list[str]) -> Call[list[Any]]:
    args: tuple[Arg, ...] = (deployment, target, len(adopted), *adopted, *batch)
    return Call("run_move", (keyspace.pool(pool),), args, expect("moving", pool=pool))


def _adopted(pool: str, target: str, queue: str, rows: list[Any]) -> Flow[list[str] | None]:
    """Ids of the runs, which the target has now; None: there is no such pool any more."""
    args: list[Arg] = [queue]
    for run, flat, run_input in rows:
        if int(fields(flat).get("log_bytes", 0)):
            yield from _copy_log(pool, target, run)
        args += [run, json.dumps(flat), run_input]
    decode = expect("adopted", pool=target)
    call = Call("run_adopt", (keyspace.pool(target),), tuple(args), decode)
    try:
        yield from queues.ensure(target, queue)
        yield from call
    except (PoolNotFound, PoolBeingDeleted):
        return None
    return [row[0] for row in rows]


def _copy_log(pool: str, target: str, run: str) -> Flow[None]:
    """Of a run that waits for its retry. Entry ids stay, so copying it again changes nothing."""
    after = "-"
    while lines := (yield from runs.logs(pool, run, after=after)):
        for entry, line in lines:
            yield from _log_line(keyspace.run_log(target, run), entry, line.at_ms, line.text)
        after = lines[-1][0]


def _log_line(key: str, entry: str, at_ms: int, text: str) -> Flow[None]:
    last = yield from Call("XREVRANGE", (key,), ("+", "-", "COUNT", 1), lambda reply: reply[0][0] if reply else "0-0")
    if _order(last) < _order(entry):
        yield from Call("XADD", (key,), (entry, "ms", at_ms, "line", text), optional)


def _order(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence)

"""Duties that a pool has lost: the part of an audit for which one has to know what is still to be done.

A schedule whose times are not over is looked at when its duty says so, and a deployment that went to another pool, or
runs on their way there, wait for whoever has its duty `move:`. Without it nobody would ever go on.

Others work meanwhile, and take a duty off when it is done: so what it is for is looked at again after it was not found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import BadRequest
from dispatcher.models import Deployment, Schedule
from dispatcher.ops import deployments, moves, schedules
from dispatcher.ops.broker_facts import now_ms
from dispatcher.ops.reading import deployment_from, fields, optional
from dispatcher.ops.schedules import Progress
from dispatcher.schedules import planned

_PAGE = 100


def found(pool: str) -> Flow[list[str]]:
    """The duties that the pool should have and has not."""
    kept = yield from _kept(pool)
    here = yield from Call("HGETALL", (keyspace.deployments(),), (), fields)
    missing: list[str] = []
    for name in sorted({*(name for name in kept if here.get(name, pool) != pool), *(yield from _leaving(pool))}):
        missing += [moves.duty(name)] if (yield from _is_left_behind(pool, name)) else []
    pairs = [(of, one) for name, of in kept.items() if here.get(name) == pool for one in of.schedules]
    for start in range(0, len(pairs), _PAGE):
        page = pairs[start : start + _PAGE]
        seen = yield from schedules.progress(pool, [(of.name, one.id) for of, one in page])
        missing += [
            schedules.duty(of.name, one.id)
            for (of, one), row in zip(page, seen, strict=True)
            if _is_forgotten(one, row)
        ]
    return missing


def give(pool: str, duties: Iterable[str]) -> Flow[None]:
    """Gives the pool these duties, to be done now, unless it has them."""
    at_ms = yield from now_ms()
    for duty in duties:
        yield from Call("ZADD", (keyspace.duties(pool),), ("NX", at_ms, duty), optional)


def _kept(pool: str) -> Call[dict[str, Deployment]]:
    return Call(
        "HGETALL",
        (keyspace.deployment_set(pool),),
        (),
        lambda reply: {name: deployment_from(name, pool, text) for name, text in fields(reply).items()},
    )


def _leaving(pool: str) -> Flow[set[str]]:
    """The deployments of which runs are on their way out of the pool."""
    ids: list[str] = yield from Call("ZRANGE", (keyspace.moving(pool),), (0, -1), list)
    names = set()
    for run in ids:
        goal, name = yield from Call("HMGET", (keyspace.run(pool, run),), ("moving_to", "deployment"), list)
        if goal is not None:  # else it only stands there
            names.add(str(name))
    return names


def _is_left_behind(pool: str, name: str) -> Flow[bool]:
    """Whether something of the deployment is to leave the pool, and nobody has the duty to see to it."""
    goal = (yield from deployments.pool_of(name)) or pool
    pools: Collection[str] = {pool, goal}  # who leads it here still has it where it was
    for place in pools:
        if (yield from _has(place, moves.duty(name))):
            return False
    if name in (yield from _leaving(pool)):
        return True
    is_kept = yield from Call("HEXISTS", (keyspace.deployment_set(pool),), (name,), bool)
    return is_kept and goal != pool and (yield from deployments.pool_of(name)) == goal


def _has(pool: str, duty: str) -> Call[bool]:
    return Call("ZSCORE", (keyspace.duties(pool),), (duty,), lambda reply: reply is not None)


def _is_forgotten(schedule: Schedule, row: Progress) -> bool:
    """Whether nobody will look at a schedule that has times to come."""
    if not row.digest or row.look_at_ms is not None:
        return False
    try:
        plan = planned(schedule, cursor_ms=row.cursor_ms, now_ms=row.now_ms, waiting_ms=row.nominal_ms)
    except BadRequest:  # no time was found, and why has to be told anew
        return True
    return bool(plan.times) or plan.look_at_ms is not None

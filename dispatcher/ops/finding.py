"""What a person means, wherever it is: a deployment, a run, the runs of several pools. Reads, after a tick of the pool,
so that the truth is told also where no consumer lives who would notice a due or lost run."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dispatcher.call import Flow
from dispatcher.errors import (
    BadValue,
    DeploymentMisnamed,
    DeploymentNotFound,
    PoolNotFound,
    QueueNotFound,
    QueueNowhere,
    RunNotFound,
)
from dispatcher.models import Deployment, Run
from dispatcher.ops import deployments, pools, queues, runs
from dispatcher.states import State

TICKS = 50  # at most, so that a reader is not kept by a pool which never comes to rest


def deployment(name: str) -> Flow[Deployment]:
    """`flow/name`, the plain name where only one flow has it, or the id. Raises `DeploymentNotFound`, with the nearest
    name if there is one; `AmbiguousName`."""
    try:
        return (yield from deployments.read(name))
    except DeploymentNotFound:
        listed = yield from deployments.list_all()
        known = {part: one.name for one in listed for part in (*one.name.split("/"), one.name)}
        near = [known[part] for part in get_close_matches(name, known, n=1)]
        if not near:
            raise
        raise DeploymentMisnamed(deployment=name, near=near[0]) from None


def run(which: Run | str) -> Flow[Run]:
    """The run as it is now: by itself, its id, the beginning of it, or its name where only one has it.

    Raises `RunNotFound`, `AmbiguousName`, `BadValue` for what is neither.
    """
    given: object = which
    if not isinstance(given, Run | str):
        raise BadValue(f"a run is named by {given!r}: give the run itself, its id, or its name.")
    found = (yield from runs.find(which)) if isinstance(which, str) else which
    try:
        yield from pools.tick(found.pool)
        return (yield from runs.read(found.pool, found.id))
    except (PoolNotFound, RunNotFound):
        moved = yield from runs.find(found.id)  # to where its deployment went
        return (yield from runs.read(moved.pool, moved.id))


def let_time_pass(pool: str) -> Flow[None]:
    """Promotes due runs and ends expired leases of a pool, until it comes to rest. Raises `PoolNotFound`."""
    for _ in range(TICKS):
        if not (yield from pools.tick(pool)):
            return


def near(error: PoolNotFound | QueueNotFound, queue: str = "") -> Flow[str]:
    """What may have been meant instead, as a sentence; empty: nobody knows. `queue`: which one was wanted of the pool
    that was not found."""
    wanted = queue if isinstance(error, PoolNotFound) else str(error.facts["queue"])
    of_pool = str(error.facts.get("pool", ""))
    known = yield from pools.list_all()
    others = [pool.name for pool in known if any(wanted in (one.name, one.id) for one in pool.queues)]
    if wanted and others:
        return f"Work pool {others[0]} has a queue {wanted}: give --pool {others[0]}."
    if isinstance(error, PoolNotFound):
        for pool in known:
            if pool.id == of_pool:
                return f"That is the id of work pool {pool.name}: give its name."
        return _did_you_mean(of_pool, [pool.name for pool in known])
    return _did_you_mean(wanted, {one.name: 1 for pool in known if of_pool in ("", pool.name) for one in pool.queues})


def _did_you_mean(wanted: str, known: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in known}  # capitals are the usual slip
    found = get_close_matches(wanted.lower(), by_lower, n=1)
    return f"Did you mean {by_lower[found[0]]}?" if found else ""


def listed(
    *,
    states: frozenset[State] = frozenset(),
    state_names: frozenset[str] = frozenset(),
    deployment: str | None = None,
    pool: str | None = None,
    queue: str = "",
    due_before_ms: int | None = None,
    due_after_ms: int | None = None,
    most: int = 50,
) -> Flow[list[Run]]:
    """Runs of one pool or of all, the latest expected start first.

    Raises `PoolNotFound`, `DeploymentNotFound`; `QueueNotFound` for a queue that none of these pools has, if no run of
    it is kept either.
    """
    name = (yield from deployments.full_name(deployment)) if deployment else ""
    found: list[Run] = []
    places = [pool] if pool else (yield from pools.names())
    for place in places:
        try:
            yield from let_time_pass(place)
            found += yield from runs.list_pool(
                place,
                states=states,
                state_names=state_names,
                deployment=name,
                queue=queue,
                due_before_ms=due_before_ms,
                due_after_ms=due_after_ms,
                most=most,
            )
        except PoolNotFound:
            if pool:
                raise
    if queue and places and not found and not (yield from _is_known(queue, places)):
        raise QueueNotFound(queue=queue, pool=places[0]) if len(places) == 1 else QueueNowhere(queue=queue)
    return sorted(found, key=lambda run: (run.due_at_ms, run.id), reverse=True)[:most]


def _is_known(queue: str, places: list[str]) -> Flow[bool]:
    """Whether one of these pools has the queue, or a run of it: a queue that is gone is known by its runs. Any other
    is a slip of the finger."""
    for place in places:
        try:
            if any(one.name == queue for one in (yield from queues.list_all(place))):
                return True
            if (yield from runs.list_pool(place, queue=queue, most=1)):
                return True
        except PoolNotFound:
            continue
    return False

"""What a person means, wherever it is: a deployment, a run, the runs of several pools. Reads, after a tick of the pool,
so that the truth is told also where no consumer lives who would notice a due or lost run."""

from __future__ import annotations

from difflib import get_close_matches

from dispatcher.call import Flow
from dispatcher.errors import DeploymentMisnamed, DeploymentNotFound, PoolNotFound, QueueNotFound, RunNotFound
from dispatcher.models import Deployment, Run
from dispatcher.ops import deployments, pools, queues, runs
from dispatcher.states import State

TICKS = 50  # at most, so that a reader is not kept by a pool which never comes to rest


def deployment(name: str) -> Flow[Deployment]:
    """`flow/name`, or the plain name where only one flow has it. Raises `DeploymentNotFound`,
    with the nearest name if there is one; `AmbiguousName`."""
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

    Raises `RunNotFound`, `AmbiguousName`.
    """
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


def listed(
    *,
    states: frozenset[State] = frozenset(),
    deployment: str | None = None,
    pool: str | None = None,
    queue: str = "",
    due_before_ms: int | None = None,
    due_after_ms: int | None = None,
    most: int = 50,
) -> Flow[list[Run]]:
    """Runs of one pool or of all, the latest expected start first.

    Raises `PoolNotFound`, `DeploymentNotFound`; `QueueNotFound` for a queue that a named pool never had.
    """
    name = (yield from deployments.full_name(deployment)) if deployment else ""
    found: list[Run] = []
    for place in [pool] if pool else (yield from pools.names()):
        try:
            yield from let_time_pass(place)
            found += yield from runs.list_pool(
                place,
                states=states,
                deployment=name,
                queue=queue,
                due_before_ms=due_before_ms,
                due_after_ms=due_after_ms,
                most=most,
            )
        except PoolNotFound:
            if pool:
                raise
    # A queue that is gone is known by its runs; any other that the pool does not have is a slip of the finger.
    if pool and queue and not found and not (yield from runs.list_pool(pool, queue=queue, most=1)):
        known = yield from queues.list_all(pool)
        if queue not in {one.name for one in known}:
            raise QueueNotFound(queue=queue, pool=pool)
    return sorted(found, key=lambda run: (run.due_at_ms, run.id), reverse=True)[:most]

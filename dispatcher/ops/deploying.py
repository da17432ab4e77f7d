"""Storing a deployment in place of the one that is there, with what deploying does not change: its id, and what a
command has paused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from dispatcher.call import Flow
from dispatcher.errors import PoolNotFound, QueueIsFilter
from dispatcher.models import DEFAULT_POOL, Deployment, Schedule, Stored
from dispatcher.ops import deployments, pools, queues


def store(
    wanted: Deployment, schedules: Sequence[Schedule] | None, *, said_active: Collection[str] = ()
) -> Flow[Stored]:
    """Stores it, and makes the default pool if it needs it; `schedules` and `said_active` as in `over`.

    Raises as `deployments.save`.
    """
    made_pool = wanted.pool == DEFAULT_POOL and (yield from pools.ensure(DEFAULT_POOL))
    stored = yield from deployments.replaced(
        wanted.name, lambda before: over(before, wanted, schedules, said_active=said_active)
    )
    return replace(stored, made_pool=made_pool)


def check_queue(pool: str, queue: str) -> Flow[None]:
    """Whether runs can be sent to the queue, which may not be made yet, nor its pool. Raises `QueueIsFilter`."""
    if pool != DEFAULT_POOL:  # no other has queues with filters
        return
    with suppress(PoolNotFound):
        if any(one.name == queue and one.filter for one in (yield from queues.list_all(pool))):
            raise QueueIsFilter(queue=queue, pool=pool)


def over(
    before: Deployment | None,
    wanted: Deployment,
    schedules: Sequence[Schedule] | None,
    *,
    said_active: Collection[str] = (),
) -> Deployment:
    """What is to be stored in place of `before`. `schedules` None: those that are stored stay. What was paused by a
    command stays so, but for the schedules whose ids are in `said_active`: they say themselves whether they are.
    """
    if before is None:
        return replace(wanted, schedules=tuple(schedules or ()))
    kept = before.schedules
    if schedules is not None:
        resting = _paused(before.schedules, schedules).difference(said_active)
        kept = tuple(replace(one, is_active=one.is_active and one.id not in resting) for one in schedules)
    return replace(wanted, id=before.id, schedules=kept, is_paused=before.is_paused)


def _paused(before: Sequence[Schedule], after: Sequence[Schedule]) -> set[str]:
    """Ids of those that a command has paused; the only new one is paused if the only one that goes is."""
    paused = {one.id for one in before if not one.is_active}
    gone = {one.id for one in before} - {one.id for one in after}
    new = {one.id for one in after} - {one.id for one in before}
    if len(gone) == len(new) == 1 and gone <= paused:
        paused |= new
    return paused

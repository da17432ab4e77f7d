"""Storing a deployment in place of the one that is there, with what deploying does not change: its id, its age, and
what a command has paused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dispatcher.call import Flow
from dispatcher.errors import DeploymentChanged, DeploymentNotFound
from dispatcher.models import DEFAULT_POOL, Deployment, Schedule
from dispatcher.ops import deployments, pools

TRIES = 50  # of ten that store the same at once, each round lets one through


def store(wanted: Deployment, schedules: Sequence[Schedule] | None) -> Flow[Deployment]:
    """Stores it and returns it as it is kept; makes the default pool if it needs it. `schedules` None: those that are
    stored stay. One that is stored and paused stays paused.

    Raises as `deployments.save`.
    """
    for _ in range(TRIES):
        if wanted.pool == DEFAULT_POOL:
            yield from pools.ensure(DEFAULT_POOL)
        before = yield from _kept(wanted.name)
        new = replace(wanted, schedules=tuple(schedules or ())) if before is None else _over(before, wanted, schedules)
        try:
            yield from deployments.save(new, over=before.version if before else "")
        except DeploymentChanged:
            continue
        return (yield from deployments.read(new.name))
    raise DeploymentChanged(deployment=wanted.name)


def _kept(name: str) -> Flow[Deployment | None]:
    try:
        return (yield from deployments.read(name))
    except DeploymentNotFound:
        return None


def _over(before: Deployment, after: Deployment, schedules: Sequence[Schedule] | None) -> Deployment:
    paused = {schedule.id for schedule in before.schedules if not schedule.is_active}
    kept = before.schedules
    if schedules is not None:
        kept = tuple(replace(one, is_active=one.is_active and one.id not in paused) for one in schedules)
    return replace(after, id=before.id, created_at_ms=before.created_at_ms, schedules=kept, is_paused=before.is_paused)

"""Duties of a pool, as scripts hand them out: `schedule:<deployment>:<id>` and `move:<deployment>`."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.call import Flow
from dispatcher.errors import DeploymentNotFound
from dispatcher.ops import deployments, moves, schedules


def perform(pool: str, duties: Sequence[str]) -> Flow[int]:
    """Does them; returns how many runs were made or moved. What another was quicker with is passed over.

    Raises `PoolNotFound`, `PoolBeingDeleted`.
    """
    words = [duty.split(":") for duty in duties]
    pairs = [(of[1], of[2]) for of in words if of[0] == "schedule"]
    count = (yield from schedules.expand(pool, pairs)) if pairs else 0
    for of in words:
        if of[0] == "move":
            count += yield from _moved(pool, of[1])
    return count


def _moved(pool: str, name: str) -> Flow[int]:
    try:
        deployment = yield from deployments.read(name)
    except DeploymentNotFound:
        return (yield from moves.move(pool, name, None))
    return (yield from moves.move(pool, name, None if deployment.pool == pool else deployment.pool, deployment.queue))

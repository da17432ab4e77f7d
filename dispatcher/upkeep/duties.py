"""Duties of a pool, as scripts hand them out: `schedule:<deployment>:<id>`, `move:<deployment>` and
`requeue:<deployment>:<queue>`."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.call import Flow
from dispatcher.errors import BadRequest, DeploymentNotFound, DispatcherError, LostRace
from dispatcher.ops import deployments, moves, schedules


def perform(pool: str, duties: Sequence[str]) -> Flow[int]:
    """Does them; returns how many runs were made or moved. What another was quicker with is passed over. One that fails
    keeps none of the others waiting: what it raised is raised when they are done.

    Raises `PoolNotFound`, `PoolBeingDeleted`, `DeploymentChanged`.
    """
    words = [duty.split(":") for duty in duties]
    pairs = [(of[1], of[2]) for of in words if of[0] == "schedule"]
    moving = {of[1] for of in words if of[0] == "move"}
    for name in sorted({name for name, _ in pairs} - moving):
        goal = yield from deployments.pool_of(name)
        if goal not in (None, pool):  # it went there, and who led it did not come to its end
            moving.add(name)
    parts: list[Flow[int]] = [_moved(pool, name) for name in sorted(moving)]
    if staying := [pair for pair in pairs if pair[0] not in moving]:
        parts.append(schedules.expand(pool, staying))
    parts += [_requeued(pool, of[1], of[2]) for of in words if of[0] == "requeue"]
    count = 0
    failure: DispatcherError | None = None
    for part in parts:
        try:
            count += yield from part
        except (BadRequest, LostRace) as error:
            failure = failure or error
    if failure:
        raise failure
    return count


def _moved(pool: str, name: str) -> Flow[int]:
    return (yield from deployments.settle(pool, name))[1]


def _requeued(pool: str, name: str, before: str) -> Flow[int]:
    try:
        deployment = yield from deployments.read(name)
    except DeploymentNotFound:
        deployment = None
    after = deployment.queue if deployment and deployment.pool == pool else before
    return (yield from moves.requeue(pool, name, before=before, after=after))

"""`client.pools`, `client.queues` and `client.deployments`: the operations of these nouns as methods of both clients.

Each is an operation of `ops/` as it stands there, with its parameters and its docstring, so nothing is written twice
and a new one is a line. What people do with runs every day stands on the client itself (`verbs.py`).
"""

from __future__ import annotations

from dispatcher.binding import D_co, Namespace, verb
from dispatcher.call import Flow
from dispatcher.models import Queue, Saved
from dispatcher.ops import deployments, finding, pools, queues


class Pools(Namespace[D_co]):
    """Work pools, by name."""

    create = verb(pools.create)
    get = verb(pools.read)
    list = verb(pools.list_all)
    update = verb(pools.update)
    set_limit = verb(pools.set_limit)
    pause = verb(pools.pause)
    resume = verb(pools.resume)
    delete = verb(pools.delete)


def _create_queue(
    pool: str,
    name: str,
    *,
    limit: int | None = None,
    priority: int | None = None,
    description: str = "",
    is_paused: bool = False,
) -> Flow[Queue]:
    """Makes a queue. No priority given: the lowest free number; given and taken: the newcomer keeps it, the others move
    up as far as needed. Raises `QueueExists`, `PoolNotFound`, `BadName`, `BadValue`."""
    yield from queues.create(pool, name, limit=limit, priority=priority, description=description, is_paused=is_paused)
    return (yield from queues.read(pool, name))


class Queues(Namespace[D_co]):
    """Work queues, by the name of their pool and their own."""

    create = verb(_create_queue)
    get = verb(queues.read)
    list = verb(queues.list_all)
    update = verb(queues.update)
    set_limit = verb(queues.set_limit)
    set_priorities = verb(queues.set_priorities)
    pause = verb(queues.pause)
    resume = verb(queues.resume)
    delete = verb(queues.delete)


def _pause(name: str) -> Flow[Saved]:
    """None of its schedules makes runs, and those of them that wait are taken back. Raises `DeploymentNotFound`."""
    return deployments.set_paused(name, True)


def _resume(name: str) -> Flow[Saved]:
    """Its schedules go on from now: what would have been meanwhile is not made up for. Raises `DeploymentNotFound`."""
    return deployments.set_paused(name, False)


def _pause_schedule(name: str, schedule: str) -> Flow[Saved]:
    """Pauses one schedule, named by its id or the beginning of it."""
    return deployments.set_schedule(name, schedule, is_active=False)


def _resume_schedule(name: str, schedule: str) -> Flow[Saved]:
    """Resumes one schedule, named by its id or the beginning of it."""
    return deployments.set_schedule(name, schedule, is_active=True)


class Deployments(Namespace[D_co]):
    """Deployments, by `flow/name`, or the name where only one flow has it. `client.deploy` makes them."""

    get = verb(finding.deployment)
    list = verb(deployments.list_all)
    pause = verb(_pause)
    resume = verb(_resume)
    delete = verb(deployments.delete)
    add_schedule = verb(deployments.add_schedule)
    pause_schedule = verb(_pause_schedule)
    resume_schedule = verb(_resume_schedule)
    delete_schedule = verb(deployments.delete_schedule)

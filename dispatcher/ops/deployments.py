"""Deployments: keep, read, list, delete. A deployment lives with its pool; the directory only says which pool.

What a deployment file or an option may say is checked before it comes here, in `cli/deployment_file.py`; parameters
are checked against the schema that was read off the flow's signature, in `dispatcher/parameters.py`.
"""

from __future__ import annotations

import json

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import AmbiguousName, DeploymentNotFound
from dispatcher.models import Deployment, RunInput, Schedule
from dispatcher.ops import queues
from dispatcher.ops.reading import optional


def checked(deployment: Deployment) -> Deployment:
    """The deployment, if its name is `flow/name` and all its names are valid; raises `BadName`."""
    flow, _, own = deployment.name.partition("/")
    keyspace.checked_name("Flow", flow)
    keyspace.checked_name("Deployment", own)
    keyspace.checked_name("Work pool", deployment.pool)
    keyspace.checked_name("Work queue", deployment.queue)
    return deployment


def save(deployment: Deployment) -> Flow[bool]:
    """Writes the deployment, making its queue if it is missing; True: the queue was made now.

    A deployment of that name in another pool is replaced by this one. Raises `PoolNotFound`, `BadName`.
    """
    before = yield from _pool_of(checked(deployment).name)
    made_queue = yield from queues.ensure(deployment.pool, deployment.queue)
    key = keyspace.deployment_set(deployment.pool)
    yield from Call("HSET", (key,), (deployment.name, _stored(deployment)), optional)
    yield from Call("HSET", (keyspace.deployments(),), (deployment.name, deployment.pool), optional)
    if before is not None and before != deployment.pool:
        yield from Call("HDEL", (keyspace.deployment_set(before),), (deployment.name,), optional)
    return made_queue


def _stored(deployment: Deployment) -> str:
    return json.dumps(
        {
            "id": deployment.id,
            "queue": deployment.queue,
            "description": deployment.description,
            "schedules": [schedule.document() for schedule in deployment.schedules],
            "paused": deployment.is_paused,
            "input": deployment.input.compact(),
            "parameter_schema": deployment.parameter_schema,
            "created_ms": deployment.created_at_ms,
            "updated_ms": deployment.updated_at_ms,
        },
        separators=(",", ":"),
    )


def _pool_of(name: str) -> Call[str | None]:
    return Call("HGET", (keyspace.deployments(),), (name,), lambda reply: reply)


def read(name: str) -> Flow[Deployment]:
    """The deployment `flow/name`, or the plain `name` where only one flow has it.

    Raises `DeploymentNotFound`, `AmbiguousName`.
    """
    full = yield from full_name(name)
    pool = yield from _pool_of(full)
    text = (yield from Call("HGET", (keyspace.deployment_set(pool),), (full,), lambda reply: reply)) if pool else None
    if pool is None or text is None:
        raise DeploymentNotFound(deployment=name)
    return _loaded(full, pool, text)


def full_name(name: str) -> Flow[str]:
    """`flow/name` for a plain name; what already has the form is not looked up, its deployment may be gone.

    Raises `DeploymentNotFound`, `AmbiguousName`.
    """
    if "/" in name:
        return name
    directory = yield from Call("HKEYS", (keyspace.deployments(),), (), lambda reply: sorted(reply))
    found = [entry for entry in directory if entry.partition("/")[2] == name]
    if len(found) > 1:
        raise AmbiguousName(noun="Deployment", name=name, found=", ".join(found))
    if not found:
        raise DeploymentNotFound(deployment=name)
    return str(found[0])


def _loaded(name: str, pool: str, text: str) -> Deployment:
    of = json.loads(text)
    return Deployment(
        name=name,
        id=of["id"],
        pool=pool,
        queue=of["queue"],
        input=RunInput.read(of["input"]),
        description=of["description"],
        parameter_schema=of["parameter_schema"],
        schedules=tuple(map(Schedule.read, of.get("schedules", ()))),
        is_paused=of.get("paused", False),
        created_at_ms=of["created_ms"],
        updated_at_ms=of["updated_ms"],
    )


def list_all() -> Flow[list[Deployment]]:
    """Every deployment, by name."""
    pools = yield from Call("SMEMBERS", (keyspace.pools(),), (), lambda reply: sorted(reply))
    found = []
    for pool in pools:
        flat = yield from Call("HGETALL", (keyspace.deployment_set(pool),), (), list)
        found += [_loaded(name, pool, text) for name, text in zip(flat[::2], flat[1::2], strict=True)]
    return sorted(found, key=lambda deployment: deployment.name)


def delete(name: str) -> Flow[None]:
    """Removes the deployment. Runs that were submitted already are kept and go on. Raises as `read`."""
    deployment = yield from read(name)
    yield from Call("HDEL", (keyspace.deployment_set(deployment.pool),), (deployment.name,), optional)
    yield from Call("HDEL", (keyspace.deployments(),), (deployment.name,), optional)

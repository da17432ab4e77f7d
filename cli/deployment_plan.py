"""From what somebody wrote (options or a file) to the deployment that is stored, in two steps.

`planned` looks at everything: the flow, its parameters, names, the pool, what is stored now; it changes nothing.
`save` writes. A command plans all of its deployments before it saves the first, so that a fault in any of them
changes nothing at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatcher import parameters, signature
from dispatcher.errors import BadRequest, BadValue, DeploymentNotFound
from dispatcher.ids import new_id
from dispatcher.models import DEFAULT_POOL, DEFAULT_QUEUE, Deployment, RunInput
from dispatcher.ops import deployments, pools

if TYPE_CHECKING:
    from cli.deployment_file import Entry
    from dispatcher import Client

NOT_COMPARED = ("id", "created", "updated")


@dataclass(frozen=True, slots=True)
class Draft:
    """A deployment as it was asked for. `where` is its place in a file, empty for options."""

    name: str
    input: RunInput
    pool: str | None = None
    queue: str | None = None
    description: str = ""
    where: str = ""
    said: frozenset[str] = frozenset()  # fields of the input that `@flow` has no say in any more


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment that can be stored as it is; `before` is the one that it replaces."""

    deployment: Deployment
    before: Deployment | None = None
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # field of the document -> before, after

    @property
    def status(self) -> str:
        return "created" if self.before is None else "updated" if self.changes else "unchanged"

    def document(self, status: str = "") -> dict[str, Any]:
        """The deployment's document, with what became of it."""
        changes = {name: {"before": before, "after": after} for name, (before, after) in self.changes.items()}
        return {**self.deployment.document(), "status": status or self.status, "changes": changes}


def draft_of(entry: Entry, where: str, folder: Path) -> Draft:
    """What one entry of a file asks for; its relative path starts at the file's `folder`."""
    env = entry.work_pool.job_variables.env
    return Draft(
        name=entry.name,
        input=RunInput(
            entrypoint=entry.entrypoint,
            command=None if entry.command is None else tuple(entry.command),
            path=str(Path.cwd() if entry.path is None else (folder / entry.path).resolve()),
            parameters=entry.parameters,
            tags=tuple(entry.tags),
            job_variables={"env": env} if env else {},
            retries=entry.retries,
            retry_delay_s=entry.retry_delay_seconds,
            timeout_s=entry.timeout_seconds,
        ),
        pool=entry.work_pool.name,
        queue=entry.work_pool.work_queue_name,
        description=entry.description,
        where=where,
        said=frozenset(name.replace("_seconds", "_s") for name in entry.model_fields_set),
    )


def planned(client: Client, drafts: Iterable[Draft], *, check: bool) -> list[Plan]:
    """The plans, in order; changes nothing. `check`: import each flow, for its existence and its parameters.

    Raises what is wrong with a draft; of a file's drafts everything, each with its place in front.
    """
    plans: dict[str, Plan] = {}
    faults: list[str] = []
    for draft in drafts:
        try:
            plan = _plan(client, draft, check=check)
            if plan.deployment.name in plans:
                raise BadValue(f"{plan.deployment.name} is there twice: give one of them another name.")
        except BadRequest as error:
            if not draft.where:
                raise
            faults.append(f"{draft.where}: {error}")
        else:
            plans[plan.deployment.name] = plan
    if faults:
        raise BadValue("\n".join([*faults, "Nothing was changed."]))
    return list(plans.values())


def _plan(client: Client, draft: Draft, *, check: bool) -> Plan:
    seen = signature.seen(draft.input, check=check)
    now_ms = time.time_ns() // 1_000_000
    deployment = deployments.checked(
        Deployment(
            name=f"{seen.flow_name}/{draft.name}",
            id=new_id(),
            pool=draft.pool or DEFAULT_POOL,
            queue=draft.queue or DEFAULT_QUEUE,
            input=seen.filled(draft.input, draft.said),
            description=draft.description or seen.description,
            parameter_schema=seen.parameters,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
    )
    parameters.check(seen.parameters, draft.input.parameters, flow=f"the flow {seen.flow_name!r}", is_complete=False)
    if draft.pool is not None:
        client.run(pools.read(draft.pool))
    try:
        before = client.run(deployments.read(deployment.name))
    except DeploymentNotFound:
        return Plan(deployment, None, _changes(None, deployment))
    deployment = replace(deployment, id=before.id, created_at_ms=before.created_at_ms)
    return Plan(deployment, before, _changes(before, deployment))


def _changes(before: Deployment | None, after: Deployment) -> dict[str, tuple[Any, Any]]:
    old = before.document() if before else {}
    return {
        name: (old.get(name), value)
        for name, value in after.document().items()
        if name not in NOT_COMPARED and old.get(name) != value
    }


def save(client: Client, plan: Plan) -> list[str]:
    """Stores the deployment; returns what was made for it on the way, in words. The default pool is made if needed."""
    wanted = plan.deployment
    made = []
    if wanted.pool == DEFAULT_POOL and client.run(pools.ensure(DEFAULT_POOL)):
        made.append(f"Work pool {DEFAULT_POOL!r} was made, of type agent.")
    saved = client.run(deployments.save(wanted))
    if saved.made_queue:
        made.append(f"Work queue {wanted.queue!r} was made in work pool {wanted.pool!r}.")
    return made

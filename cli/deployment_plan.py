"""From what somebody wrote (options or a file) to the deployment that is stored, in two steps.

`planned` looks at everything: the flow, its parameters, names, the pool and its template, schedules, what is stored
now; it changes nothing. `save` writes. A command plans all of its deployments before it saves the first, so that a
fault in any of them changes nothing at all.

What a draft does not say about schedules is kept: without any, those that are stored stay; one that does not say
whether it is active stays paused if it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli import values
from dispatcher import parameters, schedules, signature, templates
from dispatcher.errors import BadRequest, BadValue, DeploymentChanged, DeploymentNotFound
from dispatcher.ids import new_id
from dispatcher.models import DEFAULT_POOL, DEFAULT_QUEUE, Deployment, PoolTemplate, RunInput, Saved, Schedule
from dispatcher.ops import deployments, pools
from dispatcher.ops import schedules as kept_schedules
from dispatcher.ops import templates as pool_templates

if TYPE_CHECKING:
    from cli.deployment_form import Entry
    from dispatcher import Client
    from dispatcher.signature import Signature

R = TypeVar("R")
NOT_COMPARED = ("id", "created", "updated")
TRIES = 50  # of ten commands that store the same at once, each round lets one through


@dataclass(frozen=True, slots=True)
class Draft:
    """A deployment as it was asked for. `where` is its place in a file, empty for options. `schedules` None: nothing is
    said of them. `parameters` and `variables` are those of options, which win over the input's."""

    name: str
    input: RunInput
    pool: str | None = None
    queue: str | None = None
    description: str = ""
    where: str = ""
    said: frozenset[str] = frozenset()  # fields of the input that `@flow` has no say in any more
    schedules: tuple[Schedule, ...] | None = None
    said_active: frozenset[str] = frozenset()  # ids of schedules that say themselves whether they are paused
    parameters: values.Parameters = field(default_factory=values.Parameters)
    variables: values.Variables = field(default_factory=values.Variables)


@dataclass(frozen=True, slots=True)
class Plan:
    """A deployment that can be stored as it is; `before` is the one that it replaces."""

    deployment: Deployment
    before: Deployment | None
    changes: dict[str, tuple[Any, Any]]  # field of the document -> before, after
    draft: Draft
    seen: Signature

    @property
    def status(self) -> str:
        return "created" if self.before is None else "updated" if self.changes else "unchanged"

    def document(self) -> dict[str, Any]:
        """The deployment's document, with what becomes of it."""
        changes = {name: {"before": before, "after": after} for name, (before, after) in self.changes.items()}
        return {**self.deployment.document(), "status": self.status, "changes": changes}


def draft_of(entry: Entry, where: str, folder: Path) -> Draft:
    """What one entry of a file asks for; its relative path starts at the file's `folder`."""
    listed = entry.schedules
    return Draft(
        name=entry.name,
        input=RunInput(
            entrypoint=entry.entrypoint,
            command=None if entry.command is None else tuple(entry.command),
            path=str(Path.cwd() if entry.path is None else (folder / entry.path).resolve()),
            parameters=entry.parameters,
            tags=tuple(entry.tags),
            job_variables=entry.work_pool.job_variables,
            retries=entry.retries,
            retry_delay_s=entry.retry_delay_seconds,
            timeout_s=entry.timeout_seconds,
            infrastructure=entry.infrastructure,
        ),
        pool=entry.work_pool.name,
        queue=entry.work_pool.work_queue_name,
        description=entry.description,
        where=where,
        said=frozenset(name.replace("_seconds", "_s") for name in entry.model_fields_set),
        schedules=None if listed is None else tuple(one.schedule for one in listed),
        said_active=frozenset(one.schedule.id for one in listed or () if one.says_active),
    )


def planned(client: Client, drafts: Iterable[Draft], *, check: bool) -> list[Plan]:
    """The plans, in order; changes nothing. `check`: import each flow, for its existence and its parameters.

    Raises everything that is wrong with a draft; of a file's drafts with all, each with its place in front.
    """
    plans: dict[str, Plan] = {}
    faults: list[str] = []
    for draft in drafts:
        found = _Faults()
        plan = _looked_at(client, draft, found, check=check)
        if plan is not None and plan.deployment.name in plans:
            found.append(BadValue(f"{plan.deployment.name} is there twice: give one of them another name."))
        if not draft.where:
            found.end()
        faults += [f"{draft.where}: {error}" for error in found]
        if plan is not None:
            plans[plan.deployment.name] = plan
    if faults:
        raise BadValue("\n".join([*faults, "Nothing was changed."]))
    return list(plans.values())


class _Faults(list[BadRequest]):
    """Every fault of a draft, raised together."""

    def attempt(self, look: Callable[..., R], *args: Any, **options: Any) -> R | None:
        try:
            return look(*args, **options)
        except BadRequest as error:
            self.append(error)
            return None

    def end(self) -> None:
        if len(self) == 1:
            raise self[0]
        if self:
            raise BadValue("\n".join(str(error) for error in self))


def _looked_at(client: Client, draft: Draft, faults: _Faults, *, check: bool) -> Plan | None:
    seen = faults.attempt(signature.seen, draft.input, check=check)
    template = faults.attempt(values.template_of, client, draft.pool)
    if seen is None or template is None:
        return None
    return _planned(client, draft, seen, template, faults)


def _planned(client: Client, draft: Draft, seen: Signature, template: PoolTemplate, faults: _Faults) -> Plan:
    now_ms = time.time_ns() // 1_000_000
    of = draft.input
    variables = faults.attempt(draft.variables.typed, template, of.infrastructure) or {}
    deployment = Deployment(
        name=f"{seen.flow_name}/{draft.name}",
        id=new_id(),
        pool=draft.pool or DEFAULT_POOL,
        queue=draft.queue or DEFAULT_QUEUE,
        input=replace(
            seen.filled(of, draft.said),
            parameters=of.parameters | draft.parameters.typed(seen.parameters),
            job_variables=templates.merged(of.job_variables, variables),
        ),
        description=draft.description or seen.description,
        parameter_schema=seen.parameters,
        schedules=draft.schedules or (),
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )
    before = None
    if faults.attempt(deployments.checked, deployment):
        before = _stored(client, deployment.name)
    if before is not None:
        deployment = _over(before, deployment, draft)
    _check(deployment, seen, template, faults)
    changes = _changes(before, deployment)
    if before is not None and not changes:
        deployment = replace(deployment, updated_at_ms=before.updated_at_ms)
    return Plan(deployment, before, changes, draft, seen)


def _stored(client: Client, name: str) -> Deployment | None:
    try:
        return client.run(deployments.read(name))
    except DeploymentNotFound:
        return None


def _over(before: Deployment, after: Deployment, draft: Draft) -> Deployment:
    """The deployment in place of the one that is stored, with what deploying does not change: what was paused by a
    command stays so."""
    listed = before.schedules
    if draft.schedules is not None:
        paused = {schedule.id: not schedule.is_active for schedule in before.schedules}
        gone = [one for one in before.schedules if one.id not in {new.id for new in draft.schedules}]
        new = [one for one in draft.schedules if one.id not in paused]
        if len(gone) == len(new) == 1:  # the one with other times
            paused[new[0].id] = not gone[0].is_active
        listed = tuple(
            one if one.id in draft.said_active else replace(one, is_active=not paused.get(one.id, not one.is_active))
            for one in draft.schedules
        )
    return replace(
        after, id=before.id, created_at_ms=before.created_at_ms, schedules=listed, is_paused=before.is_paused
    )


def _check(deployment: Deployment, seen: Signature, template: PoolTemplate, faults: _Faults) -> None:
    """All that storing it would refuse, and not only the first."""
    of, known = deployment.input, len(faults)
    flow = f"the flow {seen.flow_name!r}"
    faults.attempt(parameters.check, seen.parameters, of.parameters, flow=flow, is_complete=False)
    faults.attempt(pool_templates.check, template, of.job_variables, of.infrastructure, is_complete=False)
    for schedule in deployment.schedules:
        if len(faults) == known:
            faults.attempt(kept_schedules.check, deployment, schedule, template)
        else:
            faults.attempt(schedules.checked, schedule)
    if not faults:
        faults.attempt(deployments.check_against, deployment, template)


def _changes(before: Deployment | None, after: Deployment) -> dict[str, tuple[Any, Any]]:
    old = before.document() if before else {}
    return {
        name: (old.get(name), value)
        for name, value in after.document().items()
        if name not in NOT_COMPARED and old.get(name) != value
    }


@dataclass(frozen=True, slots=True)
class Stored:
    """`plan`: as it was stored in the end. `made_pool`: the default pool was made for it."""

    plan: Plan
    saved: Saved
    made_pool: bool


def save(client: Client, plan: Plan) -> Stored:
    """Stores the deployment; plans anew whenever somebody else stored it first. Makes the default pool if needed.

    Raises as `deployments.save`, and what is wrong with the plan by then.
    """
    made_pool = False
    for _ in range(TRIES):
        wanted = plan.deployment
        if wanted.pool == DEFAULT_POOL:
            made_pool = client.run(pools.ensure(DEFAULT_POOL)) or made_pool
        try:
            saved = client.run(deployments.save(wanted, over=plan.before.version if plan.before else ""))
        except DeploymentChanged:
            faults = _Faults()
            plan = _planned(client, plan.draft, plan.seen, values.template_of(client, plan.draft.pool), faults)
            faults.end()
            continue
        return Stored(plan, saved, made_pool)
    raise DeploymentChanged(deployment=plan.deployment.name)

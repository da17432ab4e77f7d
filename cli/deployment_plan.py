"""From what somebody wrote (options or a file) to the deployment that is stored, in two steps.

`planned` looks at everything: the flow, its parameters, names, the pool and its template, schedules, what is stored
now; it changes nothing. `save` writes. A command plans all of its deployments before it saves the first, so that a
fault in any of them changes nothing at all.

What a draft does not say about schedules is kept: without any, those that are stored stay; one that does not say
whether it is active stays paused if it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli import values
from dispatcher import parameters, schedules, signature, templates
from dispatcher.errors import BadRequest, BadValue
from dispatcher.ids import new_id
from dispatcher.models import DEFAULT_POOL, DEFAULT_QUEUE, Deployment, PoolTemplate, RunInput, Schedule, Stored
from dispatcher.ops import broker_facts, deploying, deployments
from dispatcher.ops import schedules as kept_schedules
from dispatcher.ops import templates as pool_templates

if TYPE_CHECKING:
    from cli.deployment_form import Entry
    from dispatcher import Client
    from dispatcher.signature import Signature

R = TypeVar("R")


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
    """`wanted` can be stored: it would become `deployment`, in place of `before`."""

    wanted: Deployment
    deployment: Deployment
    before: Deployment | None
    draft: Draft

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        return self.deployment.changes(self.before)

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
    template = faults.attempt(client.run, pool_templates.expected(draft.pool))
    if seen is None or template is None:
        return None
    return _planned(client, draft, seen, template, faults)


def _planned(client: Client, draft: Draft, seen: Signature, template: PoolTemplate, faults: _Faults) -> Plan:
    of = draft.input
    variables = faults.attempt(draft.variables.typed, template, of.infrastructure) or {}
    wanted = Deployment(
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
    )
    before = None
    if faults.attempt(deployments.checked, wanted):
        before = client.run(deployments.kept(wanted.name))
        faults.attempt(client.run, deploying.check_queue(wanted.pool, wanted.queue))
    deployment = deploying.over(before, wanted, draft.schedules, said_active=draft.said_active)
    now_ms = client.run(broker_facts.now_ms())
    deployment = deployment.dated(before, now_ms)
    _check(deployment, seen, template, faults)
    for schedule in kept_schedules.added(before, deployment):
        faults.attempt(schedules.check_not_over, schedule, now_ms)
    return Plan(wanted, deployment, before, draft)


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


def save(client: Client, plan: Plan) -> tuple[Plan, Stored]:
    """Stores the deployment; returns the plan as it came true, and what came of it. Raises as `deploying.store`."""
    draft = plan.draft
    stored = client.run(deploying.store(plan.wanted, draft.schedules, said_active=draft.said_active))
    return replace(plan, deployment=stored.deployment, before=stored.before), stored

"""Submitting, and deploying from Python: from what somebody asks to the runs and deployments that are kept.

Submitting goes this one way, from Python and from the commands. Everything is looked at before anything is sent: the
flow, its parameters, job variables, queues. Importing a flow to look at it is done `aside`, so that an event loop goes
on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dispatcher import entrypoints, parameters, requests, signature
from dispatcher.call import Call, Flow, aside
from dispatcher.errors import BadRequest, BadValue, DeploymentChanged, QueueNotFound
from dispatcher.ids import new_id
from dispatcher.models import (
    DEFAULT_POOL,
    DEFAULT_QUEUE,
    Deployment,
    NewRun,
    PoolTemplate,
    Run,
    RunInput,
    Schedule,
    Submitted,
)
from dispatcher.ops import deploying, deployments, finding, pools, queues, runs, templates
from dispatcher.requests import Request, Target
from dispatcher.signature import Signature

Naming = Callable[[Callable[..., Any], str | None], tuple[str, str | None]]
# By which words a function is found; `dispatcher.testing` has ways of its own.
naming: ContextVar[Naming] = ContextVar("dispatcher_naming", default=entrypoints.of)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a request. `is_new` False: its idempotency key was known, and `run` is the earlier one.
    `made_pool`, `made_queue`: the default pool was missing, its deployment's queue was gone, and is made (again)."""

    run: Run
    is_new: bool
    made_pool: bool
    made_queue: bool


@dataclass(frozen=True, slots=True)
class Source:
    """What several requests have in common: where their runs go, what they start from, what they must fit."""

    pool: str
    queue: str
    base: RunInput
    schema: dict[str, Any] | None
    flow: str
    template: PoolTemplate
    deployment: Deployment | None = None


@dataclass(slots=True)
class _Lot:
    """The runs that go to one pool, each with its place among all."""

    places: list[int] = field(default_factory=list)
    new: list[NewRun] = field(default_factory=list)
    own_queues: set[str] = field(default_factory=set)  # of deployments: made again when they are gone
    is_default: bool = False  # nobody named the pool: it is made when it is missing
    made_pool: bool = False
    made_queues: set[str] = field(default_factory=set)


def submit(requested: Sequence[Request], *, source: Source | None = None) -> Flow[list[Receipt]]:
    """Submits the runs, in this order, a hundred at a time; returns them as they are kept. `source`: that of all of
    them, if it was looked up already. Those of a deployment that is changed meanwhile are made anew of what it is then.

    Raises `BadValue`, `ParametersInvalid`, `VariablesInvalid`, `EntrypointInvalid`, `FlowUnnamed`, `NotFound`; then
    nothing was submitted. What fails later says how many were.
    """
    found: dict[int, Receipt] = {}
    for _ in range(deployments.TRIES):
        try:
            yield from _submit(requested, source, found)
            return [found[place] for place in range(len(requested))]
        except DeploymentChanged as error:
            changed, source = error, None
    if len(requested) > 1:
        changed.add_note(_told(requested, found))
    raise changed


def _submit(requested: Sequence[Request], source: Source | None, found: dict[int, Receipt]) -> Flow[None]:
    """Submits what is not found yet, and puts it there. Raises as `submit`; `DeploymentChanged`."""
    sources: dict[object, Source] = {}
    lots: dict[str, _Lot] = {}
    try:
        for place, request in enumerate(requested):
            if place in found:
                continue
            key = _key(request)
            if key not in sources:
                sources[key] = source or (yield from _source(request))
            of = sources[key]
            new = _new_run(request, of)
            lot = lots.setdefault(of.pool, _Lot())
            lot.places.append(place)
            lot.new.append(new)
            if of.deployment is not None:
                lot.own_queues.add(of.queue)
            elif request.pool is None:
                lot.is_default = True
    except BadRequest as error:
        if len(requested) > 1:
            error.add_note(f"This is request {place + 1} of {len(requested)}. {_told(requested, found)}")
        raise
    calls = {pool: _calls(pool, lot) for pool, lot in lots.items()}
    for pool, lot in lots.items():
        lot.made_pool = lot.is_default and (yield from pools.ensure(pool))
    if sum(map(len, calls.values())) > 1:  # one batch is all or nothing by itself
        for pool, lot in lots.items():
            yield from _check_queues(pool, lot)
    for pool, lot in lots.items():
        for start, call in zip(range(0, len(lot.new), runs.SUBMIT_BATCH), calls[pool], strict=True):
            try:
                answers = yield from _sent(pool, lot, call)
            except BadRequest as error:
                if lot.made_pool:
                    error.add_note(f"Work pool {pool!r} was made, of type agent.")
                if len(requested) > 1:
                    error.add_note(_told(requested, found))
                raise
            batch = slice(start, start + runs.SUBMIT_BATCH)
            found |= zip(lot.places[batch], (yield from _receipts(pool, lot, lot.new[batch], answers)), strict=True)


def _told(requested: Sequence[Request], found: Mapping[int, Receipt]) -> str:
    return f"{len(found)} of {len(requested)} runs were submitted before that." if found else "Nothing was submitted."


def _key(request: Request) -> object:
    """Requests with the same key have the same source."""
    what: object = request.what
    if not isinstance(what, str):
        what = id(what) if callable(request.what) else tuple(request.what)
    return what, request.pool, request.path, request.check


def _source(request: Request) -> Flow[Source]:
    if request.deployment is not None:
        return (yield from of_deployment(request, request.deployment))
    return (yield from of_flow(request))


def of_flow(request: Request) -> Flow[Source]:
    """Looks at the flow, function or command that a request names, which goes to the default pool unless it says
    another. Raises `BadValue`, `EntrypointInvalid`, `FlowUnnamed`, `VariablesInvalid`, `PoolNotFound`."""
    wanted, seen = yield from looked_at(request.what, request.path, check=request.check)
    template = yield from templates.expected(request.pool)
    base = seen.filled(wanted)
    templates.check(template, base.job_variables, base.infrastructure, is_complete=False)
    return Source(template.pool, DEFAULT_QUEUE, base, seen.parameters, f"the flow {seen.flow_name!r}", template)


def of_deployment(request: Request, name: str) -> Flow[Source]:
    """Looks up the deployment. Raises `BadValue`, `DeploymentNotFound`, `AmbiguousName`."""
    for option in ("pool", "path"):
        if getattr(request, option) is not None:
            raise BadValue(
                f"{option} cannot be given for a run of deployment {name!r}: the deployment says it. Leave it out; or "
                "submit path/to/file.py:function."
            )
    found = yield from finding.deployment(name)
    template = yield from templates.read(found.pool)
    flow = f"deployment {found.name!r}"
    return Source(found.pool, found.queue, found.input.owning({}), found.parameter_schema, flow, template, found)


def looked_at(what: Target, path: str | None, *, check: bool) -> Flow[tuple[RunInput, Signature]]:
    """What is to run, and what can be known of it. Raises `BadValue`, `EntrypointInvalid`, `FlowUnnamed`."""
    if callable(what):
        entrypoint, folder = naming.get()(what, path)
        return RunInput(entrypoint=entrypoint, path=folder), signature.of_function(what)
    words = None if isinstance(what, str) else requests.texts("what", what)
    if not what:
        raise BadValue(
            "what to run is empty: give flow/name, path/to/file.py:function, a function, or a command's words."
        )
    wanted = RunInput(
        entrypoint=what if isinstance(what, str) else None, command=words, path=str(Path(path or ".").absolute())
    )
    if not check:
        return wanted, signature.seen(wanted, check=False)
    return wanted, (yield from aside(partial(signature.seen, wanted, check=True)))


def _new_run(request: Request, source: Source) -> NewRun:
    wanted = request.over(source.base)
    if source.deployment is not None and request.job_variables:
        wanted = wanted.owning(dict(request.job_variables))
    parameters.check(source.schema, wanted.parameters, flow=source.flow)
    templates.check(source.template, wanted.job_variables, wanted.infrastructure)
    return request.new_run(source.queue, wanted, source.deployment)


def _calls(pool: str, lot: _Lot) -> list[Call[list[Submitted]]]:
    size = runs.SUBMIT_BATCH
    return [runs.submit(pool, lot.new[start : start + size]) for start in range(0, len(lot.new), size)]


def _check_queues(pool: str, lot: _Lot) -> Flow[None]:
    found = yield from queues.list_all(pool)
    for name in {new.queue for new in lot.new} - lot.own_queues:
        if name not in {one.name for one in found}:
            raise QueueNotFound(queue=name, pool=pool)


def _sent(pool: str, lot: _Lot, call: Call[list[Submitted]]) -> Flow[list[Submitted]]:
    while True:
        try:
            return (yield from call)
        except QueueNotFound as error:
            queue = str(error.facts.get("queue"))
            if queue not in lot.own_queues:
                raise
            if (yield from queues.ensure(pool, queue, for_runs=True)):
                lot.made_queues.add(queue)


def _receipts(pool: str, lot: _Lot, new: Sequence[NewRun], answers: Sequence[Submitted]) -> Flow[list[Receipt]]:
    """With the runs as they are now; what they are to execute is known here and not asked for."""
    rows = yield from runs.read_many(pool, [answer.id for answer in answers], is_whole=False)
    known = {row.id: row for row in rows}
    found = []
    for wanted, answer in zip(new, answers, strict=True):
        if answer.is_new and answer.id in known:
            run = replace(known[answer.id], input=wanted.input)
        else:
            run = yield from finding.run(known.get(answer.id, answer.id))
        found.append(Receipt(run, answer.is_new, lot.made_pool, wanted.queue in lot.made_queues))
    return found


def deploy(
    request: Request,
    name: str,
    *,
    schedules: Iterable[Schedule] | None,
    description: str | None,
    infrastructure: str,
) -> Flow[Deployment]:
    """Stores what the request says as the deployment `name` of the flow; its times, priority and keys do not count.

    Raises as `submit`; `BadName`, `ScheduleInvalid`.
    """
    if request.deployment is not None:
        raise BadValue(
            f"{request.what!r} names no flow: give path/to/file.py:function, a function, or a command's words."
        )
    wanted, seen = yield from looked_at(request.what, request.path, check=request.check)
    deployment = Deployment(
        name=f"{seen.flow_name}/{name}",
        id=new_id(),
        pool=request.pool or DEFAULT_POOL,
        queue=request.queue or DEFAULT_QUEUE,
        input=request.over(replace(seen.filled(wanted), infrastructure=infrastructure)),
        description=seen.description if description is None else description,
        parameter_schema=seen.parameters,
    )
    if isinstance(schedules, Schedule):
        raise BadValue("schedules is one Schedule: give a list of them, [Schedule(...)].")
    kept = None if schedules is None else tuple(schedules)
    for schedule in kept or ():
        if not isinstance(schedule, Schedule):
            raise BadValue(f"schedules has {schedule!r}: give Schedule(cron=...), Schedule(interval_s=...) or rrule.")
    yield from deploying.store(deployment, kept)
    return (yield from deployments.read(deployment.name))

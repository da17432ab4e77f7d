"""Schedules: how far they have come, and making the runs that come next.

A schedule's cursor is the last time that was decided. `expand` reads it, lets `dispatcher/schedules.py` say which
times come next, and has one script admit their runs and move the cursor on, which it does only if the cursor still is
what was read: so any number of schedulers make no duplicate and miss no time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dispatcher import keyspace, parameters, schedules
from dispatcher.call import Arg, Call, Flow, as_json, expect
from dispatcher.errors import BadRequest, QueueNotFound
from dispatcher.ids import new_id
from dispatcher.models import Deployment, PoolTemplate, RunInput, Schedule
from dispatcher.names import new_name
from dispatcher.ops import queues, runs, templates
from dispatcher.ops.reading import deployment_from, fields, number
from dispatcher.schedules import Plan

RETRY_MS = 60_000  # after a schedule's runs could not be made


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a schedule has come. `deployment` None: it is gone; `digest` empty: the schedule is paused or gone.
    `nominal_ms`: of its unfinished runs, in order. `fault`: why its last runs could not be made."""

    deployment: Deployment | None
    digest: str
    cursor_ms: int
    look_at_ms: int | None
    nominal_ms: tuple[int, ...]
    fault: str
    now_ms: int


def duty(deployment: str, schedule_id: str) -> str:
    return f"schedule:{deployment}:{schedule_id}"


def digest(deployment: Deployment, schedule: Schedule) -> str:
    """Of all that the schedule's runs are made of; empty when it is to make none. Another digest, other runs."""
    if deployment.is_paused or not schedule.is_active:
        return ""
    made_of = [deployment.input.compact(), {**schedule.document(), "catchup": ""}]
    return hashlib.sha1(json.dumps(made_of, sort_keys=True).encode(), usedforsecurity=False).hexdigest()[:16]


def fates(before: Deployment, after: Deployment) -> dict[str, str]:
    """What becomes of the waiting runs of each schedule that the deployment had: `rest` for one that goes on as it was,
    else which of them are taken back: `future` ones, or `all` of one that is to make none any more."""
    digests = {one.id: digest(after, one) for one in after.schedules}
    found = {}
    for one in before.schedules:
        known = digests.get(one.id)
        taken_back = "all" if known == "" else "future"
        found[one.id] = "rest" if known and known == digest(before, one) else taken_back
    return found


def input_of(deployment: Deployment, schedule: Schedule) -> RunInput:
    """What a run of the schedule executes: the deployment's, with the schedule's own parameters on top."""
    return replace(deployment.input, parameters={**deployment.input.parameters, **schedule.parameters})


def check(deployment: Deployment, schedule: Schedule, template: PoolTemplate) -> None:
    """Whether the schedule can be kept and its runs made. Raises `ScheduleInvalid`, `ParametersInvalid`,
    `VariablesInvalid`, `BadValue` for parameters that are too large."""
    schedules.checked(schedule)
    wanted = input_of(deployment, schedule)
    flow = f"deployment {deployment.name!r}, schedule {schedule.timing}"
    parameters.check(deployment.parameter_schema, wanted.parameters, flow=flow)
    templates.check(template, wanted.job_variables, wanted.infrastructure)
    runs.input_text(wanted)


def added(before: Deployment | None, after: Deployment) -> list[Schedule]:
    """The schedules that the deployment has not yet: their times must not be over. One that has run out since stays."""
    known = {one.id for one in before.schedules} if before else set()
    return [one for one in after.schedules if one.id not in known]


def progress(pool: str, pairs: Sequence[tuple[str, str]]) -> Call[list[Progress]]:
    """Of schedules given as (deployment, schedule id), in order. Raises `PoolNotFound`."""
    decode = expect("schedules", pool=pool)

    def found(reply: list[Any]) -> list[Progress]:
        now, *rows = decode(reply)
        return [_progress(pool, pair[0], row, int(now)) for pair, row in zip(pairs, rows, strict=True)]

    args = tuple(word for pair in pairs for word in pair)
    return Call("schedule_read", (keyspace.pool(pool),), args, found)


def _progress(pool: str, name: str, row: list[Any], now_ms: int) -> Progress:
    flat, text, look_at, times = row
    of = fields(flat)
    return Progress(
        deployment=deployment_from(name, pool, text) if text else None,
        digest=of.get("digest", ""),
        cursor_ms=int(of.get("cursor_ms", 0)),
        look_at_ms=number(look_at),
        nominal_ms=tuple(int(time) for time in times),
        fault=of.get("fault", ""),
        now_ms=now_ms,
    )


def expand(pool: str, pairs: Sequence[tuple[str, str]]) -> Flow[int]:
    """Makes the next runs of these schedules (deployment, schedule id); returns how many. One that another scheduler
    was quicker with, or that is paused or gone, is passed over. Raises `PoolNotFound`, `PoolBeingDeleted`.

    Why a schedule's runs cannot be made (its parameters do not fit any more) is kept with it, and it is tried again in
    a minute.
    """
    count = 0
    template = yield from templates.read(pool)
    for (_, schedule_id), found in zip(pairs, (yield from progress(pool, pairs)), strict=True):
        of = found.deployment.schedules if found.deployment else ()
        schedule = next((one for one in of if one.id == schedule_id), None)
        if found.deployment is not None and schedule is not None and found.digest:
            count += yield from _admit(found.deployment, schedule, found, template)
    return count


def _admit(deployment: Deployment, schedule: Schedule, found: Progress, template: PoolTemplate) -> Flow[int]:
    fault = ""
    try:
        check(deployment, schedule, template)
        plan = schedules.planned(schedule, cursor_ms=found.cursor_ms, now_ms=found.now_ms, waiting_ms=found.nominal_ms)
    except BadRequest as error:
        fault, plan = str(error), Plan((), found.cursor_ms, found.now_ms + RETRY_MS)
    call = _admission(deployment, schedule, found, plan, fault)
    try:
        return (yield from call)
    except QueueNotFound:  # deleted meanwhile; a deployment's own queue is made again
        yield from queues.ensure(deployment.pool, deployment.queue)
        return (yield from call)


def _admission(deployment: Deployment, schedule: Schedule, found: Progress, plan: Plan, fault: str) -> Call[int]:
    text = as_json(input_of(deployment, schedule).compact())
    overlap = "" if schedule.overlap == "allow" else schedule.overlap
    look_at: Arg = "" if plan.look_at_ms is None else plan.look_at_ms
    args: list[Arg] = [deployment.name, schedule.id, found.digest, found.cursor_ms, plan.cursor_ms, look_at, fault]
    args += [deployment.queue, overlap, text]
    for nominal_ms in plan.times:
        start_ms = schedules.start_ms(schedule, deployment.name, nominal_ms)
        expires: Arg = "" if schedule.expires_s is None else start_ms + round(schedule.expires_s * 1000)
        args += [new_id(), new_name(), nominal_ms, start_ms, expires]

    def count(reply: list[Any]) -> int:
        if reply[0] == "overtaken":
            return 0
        return int(expect("admitted", pool=deployment.pool)(reply)[0])

    return Call("schedule_admit", (keyspace.pool(deployment.pool),), tuple(args), count)

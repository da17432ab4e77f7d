"""Deployments: keep, read, list, pause, delete, and their schedules. A deployment lives with its pool; the directory
only says which pool.

What a deployment file or an option may say is checked before it comes here. Whether it fits (its job variables the
pool's template, its parameters the flow's signature, its schedules the calendar) is checked here, for all who store
one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from dispatcher import keyspace, parameters
from dispatcher.call import Arg, Call, Flow, as_json, expect
from dispatcher.errors import (
    AmbiguousName,
    BadValue,
    DeploymentChanged,
    DeploymentNotFound,
    PoolNotFound,
    ScheduleExists,
    ScheduleNotFound,
)
from dispatcher.ids import new_id
from dispatcher.models import Deployment, PoolTemplate, Saved, Schedule, Stored
from dispatcher.ops import broker_facts, moves, queues, runs, schedules, templates
from dispatcher.ops.reading import deployment_from, optional
from dispatcher.schedules import check_not_over

ANY = "any"  # version
TRIES = 50  # a change is made anew when somebody else was quicker; of ten at once, each round lets one through
MAX_SCHEDULES = 20  # of one deployment: one script looks at all of them


def checked(deployment: Deployment) -> Deployment:
    """The deployment, if its name is `flow/name` and all its names are valid; raises `BadName`."""
    flow, _, own = deployment.name.partition("/")
    keyspace.checked_name("Flow", flow)
    keyspace.checked_name("Deployment", own)
    keyspace.checked_name("Work pool", deployment.pool)
    keyspace.checked_name("Work queue", deployment.queue)
    return deployment


def check(deployment: Deployment) -> Flow[None]:
    """Everything that `save` would refuse; changes nothing. Raises `PoolNotFound`, and as `check_against`."""
    template = yield from templates.read(checked(deployment).pool)
    check_against(deployment, template)


def check_against(deployment: Deployment, template: PoolTemplate) -> None:
    """As `check`, with the template of a pool that may not be made yet. Raises `BadName`, `BadValue`,
    `ParametersInvalid`, `VariablesInvalid`, `ScheduleInvalid`."""
    flow, of = f"the flow of {checked(deployment).name!r}", deployment.input
    parameters.check(deployment.parameter_schema, of.parameters, flow=flow, is_complete=False)
    templates.check(template, of.job_variables, of.infrastructure, is_complete=False)
    runs.input_text(of)  # else none of its runs could be submitted
    if len({schedule.id for schedule in deployment.schedules}) < len(deployment.schedules):
        raise BadValue(f"deployment {deployment.name!r} has the same schedule twice: leave one out.")
    if len(deployment.schedules) > MAX_SCHEDULES:
        raise BadValue(f"deployment {deployment.name!r} has more than {MAX_SCHEDULES} schedules: split it.")
    for schedule in deployment.schedules:
        schedules.check(deployment, schedule, template)
    _stored(deployment)  # refused before anything is made for it


def save(deployment: Deployment, *, over: str = ANY) -> Flow[Saved]:
    """Keeps the deployment, in place of one of that name, making its queue if it is missing, and makes the first runs
    of its schedules. `over`: the version that it is to take the place of, empty: none may be there.

    A schedule that stays as it was goes on undisturbed; one whose runs would be others now takes back those of the
    future, late ones stay. With another queue or pool the waiting runs go along. Raises as `check`;
    `DeploymentChanged`, `QueueIsFilter`.
    """
    yield from check(deployment)
    before = yield from kept(deployment.name)
    if over not in (ANY, before.version if before else ""):
        raise DeploymentChanged(deployment=deployment.name)
    deployment = replace(deployment, version=new_id())
    made_queue = yield from queues.ensure(deployment.pool, deployment.queue, for_runs=True)
    moved, left = 0, ""
    if before is None:
        yield from _listed(deployment)
        taken_back = yield from _save(deployment, over)
    elif before.pool != deployment.pool:
        try:
            taken_back, moved = yield from _moved(before, deployment)
        except DeploymentChanged:
            if over != ANY:
                raise
            return (yield from save(deployment))
    else:
        left = "" if before.queue == deployment.queue else before.queue
        taken_back = yield from _save(deployment, over, duty=moves.queue_duty(deployment.name, left) if left else "")
    if (yield from pool_of(deployment.name)) != deployment.pool:  # somebody moved it meanwhile
        yield from settle(deployment.pool, deployment.name)
    if left:
        moved = yield from moves.requeue(deployment.pool, deployment.name, before=left, after=deployment.queue)
    active = [(deployment.name, one.id) for one in deployment.schedules if schedules.digest(deployment, one)]
    scheduled = (yield from schedules.expand(deployment.pool, active)) if active else 0
    return Saved(made_queue, moved, taken_back, scheduled)


def kept(name: str) -> Flow[Deployment | None]:
    """The deployment of that full name, where the directory says that it is."""
    pool = yield from pool_of(name)
    return (yield from _in_pool(pool, name)) if pool else None


def _in_pool(pool: str, name: str) -> Call[Deployment | None]:
    """What the pool keeps by that name, even if the deployment is in another one by now."""
    key = keyspace.deployment_set(pool)
    return Call("HGET", (key,), (name,), lambda reply: deployment_from(name, pool, reply) if reply else None)


def _listed(deployment: Deployment) -> Call[None]:
    return Call("HSET", (keyspace.deployments(),), (deployment.name, deployment.pool), optional)


def _moved(before: Deployment, after: Deployment) -> Flow[tuple[int, int]]:
    """Makes a deployment another one, in another pool; returns how many waiting runs were taken back, and went along.

    It is kept there with its schedules at rest; then the directory names that pool, which decides it; and what is then
    left to do anybody can, should this process end: the old pool has the duty. Raises `DeploymentChanged`.
    """
    yield from _save(before, before.version, duty=moves.duty(before.name))
    resting: list[Arg] = [word for one in after.schedules for word in (one.id, "", "", "rest")]
    yield from _stored_call(after, ANY, "", resting)
    yield from _listed(after)
    found = 0, 0
    try:
        found = yield from settle(before.pool, before.name)
    except PoolNotFound as error:  # the pool that it left may be gone by now, with its runs
        if error.facts.get("pool") != before.pool:
            raise
    if (yield from kept(after.name)) is None:  # another took it away before the directory said that it is there
        raise DeploymentChanged(deployment=after.name)
    return found


def settle(pool: str, name: str) -> Flow[tuple[int, int]]:
    """Does what is left to do in this pool of a deployment that is somewhere else, or gone: its schedules go on where
    it is, and its waiting runs go there. Returns how many of them were taken back, and went.

    For whoever has the duty `move:` too, and for a pool whose schedules fire although the deployment went away.
    """
    for _ in range(TRIES):
        try:
            found = yield from _settled(pool, name)
        except DeploymentChanged:  # meanwhile, here or where it is: look again
            continue
        yield from moves.done(pool, moves.duty(name))
        if not (yield from moves.is_any_leaving(pool, name)):  # else one who was slow let more of them go out
            return found
    raise DeploymentChanged(deployment=name)


def _settled(pool: str, name: str) -> Flow[tuple[int, int]]:
    goal = yield from pool_of(name)
    here = yield from _in_pool(pool, name)
    there = (yield from _in_pool(goal, name)) if goal and goal != pool else None
    if there is None:
        if here is not None and goal is None:
            yield from _delete(here, "future")
        elif here is not None and goal != pool:  # it is nowhere else: two moves crossed, or a pool was deleted
            cursors = yield from _cursors(here)
            yield from _listed(here)
            goal = pool
            yield from _save(here, here.version, cursors)
        found = 0, (yield from moves.put_back(pool, name, here.queue if here is not None and goal else ""))
    else:
        taken_back = 0
        cursors = {}
        if here is not None:
            taken_back = yield from _halted(here, there)
            cursors = yield from _cursors(here)
        # Another version: whoever leads it back at the same time cannot take it away there, when it is gone here.
        yield from _save(replace(there, version=new_id()), there.version, cursors)
        was, now = None if here is None else here.input.job_variables, there.input.job_variables
        found = taken_back, (yield from moves.move(pool, name, there.pool, there.queue, was=was, now=now))
        if here is not None:
            yield from _delete(here, "")
    if (yield from pool_of(name)) != goal:
        if there is not None:  # what has gone there is to go on
            yield from settle(there.pool, name)
        raise DeploymentChanged(deployment=name)
    return found


def _halted(before: Deployment, after: Deployment) -> Call[int]:
    """Stops the schedules where the deployment was, so that at no time two pools make their runs. Those that go on as
    they were only come to rest. Nobody submits a run of it there any more. Returns how many runs were taken back."""
    stopping: list[Arg] = [
        word for schedule, fate in schedules.fates(before, after).items() for word in (schedule, "", "", fate)
    ]
    return _stored_call(before, before.version, "", stopping, is_leaving=True)


def _cursors(deployment: Deployment) -> Flow[dict[str, int]]:
    """How far its schedules have come."""
    pairs = [(deployment.name, one.id) for one in deployment.schedules]
    found = (yield from schedules.progress(deployment.pool, pairs)) if pairs else []
    return {pair[1]: row.cursor_ms for pair, row in zip(pairs, found, strict=True) if row.cursor_ms}


def _save(deployment: Deployment, over: str, cursors: Mapping[str, int] | None = None, *, duty: str = "") -> Call[int]:
    """Returns how many waiting runs of its schedules were taken back. `cursors`: how far schedules have come that are
    not here yet."""
    args: list[Arg] = []
    for schedule in deployment.schedules:
        cursor: Arg = (cursors or {}).get(schedule.id, "")
        # What is paused makes no runs, and those that it made are not to begin either.
        args += [schedule.id, schedules.digest(deployment, schedule), cursor, "all"]
    return _stored_call(deployment, over, duty, args)


def _stored_call(
    deployment: Deployment, over: str, duty: str, args: list[Arg], *, is_leaving: bool = False
) -> Call[int]:
    decode = expect("saved", pool=deployment.pool, deployment=deployment.name)
    return Call(
        "deployment_save",
        (keyspace.pool(deployment.pool),),
        (deployment.name, _stored(deployment, is_leaving=is_leaving), duty, over, *args),
        lambda reply: int(decode(reply)[0]),
    )


def _delete(deployment: Deployment, what: str) -> Call[int]:
    """`what` runs of its schedules are taken back: `future` ones, or empty: none. Raises `DeploymentChanged` when the
    pool keeps another version by now."""
    decode = expect("deleted", pool=deployment.pool, deployment=deployment.name)
    args = (deployment.name, deployment.version, what)
    return Call("deployment_delete", (keyspace.pool(deployment.pool),), args, lambda reply: int(decode(reply)[0]))


def _stored(deployment: Deployment, *, is_leaving: bool = False) -> str:
    return as_json(
        {
            "leaving": is_leaving,
            "id": deployment.id,
            "queue": deployment.queue,
            "description": deployment.description,
            "schedules": [schedule.document() for schedule in deployment.schedules],
            "paused": deployment.is_paused,
            "version": deployment.version,
            "input": deployment.input.compact(),
            "parameter_schema": deployment.parameter_schema,
            "created_ms": deployment.created_at_ms,
            "updated_ms": deployment.updated_at_ms,
        }
    )


def pool_of(name: str) -> Call[str | None]:
    """The pool that the directory names for `flow/name`."""
    return Call("HGET", (keyspace.deployments(),), (name,), lambda reply: reply)


def read(name: str) -> Flow[Deployment]:
    """The deployment `flow/name`, the plain `name` where only one flow has it, or its id.

    Raises `DeploymentNotFound`, `AmbiguousName`.
    """
    full = yield from full_name(name)
    found = yield from kept(full)
    if found is None:
        raise DeploymentNotFound(deployment=name)
    return found


def full_name(name: str) -> Flow[str]:
    """`flow/name` for a plain name or an id; what already has the form is not looked up, its deployment may be gone.

    Raises `DeploymentNotFound`, `AmbiguousName`.
    """
    if "/" in name:
        return name
    directory = yield from Call("HKEYS", (keyspace.deployments(),), (), lambda reply: sorted(reply))
    found = [entry for entry in directory if entry.partition("/")[2] == name]
    found = found or [one.name for one in (yield from list_all()) if one.id == name]
    if len(found) > 1:
        raise AmbiguousName(noun="Deployment", name=name, found=", ".join(found))
    if not found:
        raise DeploymentNotFound(deployment=name)
    return str(found[0])


def list_all() -> Flow[list[Deployment]]:
    """Every deployment, by name. What a crash left behind in a pool that it went away from is passed over."""
    pools = yield from Call("SMEMBERS", (keyspace.pools(),), (), lambda reply: sorted(reply))
    flat = yield from Call("HGETALL", (keyspace.deployments(),), (), list)
    directory = dict(zip(flat[::2], flat[1::2], strict=True))
    found = []
    for pool in pools:
        flat = yield from Call("HGETALL", (keyspace.deployment_set(pool),), (), list)
        kept = [(name, text) for name, text in zip(flat[::2], flat[1::2], strict=True) if directory.get(name) == pool]
        found += [deployment_from(name, pool, text) for name, text in kept]
    return sorted(found, key=lambda deployment: deployment.name)


def delete(name: str) -> Flow[int]:
    """Removes the deployment; its schedules take back their runs of the future: returns how many. Other runs that were
    submitted already are kept and go on. Raises as `read`."""
    deployment = yield from read(name)
    taken_back = 0
    for _ in range(TRIES):
        with suppress(DeploymentChanged):  # then it is there again, or another one
            taken_back += yield from _delete(deployment, "future")
            if (yield from pool_of(deployment.name)) == deployment.pool:
                yield from Call("HDEL", (keyspace.deployments(),), (deployment.name,), optional)
        found = yield from kept(deployment.name)
        if found is None:
            return taken_back
        deployment = found
    raise DeploymentChanged(deployment=name)


def change(name: str, changed: Callable[[Deployment], Deployment]) -> Flow[Saved]:
    """Keeps what `changed` makes of the deployment as it is now. Raises as `read` and `replaced`."""

    def new(before: Deployment | None) -> Deployment:
        if before is None:
            raise DeploymentNotFound(deployment=name)
        return changed(before)

    return (yield from replaced((yield from full_name(name)), new)).saved


def replaced(name: str, new: Callable[[Deployment | None], Deployment]) -> Flow[Stored]:
    """Keeps what `new` makes of the deployment `flow/name` as it is now (None: there is none), however many others
    change it at the same time; it then says when it was made and when anything of it last changed.

    Raises as `save`, `ScheduleInvalid` for a new schedule whose times are over, and whatever `new` raises.
    """
    now_ms = yield from broker_facts.now_ms()
    for _ in range(TRIES):
        before = yield from kept(name)
        after = new(before).dated(before, now_ms)
        for schedule in schedules.added(before, after):
            check_not_over(schedule, now_ms)
        try:
            saved = yield from save(after, over=before.version if before else "")
        except DeploymentChanged:
            continue
        return Stored(before, after, saved)
    raise DeploymentChanged(deployment=name)


def set_paused(name: str, is_paused: bool) -> Flow[Saved]:
    """Paused, none of its schedules makes runs, and those of them that wait are taken back. Resumed, they go on from
    now: what would have been meanwhile is not made up for. Raises as `change`."""
    return change(name, lambda deployment: replace(deployment, is_paused=is_paused))


def add_schedule(name: str, schedule: Schedule) -> Flow[Saved]:
    """Gives the deployment one more schedule, whose first runs are made at once. Raises as `change`;
    `ScheduleExists`."""

    def changed(deployment: Deployment) -> Deployment:
        if any(one.id == schedule.id for one in deployment.schedules):
            raise ScheduleExists(deployment=deployment.name, schedule=schedule.timing)
        return replace(deployment, schedules=(*deployment.schedules, schedule))

    return change(name, changed)


def set_schedule(name: str, text: str, *, is_active: bool) -> Flow[Saved]:
    """Pauses or resumes one schedule, as `set_paused` does all. Raises as `change`; `ScheduleNotFound`."""

    def changed(deployment: Deployment) -> Deployment:
        chosen = find_schedule(deployment, text)
        of = (replace(one, is_active=is_active) if one is chosen else one for one in deployment.schedules)
        return replace(deployment, schedules=tuple(of))

    return change(name, changed)


def delete_schedule(name: str, text: str) -> Flow[Saved]:
    """Its runs of the future are taken back, late ones stay. Raises as `change`; `ScheduleNotFound`."""

    def changed(deployment: Deployment) -> Deployment:
        chosen = find_schedule(deployment, text)
        return replace(deployment, schedules=tuple(one for one in deployment.schedules if one is not chosen))

    return change(name, changed)


def find_schedule(deployment: Deployment, text: str) -> Schedule:
    """The schedule whose id is or begins with `text`. Raises `ScheduleNotFound`, `AmbiguousName`."""
    found = [one for one in deployment.schedules if text and one.id.startswith(text)]
    if not found:
        raise ScheduleNotFound(deployment=deployment.name, schedule=text)
    if len(found) > 1:
        raise AmbiguousName(noun="Schedule", name=text, found=", ".join(one.id for one in found))
    return found[0]

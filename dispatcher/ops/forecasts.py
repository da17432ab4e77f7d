"""What storing a deployment would do, found without changing anything: the same counts, by the same rules, as storing
it gives. What others do in between is not foreseen."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher import schedules as times
from dispatcher.call import Flow
from dispatcher.errors import BadRequest, PoolNotFound
from dispatcher.models import DEFAULT_POOL, DEFAULT_QUEUE, Deployment, Run, Saved, Stored
from dispatcher.ops import broker_facts, moves, queues, schedules, templates
from dispatcher.ops.schedules import Progress
from dispatcher.templates import merged


def stored(before: Deployment | None, after: Deployment) -> Flow[Stored]:
    """As `deploying.store` would answer, for a deployment that can be stored."""
    is_there = True
    try:
        known = [queue.name for queue in (yield from queues.list_all(after.pool))]
    except PoolNotFound:
        is_there, known = False, [DEFAULT_QUEUE]
    fates = schedules.fates(before, after) if before is not None else {}
    reached: dict[str, Progress] = {}
    if is_there or before is not None:
        pairs = [(after.name, schedule) for schedule in fates.keys() | {one.id for one in after.schedules}]
        rows = yield from schedules.progress(before.pool if before is not None else after.pool, pairs)
        reached = {pair[1]: row for pair, row in zip(pairs, rows, strict=True)}
    now_ms = next(iter(reached.values())).now_ms if reached else (yield from broker_facts.now_ms())
    taken_back, moved = 0, 0
    if before is not None:
        going = _going(before, fates, reached, now_ms)
        for run in (yield from moves.waiting_runs(before.pool, before.name)):
            if run.attempts == 0 and (run.schedule, run.due_at_ms if fates.get(run.schedule) != "all" else 0) in going:
                taken_back += 1
            elif before.pool != after.pool or run.queue == before.queue != after.queue:
                moved += 1
    scheduled = _scheduled(after, fates, reached, now_ms)
    saved = Saved(after.queue not in known, moved, taken_back, scheduled)
    return Stored(before, after, saved, made_pool=not is_there)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A waiting run that goes to a pool whose template does not take its job variables, and why: it crashes there."""

    run: Run
    detail: str


def misfits(before: Deployment | None, after: Deployment) -> Flow[list[Misfit]]:
    """Of the runs that would go to another pool along with the deployment, those that cannot begin there. The
    deployment's own job variables are made to fit; what a run said itself is not."""
    if before is None or before.pool == after.pool:
        return []
    template = yield from templates.expected(None if after.pool == DEFAULT_POOL else after.pool)
    found = []
    for run in (yield from moves.waiting_runs(before.pool, before.name, is_whole=True)):
        if run.schedule and run.due_at_ms > run.read_at_ms:
            continue  # it is taken back, or its schedule stays and is checked
        of, was = run.input, before.input.job_variables
        own = moves.own_variables(of.job_variables, of.own_job_variables, was, is_scheduled=bool(run.schedule))
        variables = of.job_variables if own is None else merged(after.input.job_variables, own)
        try:
            templates.check(template, variables, of.infrastructure)
        except BadRequest as error:
            found.append(Misfit(run, str(error)))
    return found


def _going(
    before: Deployment, fates: dict[str, str], reached: dict[str, Progress], now_ms: int
) -> set[tuple[str, int]]:
    """Schedule and start of each run that is taken back, if nobody has begun it; start 0: all of that schedule."""
    found: set[tuple[str, int]] = set()
    for one in before.schedules:
        if fates[one.id] == "all":
            found.add((one.id, 0))
        elif fates[one.id] == "future":
            later = (at_ms for at_ms in reached[one.id].nominal_ms if at_ms > now_ms)
            found |= {(one.id, times.start_ms(one, before.name, at_ms)) for at_ms in later}
    return found


def _scheduled(after: Deployment, fates: dict[str, str], reached: dict[str, Progress], now_ms: int) -> int:
    """How many runs its schedules make at once."""
    count = 0
    for one in after.schedules:
        if not schedules.digest(after, one):
            continue
        cursor_ms, waiting = now_ms, list[int]()
        if one.id in fates:
            waiting = [at_ms for at_ms in reached[one.id].nominal_ms if at_ms <= now_ms or fates[one.id] == "rest"]
        if fates.get(one.id) == "rest":
            cursor_ms = reached[one.id].cursor_ms
        count += len(times.planned(one, cursor_ms=cursor_ms, now_ms=now_ms, waiting_ms=waiting).times)
    return count

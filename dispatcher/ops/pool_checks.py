"""Whether the pools are well: what `doctor` asks of each, and of the directories. Reads only."""

from __future__ import annotations

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import BrokerRefused, PoolNotFound
from dispatcher.models import Deployment, Pool
from dispatcher.models.checks import FINDING, OK, WARNING, Check
from dispatcher.ops import audits, deployments, pools, schedules
from dispatcher.ops.broker_facts import now_ms
from dispatcher.ops.reading import fields

OVERDUE_MS = 20_000  # a duty is done at once, and handed to another after five seconds
SHOWN = 3


def every() -> Flow[list[Check]]:
    """Of each pool: audit, queues, schedules; then the directories."""
    found: list[Check] = []
    known, gone = set(), []
    try:
        kept = yield from deployments.list_all()
    except BrokerRefused:  # where they are kept is something else: the audit of that pool tells
        kept = []
    for name in (yield from pools.names()):
        try:
            found += yield from _pool(name, [one for one in kept if one.pool == name])
            known.add(name)
        except PoolNotFound:
            gone.append(name)
        except BrokerRefused as error:
            known.add(name)
            found.append(Check("audit", FINDING, f"it cannot be looked at: {error}", _audit_advice(name), name))
    return [*found, (yield from _directories(known, gone))]


def _audit_advice(pool: str) -> str:
    return f"dispatcher audit --pool {pool}, then dispatcher repair --pool {pool}"


def _pool(name: str, kept: list[Deployment]) -> Flow[list[Check]]:
    faults = yield from audits.audit(name)
    if faults:
        text = _some([fault.problem for fault in faults])
        return [Check("audit", FINDING, text, _audit_advice(name), name)]
    pool = yield from pools.read(name)
    found = [Check("audit", OK, "no fault", "", name), *_queues(pool), *_targets(pool, kept)]
    found += yield from _schedules(pool, kept)
    return found


def _some(texts: list[str]) -> str:
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


def _queues(pool: Pool) -> list[Check]:
    """Where runs wait and nobody takes them."""
    found = []
    command = f"dispatcher {'agent' if pool.type == 'agent' else 'worker'} start --pool {pool.name}"
    for queue in pool.queues:
        if queue.is_served or pool.is_paused or queue.is_paused or not queue.counts.scheduled:
            continue
        late = queue.counts.late
        text = f"runs waiting in queue {queue.name}: {queue.counts.scheduled} ({late} late), no live consumer serves it"
        found.append(Check("queues", FINDING if late else WARNING, text, command, pool.name))
    if pool.slots_used and not pool.is_served:
        text = f"runs are held: {pool.slots_used}, and no consumer of the pool lives: they wait again once one looks"
        found.append(Check("queues", WARNING, text, command, pool.name))
    if found:
        return found
    counts = pool.counts
    text = f"queues: {len(pool.queues)}; runs waiting: {counts.scheduled} ({counts.late} late), held: {pool.slots_used}"
    return [Check("queues", OK, text, "", pool.name)]


def _targets(pool: Pool, kept: list[Deployment]) -> list[Check]:
    queues = {queue.name for queue in pool.queues}
    return [
        Check(
            "deployments",
            FINDING,
            f"the queue {one.queue} of deployment {one.name} does not exist",
            f"dispatcher work-queue create {one.queue} --pool {pool.name}, or deploy it again",
            pool.name,
        )
        for one in kept
        if one.queue not in queues
    ]


def _schedules(pool: Pool, kept: list[Deployment]) -> Flow[list[Check]]:
    pairs = [(one.name, schedule.id) for one in kept for schedule in one.schedules]
    progress = (yield from schedules.progress(pool.name, pairs)) if pairs else []
    found = [
        Check(
            "schedules",
            FINDING,
            f"schedule {pair[1]} of {pair[0]} makes no runs: {of.fault}",
            f"dispatcher deployment schedule ls {pair[0]}; then deploy it again",
            pool.name,
        )
        for pair, of in zip(pairs, progress, strict=True)
        if of.fault
    ]
    late_ms = (yield from now_ms()) - OVERDUE_MS
    duties: list[str] = yield from Call("ZRANGE", (keyspace.duties(pool.name),), ("-inf", late_ms, "BYSCORE"), list)
    if duties:
        text = f"{len(duties)} duties are overdue, such as {duties[0]}: nobody does them"
        command = f"start a consumer of the pool, or dispatcher scheduler start --pool {pool.name}"
        found.append(Check("schedules", FINDING, text, command, pool.name))
    active = sum(bool(of.digest) for of in progress)
    return found or [Check("schedules", OK, f"{active} active", "", pool.name)]


def _directories(known: set[str], gone: list[str]) -> Flow[Check]:
    """Deployments of pools that are gone, and pools that are only listed."""
    listed = yield from Call("HGETALL", (keyspace.deployments(),), (), fields)
    homeless = sorted(name for name, pool in listed.items() if pool not in known)
    if homeless:
        name = homeless[0]
        text = f"{len(homeless)} deployments name a pool that does not exist: {_some(homeless)}"
        advice = f"make the pool {listed[name]} and deploy again, or dispatcher deployment delete {name}"
        return Check("directories", FINDING, text, advice)
    if gone:
        text = f"listed, and not there: work pool {_some(gone)}"
        return Check("directories", WARNING, text, f"dispatcher work-pool delete {gone[0]} takes it off the list")
    return Check("directories", OK, f"{len(known)} work pools, {len(listed)} deployments")

"""How replies of reading scripts become models: flat field lists to pools, queues, runs and consumers."""

from __future__ import annotations

import json
from typing import Any

from dispatcher.models import Consumer, Counts, Deployment, Pool, Queue, QueueFilter, Run, RunInput, Schedule
from dispatcher.models.runs import DEFAULT_PRIORITY
from dispatcher.states import known

Fields = dict[str, str]


def optional(_reply: Any) -> None:
    """A decoder for calls whose reply says nothing."""


def fields(flat: list[Any]) -> Fields:
    """`[name, value, name, value]` as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def number(text: str | None) -> int | None:
    """An optional integer: absent and empty are None."""
    return int(text) if text else None


def pool_from(name: str, reply: list[Any]) -> Pool:
    """Reply of `pool_read`: the pool's fields, then each queue's, by priority."""
    of = fields(reply[0])
    return Pool(
        name=name,
        id=of["id"],
        type=of["type"],
        description=of.get("description", ""),
        limit=number(of.get("limit")),
        is_paused=of.get("paused") == "1",
        note=of.get("note", ""),
        lease_ms=int(of["lease_ms"]),
        keep_ms=int(of["keep_ms"]),
        keep_runs=int(of["keep_runs"]),
        template=json.loads(of["template"]) if of.get("template") else {},
        slots_used=int(of["slots_used"]),
        is_served=of["served"] == "1",
        counts=_counts(of),
        queues=tuple(_queue_from(name, fields(flat)) for flat in reply[1]),
        created_at_ms=int(of["created_ms"]),
        updated_at_ms=int(of["updated_ms"]),
    )


def _counts(of: Fields) -> Counts:
    return Counts(
        scheduled=int(of["scheduled"]),
        late=int(of["late"]),
        pending=int(of["pending"]),
        running=int(of["running"]),
        cancelling=int(of["cancelling"]),
    )


def _queue_from(pool: str, of: Fields) -> Queue:
    return Queue(
        name=of["name"],
        pool=pool,
        id=of["id"],
        priority=int(of["priority"]),
        filter=QueueFilter.read(json.loads(of["filter"])) if "filter" in of else None,
        limit=number(of.get("limit")),
        is_paused=of.get("paused") == "1",
        note=of.get("note", ""),
        description=of.get("description", ""),
        slots_used=int(of["slots_used"]),
        is_served=of["served"] == "1",
        counts=_counts(of),
        created_at_ms=int(of["created_ms"]),
        updated_at_ms=int(of["updated_ms"]),
    )


def run_from(pool: str, reply: list[Any], read_at_ms: int) -> Run:
    """One row of `run_read`: id, the run's fields, input, result, its consumer's fields, job."""
    run_id, flat, run_input, result, holder, job = reply
    of = fields(flat)
    return Run(
        id=run_id,
        name=of.get("name", ""),
        pool=pool,
        queue=of["queue"],
        deployment=of.get("deployment", ""),
        state=known(of["state"]),
        message=of.get("message", ""),
        priority=int(of.get("priority", DEFAULT_PRIORITY)),
        due_at_ms=int(of["due_ms"]),
        created_at_ms=int(of["created_ms"]),
        claimed_at_ms=number(of.get("claimed_ms")),
        started_at_ms=number(of.get("started_ms")),
        ended_at_ms=number(of.get("ended_ms")),
        epoch=int(of.get("epoch", 0)),
        attempts=int(of.get("attempts", 0)),
        lost=int(of.get("lost", 0)),
        releases=int(of.get("releases", 0)),
        consumer=consumer_from(pool, of["consumer"], holder, read_at_ms) if holder else None,
        infrastructure_pid=number(of.get("pid")),
        exit_code=number(of.get("exit_code")),
        result=json.loads(result) if result else None,
        idempotency_key=of.get("idempotency", ""),
        input=RunInput.read(json.loads(run_input)) if run_input else RunInput(),
        read_at_ms=read_at_ms,
        schedule=of.get("schedule", ""),
        expires_at_ms=number(of.get("expires_ms")),
        job=json.loads(job) if job else None,
    )


def deployment_from(name: str, pool: str, text: str) -> Deployment:
    """A field of the pool's deployments."""
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
        version=of.get("version", ""),
        created_at_ms=of["created_ms"],
        updated_at_ms=of["updated_ms"],
    )


def consumer_from(pool: str, consumer: str, flat: list[Any], read_at_ms: int) -> Consumer:
    """The fields of a consumer's hash, with `running` and `seen_until_ms` added by the script."""
    of = fields(flat)
    prefetch_ms, _, selector = of["group"].partition("/")
    return Consumer(
        id=consumer,
        name=of["name"],
        pool=pool,
        kind=of["kind"],
        type=of["type"],
        host=of["host"],
        boot=of["boot"],
        pid=int(of["pid"]),
        born_at_ms=int(of["born_ms"]),
        version=of["version"],
        selector=selector,
        prefetch_ms=int(prefetch_ms),
        limit=number(of.get("limit")),
        running=int(of.get("running", 0)),
        seen_at_ms=int(of.get("seen_ms", 0)),
        is_online=int(of.get("seen_until_ms", 0)) > read_at_ms,
    )

"""The nouns as values: pool, queue, deployment, run, consumer, and what a claim or an explanation returns.

Frozen dataclasses, not pydantic models: they hold what our own scripts answered, they check nothing, and importing
pydantic would cost every command 60 ms (measured 2026-11, pydantic 2.14). What people write (deployment files) is
checked by pydantic in `cli/deployment_file.py`. Instants are `_at_ms` since the epoch, `None` when they have not come;
`document()` gives the JSON form that the CLI prints and dashboards know: ISO 8601 UTC, durations in seconds.
A new field is added to the dataclass, to its `document()` and to the reader beside it in `ops/`.
"""

from __future__ import annotations

from dispatcher.models.audits import Fault
from dispatcher.models.consumers import Consumer
from dispatcher.models.deployments import Deployment, Saved, Stored
from dispatcher.models.instants import iso
from dispatcher.models.leases import Claim, Claimed, Heartbeat, Outcome
from dispatcher.models.pools import (
    DEFAULT_POOL,
    DEFAULT_QUEUE,
    POOL_TYPES,
    Counts,
    Pool,
    Queue,
    QueueFilter,
)
from dispatcher.models.reasons import Holder, Reason, Why
from dispatcher.models.runs import (
    DEFAULT_PRIORITY,
    LATE_AFTER_MS,
    Document,
    Event,
    LogLine,
    NewRun,
    Run,
    RunInput,
    Submitted,
)
from dispatcher.models.schedules import CATCHUPS, OVERLAPS, Schedule
from dispatcher.models.templates import PoolTemplate

__all__ = [
    "CATCHUPS",
    "DEFAULT_POOL",
    "DEFAULT_PRIORITY",
    "DEFAULT_QUEUE",
    "LATE_AFTER_MS",
    "OVERLAPS",
    "POOL_TYPES",
    "Claim",
    "Claimed",
    "Consumer",
    "Counts",
    "Deployment",
    "Document",
    "Event",
    "Fault",
    "Heartbeat",
    "Holder",
    "LogLine",
    "NewRun",
    "Outcome",
    "Pool",
    "PoolTemplate",
    "Queue",
    "QueueFilter",
    "Reason",
    "Run",
    "RunInput",
    "Saved",
    "Schedule",
    "Stored",
    "Submitted",
    "Why",
    "iso",
]

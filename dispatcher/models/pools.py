"""Work pools and work queues as read from Redis. Both are gates: paused or not, limited or not, with runs behind."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dispatcher.models.instants import iso
from dispatcher.models.runs import Document
from dispatcher.pool_types import POOL_TYPES as POOL_TYPES
from dispatcher.pool_types import WORKER_TYPES, default_template

DEFAULT_LEASE_MS = 30_000
MIN_LEASE_MS, MAX_LEASE_MS = 5_000, 3_600_000
MAX_LIMIT = 999_999_999  # nine digits, as a queue's priority
DEFAULT_KEEP_MS, MIN_KEEP_MS = 604_800_000, 60_000
DEFAULT_KEEP_RUNS, MIN_KEEP_RUNS, MAX_KEEP_RUNS = 10_000, 100, 10_000_000
DEFAULT_POOL = "default-agent-pool"
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class Counts:
    """Unfinished runs by state; `late` ones are among the scheduled."""

    scheduled: int = 0
    late: int = 0
    pending: int = 0
    running: int = 0
    cancelling: int = 0

    def document(self) -> Document:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate:
    """`limit` None: no limit. `is_served`: a live consumer takes runs from it."""

    id: str
    name: str
    description: str
    limit: int | None
    is_paused: bool
    note: str
    slots_used: int
    is_served: bool
    counts: Counts
    created_at_ms: int
    updated_at_ms: int

    @property
    def status(self) -> str:
        """`paused`, `ready` (a live consumer serves it) or `not_ready`."""
        return "paused" if self.is_paused else "ready" if self.is_served else "not_ready"

    def document(self) -> Document:
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "concurrency_limit": self.limit,
            "slots_used": self.slots_used,
            "is_paused": self.is_paused,
            "status": self.status,
            "note": self.note,
            "counts": self.counts.document(),
            "created": iso(self.created_at_ms),
            "updated": iso(self.updated_at_ms),
        }


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which runs of the pool a legacy queue shows: those that have all these tags, that belong to one of these
    deployments (`flow/name`), and whose infrastructure is of one of these types. What is empty selects nothing out."""

    tags: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def is_match_all(self) -> bool:
        return not self.tags and not self.deployments and (not self.types or {*self.types} == {*WORKER_TYPES})

    def document(self) -> Document:
        return {"tags": list(self.tags), "deployments": list(self.deployments), "types": list(self.types)}

    @staticmethod
    def read(of: Document) -> QueueFilter:
        return QueueFilter(tuple(of["tags"]), tuple(of["deployments"]), tuple(of["types"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(_Gate):
    """A lane of a pool. With a `filter`, the legacy kind: no run lives in it, it shows runs of the other queues. Then
    its counts are of what it shows, and its slots are held by every held run that the filter matches."""

    pool: str
    priority: int
    filter: QueueFilter | None = None

    def document(self) -> Document:
        shown = self.filter and self.filter.document()
        own = {"work_pool_name": self.pool, "priority": self.priority, "filter": shown}
        return {**super(Queue, self).document(), **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(_Gate):
    """A pool with its queues, by priority. `keep_ms`, `keep_runs`: how long and how many finished runs of each final
    state are kept. `template`: its own base job template; empty: its type's."""

    type: str
    lease_ms: int
    keep_ms: int
    keep_runs: int
    template: Document
    queues: tuple[Queue, ...]

    @property
    def base_job_template(self) -> Document:
        """The pool's own template, or its type's default; `{}` for a type of another version."""
        return self.template or (default_template(self.type) if self.type in POOL_TYPES else {})

    def document(self) -> Document:
        own = {
            "type": self.type,
            "base_job_template": self.base_job_template,
            "lease_seconds": self.lease_ms / 1000,
            "retention_seconds": self.keep_ms / 1000,
            "retention_runs": self.keep_runs,
        }
        return {**super(Pool, self).document(), **own}

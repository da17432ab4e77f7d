"""Work pools and work queues as read from Redis."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.instants import iso
from dispatcher.models.runs import Document

POOL_TYPES = ("agent", "process")  # agent: for agents; every other one is the worker type that may join
DEFAULT_LEASE_MS = 30_000
MIN_LEASE_MS, MAX_LEASE_MS = 5_000, 3_600_000
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
        return {
            "scheduled": self.scheduled,
            "late": self.late,
            "pending": self.pending,
            "running": self.running,
            "cancelling": self.cancelling,
        }


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    pool: str
    id: str
    priority: int
    limit: int | None
    is_paused: bool
    note: str
    description: str
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
            "work_pool_name": self.pool,
            "priority": self.priority,
            "concurrency_limit": self.limit,
            "slots_used": self.slots_used,
            "is_paused": self.is_paused,
            "status": self.status,
            "note": self.note,
            "description": self.description,
            "filter": None,
            "counts": self.counts.document(),
            "created": iso(self.created_at_ms),
            "updated": iso(self.updated_at_ms),
        }


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    id: str
    type: str
    description: str
    limit: int | None
    is_paused: bool
    note: str
    lease_ms: int
    slots_used: int
    is_served: bool
    counts: Counts
    queues: tuple[Queue, ...]
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
            "type": self.type,
            "description": self.description,
            "is_paused": self.is_paused,
            "note": self.note,
            "concurrency_limit": self.limit,
            "slots_used": self.slots_used,
            "status": self.status,
            "base_job_template": {},
            "lease_seconds": self.lease_ms / 1000,
            "counts": self.counts.document(),
            "created": iso(self.created_at_ms),
            "updated": iso(self.updated_at_ms),
        }

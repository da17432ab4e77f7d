"""An agent or worker, as it registers itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatcher.models.instants import iso


@dataclass(frozen=True, slots=True)
class Consumer:
    """One start of an agent or worker. `id` is unique per start and is the session that fences its writes."""

    id: str
    name: str
    pool: str
    kind: str  # agent | worker
    type: str
    host: str
    boot: str  # identifies the process-id space: same host and boot, then `pid` can be looked at
    pid: int
    born_at_ms: int  # start time of the process, so that a reused pid is told apart
    version: str
    selector: str
    prefetch_ms: int
    limit: int | None
    running: int = 0
    seen_at_ms: int = 0
    is_online: bool = True

    @property
    def queues(self) -> list[str]:
        """The queues that it serves, by name; empty when it serves all, or those of its `prefixes`."""
        return self.selector[1:].split(",") if self.selector.startswith("=") else []

    @property
    def prefixes(self) -> list[str]:
        """The prefixes of the queues that it serves; empty when it serves all, or those in `queues`."""
        return self.selector[1:].split(",") if self.selector.startswith("^") else []

    @property
    def serves(self) -> str:
        """The queues that the selector matches, in words: `all queues`, `high, low`, `dev-*`."""
        return ", ".join([*self.queues, *(f"{prefix}*" for prefix in self.prefixes)]) or "all queues"

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "kind": self.kind,
            "type": self.type,
            "work_pool_name": self.pool,
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
            "status": "online" if self.is_online else "offline",
            "serves": self.serves,
            "work_queue_names": self.queues,
            "work_queue_prefixes": self.prefixes,
            "prefetch_seconds": self.prefetch_ms / 1000,
            "running": self.running,
            "limit": self.limit,
            "last_seen": iso(self.seen_at_ms),
        }

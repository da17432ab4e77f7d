"""What a consumer was asked for, from options and settings, before anything was looked up in Redis."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models import Document


@dataclass(frozen=True, slots=True)
class Options:
    """`pool`, `name`, `type` None: to be found out. `limit` None: as many runs at once as the pool gives.

    `query_s`: the longest time between two safety looks. `grace_s`: from SIGTERM to SIGKILL. `drain_timeout_s`: how
    long the first signal waits for running runs, None: for ever. `health`: host and port of the health check.
    `allowed_env`: variables of this process's environment that a base job template may read. `template`: of the pool,
    if it has to be made; None: its type's own.
    """

    url: str
    pool: str | None = None
    queues: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    name: str | None = None
    type: str | None = None
    limit: int | None = None
    prefetch_s: float = 10.0
    query_s: float = 15.0
    grace_s: float = 10.0
    drain_timeout_s: float | None = None
    allows_unsafe_broker: bool = False
    is_run_once: bool = False
    is_output_shown: bool = True
    health: tuple[str, int] | None = None
    allowed_env: tuple[str, ...] = ()
    template: Document | None = None

    @property
    def selector(self) -> str:
        """`=a,b` (these queues), `^a,b` (queues with one of these prefixes) or `*` (the whole pool)."""
        if self.queues:
            return "=" + ",".join(sorted(set(self.queues)))
        if self.prefixes:
            return "^" + ",".join(sorted(set(self.prefixes)))
        return "*"

    @property
    def serves(self) -> str:
        """The selector in words."""
        if self.queues:
            return f"queue{'s' if len(set(self.queues)) > 1 else ''} {', '.join(sorted(set(self.queues)))}"
        if self.prefixes:
            return f"queues starting with {', '.join(sorted(set(self.prefixes)))}"
        return "all queues"

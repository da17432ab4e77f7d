"""A deployment: a named flow and where its runs go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from dispatcher.models.instants import iso
from dispatcher.models.runs import Document, RunInput
from dispatcher.models.schedules import Schedule

NOT_COMPARED = ("id", "created", "updated")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A named flow and where its runs go; `name` is `flow/name`. Paused: none of its schedules makes runs. `version` is
    another one after each change."""

    name: str
    id: str
    pool: str
    queue: str
    input: RunInput
    description: str = ""
    parameter_schema: Document | None = None
    schedules: tuple[Schedule, ...] = ()
    is_paused: bool = False
    version: str = field(default="", compare=False)
    created_at_ms: int = 0
    updated_at_ms: int = 0

    def document(self) -> Document:
        return {
            "id": self.id,
            "name": self.name,
            "work_pool_name": self.pool,
            "work_queue_name": self.queue,
            "description": self.description,
            **self.input.document(),
            "parameter_schema": self.parameter_schema,
            "schedules": [schedule.document() for schedule in self.schedules],
            "is_paused": self.is_paused,
            "created": iso(self.created_at_ms),
            "updated": iso(self.updated_at_ms),
        }

    def changes(self, before: Deployment | None) -> dict[str, tuple[Any, Any]]:
        """What is different from `before`: fields of the document, each with its value before and now."""
        old = before.document() if before else {}
        return {
            name: (old.get(name), value)
            for name, value in self.document().items()
            if name not in NOT_COMPARED and old.get(name) != value
        }

    def dated(self, before: Deployment | None, now_ms: int) -> Deployment:
        """With when it was made and last changed, if it takes the place of `before` now."""
        made_at_ms = before.created_at_ms if before else now_ms
        changed_at_ms = before.updated_at_ms if before and not self.changes(before) else now_ms
        return replace(self, created_at_ms=made_at_ms, updated_at_ms=changed_at_ms)


@dataclass(frozen=True, slots=True)
class Saved:
    """What came of keeping a deployment: whether its queue was made, how many waiting runs went along to another queue
    or pool, how many of its schedules' runs were taken back, and how many made."""

    made_queue: bool
    moved: int
    taken_back: int
    scheduled: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A deployment as it was stored, and the one whose place it took. `made_pool`: the default pool was made for it."""

    before: Deployment | None
    deployment: Deployment
    saved: Saved
    made_pool: bool = False

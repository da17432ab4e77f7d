"""A deployment: a named flow and where its runs go."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.instants import iso
from dispatcher.models.runs import Document, RunInput


@dataclass(frozen=True, slots=True)
class Deployment:
    """A named flow and where its runs go; `name` is `flow/name`."""

    name: str
    id: str
    pool: str
    queue: str
    input: RunInput
    description: str = ""
    parameter_schema: Document | None = None
    infrastructure: str = "process"
    created_at_ms: int = 0
    updated_at_ms: int = 0

    def document(self) -> Document:
        return {
            "id": self.id,
            "name": self.name,
            "work_pool_name": self.pool,
            "work_queue_name": self.queue,
            "description": self.description,
            "infrastructure": self.infrastructure,
            **self.input.document(),
            "parameter_schema": self.parameter_schema,
            "created": iso(self.created_at_ms),
            "updated": iso(self.updated_at_ms),
        }

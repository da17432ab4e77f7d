"""The base job template of a pool as it is read: whose it is, and which it is for a deployment."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.runs import Document
from dispatcher.pool_types import default_template


@dataclass(frozen=True, slots=True)
class PoolTemplate:
    """`own` empty: the pool has none of its own, and each run is made by the template of its infrastructure's type."""

    pool: str
    type: str
    id: str
    own: Document

    def document(self, infrastructure: str) -> Document:
        """The template for runs of this infrastructure, which only counts where the type of the pool leaves it open."""
        if self.own:
            return self.own
        return default_template(infrastructure if self.type == "agent" else self.type)

"""What `dispatcher doctor` looks at, and how it is."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.runs import Document

OK, WARNING, FINDING = "ok", "warning", "finding"


@dataclass(frozen=True, slots=True)
class Check:
    """`status`: `ok`; `warning`, which may be meant so; `finding`, which must not stay. `pool` empty: of all."""

    check: str
    status: str
    detail: str
    advice: str = ""
    pool: str = ""

    def document(self) -> Document:
        return {
            "check": self.check,
            "work_pool_name": self.pool or None,
            "status": self.status,
            "detail": self.detail,
            "advice": self.advice,
        }

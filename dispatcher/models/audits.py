"""What an audit of a pool finds."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.runs import Document


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something in Redis that is not as it follows from the rest. `code` is one of the words in `ops/audits.py`,
    `place` a key without the pool's part, `subject` the run, queue or consumer that it is about, or empty. `repair`
    says what mends it; empty: nothing does."""

    code: str
    subject: str
    place: str
    problem: str
    repair: str

    def document(self) -> Document:
        return {
            "code": self.code,
            "subject": self.subject,
            "place": self.place,
            "problem": self.problem,
            "repair": self.repair,
        }

"""The answer to "why does it not run?"."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.runs import Document, Run


@dataclass(frozen=True, slots=True)
class Holder:
    run_id: str
    run_name: str
    consumer: str
    since_ms: int  # how long it has held its slot

    def document(self) -> Document:
        return {
            "run_id": self.run_id,
            "run_name": self.run_name,
            "consumer": self.consumer,
            "held_seconds": self.since_ms / 1000,
        }


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is not running. `code` is one of the words listed in `ops/views.py`."""

    code: str
    text: str
    advice: str
    holders: tuple[Holder, ...] = ()

    def document(self) -> Document:
        return {
            "code": self.code,
            "text": self.text,
            "advice": self.advice,
            "holders": [holder.document() for holder in self.holders],
        }


@dataclass(frozen=True, slots=True)
class Why:
    run: Run
    reasons: tuple[Reason, ...]

    def document(self) -> Document:
        return {
            "run_id": self.run.id,
            "name": self.run.name,
            "state": self.run.state.value,
            "state_name": self.run.state_name,
            "reasons": [reason.document() for reason in self.reasons],
        }

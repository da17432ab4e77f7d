"""The states of a flow run and every move between them: the one table that scripts, tests and docs are held to.

A new move is added here first. Each `lua/*.lua` header names the moves it makes and a test compares the union of the
headers with `TRANSITIONS`; `docs/architecture.md` draws its diagram from it. *Late* and *AwaitingRetry* are names
computed when read, not states.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from dispatcher.errors import BugFound


class State(StrEnum):
    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CRASHED, State.CANCELLED})
PARTS = ("Late", "AwaitingRetry")  # names of some of the SCHEDULED runs, see `Run.state_name`
HELD = frozenset({State.PENDING, State.RUNNING, State.CANCELLING})  # the states that hold slots and a lease


class Move(NamedTuple):
    """One edge: `name` is the operation that makes it."""

    before: State
    name: str
    after: State


def _moves(name: str, before: str, after: str) -> tuple[Move, ...]:
    return tuple(Move(State(b), name, State(a)) for b in before.split() for a in after.split())


TRANSITIONS: frozenset[Move] = frozenset(
    _moves("claim", "SCHEDULED", "PENDING")
    + _moves("start", "PENDING", "RUNNING")
    + _moves("finish", "PENDING RUNNING", "COMPLETED FAILED CRASHED SCHEDULED")
    + _moves("finish", "CANCELLING", "CANCELLED")
    + _moves("release", "PENDING RUNNING", "SCHEDULED")
    + _moves("release", "CANCELLING", "CANCELLED")
    + _moves("expire", "PENDING RUNNING", "SCHEDULED CRASHED")
    + _moves("expire", "CANCELLING", "CANCELLED")
    + _moves("cancel", "SCHEDULED", "CANCELLED")
    + _moves("cancel", "PENDING RUNNING", "CANCELLING")
    + _moves("force", "PENDING RUNNING CANCELLING", "CANCELLED")
    + _moves("drain", "SCHEDULED", "CANCELLED")
    + _moves("overlap", "SCHEDULED", "CANCELLED")
    + _moves("overlap", "PENDING RUNNING", "CANCELLING")
    + _moves("outlast", "SCHEDULED", "CANCELLED")
    + _moves("retry", "COMPLETED FAILED CRASHED CANCELLED", "SCHEDULED")
)


def known(word: str) -> State:
    """The state for a word read from Redis; raises `BugFound` for one that is not in the table."""
    try:
        return State(word)
    except ValueError:
        raise BugFound(f"state {word!r} is not known to this version") from None

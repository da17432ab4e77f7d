"""How an attempt ended, from what the job reported and why it was stopped: pure, no I/O.

The rules: exit code 0 is COMPLETED; an exception is FAILED; a non-zero exit code or a signal is CRASHED, with the code
explained; what could not start is CRASHED and never tried again; a run that took too long is FAILED; a stopped one is
what it was stopped for. FAILED and CRASHED are tried again while retries are left.
"""

from __future__ import annotations

import random
import signal
from enum import Enum, auto

from agent.infrastructure.base import Ended
from dispatcher.models import Claimed, Outcome
from dispatcher.models.leases import LONGEST_RETRY_S
from dispatcher.states import State

_JITTER = 0.1
_MESSAGE_LIMIT = 2000


class Stop(Enum):
    """Why a job was stopped before it ended by itself."""

    CANCEL = auto()  # someone cancelled the run
    TIMEOUT = auto()  # it ran longer than its timeout
    GIVE_BACK = auto()  # this consumer ends, or it is paused: another one, or a later claim, is to run it
    EXPIRING = auto()  # the lease cannot be renewed and ends soon
    LOST = auto()  # the lease is another's or has ended: the run is none of our business any more


def outcome(run: Claimed, ended: Ended, stop: Stop | None) -> Outcome | None:
    """What is to be reported; None: nothing, the run is to be given back or forgotten."""
    if stop is Stop.LOST:
        return None
    if stop in (Stop.GIVE_BACK, Stop.EXPIRING):
        # A flow that came to its end after all is not run again; of a command, an exit code alone does not say that.
        return _done(run, ended) if ended.said is State.COMPLETED and ended.exit_code == 0 else None
    if stop is Stop.CANCEL:
        return _final(run, ended, State.CANCELLED, "cancelled while it was running")
    if stop is Stop.TIMEOUT:
        return _again(run, ended, State.FAILED, f"timed out after {run.input.timeout_s:g} s")
    if ended.could_not_start:
        return _final(run, ended, State.CRASHED, f"could not start: {ended.could_not_start}")
    if ended.said is State.FAILED:
        return _again(run, ended, State.FAILED, ended.message)
    if ended.exit_code == 0:
        return _done(run, ended)
    return _again(run, ended, State.CRASHED, explained(ended.exit_code))


def _done(run: Claimed, ended: Ended) -> Outcome:
    return Outcome(run.id, run.epoch, State.COMPLETED, ended.message, ended.exit_code, ended.result_json)


def _final(run: Claimed, ended: Ended, state: State, message: str) -> Outcome:
    return Outcome(run.id, run.epoch, state, message[:_MESSAGE_LIMIT], ended.exit_code)


def _again(run: Claimed, ended: Ended, state: State, message: str) -> Outcome:
    return Outcome(run.id, run.epoch, state, message[:_MESSAGE_LIMIT], ended.exit_code, retry_in_ms=retry_in_ms(run))


def retry_in_ms(run: Claimed) -> int | None:
    """When the run is tried again, or None when no retries are left; a little sooner or later than its delay says."""
    delay_s = run.retry_delay_s
    if delay_s is None:
        return None
    return int(1000 * min(LONGEST_RETRY_S, delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)))


def explained(exit_code: int | None) -> str:
    """`exit code 3`, `killed by signal 9 (SIGKILL), perhaps out of memory`."""
    if exit_code is None:
        return "it ended without an exit code"
    if exit_code < 0:
        return f"killed by signal {-exit_code} ({_name(-exit_code)}){_HINTS.get(-exit_code, '')}"
    if exit_code > 128 and _name(exit_code - 128) != "unknown":
        number = exit_code - 128
        return f"exit code {exit_code}: as if killed by signal {number} ({_name(number)}){_HINTS.get(number, '')}"
    return f"exit code {exit_code}{_SHELL_SAYS.get(exit_code, '')}"


_HINTS: dict[int, str] = {
    signal.SIGKILL: ", perhaps out of memory",
    signal.SIGSEGV: ", a crash in native code",
    signal.SIGABRT: ", given up by native code",
}
_SHELL_SAYS = {126: " (of a shell: the command cannot be executed)", 127: " (of a shell: the command was not found)"}


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"

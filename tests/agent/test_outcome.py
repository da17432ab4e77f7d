"""What an end means: the table of `agent/outcome.py`."""

from __future__ import annotations

from typing import Any

import pytest

from agent.infrastructure.base import Ended
from agent.outcome import Stop, explained, outcome, retry_in_ms
from dispatcher.models import Claimed, RunInput
from dispatcher.states import State

SAID_DONE = Ended(0, State.COMPLETED, result_json="1")
SAID_FAILED = Ended(1, State.FAILED, "ValueError: no")


def claimed(attempts: int = 0, **of: Any) -> Claimed:
    return Claimed("R", 1, "default", 0, attempts, 0, "name", "", 0, RunInput(**of))


@pytest.mark.parametrize(
    ("ended", "stop", "state", "message"),
    [
        (Ended(0), None, State.COMPLETED, ""),
        (SAID_DONE, None, State.COMPLETED, ""),
        (SAID_FAILED, None, State.FAILED, "ValueError: no"),
        (Ended(3), None, State.CRASHED, "exit code 3"),
        (Ended(3, State.COMPLETED), None, State.CRASHED, "exit code 3"),
        (Ended(-9), None, State.CRASHED, "killed by signal 9 (SIGKILL), perhaps out of memory"),
        (Ended(could_not_start="no file"), None, State.CRASHED, "could not start: no file"),
        (Ended(-15), Stop.CANCEL, State.CANCELLED, "cancelled while it was running"),
        (SAID_DONE, Stop.CANCEL, State.CANCELLED, "cancelled while it was running"),
        (Ended(-9), Stop.TIMEOUT, State.FAILED, "timed out after 2 s"),
        (SAID_DONE, Stop.GIVE_BACK, State.COMPLETED, ""),
        (SAID_DONE, Stop.EXPIRING, State.COMPLETED, ""),
    ],
)
def test_an_end_becomes_a_state(ended: Ended, stop: Stop | None, state: State, message: str) -> None:
    told = outcome(claimed(timeout_s=2.0), ended, stop)
    assert told is not None
    assert (told.state, told.message, told.retry_in_ms) == (state, message, None)


@pytest.mark.parametrize(
    ("ended", "stop"),
    [
        (Ended(-15), Stop.GIVE_BACK),
        (Ended(0), Stop.GIVE_BACK),  # of a command that was told to stop, 0 does not say that it was done
        (SAID_FAILED, Stop.GIVE_BACK),
        (Ended(-9), Stop.EXPIRING),
        (SAID_DONE, Stop.LOST),
    ],
)
def test_nothing_is_reported_of_what_is_given_back_or_lost(ended: Ended, stop: Stop) -> None:
    assert outcome(claimed(retries=3), ended, stop) is None


@pytest.mark.parametrize(
    ("ended", "stop"), [(SAID_FAILED, None), (Ended(3), None), (Ended(-9), None), (Ended(-9), Stop.TIMEOUT)]
)
def test_failures_are_tried_again_while_retries_are_left(ended: Ended, stop: Stop | None) -> None:
    more = outcome(claimed(1, retries=2, retry_delay_s=1.0, timeout_s=1.0), ended, stop)
    last = outcome(claimed(2, retries=2, retry_delay_s=1.0, timeout_s=1.0), ended, stop)
    assert more is not None
    assert last is not None
    assert more.retry_in_ms is not None
    assert last.retry_in_ms is None


@pytest.mark.parametrize(
    ("ended", "stop"), [(Ended(0), None), (Ended(could_not_start="x"), None), (Ended(-15), Stop.CANCEL)]
)
def test_others_are_not(ended: Ended, stop: Stop | None) -> None:
    told = outcome(claimed(0, retries=2), ended, stop)
    assert told is not None
    assert told.retry_in_ms is None


@pytest.mark.parametrize(
    ("attempts", "least_ms", "most_ms"),
    [(0, 9_000, 11_000), (1, 18_000, 22_000), (3, 72_000, 88_000), (2000, 3_240_000, 3_600_000)],
)
def test_the_delay_doubles_up_to_an_hour(attempts: int, least_ms: int, most_ms: int) -> None:
    delay_ms = retry_in_ms(claimed(attempts, retries=9999, retry_delay_s=10.0))
    assert delay_ms is not None
    assert least_ms <= delay_ms <= most_ms


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "it ended without an exit code"),
        (1, "exit code 1"),
        (127, "exit code 127 (of a shell: the command was not found)"),
        (137, "exit code 137: as if killed by signal 9 (SIGKILL), perhaps out of memory"),
        (143, "exit code 143: as if killed by signal 15 (SIGTERM)"),
        (255, "exit code 255"),
        (-11, "killed by signal 11 (SIGSEGV), a crash in native code"),
        (-15, "killed by signal 15 (SIGTERM)"),
    ],
)
def test_exit_codes_are_explained(code: int | None, words: str) -> None:
    assert explained(code) == words

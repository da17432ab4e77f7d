"""The table of moves: complete in itself, and no more than the states need."""

import pytest

from dispatcher.errors import BugFound
from dispatcher.states import HELD, TERMINAL, TRANSITIONS, State, known


def test_every_state_is_waiting_held_or_finished() -> None:
    assert {State.SCHEDULED} | HELD | TERMINAL == set(State)
    assert not HELD & TERMINAL


def test_every_state_can_be_reached_and_left() -> None:
    reached, grown = {State.SCHEDULED}, True
    while grown:
        more = {move.after for move in TRANSITIONS if move.before in reached}
        grown, reached = not more <= reached, reached | more
    assert reached == set(State)
    assert {move.before for move in TRANSITIONS} == set(State)


def test_a_finished_run_moves_only_when_an_operator_says_so() -> None:
    assert {(move.name, move.after) for move in TRANSITIONS if move.before in TERMINAL} == {("retry", State.SCHEDULED)}


def test_a_run_that_was_asked_to_stop_is_never_anything_but_cancelled() -> None:
    assert {move.after for move in TRANSITIONS if move.before is State.CANCELLING} == {State.CANCELLED}


def test_slots_are_taken_by_a_claim_alone() -> None:
    assert {move.name for move in TRANSITIONS if move.before not in HELD and move.after in HELD} == {"claim"}


def test_a_word_that_is_no_state_is_a_bug() -> None:
    assert known("RUNNING") is State.RUNNING
    for word in ("running", "", "LATE"):
        with pytest.raises(BugFound):
            known(word)

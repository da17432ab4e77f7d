"""Turns: how many at once, who is next, and that nobody who went away holds the line up."""

from __future__ import annotations

from agent.pacing import Turn, Turns


def granted(turns: list[Turn]) -> list[bool]:
    return [turn.granted.is_set() for turn in turns]


def test_the_soonest_due_are_next() -> None:
    turns = Turns(1)
    first, late, soon, last = (turns.ask(due_s) for due_s in (5.0, 3.0, 1.0, 9.0))
    assert granted([first, late, soon, last]) == [True, False, False, False]
    first.end()
    assert granted([soon, late, last]) == [True, False, False]
    soon.end()
    assert granted([late, last]) == [True, False]


def test_a_turn_that_is_not_wanted_any_more_is_skipped_and_one_that_ends_twice_ends_once() -> None:
    turns = Turns(2)
    with turns.ask(1.0) as first, turns.ask(2.0) as second:
        gone, third, fourth = (turns.ask(due_s) for due_s in (3.0, 4.0, 5.0))
        gone.end()
        first.end()
        first.end()
        assert granted([second, gone, third, fourth]) == [True, False, True, False]
    assert fourth.granted.is_set()


def test_runs_that_are_due_at_the_same_time_go_in_the_order_in_which_they_came() -> None:
    turns = Turns(1)
    line = [turns.ask(1.0) for _ in range(3)]
    line[0].end()
    assert granted(line) == [True, True, False]

"""An operation as a value: how it is put on the wire, and how a script is made of its parts."""

from __future__ import annotations

import hashlib
import re

import pytest

from dispatcher.call import FRAGMENTS, Call, expect, script, wire
from dispatcher.errors import BugFound, LeaseLost, PoolNotFound
from tests import headers


def call(command: str, *args: str | int) -> Call[object]:
    return Call(command, ("k",), args, lambda reply: reply)


def test_a_plain_command_is_sent_as_it_stands() -> None:
    assert wire(call("HGET", "f"), 5) == ("HGET", "k", "f"), "the clock is for scripts"


@pytest.mark.parametrize(("now_ms", "clock"), [(None, ""), (5, 5), (0, 0)])
def test_a_script_is_sent_by_its_digest_with_the_clock_first(now_ms: int | None, clock: str | int) -> None:
    assert wire(call("run_read", "r"), now_ms) == ("EVALSHA", script("run_read").sha, 1, "k", clock, "r")


DEFINED = re.compile(r"^local function (\w+)", re.MULTILINE)
OF_FRAGMENTS = {name for part in FRAGMENTS for name in DEFINED.findall("\n".join(headers.lines(part)))}


@pytest.mark.parametrize("name", headers.names())
def test_a_script_keeps_its_shebang_first_and_has_the_functions_that_it_calls(name: str) -> None:
    found = script(name)
    assert found.text.startswith(headers.lines(name)[0] + "\n")
    assert found.sha == hashlib.sha1(found.text.encode(), usedforsecurity=False).hexdigest()
    called = set(re.findall(r"\b(\w+)\(", found.text)) & OF_FRAGMENTS
    assert called
    assert called <= set(DEFINED.findall(found.text))
    assert found is script(name), "read once"


def test_a_script_does_without_the_functions_that_it_cannot_reach() -> None:
    assert {"admit", "park", "submit", "take_back"} & set(DEFINED.findall(script("run_read").text)) == set()


def test_a_call_can_be_awaited_by_a_flow() -> None:
    asked = call("HGET")
    steps = iter(asked)
    assert next(steps) is asked
    with pytest.raises(StopIteration) as end:
        steps.send("reply")
    assert end.value.value == "reply"


def test_expect_gives_the_fields_or_raises_what_the_word_stands_for() -> None:
    assert expect("done")(["done", 1, "x"]) == [1, "x"]
    with pytest.raises(PoolNotFound, match="'p' was not found"):
        expect("done", pool="p")(["NOPOOL"])
    with pytest.raises(LeaseLost, match="'r' is not held at epoch 3"):
        expect("done", run="r", epoch=3)(["FENCED"])


def test_an_unknown_word_is_a_bug() -> None:
    with pytest.raises(BugFound, match="'EXTRA', which no table knows"):
        expect("done")(["EXTRA"])

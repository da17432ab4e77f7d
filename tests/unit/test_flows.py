"""`@flow` leaves a function what it was, and says what was asked of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, assert_type

import pytest

from dispatcher import flow
from dispatcher.errors import BadName, BadValue
from dispatcher.flows import MARK, Facts


def facts_of(function: object) -> tuple[str | None, int | None, float | None, float | None]:
    facts = getattr(function, MARK)
    assert isinstance(facts, Facts)
    return facts.name, facts.retries, facts.retry_delay_s, facts.timeout_s


def test_a_marked_function_is_the_same_function() -> None:
    def load(day: str, *, full: bool = False) -> tuple[str, bool]:
        """Loads."""
        return day, full

    marked = flow(load)
    assert marked is load
    assert_type(marked("today", full=True), tuple[str, bool])
    assert marked("today", full=True) == ("today", True)
    assert facts_of(marked) == (None, None, None, None)


def test_what_it_says_is_kept() -> None:
    @flow(name="nightly-load", retries=2, retry_delay=timedelta(minutes=1), timeout=90)
    async def load(day: str) -> str:
        return day

    assert asyncio.run(load("today")) == "today"
    assert facts_of(load) == ("nightly-load", 2, 60.0, 90.0)


@pytest.mark.parametrize("name", ["My Flow", "My_Flow", " My\tFlow ", "_My_Flow_", "My-Flow"])
def test_blanks_and_underscores_of_a_name_become_dashes(name: str) -> None:
    @flow(name=name)
    def load() -> None: ...

    assert facts_of(load)[0] == "My-Flow"


def test_nothing_retried_is_something_said() -> None:
    @flow(retries=0, retry_delay=0)
    def load() -> None: ...

    assert facts_of(load) == (None, 0, 0.0, None)


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"name": " _ "}, BadName, "Flow name '' is not valid"),
        ({"name": "My flow!"}, BadName, "Flow name 'My-flow!' is not valid"),
        ({"name": ""}, BadName, "Flow name '' is not valid"),
        ({"name": "a/b"}, BadName, "'a/b'"),
        ({"name": 5}, BadValue, "name of @flow is 5"),
        ({"retries": -1}, BadValue, "retries of @flow is -1"),
        ({"retries": 1.5}, BadValue, "retries of @flow is 1.5"),
        ({"retries": True}, BadValue, "retries of @flow is True"),
        ({"retry_delay": -1}, BadValue, "retry_delay of @flow is -1"),
        ({"retry_delay": timedelta(seconds=-1)}, BadValue, "retry_delay of @flow"),
        ({"timeout": 0}, BadValue, "timeout of @flow is 0"),
        ({"timeout": timedelta()}, BadValue, "timeout of @flow is 0"),
        ({"timeout": "1h"}, BadValue, "timeout of @flow is '1h'"),
        ({"timeout": float("nan")}, BadValue, "timeout of @flow is nan"),
        ({"timeout": float("inf")}, BadValue, "timeout of @flow is inf"),
    ],
)
def test_a_slip_is_refused_where_it_is_written(said: dict[str, Any], error: type[Exception], message: str) -> None:
    decorate: Callable[..., object] = flow
    with pytest.raises(error, match=message.replace("(", r"\(")):
        decorate(**said)


@pytest.mark.parametrize("function", [5, len])
def test_what_cannot_be_marked_is_refused(function: object) -> None:
    mark: Callable[..., object] = flow
    with pytest.raises(BadValue, match="@flow"):
        mark(function)


def test_a_file_with_marked_flows_loads_next_to_nothing() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\n"
        "from dispatcher import flow\n@flow(name='load', retries=2, timeout=5)\ndef load(): pass\n"
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    ours = {"dispatcher", "dispatcher.errors", "dispatcher.flows", "dispatcher.keyspace"}
    loaded = set(done.stdout.split())
    assert ours <= loaded
    of_python = {"__future__", "importlib", "importlib._bootstrap", "importlib._bootstrap_external", "warnings"}
    assert loaded - ours <= of_python

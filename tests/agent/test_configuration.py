"""What a rendered job says: read with its defaults, and refused whole with everything that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.infrastructure.configuration import Configuration
from dispatcher.errors import BadValue

KEYS = ("name", "env", "labels", "command", "working_dir", "stream_output", "timeout_seconds", "grace_seconds")
TEXT = st.text("ab=' \0\n\u20ac", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("job", [{}, dict.fromkeys(KEYS), {"command": "", "working_dir": ""}, {"command": [], "x": 1}])
def test_what_is_missing_or_null_is_the_default(job: dict[str, Any]) -> None:
    assert Configuration.read(job) == Configuration()


def test_every_value_is_read() -> None:
    job = {
        "name": "etl",
        "env": {"A": "b", "N": 1, "X": 0.5, "YES": True},
        "labels": {"team": "data"},
        "command": "python -c 'print(1)' \"a b\"",
        "working_dir": "/srv",
        "stream_output": False,
        "timeout_seconds": 90,
        "grace_seconds": 0,
    }
    assert Configuration.read(job) == Configuration(
        "etl",
        {"A": "b", "N": "1", "X": "0.5", "YES": "true"},
        "/srv",
        ("python", "-c", "print(1)", "a b"),
        False,
        90.0,
        0.0,
    )
    assert Configuration.read({"command": ["sh", ""]}).command == ("sh", "")


@pytest.mark.parametrize(
    ("job", "fault"),
    [
        ({"env": ["A=b"]}, "env must be an object of names and texts, found ['A=b']"),
        ({"env": {"A": None}}, "env.A must be text without NUL, found None"),
        ({"env": {"A": {"b": 1}}}, "env.A must be text without NUL, found {'b': 1}"),
        ({"env": {"A=B": "c"}}, "env has the name 'A=B', which no variable can have"),
        ({"env": {"": "c"}}, "env has the name ''"),
        ({"working_dir": 3}, "working_dir must be text without control characters, found 3"),
        ({"working_dir": "/a\0b"}, "working_dir must be text without control characters"),
        ({"command": 5}, "command must be text or a list of words, found 5"),
        ({"command": "echo 'a"}, "command cannot be cut into words (no closing quotation)"),
        ({"command": ["sleep", 5]}, "command[1] must be text without NUL, found 5"),
        ({"command": ["", "x"]}, "command[0] must be the name of a program, found ''"),
        ({"stream_output": "false"}, "stream_output must be true or false, found 'false'"),
        ({"timeout_seconds": "90"}, "timeout_seconds must be a number of seconds above 0"),
        ({"timeout_seconds": True}, "timeout_seconds must be a number of seconds above 0"),
        ({"timeout_seconds": 0}, "timeout_seconds must be a number of seconds above 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds must be a number of seconds above 0"),
        ({"grace_seconds": -1}, "grace_seconds must be a number of seconds from 0"),
        ({"grace_seconds": float("inf")}, "grace_seconds must be a number of seconds from 0"),
        ({"name": "a\nb"}, "name must be text without control characters"),
        ({"name": "a" * 201}, "name must have 200 characters at most, found 201"),
        ({"labels": []}, "labels must be an object, found []"),
    ],
)
def test_nonsense_is_told(job: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadValue) as refused:
        Configuration.read(job)
    assert str(refused.value).startswith("the job cannot be used: ")
    assert fault in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadValue) as refused:
        Configuration.read({"env": 1, "command": 2, "grace_seconds": "3"})
    assert all(f"{key} must be" in str(refused.value) for key in ("env", "command", "grace_seconds"))


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_no_job_is_so_strange_that_it_breaks_the_reader(job: dict[str, Any]) -> None:
    try:
        found = Configuration.read(job)
    except BadValue:
        return
    assert not any("\0" in name + text for name, text in found.env.items())
    assert not any("\0" in word for word in found.command or ())

"""`docs/keys.md` against `dispatcher/keyspace.py`: every key with its text, and every event that a script leaves.

What is in Redis is held against keyspace after each test with a server, by `tests/recording.py`.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from dispatcher import keyspace
from tests import headers
from tests.documented import describing, documented, rows

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "keys.md").read_text("utf-8")


def table(heading: str) -> list[str]:
    """The rows of the table below a heading, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def test_every_key_stands_in_the_page_with_its_text() -> None:
    expected = rows()
    assert table("Keys") == expected, "docs/keys.md: the table must be\n" + "\n".join(expected)


def test_every_function_is_in_the_list() -> None:
    functions = {
        name
        for name, function in inspect.getmembers(keyspace, inspect.isfunction)
        if function.__module__ == keyspace.__name__ and not name.startswith("_") and name != "checked_name"
    }
    assert set(keyspace.KEYS) == functions


@pytest.mark.parametrize("name", keyspace.KEYS)
def test_a_key_is_recognised_as_its_own_function(name: str) -> None:
    function = keyspace.KEYS[name]
    examples = {
        "pool": "etl",
        "group": "0/=a,b",
        "deployment": "etl/daily",
        "state": "FAILED",
        "scope": "",
        "key": "a:b",
    }
    key = function(*[examples.get(parameter, "x") for parameter in inspect.signature(function).parameters])
    found = describing(key)
    assert found is not None
    assert found.name == name


def test_what_is_not_ours_is_told() -> None:
    for key in ("dispatcher:other", "dispatcher:{etl}:other", "dispatcher:{etl}:queue:a:b", "other:pools"):
        assert describing(key) is None


def test_hashes_and_streams_name_their_fields() -> None:
    open_ended = {one.name for one in documented() if one.type in ("hash", "stream") and one.fields is None}
    assert open_ended == {"deployments", "deployment_set"}


def test_every_event_stands_in_the_page() -> None:
    code = "\n".join(headers.body(name) for fragments in (False, True) for name in headers.names(fragments=fragments))
    left = set(re.findall(r"\b(?:run_)?event\('([a-z-]+)'", code))
    left |= set(re.findall(r"\bconclude\(run, '([a-z-]+)'", code))
    listed = {word for row in table("Events") for word in re.findall(r"`([a-z-]+)`", row.split("|")[1])}
    assert listed == left


def test_the_page_shows_real_keys() -> None:
    shown = re.findall(r"redis-cli \w+\s+'([^']+)'", PAGE)
    assert shown
    assert [key for key in shown if describing(key) is None] == []

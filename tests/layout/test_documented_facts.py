"""Numbers, settings, exit codes and reasons that the pages tell, against the code that decides them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from cli import main
from dispatcher import settings
from dispatcher.ops import views
from dispatcher.profiles import OTHER_VARIABLES, variable
from dispatcher.settings import kind

ROOT = Path(__file__).resolve().parents[2]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = (ROOT / "docs" / page).read_text("utf-8").partition(f" {heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, f"docs/{page} has no table below {heading}"
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[0].splitlines()[2:]]


def constant(file: str, name: str) -> int | float:
    """The value of a constant in a Python module or a Lua file."""
    if file.endswith(".py"):
        value = getattr(import_module(file.removesuffix(".py").replace("/", ".")), name)
        assert isinstance(value, int | float)
        return value
    found = re.search(rf"local {name} = (\d+)", (ROOT / file).read_text("utf-8"))
    assert found, f"{file} has no {name}"
    return int(found[1])


def said(name: str, value: float) -> str:
    """A constant as the page says it, by the unit in its name."""
    units = (
        [("MiB", 1 << 20), ("KiB", 1 << 10), ("bytes", 1)]
        if name.endswith("_BYTES")
        else [("h", 3_600_000), ("s", 1000), ("ms", 1)]
    )
    if not name.endswith(("_BYTES", "_MS", "_S")):
        return f"{value:,}"
    amount = value * 1000 if name.endswith("_S") else value
    unit, size = next((unit, size) for unit, size in units if amount >= size)
    return f"{amount / size:g} {unit}"


NUMBERS = [
    (what, how_much, file, name)
    for what, how_much, where in rows("guarantees.md", "Numbers")
    for file, names in [re.fullmatch(r"`([^`]+)`:?(.*)", where).groups()]  # type: ignore[union-attr]
    for name in re.findall(r"`(\w+)`", names)
]


@pytest.mark.parametrize(("what", "how_much", "file", "name"), NUMBERS, ids=[row[3] for row in NUMBERS])
def test_a_number_is_that_of_the_code(what: str, how_much: str, file: str, name: str) -> None:
    wanted = said(name, constant(file, name))
    assert re.search(rf"(?<![\d,.]){re.escape(wanted)}\b", how_much), f"{what}: {file} says {wanted}"


def test_settings_are_told() -> None:
    expected = [
        [f"`{variable(name)}`", kind(name).name, settings.shown(field.default), field.description]
        for name, field in settings.SETTINGS.items()
    ]
    assert rows("settings.md", "Every setting") == expected


def test_variables_that_are_no_settings_are_told() -> None:
    told = [row[0].strip("`") for row in rows("settings.md", "Variables that are no settings")]
    assert sorted(told) == sorted(OTHER_VARIABLES)


def test_exit_codes_are_told() -> None:
    codes = {0, 2, main.INTERRUPTED, main.BROKEN_PIPE, *(code for _, code in main.EXIT_CODES)}
    assert {int(row[0]) for row in rows("operations.md", "Exit codes")} == codes


def test_reasons_are_told() -> None:
    told = [
        code for row in rows("operations.md", "Why a run does not run") for code in re.findall(r"`([\w-]+)`", row[0])
    ]
    assert sorted(told) == sorted(views._WORDS)

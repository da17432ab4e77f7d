"""Numbers, settings, exit codes, reasons, metrics, keys of files and names of tests that the pages tell, against the
code that decides them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from agent.metrics import Metrics
from agent.vitals import Beat, Vitals
from cli import main
from cli.deployment_form import Entry, ScheduleEntry, WorkPool
from dispatcher import pool_types, settings
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


def test_metrics_are_told() -> None:
    told = {
        name for row in rows("workers.md", "Health check and metrics") for name in re.findall(r"`(\w+_\w+)`", row[0])
    }
    vitals = Vitals()
    vitals.heartbeat = lambda: Beat(0.0, 1.0)
    text = Metrics(vitals).text()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert told == {name for name in kinds if not name.endswith("_created")}


def test_variables_of_a_process_are_told() -> None:
    template = pool_types.default_template("process")
    assert [row[0].strip("`") for row in rows("templates.md", "The variables of `process`")] == list(
        template["variables"]["properties"]
    )


def test_keys_of_a_deployment_file_are_told() -> None:
    told = [key for row in rows("deployments.md", "A file") for key in re.findall(r"`([\w.]+)`", row[0])]
    known = [name for name in Entry.model_fields if name != "work_pool"]
    assert sorted(told) == sorted([*known, *(f"work_pool.{name}" for name in WorkPool.model_fields)])


def test_keys_of_a_schedule_are_told() -> None:
    told = [row[0].strip("`") for row in rows("schedules.md", "Schedules")]
    assert sorted(["cron", "interval", "rrule", *told]) == sorted(ScheduleEntry.model_fields)


def test_reasons_are_told() -> None:
    told = [
        code for row in rows("operations.md", "Why a run does not run") for code in re.findall(r"`([\w-]+)`", row[0])
    ]
    assert sorted(told) == sorted(views._WORDS)


def test_tests_that_are_named_are_there() -> None:
    named = {
        (file, test)
        for page in (ROOT / "docs").glob("*.md")
        for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text("utf-8"))
    }
    assert named
    gone = [(file, test) for file, test in named if test and f"def {test}(" not in (ROOT / file).read_text("utf-8")]
    assert gone == []

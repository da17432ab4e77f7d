"""By which words a function is found again: in its file below a code folder, or in an installed module."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher import entrypoints
from dispatcher.errors import FlowUnnamed

FLOWS = """
    import functools

    def load(): ...

    class Group:
        @staticmethod
        def inside(): ...
        def method(self): ...

    def counted(function):
        @functools.wraps(function)
        def wrapper(): return function()
        return wrapper

    @counted
    def wrapped(): ...

    hidden = counted(load)
    renamed = load
"""
Told = Callable[..., Any]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """What a program, run in `cwd`, is told of `expression` after it has imported `what`."""
    package = tmp_path / "project" / "shop" / "flows"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def of_package(): ...\n")
    (package / "etl.py").write_text(textwrap.dedent(FLOWS))

    def ask(what: str, expression: str, cwd: str = "project", path: str | None = None) -> Any:
        program = f"""
            import json, sys
            sys.path.insert(0, {str(tmp_path / "project")!r})
            import {what}
            from dispatcher import entrypoints, errors
            try:
                print(json.dumps(entrypoints.of({expression}, {path!r})))
            except errors.FlowUnnamed as error:
                print(json.dumps(str(error)))
        """
        folder = tmp_path / cwd
        folder.mkdir(exist_ok=True)
        argv = [sys.executable, "-c", textwrap.dedent(program)]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return ask


def test_a_file_below_the_current_folder(told: Told, tmp_path: Path) -> None:
    assert told("shop.flows.etl", "shop.flows.etl.load") == ["shop/flows/etl.py:load", str(tmp_path / "project")]
    assert told("shop.flows.etl", "shop.flows.etl.Group.inside")[0] == "shop/flows/etl.py:Group.inside"
    assert told("shop.flows.etl", "shop.flows.etl.wrapped")[0] == "shop/flows/etl.py:wrapped"
    assert told("shop.flows.etl", "shop.flows.etl.renamed")[0] == "shop/flows/etl.py:load"


def test_a_file_elsewhere_is_found_from_where_it_was_imported(told: Told, tmp_path: Path) -> None:
    project = str(tmp_path / "project")
    assert told("shop.flows.etl", "shop.flows.etl.load", cwd="away") == ["shop/flows/etl.py:load", project]
    assert told("shop.flows", "shop.flows.of_package", cwd="away") == ["shop/flows/__init__.py:of_package", project]


def test_a_path_that_is_said_counts(told: Told, tmp_path: Path) -> None:
    shop = str(tmp_path / "project" / "shop")
    assert told("shop.flows.etl", "shop.flows.etl.load", path=shop) == ["flows/etl.py:load", shop]
    away = str(tmp_path / "away")
    assert told("shop.flows.etl", "shop.flows.etl.load", path=away) == ["shop.flows.etl:load", away]


def test_an_installed_module_needs_no_folder(told: Told) -> None:
    assert told("textwrap", "textwrap.dedent") == ["textwrap:dedent", None]
    assert told("pytest", "pytest.importorskip") == ["_pytest.outcomes:importorskip", None]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("shop.flows.etl.hidden", "is not it"),
        ("lambda: None", "it has no name"),
        ("len", "has no file"),
        ("5", "no name of its own"),
        ("shop.flows.etl.Group().method", "instance"),
    ],
)
def test_what_cannot_be_found_is_refused(told: Told, expression: str, why: str) -> None:
    said = told("shop.flows.etl", expression)
    assert "cannot be submitted or deployed" in said
    assert why in said


def test_a_function_made_inside_another_is_refused() -> None:
    def inner() -> None: ...

    with pytest.raises(FlowUnnamed, match=r"inner cannot .* it is made inside test_a_function"):
        entrypoints.of(inner)

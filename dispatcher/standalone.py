"""The files of `agent` that run beside the user's code: where they are, and their functions for whoever needs them.

They are found by their path, not by the import system: a module named `agent` may be the user's own.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import dispatcher

FOLDER = Path(dispatcher.__file__).resolve().parent.parent / "agent"


def file(name: str) -> Path:
    """Where `agent/<name>.py` is."""
    return FOLDER / f"{name}.py"


@cache
def loaded(name: str) -> Any:
    """The module `agent/<name>.py`, under a name that no import finds."""
    spec = importlib.util.spec_from_file_location(f"dispatcher's {name}", file(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

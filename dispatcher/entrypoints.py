"""From a function to the words by which a consumer finds it: `flows/etl.py:load` and a code folder, or
`package.module:load`.

The function must be what its module has under its name: what is made inside another function, a lambda or a partial
is nowhere to be found in another process.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from dispatcher.errors import FlowUnnamed


def of(function: Callable[..., Any], path: str | None = None) -> tuple[str, str | None]:
    """The entrypoint and the code folder of a function; `path` is where its file is to be looked up.

    Without one, that is the current folder if the file lies in it, else the folder from which its module was
    imported; an installed module needs none. Raises `FlowUnnamed`.
    """
    name, module = _name(function)
    file = _file(module, name)
    if path is not None:
        folder = Path(path).resolve()
        if file.is_relative_to(folder):
            return f"{file.relative_to(folder)}:{name}", str(folder)
        if module == "__main__":
            raise FlowUnnamed(function=name, detail=f"its file {file} does not lie in the code folder {folder}")
        return f"{module}:{name}", str(folder)
    if module != "__main__" and _is_installed(file):
        return f"{module}:{name}", None
    here = Path.cwd().resolve()
    folder = here if file.is_relative_to(here) else _import_root(file, module)
    return f"{file.relative_to(folder)}:{name}", str(folder)


def _name(function: Callable[..., Any]) -> tuple[str, str]:
    """The function's name in its module, and the module's."""
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not name or not module or not callable(function):
        raise FlowUnnamed(function=repr(function), detail="it has no name of its own")
    if "<lambda>" in name:
        raise FlowUnnamed(function=f"A lambda of module {module}", detail="it has no name")
    if "<locals>" in name:
        where, _, own = name.rpartition(".<locals>.")
        raise FlowUnnamed(function=own, detail=f"it is made inside {where}, each time anew")
    if not isinstance(getattr(function, "__self__", None), type | ModuleType | None):
        raise FlowUnnamed(function=name, detail="it is a method of one instance")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function:
        raise FlowUnnamed(function=name, detail=f"what module {module} has under this name is not it but {found!r}")
    return name, module


def _file(module: str, name: str) -> Path:
    file = getattr(sys.modules[module], "__file__", None)
    if file is None or not file.endswith(".py"):
        raise FlowUnnamed(function=name, detail=f"its module {module} has no file (.py)")
    return Path(file).resolve()


def _is_installed(file: Path) -> bool:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names} | {site.getusersitepackages()}
    return any(file.is_relative_to(Path(folder).resolve()) for folder in folders if folder)


def _import_root(file: Path, module: str) -> Path:
    """The folder that an import of the module would start at; the file's own if it was not imported that way."""
    parts = [] if module == "__main__" else module.split(".")
    if file.name == "__init__.py":
        parts.append("__init__")
    is_so = bool(parts) and [*file.parent.parts, file.stem][-len(parts) :] == parts
    return file.parents[len(parts) - 1] if is_so else file.parent

"""Reports on a flow without calling it: its name, its parameters as a JSON schema, what `@flow` says, its first line.

`dispatcher/signature.py` starts this file by its path (`python -P inspection.py SPEC`), as a consumer starts
`child.py`: nothing of ours is imported by name, and the flow is loaded by the child's own `load`, so that what is found
here is what a run finds. SPEC is a JSON file with `entrypoint`, `path` and `report`, the file to write.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from inspect import Parameter, cleandoc, isfunction, signature
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

_FOLDER = Path(__file__).parent


def _beside(name: str) -> ModuleType:
    """A module of ours, which gets in nobody's way: it is not in `sys.modules`."""
    spec = importlib.util.spec_from_file_location(f"dispatcher's {name}", _FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inspect(spec_path: str) -> None:
    child = _beside("child")
    path = list(sys.path)
    spec = json.loads(Path(spec_path).read_text("utf-8"))
    try:
        child.note_loading(spec["entrypoint"])
        report = inspected(child.load(spec["entrypoint"], spec["path"]), path)
    except child.NoStart as error:
        report = _refused(str(error))
    except Exception as error:  # noqa: BLE001 - the edge of the process
        if child.is_told(error):
            is_request = any(
                kind.__name__ == "BadRequest" for kind in type(error).__mro__
            )  # and no broker that is away
            report = _refused(str(error), is_sure=is_request)
        else:
            child.show(error)
            report = _refused(f"importing it failed: {child.told(error)}")
    child.write(spec["report"], json.dumps(report))


def _refused(error: str, *, is_sure: bool = False) -> dict[str, Any]:
    """`is_sure`: it would be so on every host."""
    return {"ok": False, "error": error, "is_sure": is_sure}


def inspected(flow: Callable[..., Any], path: list[str]) -> dict[str, Any]:
    """`{"ok": True}` with the fields of `dispatcher.signature.Signature`, or `{"ok": False, "error", "is_sure"}`."""
    child = _beside("child")
    if child.is_generator(flow):
        return _refused(child.GENERATOR, is_sure=True)
    if wanting := _instance_of(flow):
        why = f"it is a method of class {wanting!r} and needs an instance: name a function that makes one and calls it"
        return _refused(why, is_sure=True)
    try:
        parameters = list(signature(flow).parameters.values())
    except (TypeError, ValueError) as error:
        return _refused(f"its parameters cannot be read: {error}")
    for parameter in parameters:
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            why = f"its parameter {parameter.name!r} is positional-only; parameters are passed by name: drop the '/'"
            return _refused(why, is_sure=True)
    annotations = _beside("annotations")
    named = [one for one in parameters if one.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    hints = {one.name: one.annotation for one in named if one.annotation is not Parameter.empty}
    found, shared = annotations.schemas(annotations.resolved(flow, hints), path)
    schema = {
        "type": "object",
        "properties": {one.name: {"title": one.name, **found.get(one.name, {}), **_default(one)} for one in named},
        "required": [one.name for one in named if one.default is Parameter.empty],
        "additionalProperties": any(one.kind is Parameter.VAR_KEYWORD for one in parameters),
    }
    facts = getattr(flow, "__dispatcher_flow__", None)
    own_name = str(getattr(flow, "__name__", ""))
    return {
        "ok": True,
        # A lambda, a partial or an instance has none of its own: whoever knows the entrypoint names it.
        "flow_name": getattr(facts, "name", None)
        or (own_name.strip("_").replace("_", "-") if own_name.isidentifier() else ""),
        "parameters": {**schema, "$defs": shared} if shared else schema,
        "description": _first_line(annotations.function_of(flow)),
        **{name: getattr(facts, name, None) for name in ("retries", "retry_delay_s", "timeout_s")},
    }


def _instance_of(flow: Any) -> str | None:
    """The class of which it is a method, if it was taken from the class itself: nobody could give it its `self`."""
    owner, _, name = str(getattr(flow, "__qualname__", "")).rpartition(".")
    found: Any = sys.modules.get(getattr(flow, "__module__", ""))
    for part in owner.split("."):
        found = getattr(found, part, None)
    is_method = isinstance(found, type) and isfunction(flow) and found.__dict__.get(name) is flow
    return owner if is_method else None


def _first_line(function: Any) -> str:
    text = function.__doc__ if hasattr(function, "__code__") else None  # what is not of the user has words of Python's
    return cleandoc(text or "").partition("\n")[0]


def _default(parameter: Parameter) -> dict[str, Any]:
    """The default, where it is JSON."""
    if parameter.default is Parameter.empty:
        return {}
    try:
        return {"default": json.loads(json.dumps(parameter.default, allow_nan=False))}
    except (TypeError, ValueError, RecursionError):
        return {}


if __name__ == "__main__":
    inspect(sys.argv[1])

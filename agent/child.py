"""What runs inside the child process of a flow: waits for the word, loads the flow, calls it, writes how it went.

The consumer starts this file by its path (`python -P child.py run FOLDER`), never as `agent.child`: nothing of ours
is imported, so a user's own modules named `agent`, `cli` or `dispatcher_flows` are found as anywhere else. FOLDER is
private to the run and holds `spec`, which the same interpreter has marshalled; `outcome` is written there.

Each import here is paid by every run, so there are almost none: `json`, `signal`, `importlib.util` and `pathlib` would
together double the start of a bare interpreter (measured 2026-11, Python 3.11: 9 ms and 11 ms more).

The child begins with user code only when one byte arrives on its standard input. End of file there means that the
consumer died before it had put the child under its guardian's eyes: then nothing has happened and nothing will.
Afterwards standard input is empty. On Linux the kernel also kills the child with its parent.

SIGTERM becomes SystemExit, so that `finally` blocks and context managers of a flow run when it is cancelled.

`inspect SPEC` is the other mode: it imports the flow and reports its name and parameters (see `inspected`).
"""

# ruff: noqa: PTH100, PTH105, PTH113, PTH118, PTH119, PTH120, PTH123, PTH206

from __future__ import annotations

import _frozen_importlib as importing  # what importlib.util shows; always loaded
import _frozen_importlib_external as files_importing
import _signal  # type: ignore[import-not-found]  # what signal wraps in enums
import marshal
import os
import sys

TYPE_CHECKING = False  # importing typing for it would cost milliseconds; type checkers know the name
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from inspect import Parameter
    from types import FrameType, ModuleType
    from typing import Any, NoReturn

RESULT_LIMIT_BYTES = 256 * 1024
MESSAGE_LIMIT = 2000
_PR_SET_PDEATHSIG = 1
_SIGKILL, _SIGTERM = 9, 15
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", list: "array", dict: "object"}


class NoStart(Exception):
    """What the run needs is not there: it did not start, and trying again would not help."""


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that started it ends. Elsewhere the guardian does it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def wait_for_word() -> bool:
    """Blocks until the consumer says go; False: it is gone. Standard input is empty from then on."""
    word = os.read(0, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return word != b""


def run(folder: str) -> None:
    die_with_parent()
    with open(os.path.join(folder, "spec"), "rb") as file:
        spec = marshal.load(file)  # noqa: S302 - from the consumer, by way of a folder that is the user's alone
    if not wait_for_word():
        os._exit(1)
    outcome = os.path.join(folder, "outcome")
    try:
        if spec["command"] is not None:
            replace_with(spec["command"])
        _signal.signal(_SIGTERM, _leave)
        flow = load(spec["entrypoint"], spec["path"])
        result = flow(**spec["parameters"])
        if hasattr(result, "__await__"):
            result = _awaited(result)
        write(outcome, "\n".join(("COMPLETED", *kept(result))))
    except NoStart as error:
        write(outcome, f"NOSTART\n\n{error}")
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the edge of the process
        show(error)
        write(outcome, f"FAILED\n\n{told(error)}")
        sys.exit(1)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + _SIGTERM)


def _awaited(awaitable: Awaitable[Any]) -> Any:
    import asyncio

    async def whole() -> Any:
        return await awaitable

    return asyncio.run(whole())


def replace_with(command: list[str]) -> NoReturn:
    """Becomes the command. The word that a shell would say when it is not there is said as a message instead."""
    try:
        os.execvp(command[0], command)  # noqa: S606 - to run the user's command is what this is for
    except FileNotFoundError:
        raise NoStart(f"the command {command[0]!r} was not found") from None
    except OSError as error:
        raise NoStart(f"the command {command[0]!r} cannot be executed: {error.strerror}") from None


def load(entrypoint: str, path: str | None) -> Callable[..., Any]:
    """The callable that `folder/file.py:function` or `package.module:function` names. Raises `NoStart`.

    The code folder comes first on `sys.path`; for a file its own folder follows, as in `python folder/file.py`.
    """
    where, _, name = entrypoint.rpartition(":")
    if not where or not name:
        raise NoStart(f"the entrypoint {entrypoint!r} is not of the form file.py:function or package.module:function")
    first = [] if path is None else [os.path.abspath(path)]
    if where.endswith(".py") or "/" in where:
        file = os.path.abspath(os.path.join(path or "", where))
        if not os.path.isfile(file):
            raise NoStart(f"there is no file {file!r}")
        sys.path[:0] = list(dict.fromkeys([*first, os.path.dirname(file)]))
        module = _from_file(file, path)
    else:
        sys.path[:0] = first
        module = _from_name(where)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise NoStart(f"there is no {name!r} in {where!r}")
    if not callable(found):
        raise NoStart(f"{name!r} in {where!r} is not a function")
    flow: Callable[..., Any] = found
    return flow


def _from_file(file: str, path: str | None) -> ModuleType:
    """Loads exactly this file, under the name by which an import from the code folder would find it."""
    inside = os.path.relpath(file, path) if path is not None else os.path.basename(file)
    parts = inside[: -len(".py")].split(os.sep) if inside.endswith(".py") else [os.path.basename(file)]
    if not all(part.isidentifier() for part in parts):
        parts = ["".join(letter if letter.isalnum() else "_" for letter in os.path.basename(file))]
    name = ".".join(parts)
    spec = files_importing.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise NoStart(f"the file {file!r} is not a Python file")
    module = importing.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _from_name(name: str) -> ModuleType:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            raise NoStart(f"there is no module {missing!r}") from None
        raise
    return sys.modules[name]


def kept(result: object) -> tuple[str, str]:
    """The result as JSON in one line, and a note if it is not kept."""
    if result is None:
        return "", ""
    import json

    try:
        text = json.dumps(result, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        return "", f"result not kept: it is not JSON ({error})"[:MESSAGE_LIMIT]
    size = len(text)
    if size > RESULT_LIMIT_BYTES:
        return "", f"result not kept: it has {size} bytes, {RESULT_LIMIT_BYTES} are allowed"
    return text, ""


def told(error: BaseException) -> str:
    """`Type: text`, as the last line of a traceback."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception whose own text fails is still to be told
        text = "<the exception has no text>"
    return (f"{name}: {text}" if text else name)[:MESSAGE_LIMIT]


_OURS = (told.__code__.co_filename, "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def show(error: BaseException) -> None:
    """Prints the traceback without the frames that are ours."""
    import traceback

    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OURS:
        trace = trace.tb_next
    try:
        sys.stdout.flush()
    finally:
        traceback.print_exception(type(error), error, trace)


def write(path: str, text: str) -> None:
    """Writes the file at once or not at all: a child that is killed in between has not reported."""
    with open(path + ".new", "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    os.replace(path + ".new", path)


def inspect(spec_path: str) -> None:
    """Reports on a flow without calling it; the spec has `entrypoint`, `path` and `report`, the file to write."""
    import json

    with open(spec_path, encoding="utf-8") as file:
        spec = json.load(file)
    try:
        report = inspected(load(spec["entrypoint"], spec["path"]))
    except NoStart as error:
        report = {"ok": False, "error": str(error)}
    except Exception as error:  # noqa: BLE001 - the edge of the process
        show(error)
        report = {"ok": False, "error": f"importing it failed: {told(error)}"}
    write(spec["report"], json.dumps(report))


def inspected(flow: Callable[..., Any]) -> dict[str, Any]:
    """`{"ok": True, "flow_name", "parameters"}` with a JSON schema of the signature, or `{"ok": False, "error"}`."""
    from inspect import Parameter, signature

    name = getattr(flow, "__name__", type(flow).__name__).strip("_").replace("_", "-")
    try:
        parameters = signature(flow).parameters.values()
    except (TypeError, ValueError) as error:
        return {"ok": False, "error": f"its parameters cannot be read: {error}"}
    properties: dict[str, Any] = {}
    required: list[str] = []
    anything = False
    for parameter in parameters:
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            why = f"its parameter {parameter.name!r} is positional-only; parameters are passed by name: drop the '/'"
            return {"ok": False, "error": why}
        if parameter.kind is Parameter.VAR_KEYWORD:
            anything = True
        elif parameter.kind is not Parameter.VAR_POSITIONAL:
            properties[parameter.name] = _described(parameter, Parameter.empty)
            if parameter.default is Parameter.empty:
                required.append(parameter.name)
    schema = {"properties": properties, "required": required, "additionalProperties": anything}
    return {"ok": True, "flow_name": getattr(flow, "flow_name", None) or name, "parameters": schema}


def _described(parameter: Parameter, nothing: object) -> dict[str, Any]:
    shown: dict[str, Any] = {"title": parameter.name}
    annotation = parameter.annotation
    if isinstance(annotation, str):  # `from __future__ import annotations`
        annotation = {kind.__name__: kind for kind in _TYPES}.get(annotation, nothing)
    annotation = getattr(annotation, "__origin__", annotation)  # list[int] is a list
    try:
        if annotation in _TYPES:
            shown["type"] = _TYPES[annotation]
    except TypeError:  # an annotation may be anything, hashable or not
        pass
    if parameter.default is not nothing:
        import json

        try:
            json.dumps(parameter.default, allow_nan=False)
            shown["default"] = parameter.default
        except (TypeError, ValueError, RecursionError):
            pass
    return shown


if __name__ == "__main__":
    {"run": run, "inspect": inspect}[sys.argv[1]](sys.argv[2])

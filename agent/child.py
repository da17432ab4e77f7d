"""What runs inside the child process of a flow: waits for the word, loads the flow, calls it, writes how it went.

The consumer starts this file by its path (`python -P child.py run FOLDER`), never as `agent.child`: nothing of ours
is imported, so a user's own modules named `agent`, `cli` or `dispatcher_flows` are found as anywhere else. FOLDER is
private to the run and holds `spec`, which the same interpreter has marshalled; `outcome` is written there.

Each import here is paid by every run, so there are almost none: `json`, `signal`, `importlib.util` and `pathlib` would
together double the start of a bare interpreter (measured 2026-11, Python 3.11: 9 ms and 11 ms more).

The child waits for words of one byte on its standard input, a socket. `p` comes when the run is not due yet: prepare,
which is to load the flow, to answer `.` and to wait for the next word. `!` is go: call the flow, or become the command.
A run that is due gets `!` alone. No user code runs before the first word: end of file instead of a word means that the
consumer died, perhaps before it had put the child under its guardian's eyes, and nothing happens any more. Once a word
has come, standard input is empty. On Linux the kernel also kills the child with its parent.

SIGTERM becomes SystemExit, so that `finally` blocks and context managers of a flow run when it is cancelled; only the
first one, as a second must not break them. Python runs handlers between two steps of its own: a SIGTERM that comes
right before a long call of the system is noted, and looked at when that call ends. Hence SIGURG, which does nothing but
end such a call, follows it (`agent/infrastructure/process_job.py`); who does not know it, ignores it.

Parameters are passed as the JSON they are where the annotations ask for no more, which is seen without importing
anything; `agent/annotations.py` converts the others. `agent/inspection.py` loads flows for `deploy` by `load`.
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
    from types import FrameType, ModuleType
    from typing import Any, NoReturn

RESULT_LIMIT_BYTES = 256 * 1024
MESSAGE_LIMIT = 2000
_PR_SET_PDEATHSIG = 1
_SIGKILL, _SIGTERM = 9, 15
_PREPARE, _GO = b"p", b"!"
_CO_COROUTINE = 0x80  # inspect.CO_COROUTINE
_CO_GENERATORS = 0x20 | 0x200  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR
GENERATOR = (
    "it is a generator function (there is a `yield` in it), and calling one runs nothing of it: write a function that "
    "goes through it and returns"
)
_GENERIC: Any = type(list[int])
_UNION: Any = type(int | None)
_PLAIN = (int, str, float, bool, list, dict, object, None, type(None))
_PLAIN_WORDS = {"int", "str", "float", "bool", "list", "dict", "object", "None"}
_HERE = os.path.dirname(sys._getframe().f_code.co_filename)  # of the source, wherever this is compiled to
_PATH = tuple(sys.path)  # without the user's folders


class NoStart(Exception):
    """What the run needs is not there: it did not start, and trying again would not help."""


class Unfit(Exception):
    """The flow cannot be called, or not with these parameters: told in these words, without a traceback."""


def die_with_parent() -> None:
    """Asks the kernel to kill this process when the thread that started it ends. Elsewhere the guardian does it."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def wait_for_word() -> tuple[int, bytes]:
    """Blocks until the consumer speaks; where it is listened to from then on, and the word, empty when it is gone.

    Standard input is empty afterwards: user code that reads it must not take the next word away."""
    word = os.read(0, 1)
    line = os.dup(0)  # not inherited by what is executed
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return line, word


def wait_for_go(line: int) -> None:
    """Says that everything is loaded and blocks until the run may begin; ends the process when the consumer is gone."""
    try:
        os.write(line, b".")
        word = os.read(line, 1)
    except (BrokenPipeError, ConnectionResetError):
        word = b""
    if word != _GO:
        os._exit(1)


def run(folder: str) -> None:
    die_with_parent()
    with open(os.path.join(folder, "spec"), "rb") as file:
        spec = marshal.load(file)  # noqa: S302 - from the consumer, by way of a folder that is the user's alone
    line, word = wait_for_word()
    if word not in (_PREPARE, _GO):
        os._exit(1)
    outcome = os.path.join(folder, "outcome")
    try:
        flow: Callable[..., Any] | None = None
        if spec["command"] is None:
            _signal.signal(_SIGTERM, _leave)
            _signal.signal(_signal.SIGURG, _look_up)
            note_loading(spec["entrypoint"])
            try:
                flow = load(spec["entrypoint"], spec["path"])
            except Exception as error:
                if is_told(error):
                    raise Unfit(str(error)) from None
                raise
            parameters = fitted(flow, spec["parameters"])
        if word == _PREPARE:
            if _is_async(flow):
                import asyncio  # noqa: F401 - as late as possible, but not when the run is due
            wait_for_go(line)
        os.close(line)
        if flow is None:
            replace_with(spec["command"])
        note_loading(None)
        result = flow(**parameters)
        if hasattr(result, "__await__"):
            result = _awaited(result)
        write(outcome, "\n".join(("COMPLETED", *kept(result))))
    except NoStart as error:
        write(outcome, f"NOSTART\n\n{error}")
        sys.exit(1)
    except Unfit as error:
        print(error, file=sys.stderr)
        write(outcome, f"FAILED\n\n{str(error)[:MESSAGE_LIMIT]}")
        sys.exit(1)
    except (SystemExit, KeyboardInterrupt):
        raise  # these say how a process is to end; everything else failed, also what is no Exception (a cancelled task)
    except BaseException as error:  # noqa: BLE001 - the edge of the process
        show(error)
        write(outcome, f"FAILED\n\n{told(error)}")
        sys.exit(1)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # Where `dispatcher.current` looks; it may not be imported yet, and nothing here imports it.
    ours = sys.modules["__main__"].__dict__
    if not ours.get("dispatcher_run_is_asked_to_stop"):
        ours["dispatcher_run_is_asked_to_stop"] = True
        sys.exit(128 + _SIGTERM)


def note_loading(entrypoint: str | None) -> None:
    """Notes what is being loaded, None when that is over, where `dispatcher.current` looks: a script that submits at
    its top level would do so in each of its own runs."""
    sys.modules["__main__"].__dict__["dispatcher_is_loading"] = entrypoint and entrypoint.rpartition(":")[0]


def is_told(error: Exception) -> bool:
    """Whether it is one of ours, which say what to do: a traceback would only hide that."""
    return type(error).__module__ == "dispatcher.errors"


def _look_up(_signal: int, _frame: FrameType | None) -> None:
    """Does nothing. When Python calls it, it calls the handlers of all signals that came before as well."""


def is_generator(flow: Any) -> bool:
    """Whether calling it runs nothing of its body."""
    code = getattr(flow, "__code__", None) or getattr(getattr(flow, "func", None), "__code__", None)
    code = code or getattr(type(flow).__call__, "__code__", None)
    return bool(getattr(code, "co_flags", 0) & _CO_GENERATORS)


def _is_async(flow: object) -> bool:
    code = getattr(getattr(flow, "__wrapped__", flow), "__code__", None)
    return bool(getattr(code, "co_flags", 0) & _CO_COROUTINE)


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


def fitted(flow: Callable[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as the flow's annotations want them. Raises `Unfit` with everything that is wrong, and for a flow
    that calling would not run."""
    if is_generator(flow):
        raise Unfit(f"The flow {getattr(flow, '__name__', '')!r} cannot be called: {GENERATOR}.")
    if type(flow) is type(fitted):
        asked = flow.__annotations__
        if all(_is_plain(asked[name], flow) for name in parameters if name in asked):
            return parameters
    elif not parameters:
        return parameters
    with_theirs, sys.path = sys.path, list(_PATH)
    try:
        file = os.path.join(_HERE, "annotations.py")
        spec = files_importing.spec_from_file_location("dispatcher's annotations", file)
        assert spec is not None
        assert spec.loader is not None
        annotations = importing.module_from_spec(spec)
        spec.loader.exec_module(annotations)
    finally:
        sys.path = with_theirs
    converted, faults = annotations.fitted(flow, parameters, _PATH)
    if faults:
        raise Unfit(f"The parameters do not fit the flow {getattr(flow, '__name__', '')!r}: {'; '.join(faults)}")
    found: dict[str, Any] = converted
    return found


def _is_plain(annotation: Any, flow: Any) -> bool:
    """Whether it is seen at a glance that JSON is what it wants; what is not is looked at more closely."""
    if isinstance(annotation, str):  # `from __future__ import annotations`
        text = annotation.replace("dict[str,", "list[")
        words = text.replace("[", " ").replace("]", " ").replace("|", " ").split()
        return "dict[" not in text and all(word in _PLAIN_WORDS and word not in flow.__globals__ for word in words)
    if type(annotation) is _GENERIC:
        origin, of = annotation.__origin__, annotation.__args__
        return (origin is list or (origin is dict and of[0] is str)) and _is_plain(of[-1], flow)
    if type(annotation) is _UNION:
        return all(_is_plain(one, flow) for one in annotation.__args__)
    return any(annotation is plain for plain in _PLAIN)


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


_OURS = (told.__code__.co_filename, *(os.path.join(_HERE, name) for name in ("annotations.py", "inspection.py")))
_LOADING = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


def show(error: BaseException) -> None:
    """Prints the traceback without the frames that are ours or lead to one, if there is still something to print on."""
    import traceback
    from contextlib import suppress

    first = trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in _OURS:
            first = trace.tb_next
        trace = trace.tb_next
    while first is not None and first.tb_frame.f_code.co_filename in _LOADING:
        first = first.tb_next
    with suppress(Exception):  # the flow has closed it, or has put something else there
        sys.stdout.flush()
    with suppress(Exception):
        traceback.print_exception(type(error), error, first)


def write(path: str, text: str) -> None:
    """Writes the file at once or not at all: a child that is killed in between has not reported."""
    with open(path + ".new", "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    run(sys.argv[2])

"""One run in the process of the test: what `agent/child.py` does in a process of its own, with the same functions.

The code folder, the working directory and the environment are those of a run while it lasts. A flow whose module is
loaded already is taken from there, so that what a test has replaced in it is replaced for the flow. Not done here is
what needs another process: time limits of flows, and being killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatcher import standalone
from dispatcher.current import CurrentRun, environment, running
from dispatcher.models import Claimed, Document
from dispatcher.states import State


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended. `is_final`: trying again would not help."""

    state: State
    message: str = ""
    exit_code: int | None = None
    result_json: str = ""
    is_final: bool = False


def no_start(why: object) -> Ended:
    return Ended(State.CRASHED, f"could not start: {why}", is_final=True)


def executed(
    run: Claimed, job: Document, function: Callable[..., Any] | None, cancel_requested: Callable[[], bool]
) -> Ended:
    """Executes the run; `function` is what its entrypoint means, None: it has to be found.

    What is no concern of the run (KeyboardInterrupt, the exceptions by which pytest ends a test) passes through.
    """
    command = job.get("command") or run.input.command
    words = shlex.split(command) if isinstance(command, str) else command and list(command)
    env = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in (job.get("env") or {}).items()
    }
    with ExitStack() as stack:
        try:
            home = _home(run, job, stack)
            if not home.is_dir():
                return no_start(f"there is no folder {str(home)!r}")
            if words:
                return _command(run, words, env, home, stack)
            stack.enter_context(_environment(env))
            stack.enter_context(_folder(home))
            stack.enter_context(_importable(run.input.path, run.input.entrypoint or ""))
        except OSError as error:
            return no_start(error)
        return _flow(run, function, cancel_requested)


def _flow(run: Claimed, function: Callable[..., Any] | None, cancel_requested: Callable[[], bool]) -> Ended:
    child = standalone.loaded("child")
    current = CurrentRun(
        id=run.id,
        name=run.name,
        epoch=run.epoch,
        attempt=run.attempts + 1,
        deployment=run.deployment or None,
        parameters=run.input.parameters,
        cancel_requested=cancel_requested,
    )
    try:
        with running(current):
            flow = function or _found(run.input.entrypoint or "", run.input.path)
            result = flow(**child.fitted(flow, json.loads(json.dumps(run.input.parameters))))
            if hasattr(result, "__await__"):
                result = _awaited(result)
        text, note = child.kept(result)
        return Ended(State.COMPLETED, note, 0, text)
    except child.NoStart as error:
        return no_start(error)
    except child.Unfit as error:
        print(error, file=sys.stderr)
        return Ended(State.FAILED, str(error)[: child.MESSAGE_LIMIT], 1)
    except SystemExit as error:
        return _left(error.code)
    except Exception as error:  # noqa: BLE001 - the edge of the run
        trace = error.__traceback__  # whose first frame is this function's
        child.show(error.with_traceback(trace.tb_next) if trace and trace.tb_next else error)
        return Ended(State.FAILED, child.told(error), 1)


def _left(code: object) -> Ended:
    """After `sys.exit`, as the process would have ended."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    number = 0 if code is None else code if isinstance(code, int) else 1
    return Ended(State.CRASHED, f"exit code {number}", number) if number else Ended(State.COMPLETED, "", 0)


def _found(entrypoint: str, path: str | None) -> Callable[..., Any]:
    where, _, name = entrypoint.rpartition(":")
    if where.endswith(".py"):
        file = Path(path or "", where).resolve()
        for module in list(sys.modules.values()):
            loaded = getattr(module, "__file__", None)
            if loaded and module.__name__ != "__main__" and Path(loaded).name == file.name:
                found: Any = module if Path(loaded).resolve() == file else None
                for part in name.split("."):
                    found = getattr(found, part, None)
                if callable(found):
                    flow: Callable[..., Any] = found
                    return flow
    loaded_flow: Callable[..., Any] = standalone.loaded("child").load(entrypoint, path)
    return loaded_flow


def _awaited(awaitable: Any) -> Any:
    """In an event loop of its own; in a test that is async itself, beside its loop in a thread."""

    async def whole() -> Any:
        return await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    return _beside(whole())


def _beside(work: Coroutine[Any, Any, Any]) -> Any:
    ended: list[Any] = []
    context = copy_context()

    def run() -> None:
        try:
            ended.append((context.run(asyncio.run, work), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ended.append((None, error))

    thread = threading.Thread(target=run, name="dispatcher.testing")
    thread.start()
    thread.join()
    ((result, error),) = ended
    if error is not None:
        raise error
    return result


def _command(run: Claimed, words: list[str], env: Mapping[str, str], home: Path, stack: ExitStack) -> Ended:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dispatcher-run-")))
    parameters = folder / "parameters.json"
    parameters.write_text(json.dumps(run.input.parameters), "utf-8")
    try:
        done = subprocess.run(
            words,
            cwd=home,
            env={**os.environ, **env, **environment(run, str(parameters))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=run.input.timeout_s,
            check=False,
        )
    except FileNotFoundError:
        return no_start(f"the command {words[0]!r} was not found")
    except subprocess.TimeoutExpired as late:
        sys.stdout.write((late.stdout or b"").decode(errors="replace"))
        return Ended(State.FAILED, f"timed out after {run.input.timeout_s:g} s")
    sys.stdout.write(done.stdout.decode(errors="replace"))
    if done.returncode:
        return Ended(State.CRASHED, f"exit code {done.returncode}", done.returncode)
    return Ended(State.COMPLETED, "", 0)


# Surroundings of a run ----------------------------------------------------------------------------------------------


def _home(run: Claimed, job: Document, stack: ExitStack) -> Path:
    folders = [folder for folder in (run.input.path, job.get("working_dir")) if folder]
    return Path(*folders) if folders else Path(stack.enter_context(tempfile.TemporaryDirectory()))


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        if dict(os.environ) != before:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _folder(home: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(home)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _importable(path: str | None, entrypoint: str) -> Iterator[None]:
    """The code folder first on `sys.path`. Modules from a folder that was not on it before are forgotten at the end:
    the next run, of another folder perhaps, is to find its own."""
    file, _, _ = entrypoint.rpartition(":")
    folders = [] if path is None else [str(Path(path).absolute())]
    if file.endswith(".py"):
        folders.append(str(Path(path or "", file).absolute().parent))
    path_before, modules_before = list(sys.path), dict(sys.modules)
    new = [folder for folder in dict.fromkeys(folders) if folder not in path_before]
    sys.path[:0] = new
    try:
        yield
    finally:
        sys.path[:] = path_before
        for name, module in list(sys.modules.items()):
            loaded = getattr(module, "__file__", None)
            if module is modules_before.get(name) or not loaded:
                continue
            if any(Path(loaded).is_relative_to(folder) for folder in new):
                del sys.modules[name]
                if name in modules_before:
                    sys.modules[name] = modules_before[name]

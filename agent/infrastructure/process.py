"""The infrastructure `process`: a fresh interpreter, or a command, for each run, in a process group of its own.

The process is spawned early and waits for its word (`agent/child.py`), so the guardian knows its group before any user
code runs and a consumer that dies in between leaves nothing behind. Everything private to a run (spec, parameters,
outcome) lies in a 0700 folder that is removed with it; nothing of a run is on a command line. Standard output and
error are one pipe, so their order is kept; standard input is empty. When the process has ended, what is left of its
group is killed: no part of a run outlives it.

Processes are spawned from the main thread, whose end is what the kernel's parent-death signal refers to.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import py_compile
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from agent.infrastructure.base import Ended, Sink
from agent.infrastructure.guarding import Guarding
from dispatcher.models import Claimed, RunInput
from dispatcher.states import State

_PROGRAM = Path(__file__).resolve().parent.parent / "child.py"
_PIECE_BYTES = 65536
_LAST_BYTES = 1 << 20  # read after the end; a pipe holds less, more can only come from a process that left the group


class ProcessInfrastructure:
    """Starts processes on this host. `environment` is added to the consumer's own for every run, and nothing that a
    run asks for overrides it."""

    def __init__(self, environment: Mapping[str, str], host: str) -> None:
        self._environment = environment
        self._host = host
        self._guardings: list[Guarding] = []
        self._settle()

    def _settle(self) -> None:
        """Makes the folder of this consumer, with a guardian that removes it, and puts the child's program there."""
        self._folder = Path(tempfile.mkdtemp(prefix="dispatcher-"))
        self._guarding = Guarding(self._folder)
        self._guardings.append(self._guarding)
        self._program = _compiled(self._folder)

    def _see_to_folder(self) -> None:
        """What cleans up /tmp on many systems takes what is ten days old, and then the name is anybody's: so a folder
        that is gone is not made again but another one. The old guardian keeps to what it has under its eyes."""
        if not _is_private(self._folder):
            self._settle()
        elif not self._program.exists():
            self._program = _compiled(self._folder)

    async def prepare(self, run: Claimed, sink: Sink) -> ProcessJob | Ended:
        return self._prepared(run, sink)

    def _prepared(self, run: Claimed, sink: Sink) -> ProcessJob | Ended:
        path = run.input.path
        if path is not None and not Path(path).is_dir():
            return Ended(could_not_start=f"host {self._host} has no code folder {path!r}. {_WAYS_OUT}")
        folder = None
        try:
            self._see_to_folder()
            folder = self._folder / f"{run.id}-{run.epoch}"
            folder.mkdir(mode=0o700)
            process = self._spawn(run, folder)
        except (OSError, ValueError) as error:  # no memory, no more processes, a NUL in the environment
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return Ended(could_not_start=f"host {self._host} could not start a process: {error}")
        self._guarding.add(process.pid)
        return ProcessJob(process, folder, sink, self._guarding, self._host, run.input)

    def _spawn(self, run: Claimed, folder: Path) -> subprocess.Popen[bytes]:
        of = run.input
        home = folder / "work" if of.path is None else Path(of.path)
        if of.path is None:
            home.mkdir()
        parameters = folder / "parameters.json"
        parameters.write_text(json.dumps(of.parameters), "utf-8")
        command = None if of.command is None else list(of.command)
        spec = {"entrypoint": of.entrypoint, "command": command, "path": of.path}
        (folder / "spec").write_bytes(marshal.dumps({**spec, "parameters": of.parameters}))
        # A command does not need what `site` does to an interpreter, which is half of its start.
        flags = ["-P"] if command is None else ["-I", "-S"]
        return subprocess.Popen(
            [sys.executable, *flags, str(self._program), "run", str(folder)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home,
            env={**os.environ, **_asked_for(run), **self._environment, **_of_the_run(run, parameters)},
            start_new_session=True,
        )

    def close(self) -> None:
        for guarding in self._guardings:
            guarding.close()


def _is_private(folder: Path) -> bool:
    """Whether it is a folder that this user alone can reach."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.geteuid()


def _compiled(folder: Path) -> Path:
    """The child's program, compiled where that is possible: it is run as a file, so Python would not keep it so. Not
    beside its source, where whatever removes `__pycache__` would take it from a consumer that is at work."""
    try:
        return Path(py_compile.compile(str(_PROGRAM), cfile=str(folder / "child.pyc"), doraise=True) or _PROGRAM)
    except OSError:
        return _PROGRAM


_WAYS_OUT = (
    "Have the code at the same path on every host, deploy with --path, or deploy an installed package as "
    "package.module:function."
)


def _asked_for(run: Claimed) -> dict[str, str]:
    """What the run's job variables ask for, above the consumer's environment and below what is ours."""
    asked = run.input.job_variables.get("env")
    extra = {str(name): str(value) for name, value in asked.items()} if isinstance(asked, dict) else {}
    return {"PYTHONUNBUFFERED": "1", **extra}


def _of_the_run(run: Claimed, parameters: Path) -> dict[str, str]:
    """The run's part of the environment, which nothing overrides."""
    return {
        "DISPATCHER_RUN_ID": run.id,
        "DISPATCHER_RUN_EPOCH": str(run.epoch),
        "DISPATCHER_RUN_ATTEMPT": str(run.attempts + 1),
        "DISPATCHER_RUN_NAME": run.name,
        "DISPATCHER_DEPLOYMENT": run.deployment,
        "DISPATCHER_PARAMETERS_FILE": str(parameters),
    }


class ProcessJob:
    """One process with its group, its private folder and its output."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        folder: Path,
        sink: Sink,
        guarding: Guarding,
        host: str,
        of: RunInput,
    ) -> None:
        self._process = process
        self._folder = folder
        self._guarding = guarding
        self._host = host
        self._of = of
        self._is_buried = False  # guarded by the lock: afterwards the number may belong to a stranger
        self._burying = threading.Lock()
        self._stir = asyncio.Event()
        self._output = asyncio.create_task(self._pump(sink))

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"!")
            self._process.stdin.close()
        except (BrokenPipeError, ValueError):  # it was killed while it waited, or is buried already; `wait` tells
            pass

    def stop(self, *, force: bool) -> None:
        with self._burying:
            if not self._is_buried:
                _signal_group(self.pid, signal.SIGKILL if force else signal.SIGTERM)

    async def wait(self) -> Ended:
        await _ended(self._process)
        with self._burying:
            if not self._is_buried:
                _signal_group(self.pid, signal.SIGKILL)
                self._guarding.discard(self.pid)
                self._process.wait()
                self._is_buried = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._stir.set()
        await self._output
        try:
            return self._told()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _pump(self, sink: Sink) -> None:
        """Hands the output on. What the run wrote is in the pipe when it ends, so nothing is waited for then: a
        process that left the group may hold the pipe open for ever."""
        assert self._process.stdout is not None
        left = _LAST_BYTES
        with self._process.stdout as pipe:
            os.set_blocking(pipe.fileno(), False)
            while left > 0:
                piece = _read(pipe.fileno())
                if piece:
                    await sink(piece)
                    left -= len(piece) if self._is_buried else 0
                elif piece is None and not self._is_buried:
                    await self._readable(pipe.fileno())
                else:
                    return

    async def _readable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._stir.clear()
        loop.add_reader(descriptor, self._stir.set)
        try:
            await self._stir.wait()
        finally:
            loop.remove_reader(descriptor)

    def _told(self) -> Ended:
        """The exit code, and what the child wrote down before it ended."""
        code = self._process.returncode
        try:
            word, result, message = (self._folder / "outcome").read_text("utf-8").split("\n", 2)
        except (OSError, ValueError):  # a command, killed, or the flow removed it
            return Ended(code)
        if word == "NOSTART":
            folder = self._of.path or "a temporary folder (it was deployed without a code folder)"
            return Ended(could_not_start=f"{message} on host {self._host}, code folder {folder}. {_WAYS_OUT}")
        return Ended(code, State(word), message, result)


def _read(descriptor: int) -> bytes | None:
    """What is there; empty at the end, None when there is nothing now."""
    try:
        return os.read(descriptor, _PIECE_BYTES)
    except BlockingIOError:
        return None


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # gone, or (macOS) only zombies are left
        pass


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Waits until the process has ended, and does not bury it: its number stays taken."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # no Linux, or one before 5.3; here it is buried, microseconds early

        def wait() -> None:
            process.wait()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, name=f"wait for {process.pid}", daemon=True).start()
        await ended.wait()
        return
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)

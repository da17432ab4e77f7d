"""The infrastructure `process`: a fresh interpreter, or a command, for each run, in a process group of its own.

The process is spawned early and waits for its word (`agent/child.py`), so the guardian knows its group before any user
code runs and a consumer that dies in between leaves nothing behind. Everything private to a run (spec, parameters,
outcome) lies in a 0700 folder that is removed with it; nothing of a run is on a command line. Standard output and
error are one pipe, so their order is kept; standard input is empty. When the process has ended, what is left of its
group is killed: no part of a run outlives it.

Processes are spawned from the main thread, whose end is what the kernel's parent-death signal refers to.
"""

from __future__ import annotations

import json
import marshal
import os
import py_compile
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.infrastructure.base import Ended, Sink
from agent.infrastructure.configuration import Configuration
from agent.infrastructure.guarding import Guarding
from agent.infrastructure.process_job import WAYS_OUT, ProcessJob
from dispatcher import current
from dispatcher.errors import BadValue
from dispatcher.models import Claimed

_PROGRAM = Path(__file__).resolve().parent.parent / "child.py"


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

    async def prepare(self, run: Claimed, job: Mapping[str, Any], sink: Sink) -> ProcessJob | Ended:
        try:
            wanted = Configuration.read(job)
        except BadValue as error:
            return Ended(could_not_start=str(error))
        return self._prepared(run, wanted, sink)

    def _prepared(self, run: Claimed, wanted: Configuration, sink: Sink) -> ProcessJob | Ended:
        if (missing := self._missing(run, wanted)) is not None:
            return Ended(could_not_start=missing)
        folder = None
        try:
            self._see_to_folder()
            folder = self._folder / f"{run.id}-{run.epoch}"
            folder.mkdir(mode=0o700)
            process, line = self._spawn(run, wanted, folder)
        except (OSError, ValueError) as error:  # no memory, no more processes
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            return Ended(could_not_start=f"host {self._host} could not start a process: {error}")
        self._guarding.add(process.pid)
        is_flow = not (wanted.command or run.input.command)
        return ProcessJob(process, line, folder, sink, self._guarding, self._host, run.input, is_flow=is_flow)

    def _missing(self, run: Claimed, wanted: Configuration) -> str | None:
        """Which folder this host does not have, in words. A command that has a folder needs no code."""
        path, home = run.input.path, _home(run, wanted)
        if path is not None and not (wanted.command and wanted.working_dir) and not Path(path).is_dir():
            return f"host {self._host} has no code folder {path!r}. {WAYS_OUT}"
        if wanted.working_dir and path is None and home is not None and not home.is_absolute():
            return f"working_dir {wanted.working_dir!r} is relative and the run has no code folder: make it absolute."
        if home is not None and not home.is_dir():
            return (
                f"host {self._host} has no folder {str(home)!r}, which the job names as working_dir. Make it on every "
                "host, name another one in the job variables, or leave it out to run in the code folder."
            )
        return None

    def _spawn(
        self, run: Claimed, wanted: Configuration, folder: Path
    ) -> tuple[subprocess.Popen[bytes], socket.socket]:
        of = run.input
        home = _home(run, wanted)
        if home is None:
            home = folder / "work"
            home.mkdir()
        parameters = folder / "parameters.json"
        parameters.write_text(json.dumps(of.parameters), "utf-8")
        words = wanted.command or of.command
        command = None if words is None else list(words)
        spec = {"entrypoint": of.entrypoint, "command": command, "path": of.path}
        (folder / "spec").write_bytes(marshal.dumps({**spec, "parameters": of.parameters}))
        # A command does not need what `site` does to an interpreter, which is half of its start.
        flags = ["-P"] if command is None else ["-I", "-S"]
        ours, line = socket.socketpair()
        try:
            ours.setblocking(False)
            process = subprocess.Popen(
                [sys.executable, *flags, str(self._program), "run", str(folder)],
                bufsize=0,
                stdin=line.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=home,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    **wanted.env,
                    **self._environment,
                    **current.environment(run, str(parameters)),  # which nothing overrides
                },
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            line.close()
        return process, ours

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


def _home(run: Claimed, wanted: Configuration) -> Path | None:
    """Where the run starts: what the job says, from the code folder on; else the code folder; None: a temporary one."""
    folders = [folder for folder in (run.input.path, wanted.working_dir) if folder]
    return Path(*folders) if folders else None

"""What can be known of a flow before it runs: does it exist, what is it called, which parameters does it take?

The flow is imported by a child process (`agent/inspection.py`), in the folder and with the module search path that
a run gets, so that the answer is the one a consumer on this host would come to, and nothing of the user's code runs
in the command itself. A function that is given as such is loaded here already. A command is only looked up. Whatever
goes wrong is `EntrypointInvalid`, `FlowUnfit` for a function, or `BadValue` for a command.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dispatcher import standalone
from dispatcher.errors import BadValue, EntrypointInvalid, FlowUnfit
from dispatcher.models import RunInput

IMPORT_TIMEOUT_S = 60  # a flow module that takes longer waits for something that will not come
SHOWN_LINES = 15


@dataclass(frozen=True, slots=True)
class Signature:
    """What a flow says of itself. What only `@flow` or the docstring can say is None where they do not."""

    flow_name: str
    parameters: dict[str, Any] | None  # JSON schema of the parameters; None: not known, anything goes
    description: str = ""
    retries: int | None = None
    retry_delay_s: float | None = None
    timeout_s: float | None = None

    def filled(self, wanted: RunInput, said: Collection[str] = ()) -> RunInput:
        """`wanted` with what `@flow` says about retries and timeouts, but for the fields `said` by others."""
        own: dict[str, Any] = {
            "retries": self.retries,
            "retry_delay_s": self.retry_delay_s,
            "timeout_s": self.timeout_s,
        }
        new = {name: value for name, value in own.items() if value is not None and name not in said}
        return replace(wanted, **new)


def seen(wanted: RunInput, *, check: bool) -> Signature:
    """The signature of what is to run; `check` False: what its words alone say. Raises as the two below."""
    if not check or wanted.path is None:
        return unchecked(wanted.entrypoint, wanted.command)
    if wanted.command is not None:
        return of_command(wanted.command, wanted.path)
    return of_entrypoint(wanted.entrypoint or "", wanted.path)


def of_entrypoint(entrypoint: str, path: str) -> Signature:
    """Imports the flow from the folder `path`. Raises `EntrypointInvalid`."""
    unchecked(entrypoint, None)  # words that name nothing do so on every host
    if not Path(path).is_dir():
        raise EntrypointInvalid(entrypoint=entrypoint, detail=f"the folder {path} does not exist here. {_WAY_OUT}")
    with tempfile.TemporaryDirectory(prefix="dispatcher-inspect-") as folder:
        report = Path(folder) / "report.json"
        spec = Path(folder) / "spec.json"
        spec.write_text(json.dumps({"entrypoint": entrypoint, "path": path, "report": str(report)}), "utf-8")
        printed = _run([sys.executable, "-P", str(standalone.file("inspection")), str(spec)], path, entrypoint)
        try:
            found = json.loads(report.read_text("utf-8"))
        except (OSError, ValueError):
            detail = f"the Python that imported it ended without an answer.{printed} {_WAY_OUT}"
            raise EntrypointInvalid(entrypoint=entrypoint, detail=detail) from None
    if not found["ok"]:
        way_out = "" if found["is_sure"] else f"\n{_WAY_OUT}"
        raise EntrypointInvalid(entrypoint=entrypoint, detail=f"{found['error']}{printed}{way_out}")
    del found["ok"]
    return Signature(**{**found, "flow_name": found["flow_name"] or unchecked(entrypoint, None).flow_name})


def of_function(function: Callable[..., Any]) -> Signature:
    """Of a function that is loaded here already; nothing is imported. Raises `FlowUnfit`."""
    found = standalone.loaded("inspection").inspected(function, list(sys.path))
    if not found.pop("ok"):
        raise FlowUnfit(function=getattr(function, "__qualname__", repr(function)), detail=found["error"])
    return Signature(**{**found, "flow_name": found["flow_name"] or type(function).__name__})


def of_command(command: tuple[str, ...], path: str) -> Signature:
    """Looks the program up, from the folder `path`. Raises `BadValue`."""
    program = command[0]
    place = str(Path(path) / program) if os.sep in program else program
    if shutil.which(place) is None:
        reason = "is not executable" if Path(place).is_file() else "was not found"
        shell = "" if os.sep in program else " It is not given to a shell; for what a shell does: sh -c 'WORDS'."
        raise BadValue(
            f"Command {shlex.join(command)!r} cannot be used: the program {place} {reason} here.{shell} {_WAY_OUT}"
        )
    return unchecked(None, command)


def unchecked(entrypoint: str | None, command: tuple[str, ...] | None) -> Signature:
    """What the words alone say: the function's name with dashes, or the program's."""
    if entrypoint is not None:
        file, _, function = entrypoint.rpartition(":")
        if not file or not function:
            raise EntrypointInvalid(
                entrypoint=entrypoint, detail="it must be path/to/file.py:function or package.module:function."
            )
        name = function.rpartition(".")[2]
    else:
        program = Path(command[0] if command else "")
        name = program.stem if program.suffix[1:].isalpha() else program.name
    return Signature(name.strip("_").replace("_", "-"), None)


def _run(words: list[str], path: str, entrypoint: str) -> str:
    """Runs the child; returns what it printed at the end, ready to stand in a message."""
    process = subprocess.Popen(
        words,
        cwd=path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=IMPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise EntrypointInvalid(
            entrypoint=entrypoint, detail=f"importing it took more than {IMPORT_TIMEOUT_S} s. {_WAY_OUT}"
        ) from None
    finally:
        _end(process)
    lines = output.decode(errors="replace").strip().splitlines()[-SHOWN_LINES:]
    return "".join(f"\n  {line}" for line in lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leaves nothing of the child behind, also after Ctrl-C."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()
    if process.stdout:
        process.stdout.close()


_WAY_OUT = "If the code lives only on the consumers' hosts, give --no-check."

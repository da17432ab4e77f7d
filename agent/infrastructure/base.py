"""The one protocol between a run's life (`agent/execution.py`) and where it is executed.

An infrastructure prepares a job for a claimed run; a job is loaded when the run was claimed early, started when its
time and its lease allow, waited for, and stopped. Preparing, loading and starting are apart, so that what takes long
(an interpreter, its imports, an image, a pod) can be ready before the run is due. A job reports how it ended and
decides nothing: retries, states and leases are not known here. A new kind of execution environment is one new file
beside this one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dispatcher.models import Claimed
from dispatcher.states import State

Sink = Callable[[bytes], Awaitable[None]]  # takes a piece of output; awaiting it slows the job down


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended.

    `exit_code`: negative for the signal that killed it, None when there was no process. `said`: what the flow itself
    reported, COMPLETED or FAILED with its message; None when it could not or is a command. `could_not_start`: what
    was missing; then trying again on this host would not help.
    """

    exit_code: int | None = None
    said: State | None = None
    message: str = ""
    result_json: str = ""
    could_not_start: str = ""


class Job(Protocol):
    """One run, ready to go."""

    @property
    def pid(self) -> int: ...

    async def load(self) -> None:
        """Has what the run needs loaded while it is not due, and returns when that is done or the job has ended.

        Of user code only what an import executes runs. It may be given up: the loading goes on, `start` can be called.
        """
        ...

    def start(self) -> None:
        """Lets the run begin. Without `load` nothing of user code has run before."""
        ...

    async def wait(self) -> Ended:
        """Waits for the end of the job and of its output, and leaves nothing behind. To be awaited once."""
        ...

    def stop(self, *, force: bool) -> None:
        """Asks the job to end, or (`force`) ends it with all its processes; returns at once. Safe from any thread and
        at any time, also after the end. It is asked again while it does not end; it should notice once."""
        ...


class Infrastructure(Protocol):
    """Makes jobs; one for all runs of a consumer."""

    async def prepare(self, run: Claimed, job: Mapping[str, Any], sink: Sink) -> Job | Ended:
        """A job whose user code has not begun, or why there can be none. `job`: the rendered base job template."""
        ...

    def close(self) -> None:
        """Gives up what all jobs shared, after the last of them has ended."""
        ...

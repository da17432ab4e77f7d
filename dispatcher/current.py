"""`current_run()`: what a flow can ask about the run that executes it.

It is told by the environment, the same in the process of a flow, in what a flow starts, and in a script that runs as
a command; nothing is asked of Redis. In one process with its worker (`dispatcher.testing`) there is no such
environment: there `running` says which run it is, to this thread and what inherits its context. A run started that
way comes first.

That the run was asked to stop is known in the process of a flow alone: `agent/child.py` notes it in `__main__`,
where it is seen from every thread and whenever this file is imported. So does it, and `agent/inspection.py`, note the
file or module that it is loading: what stands at the top level of that must not make runs.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from os import environ

from dispatcher.errors import FlowBeingLoaded, NoCurrentRun

TYPE_CHECKING = False  # importing typing for it would cost milliseconds; type checkers know the name
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from typing import Any, Final

    from dispatcher.models import Claimed

ASKED_TO_STOP = "dispatcher_run_is_asked_to_stop"  # a global of `__main__`, set by agent/child.py
LOADING = "dispatcher_is_loading"  # another: the file or module, while the flow is looked for in it


def refuse_while_loading(does: str) -> None:
    """Raises `FlowBeingLoaded` if this process is only about to find a flow."""
    file = getattr(sys.modules.get("__main__"), LOADING, None)
    if file:
        raise FlowBeingLoaded(file=file, does=does)


def _asked_to_stop() -> bool:
    return bool(getattr(sys.modules.get("__main__"), ASKED_TO_STOP, False))


class CurrentRun:
    """The run that is executed here. `deployment` is `flow/name`, None for a run without one; `attempt` counts from 1;
    `epoch` grows with every claim, so what is written elsewhere can be fenced with it."""

    def __init__(
        self,
        *,
        id: str,
        name: str,
        epoch: int,
        attempt: int,
        deployment: str | None = None,
        parameters: dict[str, Any] | Callable[[], dict[str, Any]],
        cancel_requested: Callable[[], bool] = _asked_to_stop,
    ) -> None:
        self.id: Final = id
        self.name: Final = name
        self.epoch: Final = epoch
        self.attempt: Final = attempt
        self.deployment: Final = deployment
        self._parameters = parameters
        self._cancel_requested = cancel_requested

    def __repr__(self) -> str:
        return f"<CurrentRun {self.name} {self.id} epoch {self.epoch} attempt {self.attempt}>"

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters as they were submitted: JSON, also where the flow is given dates or models."""
        if callable(self._parameters):
            self._parameters = self._parameters()
        return self._parameters

    @property
    def cancel_requested(self) -> bool:
        """Whether the run was asked to stop. It may be asked from any thread. A flow need not ask: SystemExit is
        raised in its main thread. In a command always False: it gets SIGTERM itself."""
        return self._cancel_requested()


def current_run() -> CurrentRun:
    """The run that executes this code. Raises `NoCurrentRun` outside of a run."""
    return _current.get() or _told(environ)


def environment(run: Claimed, parameters_file: str) -> dict[str, str]:
    """What `_told` reads: the variables that tell a process which run it executes."""
    return {
        "DISPATCHER_RUN_ID": run.id,
        "DISPATCHER_RUN_EPOCH": str(run.epoch),
        "DISPATCHER_RUN_ATTEMPT": str(run.attempts + 1),
        "DISPATCHER_RUN_NAME": run.name,
        "DISPATCHER_DEPLOYMENT": run.deployment,
        "DISPATCHER_PARAMETERS_FILE": parameters_file,
    }


def _told(env: Any) -> CurrentRun:
    run_id = env.get("DISPATCHER_RUN_ID")
    if not run_id:
        raise NoCurrentRun(detail="DISPATCHER_RUN_ID is not set")
    try:
        epoch, attempt = (int(env[name]) for name in ("DISPATCHER_RUN_EPOCH", "DISPATCHER_RUN_ATTEMPT"))
    except (KeyError, ValueError) as error:
        raise NoCurrentRun(detail=f"DISPATCHER_RUN_ID is set, but epoch and attempt are not told ({error})") from None
    file = env.get("DISPATCHER_PARAMETERS_FILE", "")
    return CurrentRun(
        id=run_id,
        name=env.get("DISPATCHER_RUN_NAME", ""),
        epoch=epoch,
        attempt=attempt,
        deployment=env.get("DISPATCHER_DEPLOYMENT") or None,
        parameters=lambda: _read(file),
    )


def _read(file: str) -> dict[str, Any]:
    import json

    try:
        with open(file, encoding="utf-8") as opened:  # noqa: PTH123 - pathlib costs milliseconds
            found: dict[str, Any] = json.load(opened)
    except (OSError, ValueError) as error:
        raise NoCurrentRun(detail=f"its parameters cannot be read from DISPATCHER_PARAMETERS_FILE: {error}") from None
    return found


_current: ContextVar[CurrentRun | None] = ContextVar("dispatcher_current_run", default=None)


class running:  # noqa: N801 - read as a verb: `with running(run):`
    """While the block runs, `current_run()` gives this run in its context."""

    def __init__(self, run: CurrentRun) -> None:
        self._run = run

    def __enter__(self) -> CurrentRun:
        self._token: Token[CurrentRun | None] = _current.set(self._run)
        return self._run

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)

"""The public names of the library, and nothing else.

Each name is loaded when it is first used (PEP 562), so that `import dispatcher`, `dispatcher
--help` and a flow's child process never pay for redis or pydantic. A name listed here is a
promise to users; everything else may change. A new public name is a line in `_HOMES` and, for
type checkers, an import below `TYPE_CHECKING`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would cost milliseconds; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from dispatcher import errors
    from dispatcher.aio import AsyncClient
    from dispatcher.client import Client
    from dispatcher.current import CurrentRun, current_run
    from dispatcher.errors import DispatcherError
    from dispatcher.flows import flow
    from dispatcher.models import Deployment, LogLine, Pool, Queue, Schedule, Why
    from dispatcher.models import Run as FlowRun
    from dispatcher.requests import Request
    from dispatcher.states import State

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "dispatcher.aio",
    "Client": "dispatcher.client",
    "CurrentRun": "dispatcher.current",
    "Deployment": "dispatcher.models",
    "DispatcherError": "dispatcher.errors",
    "FlowRun": "dispatcher.models:Run",
    "LogLine": "dispatcher.models",
    "Pool": "dispatcher.models",
    "Queue": "dispatcher.models",
    "Request": "dispatcher.requests",
    "Schedule": "dispatcher.models",
    "State": "dispatcher.states",
    "Why": "dispatcher.models",
    "current_run": "dispatcher.current",
    "errors": "dispatcher.errors:",
    "flow": "dispatcher.flows",
}

__all__ = [
    "AsyncClient",
    "Client",
    "CurrentRun",
    "Deployment",
    "DispatcherError",
    "FlowRun",
    "LogLine",
    "Pool",
    "Queue",
    "Request",
    "Schedule",
    "State",
    "Why",
    "__version__",
    "current_run",
    "errors",
    "flow",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, colon, its_name = home.partition(":")
    value: Any = import_module(module)
    if its_name or not colon:
        value = getattr(value, its_name or name)
    # The next use finds the name in the module itself and does not come here again.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

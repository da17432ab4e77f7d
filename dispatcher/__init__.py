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

    from dispatcher.aio import AsyncClient
    from dispatcher.client import Client
    from dispatcher.current import current_run
    from dispatcher.errors import DispatcherError
    from dispatcher.flows import flow

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "dispatcher.aio",
    "Client": "dispatcher.client",
    "DispatcherError": "dispatcher.errors",
    "current_run": "dispatcher.current",
    "flow": "dispatcher.flows",
}

__all__ = ["AsyncClient", "Client", "DispatcherError", "__version__", "current_run", "flow"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    # The next use finds the name in the module itself and does not come here again.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

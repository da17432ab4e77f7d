"""For the tests of those who use the library: a broker of one's own, and a worker in the process of the test.

With pytest the fixtures `dispatcher_broker` and `dispatcher_worker` are there by installing (`plugin.py`). Without it:

    with testing.broker() as url, testing.Worker(url) as worker:
        worker.submit("load/nightly")
        (run,) = worker.drain()

Every run of pytest imports this file, so each name is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would cost milliseconds; type checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from dispatcher.testing.brokers import broker
    from dispatcher.testing.clock import Clock
    from dispatcher.testing.worker import Worker

_HOMES = {
    "Clock": "dispatcher.testing.clock",
    "Worker": "dispatcher.testing.worker",
    "broker": "dispatcher.testing.brokers",
}

__all__ = ["Clock", "Worker", "broker"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value

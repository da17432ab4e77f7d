"""The log lines of a consumer on this process's own standard error, written by a thread of its own (`echo.py`).

Who reads them may stop (Ctrl-S in a terminal, a full pipe). A plain handler would then hold up whoever logs next: the
event loop, or a thread that keeps leases. Here a line is made where it is logged, and waits for the reader elsewhere;
the end of the process waits a second for the last ones, not for ever.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from agent.echo import Echo


class _Journal(logging.Handler):
    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self._echo = echo
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._echo.show(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler: what cannot be formatted must not stop who logs it
            self.handleError(record)


@contextmanager
def kept() -> Iterator[None]:
    """What `dispatcher.*` logs is shown as long as the block runs."""
    log = logging.getLogger("dispatcher")
    echo = Echo(sys.stderr.fileno()) if sys.stderr is not None else None
    log.handlers = [logging.NullHandler() if echo is None else _Journal(echo)]
    log.propagate = False
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.handlers = []
        if echo is not None:
            echo.close()

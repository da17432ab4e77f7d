"""A broker of one's own: the embedded server with its data in a temporary folder, gone at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dispatcher import broker as embedded


@contextmanager
def broker() -> Iterator[str]:
    """Starts an empty broker and gives its URL; it is stopped and its data removed at the end of the block.

    Raises `BrokerUnavailable` where there is no server program.
    """
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))  # a short name: the path of a unix socket holds a hundred bytes
    try:
        yield embedded.ensure(folder)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)

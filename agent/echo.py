"""The output of runs on this process's own standard output, written by a thread of its own.

Who reads it may be slow or stop (Ctrl-S in a terminal, a pager at the end of a pipe). That must hold up neither the
event loop nor a run, so at most 1 MiB waits here; what does not fit is dropped, and a note says how many lines that
were. The log of a run, which `agent/output.py` writes, is whole nevertheless.
"""

from __future__ import annotations

import os
import select
import threading

_MOST_BYTES = 1 << 20
_LAST_S = 1.0  # how long the end waits for the reader


class Echo:
    """`show` takes a line and returns at once, `close` gives the rest a moment.

    Written is to the descriptor, not to `sys.stdout`: an interpreter that ends aborts when another thread is stuck
    with that one's lock.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._dropped = 0  # all of them after the pieces: they give way to nothing newer until those are written
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="echo", daemon=True)
        self._thread.start()

    def show(self, line: str) -> None:
        piece = f"{line}\n".encode("utf-8", "replace")
        with self._changed:
            if self._dropped or self._bytes + len(piece) > _MOST_BYTES:
                self._dropped += 1
            else:
                self._pieces.append(piece)
                self._bytes += len(piece)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_LAST_S)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                while not (self._pieces or self._is_closed):
                    self._changed.wait()
                if not self._pieces:
                    return
                pieces, dropped = self._pieces, self._dropped
                self._pieces, self._bytes, self._dropped = [], 0, 0
            if dropped:
                pieces.append(f"[{dropped} lines are not shown here: they were not read fast enough]\n".encode())
            try:
                self._write(b"".join(pieces))
            except OSError:  # nobody reads it any more
                pass

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever shares the terminal may have made it so
                select.select([], [self._descriptor], [])

"""What a flow prints, line by line, while it is printed on where it would have gone."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

BATCH = 500


class _Lines(io.RawIOBase):
    """Takes bytes, keeps whole lines, and hands them on in batches."""

    def __init__(self, keep: Callable[[Sequence[str]], None]) -> None:
        super().__init__()
        self._keep = keep
        self._begun = b""
        self._lines: list[str] = []

    def take(self, data: bytes) -> None:
        *whole, self._begun = (self._begun + data).split(b"\n")
        self._lines += [line.decode("utf-8", "replace") for line in whole]
        if len(self._lines) >= BATCH:
            self._hand_on()

    def end(self) -> None:
        if self._begun:
            self.take(b"\n")
        self._hand_on()

    def _hand_on(self) -> None:
        for start in range(0, len(self._lines), BATCH):
            self._keep(self._lines[start : start + BATCH])
        self._lines = []


class _Stream(io.RawIOBase):
    """One of the two streams; what is written goes to the lines and on to the stream that it stands for."""

    def __init__(self, lines: _Lines, shown: TextIO | None) -> None:
        super().__init__()
        self._to, self._shown = lines, shown

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # whatever buffer the layer above hands over
        self._to.take(piece)
        if self._shown is not None:
            self._shown.write(piece.decode("utf-8", "replace"))
        return len(piece)


@contextmanager
def kept(keep: Callable[[Sequence[str]], None]) -> Iterator[None]:
    """While the block runs, what is printed to stdout and stderr is kept, too."""
    lines = _Lines(keep)
    streams = [
        io.TextIOWrapper(_Stream(lines, shown), "utf-8", "replace", write_through=True)  # type: ignore[type-var]
        for shown in (sys.stdout, sys.stderr)
    ]
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            yield
    finally:
        for stream in streams:
            stream.flush()
            stream.detach()
        lines.end()

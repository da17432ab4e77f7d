"""A run's output on its way to the log: cut into lines, batched, and bounded in memory whatever happens to Redis.

Lines end at a newline, or after 8 KiB; what is not UTF-8 is replaced. A batch goes out with its hundredth line or 100
ms after its first. While Redis answers, a full buffer slows the run down; while it is away the run goes on, and the
oldest lines give way to a note that says how many. After an outage a batch whose reply was lost is sent again: a line
may appear twice, none is missing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

_LINE_BYTES = 8 * 1024
_BATCH_LINES = 100
_BATCH_S = 0.1
_BUFFER_BYTES = 1 << 20
_BUFFER_LINES = 10_000


class Output:
    """`feed` takes the bytes, `close` sends the rest.

    `send` returns when the lines are written, or False when nobody wants them any more. `is_away` tells whether Redis
    is known not to answer. `echo` gets each line when it comes.
    """

    def __init__(
        self,
        send: Callable[[list[str]], Awaitable[bool]],
        is_away: Callable[[], bool],
        echo: Callable[[str], None] | None,
    ) -> None:
        self._send = send
        self._is_away = is_away
        self._echo = echo
        self._rest = b""
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._is_wanted = True
        self._is_closed = False
        self._stir = asyncio.Event()  # lines came, enough for a batch came, or the end
        self._room = asyncio.Event()
        self._sender = asyncio.create_task(self._send_batches())

    async def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._add_all(line.removesuffix(b"\r"))
        while len(self._rest) > _LINE_BYTES:
            head, self._rest = cut(self._rest)
            self._add(head)
        while self._is_full() and self._is_wanted and not self._is_away():
            self._room.clear()
            await self._room.wait()

    def say(self, line: str) -> None:
        """Adds a line of ours."""
        self._add(line.encode())

    def _add_all(self, line: bytes) -> None:
        while len(line) > _LINE_BYTES:
            head, line = cut(line)
            self._add(head)
        self._add(line)

    def _add(self, line: bytes) -> None:
        if self._echo is not None:
            self._echo(line.decode("utf-8", "replace"))
        if not self._is_wanted:
            return
        self._lines.append(line)
        self._bytes += len(line)
        while self._is_full() and self._is_away() and len(self._lines) > 1:
            self._bytes -= len(self._lines.popleft())
            self._dropped += 1
        self._stir.set()

    def _is_full(self) -> bool:
        return self._bytes > _BUFFER_BYTES or len(self._lines) > _BUFFER_LINES

    async def _send_batches(self) -> None:
        while self._is_wanted:
            await self._stir.wait()
            self._stir.clear()
            if len(self._lines) < _BATCH_LINES and not self._is_closed:
                await self._until_batch()
            if batch := self._batch():
                self._is_wanted = await self._send(batch)
                self._room.set()
            if self._lines or self._dropped:
                self._stir.set()
            elif self._is_closed:
                return
        self._room.set()

    async def _until_batch(self) -> None:
        """Waits 100 ms for more lines; less when a batch is full or the output ends."""
        try:
            async with asyncio.timeout(_BATCH_S):
                while len(self._lines) < _BATCH_LINES and not self._is_closed:
                    await self._stir.wait()
                    self._stir.clear()
        except TimeoutError:
            pass

    def _batch(self) -> list[str]:
        batch = []
        if self._dropped:
            batch.append(missing(self._dropped, "Redis was away and there were too many"))
            self._dropped = 0
        while self._lines and len(batch) < _BATCH_LINES:
            line = self._lines.popleft()
            self._bytes -= len(line)
            batch.append(line.decode("utf-8", "replace"))
        return batch

    async def close(self) -> None:
        """Returns when everything is written or not wanted any more."""
        if self._rest:
            self._add_all(self._rest)
            self._rest = b""
        self._is_closed = True
        self._stir.set()
        await asyncio.wait({self._sender})
        if not self._sender.cancelled():
            self._sender.result()

    def abandon(self) -> None:
        """Nobody wants the output any more."""
        self._is_wanted = False
        self._sender.cancel()
        self._room.set()


def cut(line: bytes) -> tuple[bytes, bytes]:
    """The first 8 KiB of a longer line, and the rest; not in the middle of a character."""
    end = _LINE_BYTES
    while end > _LINE_BYTES - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return line[:end], line[end:]


def missing(lines: int, why: str) -> str:
    """The note that stands where lines of the run could not be kept."""
    return f"[{lines} {'line is' if lines == 1 else 'lines are'} missing here: {why}]"

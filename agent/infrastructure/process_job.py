"""One process of the infrastructure `process`: its word to prepare and to go, its output, its end.

The consumer and the child speak over a socket that is the child's standard input (`agent/child.py`). The process is
guarded from before its first word until its number is given back to the system.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from agent.infrastructure.base import Ended, Sink
from agent.infrastructure.guarding import Guarding
from dispatcher.models import RunInput
from dispatcher.states import State

WAYS_OUT = (
    "Have the code at the same path on every host, deploy with --path, or deploy an installed package as "
    "package.module:function."
)
_PIECE_BYTES = 65536
_LAST_BYTES = 1 << 20  # read after the end; a pipe holds less, more can only come from a process that left the group


class ProcessJob:
    """One process with its group, its private folder and its output. `line`: our end of its standard input. `is_flow`:
    Python calls a flow there."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        line: socket.socket,
        folder: Path,
        sink: Sink,
        guarding: Guarding,
        host: str,
        of: RunInput,
        *,
        is_flow: bool,
    ) -> None:
        self._process = process
        self._line = line
        self._loaded = asyncio.Event()
        self._is_listening = False
        self._folder = folder
        self._guarding = guarding
        self._host = host
        self._of = of
        self._is_flow = is_flow
        self._is_asked = False
        self._is_buried = False  # guarded by the lock: afterwards the number may belong to a stranger
        self._burying = threading.Lock()
        self._stir = asyncio.Event()
        self._output = asyncio.create_task(self._pump(sink))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def load(self) -> None:
        if not self._is_buried:
            self._is_listening = True
            asyncio.get_running_loop().add_reader(self._line.fileno(), self._hear)
            self._say(b"p")
            await self._loaded.wait()

    def start(self) -> None:
        self._say(b"!")

    def _say(self, word: bytes) -> None:
        try:
            self._line.send(word)
        except OSError:  # it was killed while it waited, or is buried already; `wait` tells
            pass

    def _hear(self) -> None:
        """It has loaded its flow, or has ended: one of them, once."""
        if self._is_listening:
            asyncio.get_running_loop().remove_reader(self._line.fileno())
            self._is_listening = False
        self._loaded.set()

    def stop(self, *, force: bool) -> None:
        """SIGTERM once: the second means "at once" to many. A flow may not have noticed it (`agent/child.py`), so it
        is woken when it is asked again."""
        with self._burying:
            if self._is_buried:
                return
            if force:
                _send(os.killpg, self.pid, signal.SIGKILL)
            elif not self._is_asked:
                self._is_asked = True
                _send(os.killpg, self.pid, signal.SIGTERM)
            elif self._is_flow:
                _send(os.kill, self.pid, signal.SIGURG)

    async def wait(self) -> Ended:
        await _ended(self._process)
        with self._burying:
            if not self._is_buried:
                _send(os.killpg, self.pid, signal.SIGKILL)
                self._guarding.discard(self.pid)
                self._process.wait()
                self._is_buried = True
        self._hear()
        self._line.close()
        self._stir.set()
        await self._output
        try:
            return self._told()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _pump(self, sink: Sink) -> None:
        """Hands the output on. What the run wrote is in the pipe when it ends, so nothing is waited for then: a
        process that left the group may hold the pipe open for ever."""
        assert self._process.stdout is not None
        left = _LAST_BYTES
        with self._process.stdout as pipe:
            os.set_blocking(pipe.fileno(), False)
            while left > 0:
                piece = _read(pipe.fileno())
                if piece:
                    await sink(piece)
                    left -= len(piece) if self._is_buried else 0
                elif piece is None and not self._is_buried:
                    await self._readable(pipe.fileno())
                else:
                    return

    async def _readable(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        self._stir.clear()
        loop.add_reader(descriptor, self._stir.set)
        try:
            await self._stir.wait()
        finally:
            loop.remove_reader(descriptor)

    def _told(self) -> Ended:
        """The exit code, and what the child wrote down before it ended."""
        code = self._process.returncode
        try:
            word, result, message = (self._folder / "outcome").read_text("utf-8").split("\n", 2)
        except (OSError, ValueError):  # a command, killed, or the flow removed it
            return Ended(code)
        if word == "NOSTART":
            folder = self._of.path or "a temporary folder (it was deployed without a code folder)"
            return Ended(could_not_start=f"{message} on host {self._host}, code folder {folder}. {WAYS_OUT}")
        return Ended(code, State(word), message, result)


def _read(descriptor: int) -> bytes | None:
    """What is there; empty at the end, None when there is nothing now."""
    try:
        return os.read(descriptor, _PIECE_BYTES)
    except BlockingIOError:
        return None


def _send(send: Callable[[int, int], None], target: int, number: signal.Signals) -> None:
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):  # gone, or (macOS) only zombies are left
        pass


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Waits until the process has ended, and does not bury it: its number stays taken."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # no Linux, or one before 5.3; here it is buried, microseconds early

        def wait() -> None:
            process.wait()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait, name=f"wait for {process.pid}", daemon=True).start()
        await ended.wait()
        return
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)

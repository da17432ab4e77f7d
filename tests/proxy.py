"""A proxy between a client and a real server that can lose a reply, stall and be cut: outages as they happen.

It listens on a unix socket of its own and passes bytes on unread. `drop_next_reply()` lets the next command reach
the server and loses its answer together with the connection, as a network does. `cut()` refuses every connection
until `mend()`; `stall()` keeps connections open and passes nothing on until `mend()`.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65536


class Proxy:
    """`with Proxy(upstream_url) as proxy:` gives a server at `proxy.url`; both URLs are `unix://`."""

    def __init__(self, upstream_url: str) -> None:
        self._upstream = upstream_url.removeprefix("unix://").partition("?")[0]
        self._folder = Path(tempfile.mkdtemp(prefix="dsp-"))
        self._address = str(self._folder / "p.sock")
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._loses_reply = False
        self._stalls_before = b""
        self._hangs_up = False
        self._listener: socket.socket | None = None
        self.dropped = 0  # replies lost so far
        self.accepted = 0  # connections so far

    @property
    def url(self) -> str:
        return f"unix://{self._address}"

    def drop_next_reply(self) -> None:
        """The next answer of the server is lost, and its connection with it."""
        with self._lock:
            self._loses_reply = True

    def stall(self) -> None:
        """Nothing passes any more, in neither direction; connections stay open."""
        self._flowing.clear()

    def stall_before(self, word: bytes) -> None:
        """The same from the next command on in which this word stands; it does not reach the server before `mend`."""
        self._stalls_before = word

    @property
    def is_stalled(self) -> bool:
        return not self._flowing.is_set()

    def cut(self) -> None:
        """Closes every connection and refuses new ones, as a server that is down."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
        Path(self._address).unlink(missing_ok=True)
        self._close_all()

    def hang_up(self) -> None:
        """Closes every connection, and each new one as soon as it is made: something answers, and it is not Redis."""
        self._hangs_up = True
        self._close_all()

    def mend(self) -> None:
        """Ends whatever was done to it."""
        self._hangs_up = False
        if self._listener is None:
            self._listen()
        self._flowing.set()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._flowing.set()
        shutil.rmtree(self._folder)

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._address)
        listener.listen(128)
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self._hangs_up:
                _close(client)
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._upstream)
            except OSError:
                _close(client)
                continue
            with self._lock:
                current = self._listener is listener
                if current:
                    self._open |= {client, server}
                    self.accepted += 1
            if not current:
                _close(client)
                _close(server)
                return
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_reply: bool) -> None:
        try:
            while data := source.recv(CHUNK_BYTES):
                if self._stalls_before and not is_reply and self._stalls_before in data:
                    self._stalls_before = b""
                    self._flowing.clear()
                self._flowing.wait()
                if is_reply and self._loses():
                    break
                target.sendall(data)
        except OSError:
            pass
        self._drop(source, target)

    def _loses(self) -> bool:
        with self._lock:
            loses, self._loses_reply = self._loses_reply, False
            self.dropped += loses
            return loses

    def _drop(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open -= set(ends)
        for end in ends:
            _close(end)

    def _close_all(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _close(end)


def _close(end: socket.socket) -> None:
    """Closes it for every thread at once: `close` alone would let a blocked `recv` or `accept` go on."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()

"""The health check of a consumer: `GET /health` for supervisors and `GET /metrics` for Prometheus, over plain HTTP.

Served in the consumer's own event loop, so it cannot say that all is well while that one is stuck. It answers one
short question a connection and believes nobody: a request has few bytes and few seconds, there are few connections at
a time, and whoever does not read the answer is cut off. What is healthy is decided in `vitals.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from agent.vitals import Vitals
from dispatcher.errors import BadRequest

Address = tuple[str, int]
_REQUEST_BYTES = 8192
_REQUEST_S = 5.0  # for a connection as a whole
_MOST_CONNECTIONS = 32
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"
_log = logging.getLogger("dispatcher.consumer")


@asynccontextmanager
async def served(address: Address | None, vitals: Vitals) -> AsyncIterator[None]:
    """Answers as long as the block runs; None: nobody asked for it. Raises `BadRequest` when the address is taken."""
    if address is None:
        yield
        return
    health = Health(vitals)
    server = await _listening(health, address)
    try:
        for listener in server.sockets:
            _log.warning("Health check at http://%s/health, metrics at /metrics.", _shown(listener))
        yield
    finally:
        server.close()
        health.close()


async def _listening(health: Health, address: Address) -> asyncio.Server:
    host, port = address
    try:
        return await asyncio.start_server(health.answer, host, port, limit=_REQUEST_BYTES, backlog=_MOST_CONNECTIONS)
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadRequest(
            f"The health check cannot listen on {host}:{port}: {why}. Give another address with the settings "
            "DISPATCHER_HEALTHCHECK_HOST and DISPATCHER_HEALTHCHECK_PORT, or start without --with-healthcheck."
        ) from None


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Health:
    """Answers requests about one consumer."""

    def __init__(self, vitals: Vitals) -> None:
        from agent.metrics import Metrics  # here and not above: only who asks for it pays for the library

        self._vitals = vitals
        self._metrics = Metrics(vitals)
        self._open: dict[asyncio.StreamWriter, None] = {}  # oldest first

    def close(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, and the connection is closed."""
        if len(self._open) >= _MOST_CONNECTIONS:  # who says nothing gives way to who may
            next(iter(self._open)).transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(_REQUEST_S):
                writer.write(await self._answered(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):  # too slow, or gone
            pass
        finally:
            writer.transport.abort()
            self._open.pop(writer, None)

    async def _answered(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _reply(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request is too long.\n")
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _reply(HTTPStatus.BAD_REQUEST, "This is not an HTTP/1 request.\n")
        method, target, _ = words
        path = target.partition("?")[0]
        if path not in ("/health", "/metrics"):
            return _reply(HTTPStatus.NOT_FOUND, "There are /health and /metrics.\n")
        if method not in ("GET", "HEAD"):
            return _reply(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD only.\n", more="Allow: GET, HEAD\r\n")
        if path == "/metrics":
            return _reply(HTTPStatus.OK, self._metrics.text(), self._metrics.content_type, is_whole=method == "GET")
        is_healthy, facts = self._vitals.report()
        status = HTTPStatus.OK if is_healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return _reply(status, json.dumps(facts) + "\n", _JSON, is_whole=method == "GET")


def _reply(status: HTTPStatus, body: str, kind: str = _TEXT, *, more: str = "", is_whole: bool = True) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.0 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\nCache-Control: no-store\r\n{more}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (data if is_whole else b"")

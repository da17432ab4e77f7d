"""The async driver: the same surface as `client.py`, awaited. What an operation is stands in `ops/`, not here.

When a wait is cancelled its connection is dropped: a reply that is already on its way must never be read as the
answer to another call. Up to Python 3.11 a cancellation that comes while redis-py sends can be lost in the
`asyncio.wait_for` which it sends with (github.com/python/cpython/issues/86296); it is repeated here until it is heard.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dispatcher import errors
from dispatcher.call import Call, Flow
from dispatcher.client import Batch, Batches, Clock, checked_url, driven, driven_many, invalid_url, options
from dispatcher.verbs import Verbs

R = TypeVar("R")


class AsyncClient(Verbs):
    """As `Client`, awaited: `async with AsyncClient() as client:` closes it at the end.

    It belongs to the event loop in which it is used first. Making one with no url, in environment or profile either,
    may take the moment in which the embedded broker is started.
    """

    def __init__(self, url: str | None = None, *, now_ms: Clock | None = None) -> None:
        self.url = checked_url(self._told(url))
        self._now_ms = now_ms
        self._by_wait: dict[int | None, redis.asyncio.Redis] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._is_closed = False
        self._connected(None)

    def _connected(self, waits_ms: int | None) -> redis.asyncio.Redis:
        if self._is_closed:
            raise errors.ClientClosed
        found = self._by_wait.get(waits_ms)
        if found is None:
            try:
                pool = redis.asyncio.BlockingConnectionPool.from_url(
                    self.url, retry=Retry(NoBackoff(), 0), **options(waits_ms)
                )
            except ValueError as error:
                raise invalid_url(self.url, error) from None
            created = redis.asyncio.Redis(connection_pool=pool)
            created.response_callbacks.clear()  # raw replies: an operation's decode is the only reader
            found = self._by_wait.setdefault(waits_ms, created)
        return found

    async def run(self, operation: Call[R] | Flow[R]) -> R:
        """As `Client.run`."""
        return await self._drive(driven(operation, self.url, self._now_ms))

    async def run_many(self, calls: Iterable[Call[R]]) -> list[R]:
        """As `Client.run_many`."""
        batch = list(calls)
        return await self._drive(driven_many(batch, self.url, self._now_ms)) if batch else []

    async def _drive(self, batches: Batches[R]) -> R:
        self._stay_at_home()
        try:
            batch = next(batches)
            while True:
                try:
                    replies = [await asyncio.to_thread(batch.work)] if batch.work else await self._send(batch)
                except Exception as error:  # noqa: BLE001 - the operation decides what becomes of it
                    batch = batches.throw(error)
                else:
                    batch = batches.send(replies)
        except StopIteration as end:
            result: R = end.value
            return result

    def _stay_at_home(self) -> None:
        """Its connections are bound to the event loop, and a fork copies the loop but not its right to them."""
        here = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._pid = here, os.getpid()
        elif self._loop is not here or self._pid != os.getpid():
            raise errors.ClientMisplaced

    async def _send(self, batch: Batch) -> list[Any]:
        if sys.version_info >= (3, 12):
            return await self._pipelined(batch)
        sending = asyncio.create_task(self._pipelined(batch))
        # Cancelled while it fails, nobody is left who would ask how it ended; asyncio would complain.
        sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.wait({sending})
        except asyncio.CancelledError:
            while not sending.done():
                sending.cancel()
                await asyncio.wait({sending}, timeout=0.01)
            raise
        return sending.result()

    async def _pipelined(self, batch: Batch) -> list[Any]:
        connected = self._connected(batch.waits_ms)
        try:
            async with connected.pipeline(transaction=False) as pipe:
                for command in batch.commands:
                    pipe.execute_command(*command)
                return await pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            if self._is_closed:
                raise errors.ClientClosed from error
            raise
        finally:
            if self._is_closed:  # meanwhile: this connection may have been made after the others were closed
                await connected.connection_pool.disconnect()

    async def close(self) -> None:
        """Closes every connection; what another task waits for ends with `ClientClosed`. May be called again."""
        self._is_closed = True
        if self._loop is not None:
            self._stay_at_home()
        for connected in list(self._by_wait.values()):
            await connected.aclose()
            await connected.connection_pool.disconnect()
        self._by_wait.clear()

    async def aclose(self) -> None:
        """As `close`, by the name that `contextlib.aclosing` calls."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

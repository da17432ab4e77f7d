"""The sync driver, and the part of driving that it shares with the async one (`aio.py`).

`driven` turns an operation into batches of commands and their replies into its result, without I/O: it holds what may
be sent twice, what to do when the server lost its scripts, and how redis-py's errors become ours. A driver only sends
the batches it yields. redis-py's own retry is off, because it would send a script again whose reply was lost; only
calls marked `resend` are sent a second time, once. A call that waits goes by connections of its own, whose read
timeout lies beyond the wait: redis-py 8 otherwise cuts every read off after 5 s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from inspect import GEN_CLOSED, getgeneratorstate
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - redis-py's own name
    InvalidResponse,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry

from dispatcher import errors, urls
from dispatcher.call import Arg, Call, Flow, script, wire
from dispatcher.verbs import Verbs

R = TypeVar("R")
READ_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 3.0
WAIT_MARGIN_S = 5.0  # how much later than the server's own wait a reply may come
CONNECTIONS = 50  # at once; who finds them all in use waits for one
WAITING_CONNECTIONS = 1000  # each one is in use as long as its wait lasts
Clock = Callable[[], int]
clocks: list[Clock] = []  # the last one is what time it is for clients without a clock of their own; for tests only
observers: list[Callable[[Call[Any], Any], None]] = []  # tests see every call with its raw reply; empty otherwise


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands to send together; the driver answers with one reply, or refusal (`RedisError`), for each. Or `work` to
    do instead, whose result is the one reply."""

    commands: tuple[tuple[Arg, ...], ...]
    waits_ms: int | None
    work: Callable[[], Any] | None = None


Batches = Generator[Batch, list[Any], R]


def driven(operation: Call[R] | Flow[R], url: str, now_ms: Clock | None) -> Batches[R]:
    """The batches of an operation; returns its result. Raises the operation's own errors, or one for Redis's."""
    if isinstance(operation, Call):
        return (yield from _driven_alone(operation, url, now_ms))
    if getgeneratorstate(operation) == GEN_CLOSED:
        raise errors.BugFound("a flow can be run once; it was used already")
    try:
        call = next(operation)
        while True:
            try:
                reply = yield from _driven_alone(call, url, now_ms)
            except errors.DispatcherError as error:
                call = operation.throw(error)
            else:
                call = operation.send(reply)
    except StopIteration as end:
        result: R = end.value
        return result


def _driven_alone(call: Call[R], url: str, now_ms: Clock | None) -> Batches[R]:
    replies: list[R]
    if call.work is None:
        replies = yield from driven_many([call], url, now_ms)
    else:
        replies = yield Batch((), None, call.work)
    return replies[0]


def driven_many(calls: list[Call[R]], url: str, now_ms: Clock | None) -> Batches[list[R]]:
    """The batches of independent calls sent together. The first refusal is raised after all were sent."""
    clock = now_ms or (clocks[-1] if clocks else None)
    now = clock() if clock else None
    commands = [wire(call, now) for call in calls]
    resend = all(call.resend for call in calls)
    waits_ms = rounded(calls[0].waits_ms)
    replies = yield from _sent(commands, resend, waits_ms, url)
    unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:  # they did not run: after a restart or SCRIPT FLUSH the server has to be told the text again
        batch, told = [], set()
        for place in unknown:  # the text once, then the digest does
            name = calls[place].command
            text = ("EVAL", script(name).text, *commands[place][2:])
            batch.append(commands[place] if name in told else text)
            told.add(name)
        for place, reply in zip(unknown, (yield from _sent(batch, resend, waits_ms, url)), strict=True):
            replies[place] = reply
    return [_decoded(call, reply, url) for call, reply in zip(calls, replies, strict=True)]


def rounded(waits_ms: int | None) -> int | None:
    """The wait, up to a quarter longer: calls with many different waits are to share few connections."""
    if waits_ms is None:
        return None
    step = 1 << max(8, waits_ms.bit_length() - 3)
    return -(-waits_ms // step) * step


def _sent(commands: list[tuple[Arg, ...]], resend: bool, waits_ms: int | None, url: str) -> Batches[list[Any]]:
    batch = Batch(tuple(commands), waits_ms)
    for last in (not resend, True):
        try:
            return (yield batch)
        except (ConnectionError, TimeoutError, OSError) as error:
            if last:
                raise translated(error, url) from error
        except RedisError as error:
            raise translated(error, url) from error
    raise AssertionError("unreachable")


def _decoded(call: Call[R], reply: Any, url: str) -> R:
    if isinstance(reply, RedisError):
        raise translated(reply, url) from reply
    for observer in observers:
        observer(call, reply)
    return call.decode(reply)


def translated(error: Exception, url: str) -> errors.DispatcherError:
    """Our error for one of redis-py's; the URL is told without its password."""
    place = without_secrets(url)
    if isinstance(error, AuthenticationError | NoPermissionError):
        return errors.BrokerRefused(f"{str(error).rstrip('.')}. Check user and password for {place}.")
    if isinstance(error, InvalidResponse):
        return errors.BrokerForeign(f"what answers at {place} does not speak the Redis protocol. Check the URL.")
    if isinstance(error, BusyLoadingError):
        return errors.BrokerLoading(f"Redis at {place} is still loading its data. Wait for it.")
    if isinstance(error, ConnectionError | TimeoutError | OSError):
        # Nobody listens there, or the unix socket is gone: then nobody else is served either.
        is_down = "refused" in str(error) or ("No such file" in str(error) and url.startswith("unix:"))
        kind = errors.BrokerDown if is_down else errors.BrokerUnavailable
        return kind(
            f"Redis cannot be reached at {place}: {str(error).rstrip('.')}. Start it, or name another with --redis-url."
        )
    if isinstance(error, OutOfMemoryError):
        return errors.BrokerFull(place=place)
    if isinstance(error, ReadOnlyError):
        return errors.BrokerReadOnly(place=place)
    return errors.BrokerRefused(f"{error} ({place})")


def without_secrets(url: str) -> str:
    """`url` as it may be shown: user information and query, which can carry secrets, are left out."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def options(waits_ms: int | None) -> dict[str, Any]:
    """redis-py settings of both drivers. RESP2 on purpose: its replies have one shape, flat lists of text."""
    return {
        "protocol": 2,
        "decode_responses": True,
        "encoding_errors": "replace",
        "socket_timeout": READ_TIMEOUT_S if waits_ms is None else waits_ms / 1000 + WAIT_MARGIN_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "max_connections": CONNECTIONS if waits_ms is None else WAITING_CONNECTIONS,
    }


def checked_url(url: str) -> str:
    """`url`, if it asks for nothing but where, who, and TLS files. Raises `BadValue`."""
    given: object = url
    if not isinstance(given, str):
        raise errors.BadValue(f"the Redis URL is a {type(given).__name__}: give text, redis://host:port for example.")
    if fault := urls.fault(url) or urls.tls_fault(url):
        raise errors.BadValue(fault)
    return url


def invalid_url(url: str, why: object) -> errors.DispatcherError:
    return errors.BadValue(f"the Redis URL {without_secrets(url)!r} is not valid: {why}")


class Client(Verbs):
    """What one process needs to speak to one Redis: `with Client() as client:` closes it at the end.

    May be shared between threads, and used on in a forked child, which gets connections of its own. `url`: `redis://`,
    `rediss://` or `unix://`; None: the one of environment or profile, else the embedded broker, which is started if it
    is not running. `now_ms` replaces the server's clock in scripts: for tests only. Raises `BadValue`,
    `BrokerUnavailable`.
    """

    def __init__(self, url: str | None = None, *, now_ms: Clock | None = None) -> None:
        self.url = checked_url(self._told(url))
        self._now_ms = now_ms
        self._by_wait: dict[int | None, redis.Redis] = {}
        self._is_closed = False
        self._connected(None)
        _clients.add(self)

    def _connected(self, waits_ms: int | None) -> redis.Redis:
        if self._is_closed:
            raise errors.ClientClosed
        found = self._by_wait.get(waits_ms)
        if found is None:
            try:
                pool = redis.BlockingConnectionPool.from_url(self.url, retry=Retry(NoBackoff(), 0), **options(waits_ms))
            except ValueError as error:
                raise invalid_url(self.url, error) from None
            created = redis.Redis(connection_pool=pool)
            created.response_callbacks.clear()  # raw replies: an operation's decode is the only reader
            found = self._by_wait.setdefault(waits_ms, created)
        return found

    def run(self, operation: Call[R] | Flow[R]) -> R:
        """Sends the operation, waits, and returns its decoded reply.

        Raises: the operation's own errors; `BrokerUnavailable` when Redis does not answer, in which case a call that
        is not marked `resend` may or may not have happened; `ClientClosed`.
        """
        return self._drive(driven(operation, self.url, self._now_ms))

    def run_many(self, calls: Iterable[Call[R]]) -> list[R]:
        """Sends the calls in one pipeline; the results come in the same order."""
        batch = list(calls)
        return self._drive(driven_many(batch, self.url, self._now_ms)) if batch else []

    def _drive(self, batches: Batches[R]) -> R:
        try:
            batch = next(batches)
            while True:
                try:
                    replies = [batch.work()] if batch.work else self._send(batch)
                except Exception as error:  # noqa: BLE001 - the operation decides what becomes of it
                    batch = batches.throw(error)
                else:
                    batch = batches.send(replies)
        except StopIteration as end:
            result: R = end.value
            return result

    def _send(self, batch: Batch) -> list[Any]:
        connected = self._connected(batch.waits_ms)
        try:
            return _answered(connected.connection_pool, batch.commands)
        except (RedisError, OSError) as error:
            if self._is_closed:
                raise errors.ClientClosed from error
            raise
        finally:
            if self._is_closed:  # meanwhile: this connection may have been made after the others were closed
                connected.connection_pool.disconnect()

    def close(self) -> None:
        """Closes every connection; what another thread waits for ends with `ClientClosed`. May be called again."""
        self._is_closed = True
        for connected in list(self._by_wait.values()):
            connected.close()
            connected.connection_pool.disconnect()
        self._by_wait.clear()

    def _start_anew(self) -> None:
        """In a forked child: the parent's connections are let go of without a word to the server."""
        inherited, self._by_wait = self._by_wait, {}
        for connected in inherited.values():
            for connection in getattr(connected.connection_pool, "_connections", ()):
                connection.disconnect()  # which, in another process than the one that made it, only closes the file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answered(pool: redis.ConnectionPool, commands: tuple[tuple[Arg, ...], ...]) -> list[Any]:
    """The reply, or refusal, to each command. Not by redis-py's own pipeline: that gives a connection back as it is
    when a signal (Ctrl-C, a run that is asked to stop) breaks in between sending and reading, and the next to use it
    would read the replies."""
    connection: Any = pool.get_connection()  # untyped in redis-py
    is_read = False
    replies: list[Any] = []
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except ResponseError as refused:
                replies.append(refused)
        is_read = True
        return replies
    finally:
        if not is_read:
            connection.disconnect()
        pool.release(connection)


_clients: WeakSet[Client] = WeakSet()


def _start_anew() -> None:
    for client in list(_clients):
        client._start_anew()


os.register_at_fork(after_in_child=_start_anew)

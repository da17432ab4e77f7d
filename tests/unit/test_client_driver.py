"""What both drivers share, and what they do with a server that can be told to misbehave.

`driven` makes no I/O, so most of it is shown by handing it replies and errors. Then both drivers are run against
`Scripted`, a server of a few lines that answers each command with the next reply of a list.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004
    InvalidResponse,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004
)

from dispatcher import client, errors
from dispatcher.aio import AsyncClient
from dispatcher.call import Call, Flow, script
from dispatcher.client import Batch, Client, driven, driven_many, options, rounded
from dispatcher.errors import BadValue, BrokerUnavailable, BugFound, PoolNotFound
from tests.conftest import AsyncRun, Run, SyncRun

URL = "unix:///nowhere"
SHA = script("run_read").sha


@pytest.fixture(autouse=True)
def unobserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies here are made up; they are not to be held against the headers of scripts."""
    monkeypatch.setattr(client, "observers", [])


def read(*args: str, resend: bool = True, waits_ms: int | None = None) -> Call[Any]:
    return Call("run_read", ("k",), args, lambda reply: reply, resend=resend, waits_ms=waits_ms)


def plain(command: str = "GET", resend: bool = True, waits_ms: int | None = None) -> Call[Any]:
    return Call(command, ("k",), (), lambda reply: reply, resend=resend, waits_ms=waits_ms)


def played(batches: Generator[Batch, list[Any], Any], *answers: list[Any] | Exception) -> tuple[list[Batch], Any]:
    """Hands the answers in, in turn; returns what was sent and the result."""
    sent = [next(batches)]
    try:
        for answer in answers:
            batch = batches.throw(answer) if isinstance(answer, Exception) else batches.send(answer)
            sent.append(batch)
    except StopIteration as end:
        return sent, end.value
    raise AssertionError(f"it wants more: {sent[-1]}")


# calls and flows ----------------------------------------------------------------------------------------------------


def test_a_call_is_one_batch() -> None:
    sent, result = played(driven(read("r"), URL, lambda: 7), [["runs"]])
    assert result == ["runs"]
    assert sent == [Batch((("EVALSHA", SHA, 1, "k", 7, "r"),), None)]


def test_a_flow_gets_each_reply_and_returns_its_own() -> None:
    def flow() -> Flow[list[Any]]:
        return [(yield from plain("A")), (yield from plain("B"))]

    sent, result = played(driven(flow(), URL, None), [1], [2])
    assert result == [1, 2]
    assert [batch.commands[0][0] for batch in sent] == ["A", "B"]


def test_a_flow_sees_an_error_where_the_call_stands() -> None:
    def decode(_reply: Any) -> Any:
        raise PoolNotFound(pool="p")

    def flow() -> Flow[str]:
        try:
            yield from Call("A", (), (), decode)
        except PoolNotFound:
            return "not there, " + str((yield from plain("B")))
        return "not raised"

    assert played(driven(flow(), URL, None), ["x"], ["after"])[1] == "not there, after"


def test_an_error_that_a_flow_does_not_catch_reaches_the_caller() -> None:
    def flow() -> Flow[None]:
        yield from plain()

    with pytest.raises(errors.BrokerRefused):
        played(driven(flow(), URL, None), [ResponseError("no")])


def test_a_flow_may_have_nothing_to_send() -> None:
    def flow() -> Flow[int]:
        yield from ()
        return 5

    with pytest.raises(StopIteration) as end:
        next(driven(flow(), URL, None))
    assert end.value.value == 5


def test_a_used_flow_is_refused() -> None:
    def flow() -> Flow[None]:
        yield from plain()

    used = flow()
    played(driven(used, URL, None), [1])
    with pytest.raises(BugFound, match="used already"):
        next(driven(used, URL, None))


# scripts that the server does not know ------------------------------------------------------------------------------


def test_an_unknown_script_is_sent_as_text() -> None:
    sent, result = played(driven(read("r"), URL, None), [NoScriptError()], [["runs"]])
    assert result == ["runs"]
    assert sent[1].commands == (("EVAL", script("run_read").text, 1, "k", "", "r"),)


def test_in_a_pipeline_only_those_are_sent_again_that_did_not_run() -> None:
    calls = [read("a"), plain(), read("b")]
    sent, result = played(driven_many(calls, URL, None), ["A", "G", NoScriptError()], ["B"])
    assert result == ["A", "G", "B"]
    assert [command[-1] for command in sent[1].commands] == ["b"]


def test_an_unknown_script_may_be_sent_as_text_though_it_may_not_be_resent() -> None:
    assert played(driven(read(resend=False), URL, None), [NoScriptError()], ["done"])[1] == "done", "it did not run"


def test_the_first_refusal_of_a_pipeline_is_raised_after_all_were_sent() -> None:
    with pytest.raises(errors.BrokerRefused, match="first"):
        played(driven_many([plain(), plain()], URL, None), [ResponseError("first"), ResponseError("second")])


# resending ----------------------------------------------------------------------------------------------------------

LOST = (ConnectionError("gone"), TimeoutError("late"), OSError("broken pipe"))


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: type(lost).__name__)
def test_a_lost_reply_is_asked_for_once_more_where_that_is_harmless(lost: Exception) -> None:
    sent, result = played(driven(read("r"), URL, None), lost, ["again"])
    assert result == "again"
    assert sent[0] == sent[1]
    with pytest.raises(BrokerUnavailable):
        played(driven(read("r"), URL, None), lost, lost)


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: type(lost).__name__)
def test_a_lost_reply_is_not_asked_for_again_where_it_is_not_marked(lost: Exception) -> None:
    with pytest.raises(BrokerUnavailable):
        played(driven(read(resend=False), URL, None), lost)


def test_a_pipeline_is_sent_again_only_if_all_of_it_may_be() -> None:
    with pytest.raises(BrokerUnavailable):
        played(driven_many([read(), read(resend=False)], URL, None), ConnectionError("gone"))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (AuthenticationError("WRONGPASS"), errors.BrokerRefused),
        (InvalidResponse("HTTP/1.1"), errors.BrokerForeign),
        (BusyLoadingError("LOADING"), errors.BrokerLoading),
        (ConnectionError("Error 111 connecting: Connection refused."), errors.BrokerDown),
        (ConnectionError("Connection reset by peer"), errors.BrokerUnavailable),
        (TimeoutError("Timeout reading from socket"), errors.BrokerUnavailable),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), errors.BrokerFull),
        (ReadOnlyError("You can't write against a read only replica."), errors.BrokerReadOnly),
        (ResponseError("MISCONF Redis is configured to save"), errors.BrokerRefused),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_errors_of_redis_become_ours_without_the_password(given: Exception, kind: type[Exception]) -> None:
    found = client.translated(given, "redis://user:secret@host:6379/0?password=secret")
    assert type(found) is kind
    assert "secret" not in str(found)
    assert "redis://host:6379/0" in str(found)


def test_an_url_that_is_none() -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(BadValue, match="is not valid"):
            kind("http://host")


# waiting ------------------------------------------------------------------------------------------------------------


def test_a_wait_is_never_cut_off_by_the_read_timeout() -> None:
    for waits_ms in (1, 4_999, 5_000, 7_000, 60_000, 3_600_000):
        batch = next(driven(plain(waits_ms=waits_ms), URL, None))
        assert batch.waits_ms is not None
        assert options(batch.waits_ms)["socket_timeout"] > waits_ms / 1000 + 4.9
    assert options(None)["socket_timeout"] == 5.0


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_waits_have_connections_of_their_own(kind: type[Client] | type[AsyncClient]) -> None:
    made = kind(URL)
    waiting, other = made._connected(7_000), made._connected(None)
    assert waiting.connection_pool is not other.connection_pool
    assert waiting.connection_pool.connection_kwargs["socket_timeout"] == 12.0
    assert other.connection_pool.connection_kwargs["socket_timeout"] == 5.0
    assert waiting.connection_pool.connection_kwargs["retry"].get_retries() == 0


def test_many_different_waits_share_few_connections() -> None:
    found = {rounded(waits_ms) for waits_ms in range(1, 61_000)}
    assert len(found) <= 32
    assert all(waits_ms <= (rounded(waits_ms) or 0) <= 1.25 * waits_ms + 256 for waits_ms in range(1, 61_000))
    assert rounded(None) is None


# against a server ---------------------------------------------------------------------------------------------------


class Scripted:
    """Listens on a unix socket and answers each command but CLIENT with the next of `replies`: bytes to send, None for
    a connection closed instead, `threading.Event` for nothing until it is set."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/s.sock"
        self.replies: list[bytes | threading.Event | None] = []
        self.received: list[str] = []
        self.connections = 0
        self.arrived = threading.Semaphore(0)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/s.sock")
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as words:
                while head := words.readline():
                    command = []
                    for _ in range(int(head[1:])):
                        command.append(words.read(int(words.readline()[1:])).decode())
                        words.readline()
                    reply = self._reply(command[0])
                    if reply is None:
                        return
                    connection.sendall(reply)
        except OSError:  # the client has gone away
            return

    def _reply(self, command: str) -> bytes | None:
        if command == "CLIENT":
            return b"+OK\r\n"
        self.received.append(command)
        self.arrived.release()
        reply = self.replies.pop(0) if self.replies else None
        if isinstance(reply, threading.Event):
            reply.wait(10)
            return b"+late\r\n"
        return reply

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with tempfile.TemporaryDirectory(prefix="dsp-") as folder:
        server = Scripted(Path(folder))
        yield server
        server.close()


@pytest.fixture(params=[SyncRun, AsyncRun])
def send(request: pytest.FixtureRequest, scripted: Scripted) -> Iterator[Run]:
    driver: SyncRun | AsyncRun = request.param(scripted.url, None)
    yield driver
    driver.close()


def test_a_connection_that_closes_is_tried_once_more(scripted: Scripted, send: Run) -> None:
    scripted.replies = [None, b"+ok\r\n"]
    assert send(plain()) == "ok"
    assert scripted.received == ["GET", "GET"]


def test_what_may_not_be_resent_is_received_once(scripted: Scripted, send: Run) -> None:
    scripted.replies = [None, b"+ok\r\n"]
    with pytest.raises(BrokerUnavailable):
        send(plain(resend=False))
    assert scripted.received == ["GET"]
    assert send(plain(resend=False)) == "ok"


def test_redis_py_itself_sends_nothing_twice(scripted: Scripted, send: Run) -> None:
    scripted.replies = [None, None, b"+ok\r\n"]
    with pytest.raises(BrokerUnavailable):
        send(plain())
    assert scripted.received == ["GET", "GET"], "once, and once more by the driver"


def test_an_unknown_script_is_taught_inside_a_pipeline(scripted: Scripted, send: Run) -> None:
    scripted.replies = [b"+A\r\n", b"-NOSCRIPT no\r\n", b"-NOSCRIPT no\r\n", b"+B\r\n", b"+C\r\n"]
    assert send.many([plain(), read("b"), read("c")]) == ["A", "B", "C"]
    assert scripted.received == ["GET", "EVALSHA", "EVALSHA", "EVAL", "EVALSHA"], "the text once"


def test_a_server_that_speaks_something_else(scripted: Scripted, send: Run) -> None:
    scripted.replies = [b"HTTP/1.1 400 Bad Request\r\n\r\n"] * 2
    with pytest.raises(errors.BrokerForeign, match=r"cannot be reached|does not speak the Redis protocol"):
        send(plain())


def test_nothing_to_send(send: Run) -> None:
    assert send.many([]) == []


def test_a_cancelled_wait_leaves_no_reply_for_the_next(scripted: Scripted) -> None:
    late = threading.Event()
    scripted.replies = [late, b"+mine\r\n"]

    async def main() -> str:
        async with AsyncClient(scripted.url) as asking:
            waiting = asyncio.create_task(asking.run(plain("BLPOP", waits_ms=60_000)))
            await asyncio.to_thread(scripted.arrived.acquire, timeout=10)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            late.set()  # its reply is on its way now
            found: str = await asking.run(plain("BLPOP", waits_ms=60_000))
            return found

    assert asyncio.run(main()) == "mine"
    assert scripted.connections == 2, "the connection whose reply nobody read was dropped"


def test_a_cancellation_is_heard_wherever_it_comes(scripted: Scripted) -> None:
    """Up to Python 3.11 redis-py loses one that comes while it sends: about half of these."""
    never = threading.Event()

    async def cancelled(after_steps: int) -> bool:
        scripted.replies = [never]
        async with AsyncClient(scripted.url) as asking:
            waiting = asyncio.create_task(asking.run(plain("BLPOP", waits_ms=60_000)))
            for _ in range(after_steps):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=5)
            return waiting.cancelled()

    async def main() -> list[bool]:
        return [await cancelled(steps) for steps in range(40)]

    try:
        assert asyncio.run(main()) == [True] * 40
    finally:
        never.set()


def test_an_idle_connection_that_the_server_closed_is_no_error(scripted: Scripted, send: Run) -> None:
    scripted.replies = [b"+first\r\n+", b"+ok\r\n"]  # a byte too much: the connection cannot be used again
    assert send(plain(resend=False)) == "first"
    assert send(plain(resend=False)) == "ok"


@pytest.mark.parametrize(
    "option", ["protocol=3", "decode_responses=false", "socket_timeout=1", "nonsense=1", "ssl_cert_reqs=none"]
)
@pytest.mark.parametrize("driver", [Client, AsyncClient])
def test_a_url_may_not_override_what_the_drivers_rely_on(driver: type[Client] | type[AsyncClient], option: str) -> None:
    with pytest.raises(BadValue, match=f"unknown option '{option.partition('=')[0]}'") as refused:
        driver(f"redis://:secret@127.0.0.1:1/0?db=1&{option}")
    assert "secret" not in str(refused.value)

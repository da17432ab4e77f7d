"""What every test can ask for: a real server of its own, drivers, a clock.

Each pytest-xdist worker starts one embedded server in a temporary folder and stops it at the end;
each test which asks for `redis_url` gets it empty. DISPATCHER_TEST_REDIS_URL names another server
instead (it is emptied, and shared by the workers: use it with `WORKERS=1`, which `pytest -n 1` is).
Without any server binary the tests that need one are skipped on a laptop and fail in CI.

`run` sends an operation through the sync driver and, as a second test, through the async one.
`clock` replaces the server's clock in what `run` sends; a test that does not ask for it has real time.
Fixtures of one folder only belong into that folder's own conftest.py.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
import redis

from dispatcher import broker
from dispatcher.aio import AsyncClient
from dispatcher.call import Call, Flow
from dispatcher.client import Client
from dispatcher.errors import BrokerUnavailable

R = TypeVar("R")


class Clock:
    """The time that scripts see, in milliseconds; it moves only when told to."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def advance(self, ms: int) -> None:
        self.now_ms += ms

    def __call__(self) -> int:
        return self.now_ms


class Run(Protocol):
    """What the fixture `run` is: `run(call_or_flow)`; `run.many(calls)` sends one pipeline."""

    def __call__(self, operation: Call[R] | Flow[R], /) -> R: ...

    def many(self, operations: list[Call[R]], /) -> list[R]: ...


class SyncRun:
    def __init__(self, url: str, now_ms: Callable[[], int] | None) -> None:
        self._client = Client(url, now_ms=now_ms)

    def __call__(self, operation: Call[R] | Flow[R], /) -> R:
        return self._client.run(operation)

    def many(self, operations: list[Call[R]], /) -> list[R]:
        return self._client.run_many(operations)

    def close(self) -> None:
        self._client.close()


class AsyncRun:
    def __init__(self, url: str, now_ms: Callable[[], int] | None) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(url, now_ms=now_ms)

    def __call__(self, operation: Call[R] | Flow[R], /) -> R:
        return self._runner.run(self._client.run(operation))

    def many(self, operations: list[Call[R]], /) -> list[R]:
        return self._runner.run(self._client.run_many(operations))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--model-examples", default="200", help="examples of the model test, 50 steps each (200)")


@pytest.fixture(scope="session")
def server_binary() -> Path:
    """The binary that the embedded broker would start; without one: skipped, or a failure in CI."""
    try:
        return broker.find_server()
    except BrokerUnavailable as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a Redis server: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of this worker's server; ask for `redis_url`, which is empty, instead."""
    named = os.environ.get("DISPATCHER_TEST_REDIS_URL")
    if named:
        yield named
        return
    request.getfixturevalue("server_binary")
    # A short name: the path of a unix socket holds a hundred bytes.
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))
    try:
        yield broker.ensure(folder)
    finally:
        broker.stop(folder)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_connection(server_url: str) -> Iterator[redis.Redis]:
    """A bare connection, for emptying the server and for looking into it past the product."""
    connection = redis.Redis.from_url(server_url, decode_responses=True)
    yield connection
    connection.close()


@pytest.fixture
def redis_url(server_url: str, server_connection: redis.Redis) -> str:
    """The URL of a real and empty server that no other test uses at the same time."""
    server_connection.flushall()
    return server_url


@pytest.fixture
def clock() -> Clock:
    """A clock that moves only by `clock.advance(ms)`; `run` uses it in tests that ask for both."""
    return Clock()


# Sees every call and its raw reply, whichever driver or client of a test makes it, and every key that is left.
pytest_plugins = ["tests.recording"]


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Run]:
    """Send an operation and return its decoded reply; every test runs once with each driver."""
    now_ms: Clock | None = request.getfixturevalue("clock") if "clock" in request.fixturenames else None
    driver = SyncRun(redis_url, now_ms) if request.param == "sync" else AsyncRun(redis_url, now_ms)
    yield driver
    driver.close()

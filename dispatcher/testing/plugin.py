"""The pytest plugin: `dispatcher_broker` and `dispatcher_worker` are there by installing the package.

It is named in `pyproject.toml` by the name of this module, so that `-p` and `pytest_plugins` name the same plugin and
do not load it twice. Every run of pytest in the environment imports it: nothing of ours is loaded before a fixture is
asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dispatcher.testing.worker import Worker


@pytest.fixture(scope="session")
def dispatcher_broker() -> Iterator[str]:
    """The URL of a broker that only this session has; skips the test where there is no server program."""
    from dispatcher import testing
    from dispatcher.errors import BrokerUnavailable

    with ExitStack() as stack:
        try:
            url = stack.enter_context(testing.broker())
        except BrokerUnavailable as error:
            pytest.skip(f"no broker for tests: {error}")
        yield url


@pytest.fixture
def dispatcher_worker(
    dispatcher_broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker in this process, on a clock that stands still, with an empty broker.

    `Client()` without a URL is a client of this broker meanwhile; neither the environment nor the profile of the user
    is seen.
    """
    from dispatcher.testing.worker import Worker

    for name in [name for name in os.environ if name.startswith("DISPATCHER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DISPATCHER_HOME", str(tmp_path_factory.mktemp("dispatcher-home")))
    monkeypatch.setenv("DISPATCHER_REDIS_URL", dispatcher_broker)
    with Worker(dispatcher_broker) as worker:
        worker.empty()
        yield worker

"""Sees every script call of a test run: each one must fit its header, and each script must have been called.

A pytest plugin, loaded by `tests/conftest.py`. Both drivers tell `dispatcher.client.observers` of each call and its raw
reply; a call with other keys or arguments than the script's header declares, or a reply of a shape that it does not
declare, raises there and fails the test. What was called is summed up over all xdist workers; at the end of a whole,
successful run a script that no test has called fails it. A run is whole when it has an item of every test file below
`tests/` and nothing was deselected. After each test with a server, every key that it leaves is compared with
`dispatcher/keyspace.py` (`tests/documented.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher import client
from dispatcher.call import Call
from tests import headers
from tests.documented import undocumented
from tests.headers import HeaderBroken, header

TESTS = Path(__file__).resolve().parent
NOT_COLLECTED = {"bench"}  # see pyproject.toml
called: set[str] = set()
_whole = pytest.StashKey[bool]()
_uncalled = pytest.StashKey[list[str]]()
_deselected = pytest.StashKey[int]()


def observe(call: Call[Any], reply: Any) -> None:
    """Holds one call and its reply against the script's header."""
    if not call.is_script:
        return
    called.add(call.command)
    found = header(call.command)
    if len(call.keys) != len(found.keys):
        raise HeaderBroken(f"{call.command} was sent {len(call.keys)} keys, its header names {len(found.keys)}")
    if not found.takes(len(call.args)):
        raise HeaderBroken(f"{call.command} was sent {len(call.args)} arguments, which its header's ARGV do not allow")
    if not any(shape.fits(reply) for shape in found.returns):
        raise HeaderBroken(f"{call.command} answered {reply!r}, which fits no `Returns:` line of its header")


@pytest.fixture(scope="session", autouse=True)
def every_call_is_seen() -> Iterator[None]:
    client.observers.append(observe)
    yield
    client.observers.remove(observe)


@pytest.fixture(autouse=True)
def every_key_is_documented(request: pytest.FixtureRequest) -> Iterator[None]:
    """Looks at what a test with the shared server leaves there; `@pytest.mark.foreign_keys` exempts one that writes
    keys of its own making."""
    if "redis_url" not in request.fixturenames or request.node.get_closest_marker("foreign_keys"):
        yield
        return
    server = request.getfixturevalue("server_connection")
    request.getfixturevalue("redis_url")
    yield
    assert undocumented(server) == [], "keys that dispatcher/keyspace.py does not describe so"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "foreign_keys: the test leaves keys in Redis that are not the product's")


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        items[0].config.stash[_deselected] = len(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Decides whether this is a whole run. With xdist every worker collects everything, and the controller nothing."""
    collected = {item.path for item in session.items}
    present = {path for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in NOT_COLLECTED}
    narrowed = any("::" in str(argument) for argument in session.config.args)
    session.config.stash[_whole] = present <= collected and not narrowed and _deselected not in session.config.stash


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A worker hands its part on; the process that the user sees judges."""
    config = session.config
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["scripts_called"] = sorted(called)
        output["is_whole"] = config.stash.get(_whole, False)
        return
    uncalled = sorted(set(headers.names()) - called)
    # Nothing called at all: there is no server here, and the tests that need one have said so.
    if config.stash.get(_whole, False) and exitstatus == pytest.ExitCode.OK and called and uncalled:
        config.stash[_uncalled] = uncalled
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker has ended: its scripts count for the whole."""
    output = getattr(node, "workeroutput", {})
    called.update(output.get("scripts_called", ()))
    node.config.stash[_whole] = bool(output.get("is_whole"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in config.stash.get(_uncalled, []):
        terminalreporter.write_line(f"FAILED dispatcher/lua/{name}.lua: no test has called it", red=True)

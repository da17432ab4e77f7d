"""`dispatcher broker start|stop|status` as its users see it: words, JSON, exit codes."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.broker import broker as group
from dispatcher import broker


@pytest.fixture
def home(server_binary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="dsp-"))
    monkeypatch.setenv("DISPATCHER_HOME", str(home))
    monkeypatch.delenv("DISPATCHER_OUTPUT", raising=False)
    yield home
    broker.stop(home / "broker")
    shutil.rmtree(home)


def typed(*words: str) -> Result:
    return CliRunner().invoke(group, words)


def test_start_status_stop(home: Path) -> None:
    started = typed("start", "-o", "json")
    assert started.exit_code == 0
    told = json.loads(started.stdout)
    assert set(told) == {"running", "url", "pid", "version", "data_folder"}
    assert told["running"] is True
    assert told["data_folder"] == str(home / "broker")
    assert json.loads(typed("status", "--output", "json").stdout) == told
    assert json.loads(typed("start", "-o", "json").stdout) == told, "a second start changes nothing"

    stopped = typed("stop")
    assert (stopped.exit_code, "is stopped" in stopped.stdout) == (0, True)
    assert json.loads(typed("stop", "-o", "json").stdout) == told | {
        "running": False, "url": None, "pid": None, "version": None,
    }  # fmt: skip
    again = typed("stop")
    assert (again.exit_code, "was not running" in again.stdout) == (0, True)


def test_status_of_none_is_exit_code_1(home: Path) -> None:
    found = typed("status")
    assert found.exit_code == 1
    assert found.stdout == f"Running:     no\nData folder: {home / 'broker'}\n"
    as_json = typed("status", "-o", "json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["running"] is False


def test_words_for_people(home: Path) -> None:
    lines = typed("start").stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Running", "URL", "PID", "Version", "Data folder"]


@pytest.mark.parametrize("command", ["start", "stop", "status"])
def test_each_help_has_an_example(command: str) -> None:
    assert f"dispatcher broker {command}" in typed(command, "--help").stdout

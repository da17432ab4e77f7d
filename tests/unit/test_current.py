"""What `current_run()` tells: from the environment of a run, or for a block of code in one process."""

from __future__ import annotations

import json
import threading
from contextvars import copy_context
from pathlib import Path

import pytest

from dispatcher import current_run
from dispatcher.current import CurrentRun, running
from dispatcher.errors import NoCurrentRun


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a run; the file with its parameters."""
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps({"day": "2026-11-21", "who": "wörld"}), "utf-8")
    for name, value in (
        ("RUN_ID", "01JD0000000000000000000000"),
        ("RUN_NAME", "swift-otter"),
        ("RUN_EPOCH", "7"),
        ("RUN_ATTEMPT", "2"),
        ("DEPLOYMENT", "load/nightly"),
        ("PARAMETERS_FILE", str(file)),
    ):
        monkeypatch.setenv(f"DISPATCHER_{name}", value)
    return file


@pytest.fixture
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPATCHER_RUN_ID", raising=False)


def a_run(name: str, cancelled: threading.Event | None = None) -> CurrentRun:
    event = cancelled or threading.Event()
    return CurrentRun(id="1", name=name, epoch=1, attempt=1, parameters={"day": "today"}, cancel_requested=event.is_set)


@pytest.mark.usefixtures("told")
def test_the_environment_tells_it() -> None:
    run = current_run()
    assert (run.id, run.name, run.epoch, run.attempt) == ("01JD0000000000000000000000", "swift-otter", 7, 2)
    assert run.deployment == "load/nightly"
    assert run.parameters == {"day": "2026-11-21", "who": "wörld"}
    assert run.cancel_requested is False


@pytest.mark.usefixtures("told")
def test_a_run_without_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_DEPLOYMENT", "")
    assert current_run().deployment is None


def test_parameters_are_read_once_and_only_when_asked_for(told: Path) -> None:
    run = current_run()
    told.write_text('{"day": "later"}')
    assert run.parameters == {"day": "later"}
    told.unlink()
    assert run.parameters == {"day": "later"}
    assert current_run().name == "swift-otter"
    with pytest.raises(NoCurrentRun, match="DISPATCHER_PARAMETERS_FILE"):
        _ = current_run().parameters


@pytest.mark.usefixtures("nothing_told")
def test_outside_of_a_run_there_is_none() -> None:
    with pytest.raises(NoCurrentRun, match="There is no current run here: DISPATCHER_RUN_ID is not set"):
        current_run()


@pytest.mark.usefixtures("told")
def test_half_an_environment_is_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_RUN_EPOCH", "soon")
    with pytest.raises(NoCurrentRun, match="epoch and attempt"):
        current_run()
    monkeypatch.delenv("DISPATCHER_RUN_EPOCH")
    with pytest.raises(NoCurrentRun, match="epoch and attempt"):
        current_run()


@pytest.mark.usefixtures("nothing_told")
def test_a_block_has_its_own_run() -> None:
    cancelled = threading.Event()
    with running(a_run("outer", cancelled)) as outer:
        assert current_run() is outer
        with running(a_run("inner")):
            assert current_run().name == "inner"
        assert current_run().parameters == {"day": "today"}
        assert not current_run().cancel_requested
        cancelled.set()
        assert current_run().cancel_requested
    with pytest.raises(NoCurrentRun):
        current_run()


@pytest.mark.usefixtures("told")
def test_a_block_comes_before_the_environment_and_belongs_to_its_context() -> None:
    names: list[str] = []

    def ask() -> None:
        names.append(current_run().name)

    with running(a_run("inner")):
        ask()
        inherited = copy_context()
        for thread in (threading.Thread(target=ask), threading.Thread(target=inherited.run, args=(ask,))):
            thread.start()
            thread.join()
    assert names == ["inner", "swift-otter", "inner"]

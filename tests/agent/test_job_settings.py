"""What a job says about how a run is executed, first in the infrastructure alone, then through a worker."""

from __future__ import annotations

import json
import signal
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.infrastructure.base import Ended
from dispatcher.models import Run
from dispatcher.ops import runs
from dispatcher.states import State
from tests.consumers import FLOWS, POOL, Scene
from tests.jobs import Runner
from tests.polling import poll_until


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    temporary, project = tmp_path / "tmp", tmp_path / "project"
    temporary.mkdir()
    project.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (project / "flows.py").write_text(textwrap.dedent(FLOWS))
    (project / "where.py").write_text("import os, sys\ndef main(): return [os.getcwd(), sys.path[0]]\n")
    (project / "inside").mkdir()
    yield Runner(project)
    assert list(temporary.iterdir()) == []


# The infrastructure alone


def test_a_run_starts_in_the_working_folder_and_finds_its_code(run: Runner, tmp_path: Path) -> None:
    for named, folder in ((str(tmp_path), tmp_path), ("inside", run.project / "inside")):
        ended = run("where.py:main", job={"working_dir": named})
        assert json.loads(ended.result_json) == [str(folder), str(run.project)]


def test_a_working_folder_that_this_host_does_not_have_is_told(run: Runner) -> None:
    ended = run("hello", job={"working_dir": "/no/such/folder"})
    for fact in ("host myhost", "'/no/such/folder'", "working_dir", "on every host", "leave it out"):
        assert fact in ended.could_not_start
    assert "make it absolute" in run("hello", path=None, job={"working_dir": "inside"}).could_not_start


@pytest.mark.parametrize("command", ["sh -c 'echo \"$A $DISPATCHER_RUN_ID\"; exit 4'", ["sh", "-c", "echo $A; exit 4"]])
def test_a_command_is_executed_instead_of_the_flow(run: Runner, command: str | list[str]) -> None:
    for of in ({"flow": "hello"}, {"flow": None, "command": ("false",)}):
        run.printed = b""
        assert run(**of, job={"command": command, "env": {"A": "b"}}) == Ended(4)
        assert run.lines[0].split()[0] == "b"


def test_a_command_with_a_working_folder_needs_no_code(run: Runner, tmp_path: Path) -> None:
    job = {"command": "pwd", "working_dir": str(tmp_path)}
    assert run("hello", path="/no/such/folder", job=job) == Ended(0)
    assert run.lines == [str(tmp_path)]
    assert "no code folder" in run("hello", path="/no/such/folder", job={"command": "pwd"}).could_not_start


def test_a_program_that_is_not_there_is_told(run: Runner) -> None:
    assert "the command 'no-such' was not found" in run("hello", job={"command": "no-such --at-all"}).could_not_start


def test_nonsense_could_not_start(run: Runner) -> None:
    ended = run("hello", job={"env": [], "command": {"a": 1}})
    assert ended.could_not_start.startswith("the job cannot be used: env must be")
    assert "command must be" in ended.could_not_start


# Through a worker


def finished(scene: Scene, **of: object) -> Run:
    return scene.finished(scene.submit(**of))  # type: ignore[arg-type]


def test_the_smaller_timeout_counts(scene: Scene) -> None:
    scene.start()
    for own, jobs in ((0.4, 60), (60.0, 0.4), (None, 0.4)):
        run = finished(scene, flow="tidy", timeout_s=own, job_variables={"timeout_seconds": jobs})
        assert (run.state, run.message) == (State.FAILED, "timed out after 0.4 s")


def test_the_grace_of_the_job_counts(scene: Scene) -> None:
    worker = scene.start("--grace-seconds", "60")
    cancelled = scene.submit("stubborn", job_variables={"grace_seconds": 0.1})
    scene.file("stubborn")
    scene.client.run(runs.cancel(POOL, cancelled))
    assert scene.finished(cancelled, timeout_s=10).state is State.CANCELLED

    (scene.folder / "stubborn").unlink()
    given_back = scene.submit("stubborn", job_variables={"grace_seconds": 0.1})
    scene.file("stubborn")
    for said in ("waited for", "given back"):
        worker.signal(signal.SIGINT)
        poll_until(lambda said=said: said in worker.log, 10, "the signal was taken")  # type: ignore[misc]
    assert worker.exit_code(10) == 0
    assert scene.read(given_back).state is State.SCHEDULED


def test_output_may_be_kept_only_and_a_job_has_a_name(scene: Scene) -> None:
    worker = scene.start()
    quiet = finished(scene, flow="hello", parameters={"name": "quiet"}, job_variables={"stream_output": False})
    loud = finished(scene, flow="hello", parameters={"name": "loud"}, job_variables={"name": "my-etl"})
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert (scene.log(quiet.id), scene.log(loud.id)) == (["hello quiet"], ["hello loud"])
    assert "| hello loud" in worker.log
    assert "hello quiet" not in worker.log
    assert "has started as my-etl, process" in worker.log


def test_nonsense_ends_the_run_and_not_the_consumer(scene: Scene) -> None:
    worker = scene.start()
    run = finished(scene, flow="hello", retries=3, job_variables={"env": {"A": ["b"]}})
    assert (run.state, run.attempts, run.started_at_ms) == (State.CRASHED, 1, None)
    assert run.message.startswith("could not start: ")
    assert "env.A" in run.message
    assert any("could not start" in line for line in scene.log(run.id))
    assert finished(scene, flow="hello").state is State.COMPLETED
    assert worker.process.poll() is None

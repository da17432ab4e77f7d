"""SIGTERM reaches a flow once and is noticed at once, whatever the flow does at that moment."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.infrastructure.base import Ended
from agent.infrastructure.process_job import ProcessJob
from dispatcher.ops import runs
from dispatcher.states import State
from tests.consumers import POOL, Scene
from tests.jobs import Runner
from tests.polling import poll_until

# A signal that comes right before a long call of the system does not interrupt it: Python has noted the signal, and
# looks at its notes when the call ends. What is left to chance there is certain in `deaf`: the signal is taken by
# another thread, and the main thread, where Python's handlers run, is not interrupted by it.
STOPPED = """
    import signal, threading, time
    from pathlib import Path

    def deaf():
        stopping = threading.Event()
        threading.Thread(target=stopping.wait, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            Path("begun").touch()
            time.sleep(600)
        finally:
            Path("cleaned").touch()

    def careful():
        try:
            Path("begun").touch()
            while True:
                time.sleep(0.01)
        finally:
            Path("cleaning").touch()
            while not Path("go").exists():
                time.sleep(0.01)
            Path("cleaned").touch()

    def own():
        asked = []
        signal.signal(signal.SIGTERM, lambda *_: (asked.append(1), Path("asked").touch()))
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        return len(asked)
"""
COMMAND = """
    trap 'echo asked; touch asked' TERM
    touch begun
    while [ ! -e go ]; do sleep 0.01; done
    exit 3
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    temporary, project = tmp_path / "tmp", tmp_path / "project"
    temporary.mkdir()
    project.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (project / "stopped.py").write_text(textwrap.dedent(STOPPED))
    yield Runner(project)
    assert list(temporary.iterdir()) == []


async def there(path: Path) -> None:
    await asyncio.to_thread(poll_until, path.exists, 20, f"{path.name} is written")


async def asked_thrice(job: ProcessJob, project: Path) -> None:
    job.start()
    await there(project / "begun")
    job.stop(force=False)
    await there(project / "asked")  # before that, a second signal would be one with the first
    job.stop(force=False)
    job.stop(force=False)
    (project / "go").touch()


def test_a_signal_that_does_not_interrupt_what_the_flow_waits_for_is_noticed(scene: Scene) -> None:
    (scene.folder / "stopped.py").write_text(textwrap.dedent(STOPPED))
    scene.start()
    run = scene.submit(entrypoint="stopped.py:deaf", job_variables={"grace_seconds": 60})
    scene.file("begun")
    scene.client.run(runs.cancel(POOL, run))
    assert scene.finished(run).state is State.CANCELLED
    assert (scene.folder / "cleaned").exists()


def test_a_second_signal_does_not_break_the_clean_up_that_the_first_began(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        job.start()
        await there(run.project / "begun")
        os.kill(job.pid, signal.SIGTERM)  # somebody else's, as a supervisor's that tells a whole tree of processes
        await there(run.project / "cleaning")
        os.kill(job.pid, signal.SIGTERM)
        (run.project / "go").touch()

    assert run("stopped.py:careful", act) == Ended(128 + signal.SIGTERM)
    assert (run.project / "cleaned").exists()


def test_a_flow_with_a_handler_of_its_own_is_asked_once(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        await asked_thrice(job, run.project)

    assert run("stopped.py:own", act).result_json == "1"


def test_a_command_is_asked_once(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        await asked_thrice(job, run.project)

    assert run(command=("bash", "-c", COMMAND), act=act) == Ended(3)
    assert run.lines.count("asked") == 1

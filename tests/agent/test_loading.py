"""A run that was claimed early: its flow is loaded before its time, and nothing of it is called before the word."""

from __future__ import annotations

import asyncio
import marshal
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import child
from agent.infrastructure.base import Ended
from agent.infrastructure.process_job import ProcessJob
from dispatcher.states import State
from tests.jobs import Runner
from tests.polling import poll_until

EARLY = """
    import os, sys
    print("imported", flush=True)
    print("stdin", repr(sys.stdin.read()), flush=True)

    def main():
        print("called", flush=True)
        return os.getpid()
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    temporary, project = tmp_path / "tmp", tmp_path / "project"
    temporary.mkdir()
    project.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (project / "early.py").write_text(textwrap.dedent(EARLY))
    yield Runner(project)
    assert list(temporary.iterdir()) == []


async def load(job: ProcessJob) -> None:
    async with asyncio.timeout(20):
        await job.load()


def test_a_flow_is_imported_early_and_called_at_the_word_and_its_import_cannot_take_that(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        await load(job)
        await asyncio.to_thread(poll_until, lambda: b"stdin" in run.printed, 20, "what the import printed came")
        assert run.lines == ["imported", "stdin ''"]
        job.start()

    assert run("early.py:main", act).said is State.COMPLETED
    assert run.lines[-1] == "called"


def test_nothing_is_called_when_it_is_stopped_meanwhile(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        await load(job)
        job.stop(force=True)

    assert run("early.py:main", act) == Ended(-signal.SIGKILL)
    assert "called" not in run.lines


def test_the_word_to_go_may_come_while_it_is_loading(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        loading = asyncio.create_task(job.load())
        await asyncio.sleep(0)
        job.start()
        await loading

    assert run("early.py:main", act).said is State.COMPLETED


def test_giving_up_to_wait_does_not_stop_the_loading(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        loading = asyncio.create_task(job.load())
        await asyncio.sleep(0)
        loading.cancel()
        await asyncio.to_thread(poll_until, lambda: b"stdin" in run.printed, 20, "what the import printed came")
        job.start()

    assert run("early.py:main", act).said is State.COMPLETED


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1/0", Ended(1, State.FAILED, "ZeroDivisionError: division by zero")),
        ("raise SystemExit(3)", Ended(3)),
        ("import os; os.kill(os.getpid(), 9)", Ended(-9)),
    ],
)
def test_an_import_that_fails_ends_the_job_before_its_time(run: Runner, code: str, expected: Ended) -> None:
    (run.project / "broken.py").write_text(code)

    async def act(job: ProcessJob) -> None:
        await load(job)

    assert run("broken.py:main", act) == expected


def test_what_is_missing_is_told_before_its_time(run: Runner) -> None:
    assert "there is no 'nothing' in 'early.py'" in run("early.py:nothing", load).could_not_start


def test_a_command_is_executed_at_the_word_and_not_before(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        await load(job)
        assert not (run.project / "done").exists()
        job.start()

    assert run(act=act, command=("sh", "-c", "touch done; cat; ls -l /proc/self/fd | grep -c socket")).exit_code == 1
    assert (run.project / "done").exists()
    assert run.lines in (["0"], []), "the command has no line to the consumer"


def test_loading_after_the_end_returns(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        job.stop(force=True)
        assert await job.wait() == Ended(-signal.SIGKILL)
        await load(job)

    assert run("early.py:main", act) == Ended(-signal.SIGKILL)


class Spoken:
    """A child that was told `words`, after which the consumer was gone."""

    def __init__(self, folder: Path, code: str, words: bytes) -> None:
        (folder / "flows.py").write_text(textwrap.dedent(code))
        spec: dict[str, Any] = {"entrypoint": "flows.py:main", "command": None, "path": str(folder), "parameters": {}}
        (folder / "spec").write_bytes(marshal.dumps(spec))
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-P", child.__file__, "run", str(folder)]
        with subprocess.Popen(argv, stdin=theirs.fileno(), stdout=subprocess.PIPE, text=True) as process:
            theirs.close()
            ours.send(words)
            ours.shutdown(socket.SHUT_WR)
            self.printed = process.communicate(timeout=20)[0]
            self.code = process.returncode
        self.answer = ours.recv(10)
        self.has_reported = (folder / "outcome").exists()
        ours.close()


@pytest.mark.parametrize(
    ("words", "printed", "code", "answer"),
    [
        (b"", "", 1, b""),
        (b"x", "", 1, b""),
        (b"p", "imported\n", 1, b"."),
        (b"px", "imported\n", 1, b"."),
        (b"p!", "imported\ncalled\n", 0, b"."),
        (b"!", "imported\ncalled\n", 0, b""),
    ],
)
def test_a_consumer_that_is_gone_begins_nothing(
    tmp_path: Path, words: bytes, printed: str, code: int, answer: bytes
) -> None:
    flow = """
        print("imported", flush=True)
        def main():
            print("called", flush=True)
    """
    spoken = Spoken(tmp_path, flow, words)
    assert (spoken.printed, spoken.code, spoken.answer) == (printed, code, answer)
    assert spoken.has_reported == (code == 0)


@pytest.mark.parametrize(
    ("flow", "is_loaded"),
    [
        ("async def main(): pass", True),
        ("def main(): pass", False),
        ("class Load:\n    async def run(self): pass\nmain = Load().run", True),
        (
            "import functools\nasync def load(): pass\n@functools.wraps(load)\ndef main(): return load()",
            True,
        ),
    ],
)
def test_what_an_async_flow_runs_in_is_loaded_with_it(tmp_path: Path, flow: str, is_loaded: bool) -> None:
    watch = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(name, *_): print('loads', name, flush=True)\n"
        "sys.meta_path.insert(0, Finder)\n"
    )
    assert ("loads asyncio\n" in Spoken(tmp_path, watch + flow, b"p").printed) == is_loaded

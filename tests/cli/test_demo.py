"""`dispatcher demo`, for real: everything holds, and nothing is left behind, also when it is interrupted."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.project import Project
from tests.polling import poll_until


@pytest.fixture
def temporary(server_binary: Path) -> Iterator[Path]:
    """The folder in which the demo makes its own; short, because a socket is in there."""
    with tempfile.TemporaryDirectory(prefix="dsp-") as folder:
        yield Path(folder)


def using(folder: Path) -> list[str]:
    """Processes that have the folder's name in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in words):
            found.append(process.name())
    return found


def project_in(folder: Path) -> Project:
    (folder / "project").mkdir()
    return Project(folder / "project", "redis://127.0.0.1:1/9", {"TMPDIR": str(folder)})


def test_every_promise_is_kept(temporary: Path) -> None:
    project = project_in(temporary)
    answer = project.typed("demo", patience_s=60)
    assert answer.code == 0, answer.stdout + answer.stderr
    assert "FAIL" not in answer.stdout
    assert "30 of 30 runs ended as they should" in answer.stdout
    assert "queue critical: at most 1 at once, the limit is 1" in answer.stdout
    poll_until(lambda: not using(temporary), 5, "nothing of the demo lives")
    assert [entry.name for entry in temporary.iterdir()] == ["project"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_middle(temporary: Path, number: signal.Signals) -> None:
    process = project_in(temporary).start("demo")
    assert process.stdout is not None
    for line in process.stdout:
        if "completed" in line:
            break
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "Traceback" not in stdout + stderr
    poll_until(lambda: not using(temporary), 5, "nothing of the demo lives")
    assert [entry.name for entry in temporary.iterdir()] == ["project"]

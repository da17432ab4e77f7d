"""What the scenarios of the guide share: a folder with a flow, commands typed there, and the tables that they print.

Each scenario is told as a user would live it, given, when, then, and every step is the real command in a process of its
own. A client is there only to wait for what happens meanwhile, and to put many runs into a queue at once.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.client import Client
from dispatcher.ids import new_id
from dispatcher.models import NewRun, Run, RunInput
from dispatcher.ops import runs
from dispatcher.states import State
from tests.cli.conftest import client as client
from tests.cli.project import Answer, Project
from tests.polling import poll_until

PATIENCE_S = 30
HOLD = "while [ ! -e go ]; do sleep 0.02; done"  # until the test makes the file `go`
CODE = """
import pathlib

def load(day: str = "today") -> str:
    print(f"loading {day}")
    with open(pathlib.Path(__file__).with_name("journal"), "a") as journal:
        journal.write(f"{day}\\n")
    return day
"""

Put = Callable[..., str]
Await = Callable[..., Run]


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Project:
    """An empty server, and a folder with the flow `etl.py:load`, which leaves a line in `journal`."""
    project = Project(tmp_path, redis_url)
    project.write("etl.py", CODE)
    return project


@pytest.fixture
def put(client: Client, project: Project) -> Put:
    """Puts a run that lasts until the file `go` is there into a queue; returns its id."""

    def put(pool: str, queue: str = "default") -> str:
        run_input = RunInput(command=("sh", "-c", HOLD), path=str(project.folder))
        return client.run(runs.submit(pool, [NewRun(new_id(), f"{queue}-run", queue, run_input)]))[0].id

    return put


@pytest.fixture
def awaited(client: Client) -> Await:
    """Waits until a run is in one of these states, finished if none is named; returns it."""

    def awaited(pool: str, run: str, *states: State) -> Run:
        wanted = states or (State.COMPLETED, State.FAILED, State.CRASHED, State.CANCELLED)
        poll_until(
            lambda: client.run(runs.read(pool, run)).state in wanted, PATIENCE_S, f"the run is {' or '.join(wanted)}"
        )
        return client.run(runs.read(pool, run))

    return awaited


def cells(answer: Answer) -> list[list[str]]:
    """A printed table, row by row, its head first."""
    return [re.split(r" {2,}", line) for line in answer.stdout.splitlines()]


def journal(project: Project) -> list[str]:
    """What the flow was called with, in the order of the calls."""
    file = project.folder / "journal"
    return file.read_text().splitlines() if file.exists() else []

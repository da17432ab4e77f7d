"""`dispatcher run`: a run without a deployment, and `--watch`."""

import sys

import pytest
import redis

from tests.cli.project import Project
from tests.dumps import unchanged

CODE = """
import time

def add(a, b: int = 1):
    print(f"adding {a} and {b}")
    return {"sum": a + b}

def fail():
    raise ValueError("no more")
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write("flows.py", CODE)
    return project


def test_the_default_pool_is_made_and_an_agent_runs_it(project: Project) -> None:
    run = project.json("run", "flows.py:add", "-p", "a=2", "--name", "first")
    assert (run["work_pool_name"], run["work_queue_name"], run["deployment"]) == ("default-agent-pool", "default", None)
    project.work()
    ended = project.json("flow-run", "inspect", "first")
    assert (ended["state"], ended["result"], ended["exit_code"]) == ("COMPLETED", {"sum": 3}, 0)
    assert project.done("flow-run", "logs", "first").stdout.rstrip().endswith("adding 2 and 1")


def test_watch_shows_it_live(project: Project) -> None:
    project.done("work-pool", "create", "p")
    with project.agent("p"):
        said = project.done("run", "flows.py:add", "--pool", "p", "-p", "a=2", "--watch").stdout
        assert "adding 2 and 1" in said
        assert said.rstrip().endswith("Completed")
        answer = project.done("run", "flows.py:add", "--pool", "p", "-p", "a=2", "--watch", "-o", "json")
        assert answer.json["result"] == {"sum": 3}
        assert "adding 2 and 1" in answer.stderr
        failed = project.typed("run", "flows.py:fail", "--pool", "p", "--watch")
        assert failed.code == 1
        assert "Failed: ValueError: no more" in failed.stdout


def test_a_command_and_its_parameters(project: Project) -> None:
    project.write(
        "show.py", "import os, json\nprint(json.load(open(os.environ['DISPATCHER_PARAMETERS_FILE']))['day'])\n"
    )
    project.done(
        "run", "--command", f"{sys.executable} show.py", "--params", "-", "--name", "it", stdin='{"day": "now"}'
    )
    project.work()
    assert project.json("flow-run", "inspect", "it")["state"] == "COMPLETED"
    assert project.done("flow-run", "logs", "it").stdout.rstrip().endswith("now")


def test_retries(project: Project) -> None:
    project.write("again.py", "import os\ndef f():\n    assert int(os.environ['DISPATCHER_RUN_ATTEMPT']) == 3\n")
    with project.agent():
        run = project.json("run", "again.py:f", "--retries", "2", "--retry-delay-seconds", "PT0.01S", "--watch")
    assert (run["state"], run["attempts"]) == ("COMPLETED", 3)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("none.py:f",), 1, "there is no file"),
        (("flows.py:ad", "-p", "a=1"), 1, "there is no 'ad'"),
        (("flows.py:add",), 1, "'a' is missing. It knows: a (required), b."),
        (("flows.py:add", "-p", "a=1", "-p", "c=1"), 1, "'c' is not known"),
        (("flows.py:add", "-p", "a=1", "--pool", "nope"), 1, "Work pool 'nope' was not found"),
        (("--command", "no-such-program --x"), 1, "no-such-program was not found"),
        ((), 2, "Give either an ENTRYPOINT or --command."),
        (("flows.py:add", "--params", "a: 1"), 2, "not JSON"),
    ],
)
def test_refused(
    project: Project, server_connection: redis.Redis, words: tuple[str, ...], code: int, message: str
) -> None:
    with unchanged(server_connection):
        assert message in project.refused("run", *words, code=code)


def test_a_queue_without_a_pool_is_one_of_the_default_pool_which_is_made(project: Project) -> None:
    said = project.refused("run", "flows.py:add", "-p", "a=1", "-q", "nope")
    assert said.startswith("Error: Work queue 'nope' was not found")
    assert said.rstrip().endswith("Work pool 'default-agent-pool' was made, of type agent.")
    assert [pool["name"] for pool in project.json("work-pool", "ls")] == ["default-agent-pool"]

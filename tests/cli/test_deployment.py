"""`dispatcher deployment ls|inspect|run|delete`: what a run gets from its deployment, and what is refused."""

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import pools, queues
from tests.cli.project import Project
from tests.dumps import unchanged


@pytest.fixture
def project(project: Project, client: Client) -> Project:
    """With the deployment `load/nightly` of queue `high` in pool `above`."""
    project.write("etl.py", "def load(day, source='a'):\n    return [day, source]\n")
    client.run(pools.create("above"))
    project.done(
        *("deploy", "etl.py:load", "-n", "nightly", "-p", "above", "-q", "high", "--param", "source=b"),
        *("--tag", "etl", "--retries", "2", "--timeout-seconds", "60"),
    )
    return project


def test_a_run_takes_everything_from_its_deployment(project: Project) -> None:
    run = project.json("deployment", "run", "nightly", "-p", "day=5", "--tag", "x", "--tag", "etl", "--name", "mine")
    assert run["name"] == "mine"
    assert (run["deployment"], run["entrypoint"], run["path"]) == ("load/nightly", "etl.py:load", str(project.folder))
    assert (run["work_pool_name"], run["work_queue_name"], run["state"]) == ("above", "high", "SCHEDULED")
    assert run["parameters"] == {"source": "b", "day": 5}
    assert run["tags"] == ["etl", "x"]
    project.work("above")
    ended = project.json("flow-run", "inspect", "mine")
    assert (ended["state"], ended["result"], ended["attempts"]) == ("COMPLETED", [5, "b"], 1)


def test_words_for_people(project: Project) -> None:
    said = project.done("deployment", "run", "load/nightly", "-p", "day=today", "--start-in", "1h").stdout
    assert "is Scheduled in above/high." in said
    assert "It starts at " in said
    assert "dispatcher flow-run watch " in said
    assert "load/nightly" in project.done("deployment", "ls").stdout
    shown = project.done("deployment", "inspect", "nightly").stdout
    assert "day (required), source" in shown


def test_start_priority_and_queue(project: Project) -> None:
    project.done("work-queue", "create", "low", "-p", "above")
    run = project.json(
        *("deployment", "run", "nightly", "-p", "day=1", "-q", "low", "--priority", "7"),
        *("--start-at", "2036-11-21T18:30:00+01:00"),
    )
    assert (run["work_queue_name"], run["priority"]) == ("low", 7)
    assert run["expected_start_time"] == "2036-11-21T17:30:00.000Z"


def test_an_idempotency_key_gives_the_first_run(project: Project) -> None:
    first = project.json("deployment", "run", "nightly", "-p", "day=1", "--idempotency-key", "k")
    again = project.json("deployment", "run", "nightly", "-p", "day=2", "--idempotency-key", "k")
    assert (again["id"], again["parameters"]["day"], again["idempotency_key"]) == (first["id"], 1, "k")
    said = project.done("deployment", "run", "nightly", "-p", "day=1", "--idempotency-key", "k").stdout
    assert "was submitted before, with this idempotency key" in said
    assert len(project.json("flow-run", "ls")) == 1


def test_its_own_queue_is_made_again(project: Project, client: Client) -> None:
    client.run(queues.delete("above", "high"))
    ran = project.done("deployment", "run", "nightly", "-p", "day=1", "-o", "json")
    assert ran.json["work_queue_name"] == "high"
    assert ran.stderr == "Work queue 'high' was gone and is made again in work pool 'above'.\n"


@pytest.mark.parametrize(
    ("words", "code", "messages"),
    [
        (("nightly",), 1, ("'day' is missing", "It knows: day (required), source.")),
        (("nightly", "-p", "dya=1"), 1, ("'dya' is not known (did you mean 'day'?)", "'day' is missing")),
        (("nightly", "-p", "day=1", "-q", "nope"), 1, ("Work queue 'nope' was not found in work pool 'above'",)),
        (("weekly", "-p", "day=1"), 1, ("Deployment 'weekly' was not found", "dispatcher deployment ls")),
        (("load/weekly", "-p", "day=1"), 1, ("Deployment 'load/weekly' was not found",)),
        (("nightly", "--params", "{"), 2, ("not JSON",)),
        (("nightly", "--params", "-"), 2, ("not JSON",)),
        (("nightly", "-p", "day=1", "--start-in", "1h", "--start-at", "2036-01-01"), 2, ("exclude each other",)),
        (("nightly", "-p", "day=1", "--start-in", "soon"), 2, ("is not a duration",)),
        (("nightly", "-p", "day=1", "--priority", "0"), 2, ("0",)),
        (("nightly", "-p", "day=1", "--name", ""), 2, ("1 to 200 characters",)),
        (("nightly", "-p", "day=1", "--idempotency-key", ""), 2, ("'--idempotency-key': it is empty",)),
        (("load", "-p", "day=1"), 1, ("Deployment 'load' was not found", "Did you mean load/nightly?")),
        (("load/nihgtly", "-p", "day=1"), 1, ("Did you mean load/nightly?",)),
        (("nihgtly", "-p", "day=1"), 1, ("Did you mean load/nightly?",)),
    ],
)  # fmt: skip
def test_refused(
    project: Project, server_connection: redis.Redis, words: tuple[str, ...], code: int, messages: tuple[str, ...]
) -> None:
    with unchanged(server_connection):
        told = project.refused("deployment", "run", *words, code=code)
    for message in messages:
        assert message in told


def test_a_plain_name_that_two_flows_have(project: Project, server_connection: redis.Redis) -> None:
    project.write("other.py", "def other(): ...\n")
    project.done("deploy", "other.py:other", "-n", "nightly", "-p", "above")
    with unchanged(server_connection):
        told = project.refused("deployment", "run", "nightly", "-p", "day=1")
    assert "ambiguous: load/nightly, other/nightly" in told


def test_delete_asks_and_keeps_the_runs(project: Project, server_connection: redis.Redis) -> None:
    run = project.json("deployment", "run", "nightly", "-p", "day=1")
    with unchanged(server_connection):
        assert "give --yes" in project.refused("deployment", "delete", "nightly")
    assert "'load/nightly' is deleted" in project.done("deployment", "delete", "nightly", "--yes").stdout
    assert "was not found" in project.refused("deployment", "inspect", "nightly")
    assert project.json("flow-run", "ls", "--deployment", "load/nightly")[0]["id"] == run["id"]

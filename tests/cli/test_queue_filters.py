"""Legacy queues with filters, and the legacy ways to start an agent, as users of Prefect 2.0 know them."""

import pytest
import redis

from dispatcher.client import Client
from dispatcher.models import DEFAULT_POOL
from dispatcher.ops import pools, queues
from tests.cli.conftest import Submit, nothing_changes
from tests.cli.project import Project


def tagged(project: Project, *tags: str) -> str:
    """A run of default-agent-pool with these tags; its id."""
    options = [word for tag in tags for word in ("--tag", tag)]
    return str(project.json("run", "--command", "true", *options)["id"])


def shown(project: Project, queue: str) -> list[str]:
    return [run["id"] for run in project.json("work-queue", "preview", queue)]


def states(project: Project) -> dict[str, str]:
    return {run["id"]: run["state"] for run in project.json("flow-run", "ls")}


def test_a_filter_shows_the_runs_that_wait_already_and_those_that_come(project: Project) -> None:
    both, one = tagged(project, "a", "b"), tagged(project, "a")
    made = project.done("work-queue", "create", "tagged", "-t", "a", "-t", "b")
    assert "Shows runs with:    tags a, b" in made.stdout
    assert "legacy" in made.stderr
    assert shown(project, "tagged") == [both]
    project.done("work-queue", "create", "every", "--match-all")
    later = tagged(project, "b", "a", "c")
    assert shown(project, "tagged") == [both, later]
    assert shown(project, "every") == [both, one, later]
    found = project.json("work-queue", "inspect", "tagged")
    assert found["filter"] == {"tags": ["a", "b"], "deployments": [], "types": []}
    assert found["work_pool_name"] == DEFAULT_POOL
    assert found["counts"]["scheduled"] == 2
    assert project.json("work-queue", "inspect", "default")["filter"] is None


def test_a_filter_by_deployment_is_given_by_name_or_id(project: Project) -> None:
    project.write("flows.py", "def load(): ...\ndef save(): ...\n")
    ids = [
        project.json("deploy", f"flows.py:{flow}", "--name", "nightly", "--no-check")["id"] for flow in ("load", "save")
    ]
    project.done("work-queue", "create", "one", "-d", "load/nightly")
    project.done("work-queue", "create", "two", "-d", ids[0], "-d", "save/nightly", "--type", "process")
    runs = [project.json("deployment", "run", f"{flow}/nightly")["id"] for flow in ("load", "save")]
    assert shown(project, "one") == runs[:1]
    assert shown(project, "two") == runs
    assert project.json("work-queue", "inspect", "two")["filter"] == {
        "tags": [],
        "deployments": ["load/nightly", "save/nightly"],
        "types": ["process"],
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-t", "a", "-p", "p"], 1, "default-agent-pool"),
        (["--match-all", "-p", DEFAULT_POOL], 1, "default-agent-pool"),
        (["-t", "a", "--match-all"], 2, "--match-all shows every run"),
        (["-d", "nightly"], 1, "Deployment 'nightly' was not found"),
        (["--type", "docker"], 1, "comes later"),
        (["--type", "dokcer"], 1, "not known"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(
    project: Project, client: Client, server_connection: redis.Redis, words: list[str], code: int, said: str
) -> None:
    client.run(pools.create("p"))
    client.run(pools.ensure(DEFAULT_POOL))
    with nothing_changes(server_connection):
        assert said in project.refused("work-queue", "create", "q", *words, code=code)


def test_several_filters_show_a_run_and_it_is_taken_once(project: Project) -> None:
    run = tagged(project, "a")
    for queue in ("one", "two"):
        project.done("work-queue", "create", queue, "-t", "a")
    project.done("agent", "start", "-q", "one", "-q", "two", "--run-once")
    project.done("agent", "start", "-q", "two", "--run-once")
    found = project.json("flow-run", "inspect", run)
    assert (found["state"], found["attempts"], found["work_queue_name"]) == ("COMPLETED", 1, "default")


def test_the_limit_of_a_filter_holds_its_runs_back(project: Project) -> None:
    runs = [tagged(project, "a") for _ in range(2)]
    project.done("work-queue", "create", "tagged", "-t", "a", "--limit", "0")
    project.done("agent", "start", "-q", "tagged", "--run-once")
    assert set(states(project).values()) == {"SCHEDULED"}
    project.done("work-queue", "clear-concurrency-limit", "tagged")
    project.done("agent", "start", "-q", "tagged", "--run-once")
    assert states(project) == dict.fromkeys(runs, "COMPLETED")


def test_deleting_a_filter_loses_no_run(project: Project) -> None:
    run = tagged(project, "a")
    project.done("work-queue", "create", "tagged", "-t", "a")
    project.done("work-queue", "delete", "tagged", "--yes")
    assert shown(project, "default") == [run]


def test_runs_cannot_be_sent_to_a_filter(project: Project) -> None:
    project.done("work-queue", "create", "tagged", "-t", "a")
    assert "tagged" in project.refused("run", "--command", "true", "-q", "tagged")


def test_an_agent_serves_the_queue_of_an_id_in_whatever_pool(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    client.run(queues.create("p", "own"))
    mine, other = submit("p", "own"), submit("p", name="slow-fox")
    queue = client.run(queues.read("p", "own")).id
    told = project.done("agent", "start", queue, "--run-once").stderr
    assert "queue own of work pool p" in told
    assert states(project) == {mine: "COMPLETED", other: "SCHEDULED"}


def test_every_command_finds_a_queue_by_its_id_in_whatever_pool(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    client.run(queues.create("p", "own"))
    queue = client.run(queues.read("p", "own")).id
    assert project.json("work-queue", "inspect", queue)["name"] == "own"
    assert project.json("work-queue", "pause", queue)["is_paused"] is True
    project.refused("work-queue", "inspect", "own")  # a name is looked for in the default pool


def test_an_agent_with_tags_serves_a_queue_made_for_them(project: Project) -> None:
    both, one = tagged(project, "b", "a"), tagged(project, "a")
    told = project.done("agent", "start", "-t", "a", "-t", "b", "--run-once").stderr
    assert "legacy" in told
    assert states(project) == {both: "COMPLETED", one: "SCHEDULED"}
    assert project.json("work-queue", "inspect", "agent-queue-a-b")["filter"]["tags"] == ["a", "b"]
    project.done("agent", "start", "-t", "b", "-t", "a", "--run-once")
    assert len(project.json("work-queue", "ls")) == 2, "the same queue again"


@pytest.mark.parametrize(
    "words", [["ID", "-q", "a"], ["ID", "-m", "a"], ["ID", "-t", "a"], ["-q", "a", "-t", "a"], ["-m", "a", "-t", "a"]]
)
def test_only_one_way_to_say_what_is_served(project: Project, words: list[str]) -> None:
    assert "Give only one of" in project.refused("agent", "start", *words, code=2)


def test_an_id_that_nothing_has_is_refused(project: Project) -> None:
    assert "01NOTHING" in project.refused("agent", "start", "01NOTHING")


def test_a_queue_is_looked_for_in_the_pool_that_is_named(project: Project, client: Client) -> None:
    for pool in ("p", "other"):
        client.run(pools.create(pool))
    queue = client.run(pools.read("p")).queues[0].id
    assert "work pool 'other'" in project.refused("agent", "start", queue, "-p", "other")
    project.done("agent", "start", queue, "-p", "p", "--run-once")
    assert "leave --pool out" in project.refused("agent", "start", "-t", "a", "-p", "p")


def test_the_first_listing_finds_no_pool_and_says_so(project: Project) -> None:
    assert project.json("work-queue", "ls") == []
    project.refused("work-queue", "ls", "-p", "default-agent-pool")

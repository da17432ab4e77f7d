"""The guide to filter queues, the legacy kind of work queues, told as scenarios: by tags, by deployment, by type."""

import pytest

from dispatcher.states import State
from tests.cli.project import Project
from tests.guide.conftest import Await, journal

ONCE = ("--run-once", "--hide-welcome")
POOL = "default-agent-pool"


@pytest.fixture
def deployed(project: Project) -> None:
    """Three deployments, each with a waiting run: one without tags, one for etl, one for etl at night."""
    for name, tags in (("plain", ()), ("day", ("etl",)), ("night", ("etl", "night"))):
        words = [word for tag in tags for word in ("--tag", tag)]
        project.done("deploy", "etl.py:load", "--name", name, *words)
        project.done("deployment", "run", f"load/{name}", "--param", f"day={name}")


def made(project: Project, *words: str) -> str:
    """A filter queue; its id."""
    return str(project.json("work-queue", "create", *words)["id"])


@pytest.mark.usefixtures("deployed")
def test_a_queue_of_tags(project: Project) -> None:
    # given a queue for what has both tags
    queue = made(project, "nightly", "-t", "etl", "-t", "night")
    found = project.json("work-queue", "inspect", queue)
    assert found["name"] == "nightly"
    assert found["filter"] == {"tags": ["etl", "night"], "deployments": [], "types": []}
    assert [run["deployment"] for run in project.json("work-queue", "preview", queue)] == ["load/night"]

    # when an agent is started for its id, then it takes what has both, and nothing else
    project.done("agent", "start", queue, *ONCE)
    assert journal(project) == ["night"]


@pytest.mark.usefixtures("deployed")
def test_a_queue_of_a_deployment(project: Project) -> None:
    # given a queue for one deployment, when an agent serves it, then only its run is taken
    queue = made(project, "test_queue", "-d", "load/plain")
    project.done("agent", "start", queue, *ONCE)
    assert journal(project) == ["plain"]


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("words", [("--type", "process"), ("--match-all",)], ids=["type", "all"])
def test_a_queue_of_everything(project: Project, words: tuple[str, ...]) -> None:
    # given a queue that every run fits, when an agent serves it, then all are taken
    queue = made(project, "everything", *words)
    project.done("agent", "start", queue, *ONCE)
    assert sorted(journal(project)) == ["day", "night", "plain"]


@pytest.mark.usefixtures("deployed")
def test_an_agent_of_a_tag(project: Project) -> None:
    # when an agent is started for a tag, then it takes what has it
    project.done("agent", "start", "-t", "etl", *ONCE)
    assert sorted(journal(project)) == ["day", "night"]


@pytest.mark.usefixtures("deployed")
def test_a_run_that_two_queues_show_is_claimed_once(project: Project) -> None:
    # given two queues which show the run of the night
    queues = [made(project, "etl", "-t", "etl"), made(project, "night", "-t", "night")]
    for queue in queues:
        assert "load/night" in [run["deployment"] for run in project.json("work-queue", "preview", queue)]

    # when both are served, then it is executed once
    for queue in queues:
        project.done("agent", "start", queue, *ONCE)
    assert sorted(journal(project)) == ["day", "night"]


def test_the_limit_counts_what_fits(project: Project, awaited: Await) -> None:
    # given a queue of tags which admits one at a time, and two runs that fit
    project.done("deploy", "--command", "sh -c 'while [ ! -e go ]; do sleep 0.02; done'", "--name", "x", "--tag", "etl")
    first, second = (project.json("deployment", "run", "sh/x")["id"] for _ in range(2))
    queue = made(project, "etl", "-t", "etl", "--limit", "1")

    # when one is held by an agent of the queue, then the other one waits
    agent = project.start("agent", "start", queue, "--hide-welcome")
    try:
        awaited(POOL, first, State.RUNNING)
        assert project.json("flow-run", "inspect", second)["state"] == "SCHEDULED"

        # when it has ended, then the other one is executed
        (project.folder / "go").touch()
        assert awaited(POOL, second).state is State.COMPLETED
    finally:
        agent.terminate()
        agent.communicate()


@pytest.mark.usefixtures("deployed")
def test_made_late_and_deleted_it_loses_nothing(project: Project) -> None:
    # given a queue that was made after the runs, when it is deleted, then they wait as before
    queue = made(project, "etl", "-t", "etl")
    project.done("work-queue", "delete", queue, "--yes")
    assert len(project.json("work-pool", "preview", POOL)) == 3


def test_filters_are_legacy(project: Project) -> None:
    # then the help says so and names the new way, and a filter has no pool of its own
    assert "legacy" in project.done("work-queue", "create", "--help").stdout.lower()
    project.done("work-pool", "create", "my-pool")
    project.refused("work-queue", "create", "etl", "-t", "etl", "-p", "my-pool")

"""The guide to agents, told as scenarios: by queue, by prefix, by pool, prefetch, debugging on one's own machine."""

import re

import pytest

from dispatcher.client import Client
from dispatcher.ops import consumers
from dispatcher.states import State
from tests.cli.project import Project
from tests.guide.conftest import PATIENCE_S, Await, cells, journal
from tests.polling import poll_until

ONCE = ("--run-once", "--hide-welcome")


def deployed(project: Project, *queues: str, pool: str | None = None) -> None:
    """A deployment and a waiting run for each of the queues."""
    place = () if pool is None else ("--pool", pool)
    for queue in queues:
        project.done("deploy", "etl.py:load", "--name", queue, *place, "--work-queue", queue)
        project.done("deployment", "run", f"load/{queue}", "--param", f"day={queue}")


def test_an_agent_for_a_queue(project: Project) -> None:
    # when an agent is started for a queue that nobody has made
    said = project.done("agent", "start", "-q", "test", *ONCE).stderr

    # then the queue is made, and what is served is said
    assert "Using " in said.splitlines()[0]
    assert "Work queue test of work pool default-agent-pool did not exist and was made." in said
    assert "Agent serves queue test of work pool default-agent-pool." in said
    assert [one["name"] for one in project.json("work-queue", "ls")] == ["default", "test"]

    # when a deployment sends a run there, then the next agent for the queue executes it
    deployed(project, "test")
    project.done("agent", "start", "-q", "test", *ONCE)
    assert journal(project) == ["test"]


def test_an_agent_for_two_queues(project: Project) -> None:
    # given work in three queues
    deployed(project, "A", "B", "C")

    # when an agent serves two of them, then the work of the third stays
    project.done("agent", "start", "-q", "A", "-q", "B", *ONCE)
    assert sorted(journal(project)) == ["A", "B"]
    assert project.json("work-queue", "inspect", "C")["counts"]["scheduled"] == 1


def test_an_agent_for_a_prefix(project: Project, awaited: Await) -> None:
    # given an agent for everything whose name begins with prod-
    deployed(project, "prod-1", "dev-1")
    with project.agent("default-agent-pool", "--match", "prod-"):
        # when a queue that fits is made while it works, then its runs are executed too
        deployed(project, "prod-2")
        for queue in ("prod-1", "prod-2"):
            [run] = project.json("flow-run", "ls", "--deployment", f"load/{queue}")
            awaited("default-agent-pool", run["id"])

    # then what does not fit was left alone, and the prefix itself made no queue
    assert journal(project) == ["prod-1", "prod-2"]
    names = [one["name"] for one in project.json("work-queue", "ls")]
    assert names == ["default", "prod-1", "dev-1", "prod-2"]


def test_an_agent_for_a_pool(project: Project) -> None:
    # when an agent is started for a pool that is missing
    said = project.done("agent", "start", "-p", "my-pool", "--run-once")

    # then the pool is made, of type agent, below a banner
    assert "Work pool my-pool did not exist and was made, type agent." in said.stderr
    assert "Agent serves all queues of work pool my-pool." in said.stderr
    assert "dispatcher agent" in said.stderr
    assert project.json("work-pool", "inspect", "my-pool")["type"] == "agent"

    # when runs wait in several queues of it, then an agent for the pool executes all of them
    deployed(project, "A", "B", pool="my-pool")
    project.done("agent", "start", "-p", "my-pool", *ONCE)
    assert sorted(journal(project)) == ["A", "B"]


def test_an_agent_has_to_be_told_what_to_serve(project: Project) -> None:
    # when an agent is started without pool, queue or prefix, then it is told how to name them
    refusal = project.refused("agent", "start", "--hide-welcome")
    assert "dispatcher agent start --pool my-pool" in refusal

    # when it is given both queues and a prefix, then that is wrong usage
    project.refused("agent", "start", "-q", "A", "-m", "prod-", code=2)

    # when the pool is for workers, then the worker's command is told
    project.done("work-pool", "create", "typed", "--type", "process")
    refusal = project.refused("agent", "start", "-p", "typed", "--hide-welcome")
    assert "dispatcher worker start --pool typed" in refusal


def test_agents_are_listed(project: Project, client: Client) -> None:
    # given an agent that works
    project.done("work-pool", "create", "my-pool")
    with project.agent("my-pool", "--name", "night-shift", "--limit", "4"):
        poll_until(lambda: client.run(consumers.list_all("my-pool")), PATIENCE_S, "the agent is there")

        # then it has a row, for people and for programs
        head, row = cells(project.done("agent", "ls"))
        assert head == ["NAME", "TYPE", "POOL", "HOST", "PID", "STATUS", "SERVES", "RUNNING", "LAST SEEN"]
        assert (row[0], row[2], row[5:8]) == ("night-shift", "my-pool", ["online", "all queues", "0/4"])
        assert project.json("work-pool", "inspect", "my-pool")["status"] == "ready"

    # when it has ended cleanly, then it leaves no row
    assert project.json("agent", "ls") == []
    assert project.json("work-pool", "inspect", "my-pool")["status"] == "not_ready"


@pytest.mark.parametrize(
    ("words", "environment", "expected_s"),
    [
        ((), {}, 10),
        ((), {"DISPATCHER_AGENT_PREFETCH_SECONDS": "30"}, 30),
        (("--prefetch-seconds", "20"), {"DISPATCHER_AGENT_PREFETCH_SECONDS": "30"}, 20),
    ],
    ids=["default", "environment", "option"],
)
def test_prefetch_is_set(
    project: Project, client: Client, words: tuple[str, ...], environment: dict[str, str], expected_s: float
) -> None:
    project.done("work-pool", "create", "my-pool")

    # when an agent is started with this setting, then it is listed with it
    with Project(project.folder, project.redis_url, environment).agent("my-pool", *words):
        poll_until(lambda: client.run(consumers.list_all("my-pool")), PATIENCE_S, "the agent is there")
        [row] = project.json("agent", "ls")
    assert row["prefetch_seconds"] == expected_s


def test_a_run_is_prepared_early_and_begins_on_time(project: Project, awaited: Await) -> None:
    # given a run that starts in a few seconds
    project.done("work-pool", "create", "my-pool", "--limit", "1")
    run = project.json("run", "etl.py:load", "--pool", "my-pool", "--start-in", "10")

    with project.agent("my-pool", "--prefetch-seconds", "30"):
        # when an agent may prepare it, then it is claimed before its time and holds a slot, but has not begun
        early = awaited("my-pool", run["id"], State.PENDING)
        assert early.due_at_ms > early.read_at_ms
        assert project.json("work-pool", "inspect", "my-pool")["slots_used"] == 1
        assert journal(project) == []
        ended = awaited("my-pool", run["id"])

    # then it began when it was to begin
    assert ended.state is State.COMPLETED
    shown = project.json("flow-run", "inspect", run["id"])
    assert shown["start_time"] >= shown["expected_start_time"]
    assert shown["lateness_seconds"] < 5


def test_debugging_on_my_own_machine(project: Project) -> None:
    # given a deployment whose runs go to production, where one waits
    project.done("work-pool", "create", "production", "--paused")
    project.done("deploy", "etl.py:load", "--name", "nightly", "--pool", "production", "--work-queue", "high")
    project.done("deployment", "run", "load/nightly", "--name", "suspicious", "--param", "day=friday")

    # when an agent is started for a pool of mine, which makes it, and the deployment is sent there
    project.done("agent", "start", "-p", "my-local-machine", *ONCE)
    said = project.done("deploy", "etl.py:load", "--name", "nightly", "--pool", "my-local-machine")

    # then what waited has followed
    assert re.search(r"1 waiting run moved to my-local-machine", said.stdout)
    assert project.json("flow-run", "inspect", "suspicious")["work_pool_name"] == "my-local-machine"
    assert project.json("work-pool", "inspect", "production")["counts"]["scheduled"] == 0

    # and the agent runs it here
    answer = project.done("agent", "start", "-p", "my-local-machine", *ONCE)
    assert "loading friday" in answer.stdout
    assert project.json("flow-run", "inspect", "suspicious")["state"] == "COMPLETED"

    # when the deployment is sent back, then the next run waits in production again
    project.done("deploy", "etl.py:load", "--name", "nightly", "--pool", "production", "--work-queue", "high")
    back = project.json("deployment", "run", "load/nightly")
    assert (back["work_pool_name"], back["work_queue_name"]) == ("production", "high")

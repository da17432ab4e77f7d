"""The guide to work queues, told as scenarios: the pool with low, high and critical work, priorities, limits, moves."""

from collections.abc import Callable

import pytest

from dispatcher.states import State
from tests.cli.project import Project
from tests.guide.conftest import Await, Put, cells, journal

POOL = "my-pool"


@pytest.fixture
def three_queues(project: Project) -> Callable[[], list[tuple[str, int]]]:
    """The pool with critical, high and low work; gives the queues with their priorities, as they are listed."""
    project.done("work-pool", "create", POOL)
    project.done("work-queue", "create", "low", "--priority", "20", "--pool", POOL)
    project.done("work-queue", "create", "high", "--limit", "10", "-q", "10", "--pool", POOL)
    project.done("work-queue", "create", "critical", "-q", "1", "--pool", POOL)
    return lambda: [(one["name"], one["priority"]) for one in project.json("work-queue", "ls", "--pool", POOL)]


def test_three_lanes(project: Project, three_queues: Callable[[], list[tuple[str, int]]]) -> None:
    # then the queues are listed by priority, each with its limit; `default` gave way to critical
    assert three_queues() == [("critical", 1), ("default", 2), ("high", 10), ("low", 20)]
    head, *rows = cells(project.done("work-queue", "ls", "--pool", POOL))
    assert head == ["NAME", "PRIORITY", "ID", "CONCURRENCY LIMIT", "SLOTS USED", "LATE"]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("critical", "1", "-"), ("default", "2", "-"), ("high", "10", "10"), ("low", "20", "-"),
    ]  # fmt: skip

    # and one is looked at by its name or its id
    high = project.json("work-queue", "inspect", "high", "--pool", POOL)
    assert (high["work_pool_name"], high["priority"], high["concurrency_limit"]) == (POOL, 10, 10)
    assert project.json("work-queue", "inspect", high["id"], "--pool", POOL) == high
    assert "Priority:          10" in project.done("work-queue", "inspect", "high", "--pool", POOL).stdout


@pytest.mark.usefixtures("three_queues")
def test_critical_first_then_high_then_low(project: Project, awaited: Await) -> None:
    # given runs that wait in every queue, the least urgent for the longest time
    for queue in ("low", "high", "critical"):
        project.done("deploy", "etl.py:load", "--name", queue, "--pool", POOL, "--work-queue", queue)
    ids = [
        project.json("deployment", "run", f"load/{queue}", "--param", f"day={queue} {number}")["id"]
        for queue in ("low", "high", "critical")
        for number in (1, 2)
    ]

    # when one agent takes them, one at a time
    with project.agent(POOL, "--limit", "1"):
        for run in ids:
            awaited(POOL, run)

    # then everything critical went first, and low came last
    assert journal(project) == ["critical 1", "critical 2", "high 1", "high 2", "low 1", "low 2"]


@pytest.mark.usefixtures("three_queues")
def test_a_full_queue_lets_the_next_one_run(project: Project, put: Put, awaited: Await) -> None:
    # given twelve runs in the queue that admits ten, and two behind them
    high = [put(POOL, "high") for _ in range(12)]
    low = [put(POOL, "low") for _ in range(2)]

    with project.agent(POOL):
        # when an agent without a limit of its own takes them, then ten of high run, and both of low
        for run in (*high[:10], *low):
            awaited(POOL, run, State.RUNNING)
        queues = {one["name"]: one for one in project.json("work-queue", "ls", "--pool", POOL)}
        assert (queues["high"]["slots_used"], queues["high"]["counts"]["scheduled"]) == (10, 2)
        why = project.done("flow-run", "why", high[10]).stdout
        assert "high" in why
        assert "10" in why

        # when something critical comes, then it runs at once
        critical = put(POOL, "critical")
        awaited(POOL, critical, State.RUNNING)

        # when the runs may end, then the two that waited are admitted
        (project.folder / "go").touch()
        for run in (*high, *low, critical):
            assert awaited(POOL, run).state is State.COMPLETED


def test_who_gets_a_number_keeps_it(project: Project, three_queues: Callable[[], list[tuple[str, int]]]) -> None:
    # when high is put first, then who was there moves up, and no further than needed
    project.done("work-queue", "set-priority", "high", "1", "--pool", POOL)
    assert three_queues() == [("high", 1), ("critical", 2), ("default", 3), ("low", 20)]

    # when a queue is made without a number, then it has the lowest that is free
    project.done("work-queue", "create", "later", "--pool", POOL)
    assert project.json("work-queue", "inspect", "later", "--pool", POOL)["priority"] == 4


def test_a_queue_without_a_pool(project: Project) -> None:
    # when a queue is made by its name alone
    said = project.done("work-queue", "create", "test", "--limit", "2")

    # then it is in the pool that is always there, and its facts are told, with the command that starts an agent
    assert "'default-agent-pool' did not exist and was made" in said.stderr
    queue = project.json("work-queue", "inspect", "test")
    assert said.stdout.splitlines() == [
        "Created work queue: test",
        f"ID:                 {queue['id']}",
        "Work pool:          default-agent-pool",
        "Priority:           2",
        "Concurrency limit:  2",
        "Start a consumer:   dispatcher agent start --pool default-agent-pool --work-queue test",
        "Look at it:         dispatcher work-queue inspect test --pool default-agent-pool",
    ]

    # and it is found by the beginning of its name, previewed, limited, paused and resumed
    assert [one["name"] for one in project.json("work-queue", "ls", "--match", "te")] == ["test"]
    assert project.json("work-queue", "preview", "test", "--hours", "12") == []
    assert project.json("work-queue", "set-concurrency-limit", "test", "5")["concurrency_limit"] == 5
    assert project.json("work-queue", "clear-concurrency-limit", "test")["concurrency_limit"] is None
    assert project.json("work-queue", "pause", "test")["is_paused"]
    assert cells(project.done("work-queue", "ls"))[2][0] == "test (**)"
    assert not project.json("work-queue", "resume", "test")["is_paused"]


def test_a_paused_queue_holds_nothing_else_up(project: Project) -> None:
    # given two queues with work, one of them paused
    project.done("work-pool", "create", POOL)
    for queue in ("A", "B"):
        project.done("deploy", "etl.py:load", "--name", queue, "--pool", POOL, "--work-queue", queue)
        project.done("deployment", "run", f"load/{queue}", "--param", f"day={queue}")
    project.done("work-queue", "pause", "A", "--pool", POOL)

    # when an agent takes what is there, then that is the work of the other one
    project.work(POOL)
    assert journal(project) == ["B"]

    # when it is resumed, then its work is done too
    project.done("work-queue", "resume", "A", "--pool", POOL)
    project.work(POOL)
    assert journal(project) == ["B", "A"]


def test_deleting_a_queue_loses_no_run(project: Project) -> None:
    # given a queue with a run that waits
    project.done("work-pool", "create", POOL)
    project.done("deploy", "etl.py:load", "--pool", POOL, "--work-queue", "old")
    project.done("deployment", "run", "load/default", "--name", "kept")

    # then deleting it is refused, until it is told where the run goes
    assert "--move-to" in project.refused("work-queue", "delete", "old", "--pool", POOL, "--yes")
    project.done("work-queue", "delete", "old", "--pool", POOL, "--move-to", "default", "--yes")
    assert project.json("flow-run", "inspect", "kept")["work_queue_name"] == "default"

    # and `default` itself stays
    assert "default" in project.refused("work-queue", "delete", "default", "--pool", POOL, "--yes")

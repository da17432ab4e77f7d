"""`dispatcher work-queue`, as users see it: every command, as words and as JSON."""

import re

import pytest

from dispatcher.client import Client
from dispatcher.ops import pools, queues
from tests.cli.conftest import Submit
from tests.cli.project import Project

FIELDS = {
    "id", "name", "work_pool_name", "priority", "concurrency_limit", "slots_used", "is_paused", "status", "note",
    "description", "filter", "counts", "created", "updated",
}  # fmt: skip
IN_P = ("-p", "p")


@pytest.fixture(autouse=True)
def pool(client: Client) -> None:
    client.run(pools.create("p"))


def priorities(project: Project) -> dict[str, int]:
    return {queue["name"]: queue["priority"] for queue in project.json("work-queue", "ls", *IN_P)}


def test_create_tells_what_was_made(project: Project) -> None:
    lines = project.done("work-queue", "create", "high", *IN_P, "-q", "1", "-l", "3").stdout.splitlines()
    queue = project.json("work-queue", "inspect", "high", *IN_P)
    assert set(queue) == FIELDS
    assert lines == [
        "Created work queue: high",
        f"ID:                 {queue['id']}",
        "Work pool:          p",
        "Priority:           1",
        "Concurrency limit:  3",
        "Start a consumer:   dispatcher agent start --pool p --work-queue high",
        "Look at it:         dispatcher work-queue inspect high --pool p",
    ]


def test_a_newcomer_keeps_its_priority_and_others_move_as_far_as_needed(project: Project) -> None:
    for name, priority in (("b", "2"), ("d", "4")):
        project.done("work-queue", "create", name, *IN_P, "--priority", priority)
    assert priorities(project) == {"default": 1, "b": 2, "d": 4}
    assert project.json("work-queue", "create", "new", *IN_P, "-q", "1")["priority"] == 1
    assert priorities(project) == {"new": 1, "default": 2, "b": 3, "d": 4}
    assert project.json("work-queue", "create", "last", *IN_P)["priority"] == 5


def test_the_default_pool_is_made_on_first_mention(project: Project) -> None:
    answer = project.done("work-queue", "create", "high", "--description", "first", "-o", "json")
    assert "'default-agent-pool' did not exist and was made" in answer.stderr
    assert (answer.json["work_pool_name"], answer.json["description"]) == ("default-agent-pool", "first")
    assert project.typed("work-queue", "create", "low").stderr == ""
    assert [queue["name"] for queue in project.json("work-queue", "ls")] == ["default", "high", "low"]


def test_ls_is_by_priority_and_matches_a_prefix(project: Project, client: Client) -> None:
    for name, priority in (("dev-b", 3), ("dev-a", 7), ("test", 5)):
        client.run(queues.create("p", name, priority=priority))
    client.run(queues.pause("p", "dev-a"))
    assert priorities(project) == {"default": 1, "dev-b": 3, "test": 5, "dev-a": 7}
    found = project.json("work-queue", "ls", *IN_P, "-m", "dev-")
    assert [queue["name"] for queue in found] == ["dev-b", "dev-a"]
    header, *rows, legend = project.done("work-queue", "ls", *IN_P, "--match", "dev-").stdout.splitlines()
    assert re.split(r" {2,}", header) == ["NAME", "PRIORITY", "ID", "CONCURRENCY LIMIT", "SLOTS USED", "LATE"]
    assert [re.split(r" {2,}", row)[:2] for row in rows] == [["dev-b", "3"], ["dev-a (**)", "7"]]
    assert legend == "(**) paused"
    assert project.json("work-queue", "ls", *IN_P, "-m", "x") == []
    assert project.done("work-queue", "ls", *IN_P, "-m", "x").stdout == "No work queue matches.\n"


def test_every_command_takes_an_id(project: Project, client: Client) -> None:
    client.run(queues.create("p", "high"))
    found = client.run(queues.read("p", "high")).id
    assert project.json("work-queue", "inspect", found, *IN_P)["name"] == "high"
    assert project.json("work-queue", "preview", found, *IN_P) == []
    assert project.json("work-queue", "pause", found, *IN_P, "--note", "hm")["note"] == "hm"
    assert project.json("work-queue", "pause", found, *IN_P)["note"] == "hm", "kept"
    assert not project.json("work-queue", "resume", found, *IN_P)["is_paused"]
    assert project.json("work-queue", "update", found, *IN_P, "--description", "x", "-l", "2")["description"] == "x"
    assert project.json("work-queue", "set-concurrency-limit", found, "0", *IN_P)["concurrency_limit"] == 0
    assert project.json("work-queue", "clear-concurrency-limit", found, *IN_P)["concurrency_limit"] is None
    project.done("work-queue", "set-priority", found, "1", *IN_P)
    assert priorities(project) == {"high": 1, "default": 2}
    assert project.json("work-queue", "delete", found, *IN_P, "--yes") == {
        "deleted": "high", "work_pool_name": "p", "moved_runs": 0, "cancelled_runs": 0,
    }  # fmt: skip


def test_words_for_people(project: Project, client: Client) -> None:
    client.run(queues.create("p", "high"))
    for words, said in (
        (("pause", "high", *IN_P), "dispatcher work-queue resume high --pool p"),
        (("resume", "high", *IN_P), "not paused any more"),
        (("update", "high", *IN_P, "-l", "1"), "'high' is updated"),
        (("set-concurrency-limit", "high", "2", *IN_P), "limit 2 now"),
        (("clear-concurrency-limit", "high", *IN_P), "no concurrency limit any more"),
        (("set-priority", "high", "1", *IN_P), "default  2"),
        (("inspect", "high", *IN_P), "Priority:          1"),
        (("delete", "high", *IN_P, "--yes"), "'high' of work pool 'p' is deleted.\n"),
    ):
        assert said in project.done("work-queue", *words).stdout
    assert "Nothing to change" in project.refused("work-queue", "update", "default", *IN_P, code=2)


def test_default_may_be_paused_limited_and_ranked(project: Project) -> None:
    assert project.json("work-queue", "pause", "default", *IN_P)["is_paused"]
    assert project.json("work-queue", "set-concurrency-limit", "default", "1", *IN_P)["concurrency_limit"] == 1
    assert [queue["priority"] for queue in project.json("work-queue", "set-priority", "default", "9", *IN_P)] == [9]


def test_delete_says_what_becomes_of_waiting_runs(project: Project, client: Client, submit: Submit) -> None:
    for name in ("a", "b"):
        client.run(queues.create("p", name))
        submit("p", name)
    assert "waiting runs: 1" in project.refused("work-queue", "delete", "a", *IN_P, "--yes")
    moved = project.json("work-queue", "delete", "a", *IN_P, "--yes", "--move-to", "default")
    assert (moved["moved_runs"], moved["cancelled_runs"]) == (1, 0)
    assert project.json("work-queue", "inspect", "default", *IN_P)["counts"]["scheduled"] == 1
    said = project.done("work-queue", "delete", "b", *IN_P, "--yes", "--cancel-runs").stdout
    assert said == "Work queue 'b' of work pool 'p' is deleted. 1 waiting run was cancelled.\n"
    assert "exclude each other" in project.refused(
        *("work-queue", "delete", "default", *IN_P, "--yes", "--cancel-runs", "--move-to", "b"), code=2
    )

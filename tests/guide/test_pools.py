"""The guide to work pools, told as scenarios: make, list, look at, preview, pause, limit."""

import re

from tests.cli.project import Project
from tests.guide.conftest import cells, journal

ID = r"[0-9A-HJKMNP-TV-Z]{26}"


def test_a_pool_is_made_and_says_what_to_do_next(project: Project) -> None:
    # when a pool is made
    said = project.done("work-pool", "create", "my-pool").stdout

    # then its name, id, type and limit are told, and which command starts an agent and which one shows the pool
    facts = dict(re.split(r": +", line, maxsplit=1) for line in said.splitlines())
    assert facts.pop("ID") == project.json("work-pool", "inspect", "my-pool")["id"]
    assert facts == {
        "Created work pool": "my-pool",
        "Type": "agent",
        "Concurrency limit": "-",
        "Start a consumer": "dispatcher agent start --pool my-pool",
        "Look at it": "dispatcher work-pool inspect my-pool",
    }

    # and a second one of this name is refused
    assert "exists already" in project.refused("work-pool", "create", "my-pool")


def test_a_typed_pool_names_the_worker(project: Project) -> None:
    # when a pool for workers is made, with a limit
    said = project.done("work-pool", "create", "typed", "--type", "process", "--limit", "3").stdout

    # then the command that is told starts a worker; a type that nobody knows is refused, the known ones are listed
    assert "dispatcher worker start --pool typed" in said
    assert re.search(r"Concurrency limit: 3$", said, re.MULTILINE)
    refusal = project.refused("work-pool", "create", "other", "--type", "lambda")
    assert "agent" in refusal
    assert "process" in refusal


def test_pools_are_listed_by_name(project: Project) -> None:
    # given two pools, one of them paused
    project.done("work-pool", "create", "staging", "--paused")
    project.done("work-pool", "create", "production", "--type", "process", "--limit", "0")

    # when they are listed
    head, *rows = cells(project.done("work-pool", "ls"))
    found = project.json("work-pool", "ls")

    # then each has a row, the paused one its mark, and a limit of 0 is a 0
    assert head == ["NAME", "TYPE", "ID", "CONCURRENCY LIMIT", "SLOTS USED", "LATE"]
    assert all(re.fullmatch(ID, row[2]) for row in rows[:2])
    assert [[*row[:2], *row[3:]] for row in rows] == [
        ["production", "process", "0", "0", "0"],
        ["staging (**)", "agent", "-", "0", "0"],
        ["(**) paused"],
    ]
    assert [(pool["name"], pool["is_paused"], pool["concurrency_limit"]) for pool in found] == [
        ("production", False, 0),
        ("staging", True, None),
    ]


def test_the_next_twelve_hours(project: Project) -> None:
    # given runs in half an hour, in two, eleven and thirteen hours
    project.done("work-pool", "create", "my-pool")
    project.done("deploy", "etl.py:load", "--name", "nightly", "--pool", "my-pool", "--work-queue", "high")
    for length in ("30m", "2h", "11h", "13h"):
        project.done("deployment", "run", "nightly", "--start-in", length, "--name", f"in-{length}")
    before = project.json("work-pool", "inspect", "my-pool")

    # when the pool is previewed
    an_hour = project.json("work-pool", "preview", "my-pool")
    twelve = project.json("work-pool", "preview", "my-pool", "--hours", "12")
    head, *rows = cells(project.done("work-pool", "preview", "my-pool", "--hours", "12"))

    # then the window counts, the table says when, what and where, and nothing has changed
    assert [run["name"] for run in an_hour] == ["in-30m"]
    assert [run["name"] for run in twelve] == ["in-30m", "in-2h", "in-11h"]
    assert head == ["SCHEDULED START", "RUN ID", "NAME", "DEPLOYMENT", "QUEUE"]
    assert [row[1:] for row in rows] == [[run["id"], run["name"], "load/nightly", "high"] for run in twelve]
    assert project.json("work-pool", "inspect", "my-pool") == before


def test_a_late_run_is_marked_in_the_preview(project: Project) -> None:
    # given a run whose time has passed
    project.done("work-pool", "create", "my-pool")
    project.done("run", "etl.py:load", "--pool", "my-pool", "--start-at", "2026-01-01T00:00:00Z", "--name", "old")

    # then the preview marks it and says what the mark means, and the list counts it
    _, row, legend = cells(project.done("work-pool", "preview", "my-pool"))
    assert row[0].endswith(" (**)")
    assert legend == ["(**) late"]
    assert cells(project.done("work-pool", "ls"))[1][-1] == "1"


def test_a_paused_pool_hands_nothing_out(project: Project) -> None:
    # given a paused pool with a run that waits
    project.done("work-pool", "create", "my-pool")
    project.done("run", "etl.py:load", "--pool", "my-pool", "--name", "patient")
    project.done("work-pool", "pause", "my-pool", "--note", "moving house")

    # when an agent takes what is there
    project.work("my-pool")

    # then nothing was, and it is told why
    assert journal(project) == []
    assert "moving house" in project.done("flow-run", "why", "patient").stdout

    # when the pool is resumed, then the run is executed
    project.done("work-pool", "resume", "my-pool")
    project.work("my-pool")
    assert journal(project) == ["today"]
    assert project.json("flow-run", "inspect", "patient")["state"] == "COMPLETED"


def test_a_limit_is_set_and_cleared(project: Project) -> None:
    # given three runs, and a pool that admits one at a time
    project.done("work-pool", "create", "my-pool")
    project.done("work-pool", "set-concurrency-limit", "my-pool", "1")
    for day in ("monday", "tuesday", "wednesday"):
        project.done("run", "etl.py:load", "--pool", "my-pool", "--param", f"day={day}")

    # when an agent takes what it may have now, then that is one
    assert project.json("work-pool", "inspect", "my-pool")["concurrency_limit"] == 1
    project.work("my-pool")
    assert journal(project) == ["monday"]

    # when the limit is cleared, then it gets the others
    cleared = project.json("work-pool", "clear-concurrency-limit", "my-pool")
    assert cleared["concurrency_limit"] is None
    project.work("my-pool")
    assert sorted(journal(project)) == ["monday", "tuesday", "wednesday"]


def test_a_pool_with_unfinished_runs_is_kept(project: Project) -> None:
    # given a pool with a waiting run
    project.done("work-pool", "create", "my-pool")
    project.done("run", "etl.py:load", "--pool", "my-pool")

    # then deleting it is refused, unless the run is cancelled with it
    assert "--cancel-runs" in project.refused("work-pool", "delete", "my-pool", "--yes")
    project.done("work-pool", "delete", "my-pool", "--cancel-runs", "--yes")
    assert project.json("work-pool", "ls") == []

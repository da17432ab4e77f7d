"""Deploying again to another queue or pool: the deployment stays itself, and its waiting runs follow."""

import json

import pytest

from tests.cli.project import Project

FLOW = "etl.py:load"


@pytest.fixture
def project(project: Project) -> Project:
    """With the deployment `load/nightly` in `above`, a schedule of three months, a late run and a future one."""
    project.write("etl.py", "def load(day='today'): return day\n")
    project.done("work-pool", "create", "above")
    project.done("work-pool", "create", "below")
    project.done("deploy", FLOW, "-n", "nightly", "-p", "above", "-q", "high", "--interval", "1d")
    project.done("deployment", "run", "nightly", "--name", "late", "--start-at", "2026-01-01T00:00Z", "--priority", "7")
    project.done("deployment", "run", "nightly", "--name", "soon", "--start-in", "1h", "--idempotency-key", "k")
    return project


def places(project: Project) -> dict[str, str]:
    return {
        run["id"]: f"{run['work_pool_name']}/{run['work_queue_name']}"
        for run in project.json("flow-run", "ls", "--limit", "100")
        if run["state"] == "SCHEDULED"
    }


@pytest.mark.parametrize(
    ("to", "place"), [(("-p", "above", "-q", "low"), "above/low"), (("-p", "below"), "below/default")]
)
def test_waiting_runs_follow(project: Project, to: tuple[str, ...], place: str) -> None:
    before, runs = project.json("deployment", "inspect", "nightly"), places(project)
    assert set(runs.values()) == {"above/high"}
    said = project.done("deploy", FLOW, "-n", "nightly", *to).stdout
    assert said.startswith(f"Deployment 'load/nightly' updated; its runs go to {place}.\n")
    assert f"\n{len(runs)} waiting runs moved to {place}.\n" in said
    assert places(project) == dict.fromkeys(runs, place), "the same runs, each once, and no other"
    after = project.json("deployment", "inspect", "nightly")
    assert (after["id"], after["created"]) == (before["id"], before["created"])
    assert after["schedules"][0]["next_times"] == before["schedules"][0]["next_times"]
    late = project.json("flow-run", "inspect", "late")
    assert (late["state_name"], late["priority"]) == ("Late", 7)
    again = project.json("deployment", "run", "nightly", "--idempotency-key", "k")
    assert again["name"] == "soon", "its key came along"
    back = project.json("deploy", FLOW, "-n", "nightly", "-p", "above", "-q", "high")
    assert (back["moved_runs"], back["status"], back["id"]) == (len(runs), "updated", before["id"])
    assert places(project) == runs


def test_a_waiting_run_can_begin_in_a_pool_that_knows_other_variables(project: Project) -> None:
    template = {
        "job_configuration": {"env": {"N": "{{ n }}"}},
        "variables": {"properties": {"req": {"type": "string"}, "n": {"type": "integer"}}, "required": ["req"]},
    }
    project.write("template.json", json.dumps(template))
    project.done("work-pool", "create", "pt", "--type", "process", "--base-job-template", "template.json")
    project.done("deploy", FLOW, "-n", "other", "-p", "pt", "-jv", "req=1", "-jv", "n=5")
    run = project.json("deployment", "run", "other")
    assert run["job_variables"] == {"req": "1", "n": 5}
    assert project.json("deploy", FLOW, "-n", "other", "-p", "below")["moved_runs"] == 1
    project.work("below")
    done = project.json("flow-run", "inspect", run["id"])
    assert (done["state"], done["job_variables"]) == ("COMPLETED", {})


def test_a_dry_run_says_so_and_moves_none(project: Project) -> None:
    runs = places(project)
    said = project.done("deploy", FLOW, "-n", "nightly", "-p", "below", "--dry-run").stdout
    assert f"{len(runs)} waiting runs would move to below/default." in said
    assert '  - work_pool_name: "above"\n  + work_pool_name: "below"' in said
    assert places(project) == runs


def test_what_ran_stays_where_it_ran(project: Project) -> None:
    project.work("above")
    done = project.json("flow-run", "inspect", "late")
    assert done["state"] == "COMPLETED"
    project.done("deploy", FLOW, "-n", "nightly", "-p", "below")
    assert project.json("flow-run", "inspect", "late") == done
    assert set(places(project).values()) == {"below/default"}


def test_a_pool_that_is_missing_moves_nothing(project: Project) -> None:
    runs = places(project)
    assert "Work pool 'nope' was not found" in project.refused("deploy", FLOW, "-n", "nightly", "-p", "nope")
    assert places(project) == runs


KNOWS_N = {"job_configuration": {"env": {"N": "{{ n }}"}}, "variables": {"properties": {"n": {"type": "integer"}}}}


def test_waiting_runs_that_do_not_fit_the_other_pool_are_named(project: Project) -> None:
    project.write("template.json", json.dumps(KNOWS_N))
    project.done("work-pool", "create", "pt", "--type", "process", "--base-job-template", "template.json")
    project.done("deployment", "run", "nightly", "--name", "odd", "--start-in", "1h", "-jv", "grace_seconds=3")
    move = ("deploy", FLOW, "-n", "nightly", "-p", "pt", "-jv", "n=5")
    foreseen = project.json(*move, "--dry-run")["misfit_runs"]
    assert [run["name"] for run in foreseen] == ["odd"]
    assert "'grace_seconds' is not known. Known are: n." in foreseen[0]["reason"]
    said = project.done(*move).stdout
    assert "\nWarning: One of them does not fit work pool 'pt', and crashes there. Cancel it (dispatcher" in said
    assert f"\n  odd ({foreseen[0]['id']}): The job variables do not fit" in said
    back = project.json("deploy", FLOW, "-n", "nightly", "-p", "above")
    assert back["misfit_runs"] == []


def test_of_many_that_do_not_fit_a_few_are_shown(project: Project) -> None:
    project.write("template.json", json.dumps(KNOWS_N))
    project.done("work-pool", "create", "pt", "--type", "process", "--base-job-template", "template.json")
    for _ in range(6):
        project.done("deployment", "run", "nightly", "--start-in", "1h", "-jv", "grace_seconds=3")
    said = project.done("deploy", FLOW, "-n", "nightly", "-p", "pt").stdout
    assert "6 of them do not fit work pool 'pt', and crash there. Cancel them (" in said
    assert said.count("'grace_seconds' is not known") == 5
    assert "\n  and 1 more: --output json lists them all.\n" in said

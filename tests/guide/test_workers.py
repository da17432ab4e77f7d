"""The guide to workers, told as scenarios: types, base job templates, and what a deployment may choose."""

import json

import pytest

from tests.cli.project import Answer, Project
from tests.guide.conftest import cells, journal

ONCE = ("--run-once", "--hide-welcome")
FILE = """
name: nightly
entrypoint: etl.py:load
parameters: {{day: monday}}
work_pool:
  name: my-pool
  work_queue_name: high
  job_variables:
    stream_output: {stream_output}
schedules:
  - {{cron: "0 4 * * *", timezone: Europe/Berlin}}
"""


def worked(project: Project) -> Answer:
    """A worker takes what is there and ends."""
    return project.done("worker", "start", "-p", "my-pool", *ONCE)


def test_a_worker_with_a_type_makes_its_pool(project: Project) -> None:
    # when a worker is started for a pool that is missing, and says its type
    said = project.done("worker", "start", "--type", "process", "-p", "my-pool", "-q", "high", *ONCE).stderr

    # then pool and queue are made, and it is told what is served
    assert "Work pool my-pool did not exist and was made, type process" in said
    assert "Work queue high of work pool my-pool did not exist and was made." in said
    assert "Worker of type process (its type) serves queue high of work pool my-pool." in said
    pool = project.json("work-pool", "inspect", "my-pool")
    assert pool["type"] == "process"
    assert set(pool["base_job_template"]) == {"job_configuration", "variables"}


def test_the_type_is_inferred_or_has_to_fit(project: Project) -> None:
    # given a pool for workers and one for agents
    project.done("work-pool", "create", "my-pool", "--type", "process")
    project.done("work-pool", "create", "for-agents")

    # then a worker without a type takes that of the pool
    assert "type process (inferred from the pool)" in worked(project).stderr

    # and what does not fit is refused, each time with the way out
    for words, way_out in (
        (("-p", "for-agents"), "dispatcher agent start --pool for-agents"),
        (("-p", "for-agents", "-t", "process"), "dispatcher agent start"),
        (("-p", "missing"), "dispatcher worker start --pool missing --type process"),
        (("-p", "missing"), "dispatcher work-pool create missing --type process"),
        (("-p", "my-pool", "-t", "docker"), "comes later"),
        (("-p", "my-pool", "-t", "lambda"), "process"),
        ((), "dispatcher worker start --pool my-pool"),
    ):
        assert way_out in project.refused("worker", "start", *words, "--hide-welcome")


def test_a_paused_pool_is_warned_about(project: Project) -> None:
    # given a paused pool, when a worker is started, then it starts and says so
    project.done("work-pool", "create", "my-pool", "--type", "process", "--paused")
    assert "is paused" in worked(project).stderr


@pytest.mark.parametrize(("stream_output", "is_shown"), [("false", False), ("true", True)])
def test_a_deployment_says_whether_its_output_is_shown(project: Project, stream_output: str, is_shown: bool) -> None:
    # given a deployment.yaml with a pool, a queue and job variables
    project.done("work-pool", "create", "my-pool", "--type", "process")
    project.write("deployment.yaml", FILE.format(stream_output=stream_output))
    project.done("deploy")
    found = project.json("deployment", "inspect", "load/nightly")
    assert (found["work_pool_name"], found["work_queue_name"]) == ("my-pool", "high")
    assert found["job_variables"] == {"stream_output": is_shown}

    # when it is run
    run = project.json("deployment", "run", "load/nightly")
    said = worked(project).stdout

    # then the worker shows the output or not, and the run's log has it in any case
    assert ("loading monday" in said) is is_shown
    assert "loading monday" in project.done("flow-run", "logs", run["id"]).stdout
    ended = project.json("flow-run", "inspect", run["id"])
    assert (ended["state"], ended["work_queue_name"], ended["result"]) == ("COMPLETED", "high", "monday")
    assert ended["job"]["stream_output"] is is_shown


def test_one_run_may_choose_otherwise(project: Project) -> None:
    # given a deployment that shows its output
    project.done("work-pool", "create", "my-pool", "--type", "process")
    project.done("deploy", "etl.py:load", "--pool", "my-pool", "-jv", "stream_output=true")

    # when one run says otherwise, then that run is quiet
    project.done("deployment", "run", "load/default", "--param", "day=aloud")
    project.done("deployment", "run", "load/default", "--param", "day=quiet", "-jv", "stream_output=false")
    said = worked(project).stdout
    assert "loading aloud" in said
    assert "loading quiet" not in said
    assert sorted(journal(project)) == ["aloud", "quiet"]


def test_a_template_of_ones_own(project: Project) -> None:
    # given the default template of the type, with one value fixed and another one bounded
    project.done("work-pool", "get-default-base-job-template", "--type", "process", "--file", "base.json")
    template = json.loads((project.folder / "base.json").read_text())
    assert template == project.done("work-pool", "get-default-base-job-template", "-t", "process").json
    template["job_configuration"]["stream_output"] = False
    del template["variables"]["properties"]["stream_output"]
    template["variables"]["properties"]["timeout_seconds"] = {"type": "number", "maximum": 60, "default": 30}
    project.write("guarded.json", json.dumps(template))

    # when a pool is made with it
    project.done("work-pool", "create", "my-pool", "--type", "process", "--base-job-template", "guarded.json")
    assert project.json("work-pool", "inspect", "my-pool")["base_job_template"] == template

    # then what is fixed cannot be changed, what is bounded has its bounds, and slips are told with the nearest name
    deploy = ("deploy", "etl.py:load", "--pool", "my-pool", "-jv")
    assert "stream_output" in project.refused(*deploy, "stream_output=true")
    assert "60" in project.refused(*deploy, "timeout_seconds=3600")
    assert "'timeout_seconds'" in project.refused(*deploy, "timeout_second=10")

    # and a run of the pool is executed as the template says
    project.done(*deploy, "timeout_seconds=10")
    run = project.json("deployment", "run", "load/default")
    assert "loading" not in worked(project).stdout
    job = project.json("flow-run", "inspect", run["id"])["job"]
    assert (job["stream_output"], job["timeout_seconds"]) == (False, 10)


def test_a_faulty_template_is_refused_whole(project: Project) -> None:
    # given a template with a slip in a placeholder and a default of the wrong type
    faulty = {
        "job_configuration": {"working_dir": "{{ workdir }}"},
        "variables": {"properties": {"working_dir": {"type": "string", "default": 5}}},
    }
    project.write("faulty.json", json.dumps(faulty))

    # when a pool is to be made with it, then both faults are told, and there is no pool
    said = project.refused("work-pool", "create", "my-pool", "-t", "process", "--base-job-template", "faulty.json")
    assert "workdir" in said
    assert "working_dir.default" in said
    assert project.json("work-pool", "ls") == []


def test_a_scheduled_deployment(project: Project) -> None:
    # given a deployment with a schedule
    project.done("work-pool", "create", "my-pool", "--type", "process")
    project.write("deployment.yaml", FILE.format(stream_output="false"))
    project.done("deploy")

    # then its next times are shown in its zone and in UTC
    [schedule] = project.json("deployment", "schedule", "preview", "load/nightly", "--count", "3")
    assert schedule["timezone"] == "Europe/Berlin"
    assert [at["local"][11:16] for at in schedule["times"]] == ["04:00"] * 3
    assert all(at["utc"].endswith("Z") for at in schedule["times"])
    head, *rows = cells(project.done("deployment", "schedule", "preview", "load/nightly", "--count", "3"))
    assert head == ["SCHEDULE", "TIME", "TIME ZONE", "UTC"]
    assert [row[2] for row in rows] == ["Europe/Berlin"] * 3

    # and the runs of its next days wait already; days have 23 to 25 hours
    waiting = project.json("work-queue", "preview", "high", "--pool", "my-pool", "--hours", "50")
    assert len(waiting) >= 2
    assert {run["deployment"] for run in waiting} == {"load/nightly"}

    # when it is paused, then they are gone; when it is resumed, they are there again
    project.done("deployment", "pause", "load/nightly")
    assert project.json("work-pool", "preview", "my-pool", "--hours", "50") == []
    project.done("deployment", "resume", "load/nightly")
    again = project.json("work-pool", "preview", "my-pool", "--hours", "50")
    assert [run["expected_start_time"] for run in again] == [run["expected_start_time"] for run in waiting]

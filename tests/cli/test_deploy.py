"""`dispatcher deploy` from options: what is stored, what is said, and that a refusal changes nothing."""

import pytest
import redis

from tests.cli.project import Project
from tests.dumps import unchanged

FLOW = "flows/etl.py:load_day"
CODE = """
def load_day(day, source="orders.csv", full: bool = False):
    return day

def anything(**options):
    return options

NUMBER = 5
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write("flows/etl.py", CODE)
    return project


def test_a_first_deployment_needs_nothing_else(project: Project) -> None:
    answer = project.done("deploy", FLOW)
    assert answer.stdout.splitlines() == [
        "Deployment 'load-day/default' created; its runs go to default-agent-pool/default.",
        "Run it: dispatcher deployment run load-day/default",
    ]
    assert answer.stderr == "Work pool 'default-agent-pool' was made, of type agent.\n"
    [found] = project.json("deployment", "ls")
    assert found == project.json("deployment", "inspect", "default")
    assert found["name"] == "load-day/default"
    assert (found["entrypoint"], found["command"]) == (FLOW, None)
    assert found["path"] == str(project.folder)
    assert found["parameter_schema"] == {
        "type": "object",
        "properties": {
            "day": {"title": "day"},
            "source": {"title": "source", "default": "orders.csv"},
            "full": {"title": "full", "type": "boolean", "default": False},
        },
        "required": ["day"],
        "additionalProperties": False,
    }


def test_every_option(project: Project) -> None:
    project.done("work-pool", "create", "above", "-t", "process")
    found = project.json(
        *("deploy", FLOW, "-n", "nightly", "-p", "above", "-q", "high", "--param", "day=2026-11-21"),
        *("--params", '{"full": true, "day": "never"}', "--tag", "etl", "--tag", "night", "--description", "Loads"),
        *("--retries", "2", "--retry-delay-seconds", "1.5", "--timeout-seconds", "1m", "--path", "."),
    )
    assert found["status"] == "created"
    assert found["parameters"] == {"full": True, "day": "2026-11-21"}
    assert (found["work_pool_name"], found["work_queue_name"]) == ("above", "high")
    assert (found["tags"], found["description"]) == (["etl", "night"], "Loads")
    assert (found["retries"], found["retry_delay_seconds"], found["timeout_seconds"]) == (2, 1.5, 60)
    queues = project.json("work-queue", "ls", "-p", "above")
    assert [queue["name"] for queue in queues] == ["default", "high"]


def test_a_queue_that_is_made_is_said(project: Project) -> None:
    project.done("work-pool", "create", "above")
    said = project.done("deploy", FLOW, "-p", "above", "-q", "high").stderr
    assert said == "Work queue 'high' was made in work pool 'above'.\n"
    assert project.done("deploy", FLOW, "-p", "above", "-q", "high").stderr == ""
    answer = project.done("deploy", FLOW, "-p", "above", "-q", "low", "-o", "json")
    assert answer.json["work_queue_name"] == "low"
    assert answer.stderr == "Work queue 'low' was made in work pool 'above'.\n"


def test_again_updates_in_place(project: Project) -> None:
    first = project.json("deploy", FLOW)
    same = project.json("deploy", FLOW)
    assert (same["status"], same["changes"]) == ("unchanged", {})
    said = project.done("deploy", FLOW, "--tag", "etl").stdout
    assert said.startswith("Deployment 'load-day/default' updated;")
    assert '  - tags: []\n  + tags: ["etl"]\n' in said
    after = project.json("deployment", "inspect", "load-day/default")
    assert (after["id"], after["created"], after["tags"]) == (first["id"], first["created"], ["etl"])
    assert after["updated"] > first["updated"]


def test_dry_run_shows_and_changes_nothing(project: Project, server_connection: redis.Redis) -> None:
    with unchanged(server_connection):
        said = project.done("deploy", FLOW, "--dry-run", "--tag", "etl").stdout
    assert "'load-day/default' would be created" in said
    assert '  + tags: ["etl"]' in said
    project.done("deploy", FLOW)
    with unchanged(server_connection):
        document = project.json("deploy", FLOW, "--dry-run", "--tag", "etl")
    assert document["changes"] == {"tags": {"before": [], "after": ["etl"]}}


def test_a_command(project: Project) -> None:
    script = project.write("bin/load_all.sh", "#!/bin/sh\n")
    script.chmod(0o755)
    found = project.json("deploy", "--command", "bin/load_all.sh --full 'two words'", "-n", "weekly")
    assert found["name"] == "load-all/weekly"
    assert found["command"] == ["bin/load_all.sh", "--full", "two words"]
    assert (found["entrypoint"], found["parameter_schema"]) == (None, None)


def test_code_that_is_only_on_the_consumers_hosts(project: Project) -> None:
    found = project.json("deploy", "warehouse.jobs:load_all", "--no-check", "--path", "/srv/code", "--param", "x=1")
    assert (found["name"], found["path"]) == ("load-all/default", "/srv/code")
    assert found["parameter_schema"] is None


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("flows/none.py:load_day",), ("flows/none.py:load_day", "there is no file", "--no-check")),
        (("flows/etl.py:lod_day",), ("there is no 'lod_day' in 'flows/etl.py'",)),
        (("flows/etl.py:NUMBER",), ("is not a function",)),
        (("flows/etl.py",), ("it must be path/to/file.py:function or package.module:function",)),
        (("no_such_package.jobs:load",), ("there is no module 'no_such_package'",)),
        ((FLOW, "--path", "none"), ("none does not exist here",)),
        (("--command", "exit 3"), ("Command 'exit 3' cannot be used: the program exit was not found", "sh -c")),
        (("--command", "./flows/etl.py"), ("is not executable",)),
        ((FLOW, "--param", "dya=1"), ("'dya' is not known (did you mean 'day'?)", "day (required), source, full")),
        ((FLOW, "-p", "above"), ("Work pool 'above' was not found", "work-pool create above")),
        ((FLOW, "-p", "a/b"), ("'a/b' is not valid",)),
        ((FLOW, "-q", "a b"), ("'a b' is not valid",)),
        ((FLOW, "-n", "a/b"), ("Deployment name 'a/b' is not valid",)),
        ((FLOW, "-n", "x" * 101), ("is not valid",)),
        ((), ("There is nothing to deploy", "no deployment.yaml")),
    ],
)  # fmt: skip
def test_refused_and_nothing_changed(
    project: Project, server_connection: redis.Redis, words: tuple[str, ...], messages: tuple[str, ...]
) -> None:
    with unchanged(server_connection):
        told = project.refused("deploy", *words)
    for message in messages:
        assert message in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((FLOW, "--params", "{day: today}"), "not JSON"),
        ((FLOW, "--params", '["day"]'), "an object is wanted"),
        ((FLOW, "--params", '{"day": NaN}'), "NaN is not JSON"),
        ((FLOW, "--param", "day"), "'day' is not KEY=VALUE"),
        ((FLOW, "--command", "true"), "either an ENTRYPOINT or --command"),
        ((FLOW, "--file", "deployment.yaml"), "exclude each other"),
        (("--command", "echo 'open"), "No closing quotation"),
        (("--command", " "), "it is empty"),
        ((FLOW, "--pool", ""), "Invalid value for '-p' / '--pool': it is empty: give a text, or leave it out"),
        ((FLOW, "--work-queue", ""), "'-q' / '--work-queue': it is empty"),
        ((FLOW, "--name", ""), "'-n' / '--name': it is empty"),
        ((FLOW, "--path", ""), "'--path': it is empty"),
        ((FLOW, "--tag", "etl", "--tag", ""), "'--tag': it is empty"),
        ((FLOW, "--cron", "@daily", "--timezone", ""), "'--timezone': it is empty"),
        ((FLOW, "--retries", "-1"), "-1"),
        ((FLOW, "--timeout-seconds", "0"), "give more than 0"),
        ((FLOW, "--timeout-seconds", "soon"), "is not a duration"),
        ((FLOW, "--retry-delay-seconds", "-1s"), "is not a duration"),
    ],
)
def test_wrong_usage(project: Project, server_connection: redis.Redis, words: tuple[str, ...], message: str) -> None:
    with unchanged(server_connection):
        assert message in project.refused("deploy", *words, code=2)


def test_a_flow_that_fails_at_import_is_shown(project: Project) -> None:
    project.write("broken.py", "print('half way')\nraise RuntimeError('no licence for your flow')\n")
    told = project.refused("deploy", "broken.py:f")
    assert "importing it failed: RuntimeError: no licence for your flow" in told
    assert 'broken.py", line 2' in told, "where"
    project.write("syntax.py", "def f(:\n")
    assert 'syntax.py", line 1' in project.refused("deploy", "syntax.py:f")


def test_a_flow_that_leaves_at_import(project: Project) -> None:
    project.write("leaves.py", "print('bye')\nraise SystemExit(0)\n")
    told = project.refused("deploy", "leaves.py:f")
    assert "ended without an answer" in told
    assert "bye" in told


def test_parameters_from_standard_input(project: Project) -> None:
    assert project.json("deploy", FLOW, "--params", "-", stdin='{"day": [1]}')["parameters"] == {"day": [1]}


def test_any_keyword(project: Project) -> None:
    project.json("deploy", "flows/etl.py:anything", "--param", "whatever=null")

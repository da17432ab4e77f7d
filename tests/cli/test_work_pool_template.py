"""Base job templates by `dispatcher work-pool`: from a file to the pool, and everything that is wrong with one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from dispatcher.client import Client
from dispatcher.models import Deployment, RunInput, Schedule
from dispatcher.ops import deployments, pools
from dispatcher.pool_types import default_template
from tests.cli.conftest import nothing_changes
from tests.cli.project import Project


def template(*names: str, **rules: Any) -> dict[str, Any]:
    """One whose job takes these variables."""
    variables = {name: {"type": "string"} for name in names} | rules
    return {
        "job_configuration": {name: f"{{{{ {name} }}}}" for name in variables},
        "variables": {"type": "object", "properties": variables},
    }


def deployment(name: str, pool: str, *schedules: Schedule, **variables: Any) -> Deployment:
    of = RunInput(entrypoint="f.py:f", job_variables=variables)
    return Deployment(name=name, id="01", pool=pool, queue="default", input=of, schedules=schedules)


@pytest.fixture
def file(project: Project) -> str:
    project.write("template.json", json.dumps(template("command")))
    return "template.json"


def test_each_type_has_a_default(project: Project) -> None:
    for pool_type in ("agent", "process"):
        words = ("work-pool", "get-default-base-job-template", "--type", pool_type)
        assert project.done(*words).json == project.json(*words) == default_template(pool_type)
        created = project.json("work-pool", "create", pool_type, "-t", pool_type)
        assert created["base_job_template"] == default_template(pool_type)
    assert default_template("agent") == {}


def test_the_default_is_written_and_makes_a_pool(project: Project) -> None:
    words = ("work-pool", "get-default-base-job-template", "-t", "process", "-f", "own.json")
    said = project.done(*words).stdout
    assert "dispatcher work-pool create NAME --type process --base-job-template own.json" in said
    written = json.loads((project.folder / "own.json").read_text())
    assert written == default_template("process")
    project.write("own.json", "mine")
    assert "own.json exists already" in project.refused(*words)
    assert (project.folder / "own.json").read_text() == "mine"
    assert project.json(*words, "--overwrite") == written
    assert project.done("work-pool", "create", "p", "-t", "process", "--base-job-template", "own.json").stderr == ""
    assert project.json("work-pool", "inspect", "p")["base_job_template"] == written
    assert "Base job template: its own" in project.done("work-pool", "inspect", "p").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-t", "nope"], 1, "work pool type 'nope' is not known: choose one of agent, process"),
        (["-t", "docker"], 1, "comes later"),
        (["-t", "process", "-f", "no/such/folder.json"], 1, "No such file or directory"),
        ([], 2, "Missing option '-t'"),
    ],
)
def test_no_default_can_be_had(project: Project, words: list[str], code: int, said: str) -> None:
    assert said in project.refused("work-pool", "get-default-base-job-template", *words, code=code)


def test_a_pool_is_made_and_changed_with_a_template(project: Project, file: str) -> None:
    made = project.json("work-pool", "create", "p", "-t", "process", "--base-job-template", file)
    assert made["base_job_template"] == template("command")
    project.done("work-pool", "update", "p", "--base-job-template", "-", stdin=json.dumps(template("command", "env")))
    found = project.json("work-pool", "inspect", "p")
    assert found["base_job_template"] == template("command", "env")
    assert found["base_job_template"] == project.json("work-pool", "ls")[0]["base_job_template"]
    after = project.json("work-pool", "update", "p", "--base-job-template", "-", stdin="{}")
    assert after["base_job_template"] == default_template("process"), "the type's own again"
    project.done("work-pool", "update", "p", "--limit", "3")
    assert project.json("work-pool", "inspect", "p")["base_job_template"] == default_template("process")


def test_what_is_probably_a_slip_is_told(project: Project) -> None:
    given = template("command") | {"job_configuration": {}}
    project.write("t.json", json.dumps(given))
    answer = project.done("work-pool", "create", "p", "--base-job-template", "t.json", "-o", "json")
    assert answer.stderr == "Warning: t.json: Variable 'command' is used nowhere in job_configuration.\n"
    assert answer.json["base_job_template"] == given
    answer = project.done("work-pool", "update", "p", "--base-job-template", "-", stdin=json.dumps(given))
    assert answer.stderr.startswith("Warning: standard input: Variable 'command'")


FAULTY = {
    "job_configuration": {"command": "{{ comand }}", "deep": [{"x": "{{ nothing }}"}]},
    "variables": {"properties": {"command": {"type": "strin"}, "n": {"type": "integer", "default": "x"}}},
}


@pytest.mark.parametrize("words", [("create", "new"), ("update", "p")])
def test_every_fault_is_told_at_once(
    project: Project, client: Client, server_connection: redis.Redis, words: tuple[str, str]
) -> None:
    client.run(pools.create("p"))
    project.write("t.json", json.dumps(FAULTY))
    with nothing_changes(server_connection):
        stderr = project.refused("work-pool", *words, "--base-job-template", "t.json")
    for part in ("t.json: ", "variables.properties.command.type", "comand", "job_configuration.deep[0].x"):
        assert part in stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "it must be an object"),
        ("null", "it must be an object"),
        ("0", "it must be an object"),
        ('""', "it must be an object"),
        ('{"variables": {}}', "'job_configuration' is missing"),
        ('{"job_configuration": {}, "variables": {}, "other": 1}', "'other'"),
        ('{"variables": {}, "variables": {}}', "the key 'variables' stands twice"),
        ('{"job_configuration": {"x": NaN}, "variables": {}}', "job_configuration.x"),
        ("[" * 100_000, "nested too deeply"),
        (f'{{"x": "{"x" * (1 << 20)}"}}', "larger than a base job template may be, 1 MiB"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_template(
    project: Project, client: Client, server_connection: redis.Redis, text: str, said: str
) -> None:
    client.run(pools.create("p"))
    with nothing_changes(server_connection):
        stderr = project.refused("work-pool", "update", "p", "--base-job-template", "-", stdin=text)
    assert said in stderr
    assert len(stderr) < 500


def test_files_that_cannot_be_read(project: Project, server_connection: redis.Redis) -> None:
    (project.folder / "bytes.json").write_bytes(b'{"x": "\xff"}')
    with nothing_changes(server_connection):
        for name, said in (("none.json", "none.json"), (".", "Is a directory"), ("bytes.json", "is not JSON")):
            assert said in project.refused("work-pool", "create", "p", "--base-job-template", name)


def test_deployments_that_do_not_fit_any_more_are_named(project: Project, client: Client, file: str) -> None:
    client.run(pools.create("p", type="process"))
    client.run(pools.create("other", type="process"))
    for one in (
        deployment("a/fits", "p", command="true"),
        deployment("a/misfit", "p", stream_output=False),
        deployment("a/elsewhere", "other", stream_output=False),
    ):
        client.run(deployments.save(one))
    answer = project.done("work-pool", "update", "p", "--base-job-template", file)
    assert answer.stdout == "Work pool 'p' is updated.\n"
    [line] = answer.stderr.splitlines()
    assert line.startswith(
        "Warning: deployment a/misfit does not fit the template any more, its next runs are refused."
    )
    assert "'stream_output'" in line


def test_what_is_required_is_only_missing_where_no_run_can_add_it(project: Project, client: Client) -> None:
    client.run(pools.create("p", type="process"))
    client.run(deployments.save(deployment("a/by-hand", "p")))
    client.run(deployments.save(deployment("a/by-clock", "p", Schedule(interval_s=3600))))
    wanted = template("command")
    wanted["variables"]["required"] = ["command"]
    answer = project.done("work-pool", "update", "p", "--base-job-template", "-", stdin=json.dumps(wanted))
    [line] = answer.stderr.splitlines()
    assert "deployment a/by-clock" in line
    assert "command" in line


def test_a_key_that_is_nearly_one_of_a_job_is_warned_about(project: Project) -> None:
    job = {"timeout_second": 60, "stream_output": False, "owner": "x"}
    project.write("t.json", json.dumps({"job_configuration": job, "variables": {}}))
    answer = project.done("work-pool", "create", "near", "-t", "process", "--base-job-template", "t.json")
    words = "means nothing to a job (did you mean 'timeout_seconds'?)."
    assert answer.stderr == f"Warning: t.json: job_configuration.timeout_second {words}\n"

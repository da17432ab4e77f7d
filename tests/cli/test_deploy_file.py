"""`dispatcher deploy` from `deployment.yaml`: options on top, all or nothing, faults by file and line."""

from pathlib import Path

import pytest
import redis

from tests.cli.project import Project
from tests.dumps import unchanged

TWO = """deployments:
  - name: nightly
    entrypoint: etl.py:load
    path: .
    parameters: {day: today}
    tags: [etl]
    work_pool: {name: above, work_queue_name: high}
  - name: monthly
    entrypoint: etl.py:load
    path: .
    parameters: {day: month}
    work_pool: {name: above, job_variables: {env: {LEVEL: debug}}}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write("code/etl.py", "def load(day): return day\n")
    project.done("work-pool", "create", "above")
    return project


def test_a_list(project: Project) -> None:
    project.write("code/deployment.yaml", TWO)
    documents = project.json("deploy", "-f", "code/deployment.yaml")
    assert [(document["name"], document["status"]) for document in documents] == [
        ("load/nightly", "created"),
        ("load/monthly", "created"),
    ]
    assert {document["path"] for document in documents} == {str(project.folder / "code")}, "the file's own folder"
    assert documents[1]["job_variables"] == {"env": {"LEVEL": "debug"}}
    assert [queue["name"] for queue in project.json("work-queue", "ls", "-p", "above")] == ["default", "high"]


def test_the_file_of_this_folder_is_found(project: Project) -> None:
    project.write("deployment.yaml", "entrypoint: code/etl.py:load\n")
    [document] = project.json("deploy")
    assert document["name"] == "load/default"
    assert document["path"] == str(project.folder)


def test_options_win(project: Project) -> None:
    project.write("code/deployment.yaml", TWO)
    [document] = project.json(
        *("deploy", "-f", "code/deployment.yaml", "-n", "nightly", "-q", "low", "--param", "day=monday"),
        *("--tag", "x", "--retries", "3"),
    )
    assert (document["work_pool_name"], document["work_queue_name"]) == ("above", "low")
    assert (document["parameters"], document["tags"], document["retries"]) == ({"day": "monday"}, ["x"], 3)


def test_a_name_that_the_file_does_not_have(project: Project) -> None:
    project.write("deployment.yaml", TWO)
    assert "It has: nightly, monthly." in project.refused("deploy", "-n", "weekly")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TWO.replace("{day: month}", "{dya: month}"), "deployment.yaml:8: The parameters do not fit the flow 'load'"),
        (TWO.replace("name: monthly\n    entrypoint: etl.py:load", "entrypoint: no.py:f"), "deployment.yaml:8: Entry"),
        (TWO.replace("name: above, job", "name: below, job"), "deployment.yaml:8: Work pool 'below' was not found"),
        (TWO.replace("name: monthly", "name: nightly"), "deployment.yaml:8: load/nightly is there twice"),
        (TWO.replace("monthly", "a/b"), "deployment.yaml:8: Deployment name 'a/b' is not valid"),
        (TWO + "    schedules: [{cron: x}]\n", "deployment.yaml:13: Schedule 'cron x (UTC)' is not valid"),
        (TWO.replace("LEVEL: debug", "LEVEL: 5"), "deployment.yaml:8: The job variables do not fit the base"),
        (TWO + "    retrys: 3\n", "deployment.yaml:13: 'retrys' is not known here (did you mean 'retries'?)"),
        (TWO.replace("tags: [etl]", "tags: [etl"), "deployment.yaml:7: not valid YAML"),
    ],
)  # fmt: skip
def test_one_fault_and_nothing_is_deployed(
    project: Project, server_connection: redis.Redis, text: str, message: str
) -> None:
    project.write("code/deployment.yaml", text)
    with unchanged(server_connection):
        told = project.refused("deploy", "-f", "code/deployment.yaml")
    assert f"code/{message}" in told


def test_a_queue_that_takes_no_runs_is_told_before_anything_is_deployed(
    project: Project, server_connection: redis.Redis
) -> None:
    project.done("work-queue", "create", "tagged", "-t", "etl")
    entry = "  - {{name: {}, entrypoint: 'code/etl.py:load', work_pool: {{work_queue_name: {}}}}}\n"
    project.write("deployment.yaml", f"deployments:\n{entry.format('a', 'default')}{entry.format('b', 'tagged')}")
    with unchanged(server_connection):
        for words in (("deploy",), ("deploy", "--dry-run")):
            assert "deployment.yaml:3: Work queue 'tagged' of work pool 'default-agent-pool' has a filter" in (
                project.refused(*words)
            )


def test_every_deployment_with_a_fault_is_told(project: Project, server_connection: redis.Redis) -> None:
    text = TWO.replace("etl.py:load", "no.py:f", 1).replace("name: above, job", "name: below, job")
    project.write("code/deployment.yaml", text)
    with unchanged(server_connection):
        told = project.refused("deploy", "-f", "code/deployment.yaml")
    assert "code/deployment.yaml:2: Entrypoint 'no.py:f' cannot be used" in told
    assert "code/deployment.yaml:8: Work pool 'below' was not found" in told
    assert told.count("Nothing was changed.") == 1


def test_a_file_that_is_not_there(project: Project) -> None:
    assert "none.yaml cannot be read: No such file" in project.refused("deploy", "-f", "none.yaml")


def test_the_examples_deploy(project: Project) -> None:
    files = sorted((Path(__file__).parents[2] / "examples").glob("*/deployment.yaml"))
    assert len(files) >= 4
    for file in files:
        [document] = project.json("deploy", "-f", str(file))
        assert document["status"] == "created"

"""Job variables: `-jv` typed by the pool's template, `job_variables` of a file, merged and checked everywhere."""

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import pools
from tests.cli.project import Project
from tests.dumps import unchanged

TEMPLATE = {
    "job_configuration": {"command": "{{ command }}", "env": {"HARD": "1"}, "cpu": "{{ cpu }}", "size": "{{ size }}"},
    "variables": {
        "type": "object",
        "properties": {
            "command": {"type": "string", "default": "true"},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "cpu": {"type": "integer", "minimum": 1, "maximum": 8},
            "size": {"enum": ["small", "large"]},
        },
        "required": ["size"],
    },
}
FLOW = "etl.py:load"


@pytest.fixture
def project(project: Project, client: Client) -> Project:
    project.write("etl.py", "def load(day='today', name: str = '', n: int = 1): return [day, name, n]\n")
    client.run(pools.create("own", type="process", template=TEMPLATE))
    client.run(pools.create("above", type="process"))
    return project


def test_values_have_the_types_that_the_template_says(project: Project) -> None:
    found = project.json(
        *("deploy", FLOW, "-p", "own", "-jv", "cpu=4", "--job-variable", "size=small", "-jv", "command=5"),
        *("-jv", 'env={"A": "b"}', "-jv", 'env={"C": "d=e"}'),
    )
    assert found["job_variables"] == {"cpu": 4, "size": "small", "command": "5", "env": {"A": "b", "C": "d=e"}}
    assert found == {**project.json("deployment", "inspect", "default"), **found}


def test_a_file_may_say_any_and_options_win(project: Project) -> None:
    project.write(
        "deployment.yaml",
        "entrypoint: etl.py:load\nwork_pool: {name: own, job_variables: {cpu: 2, size: large, env: {A: a, B: b}}}\n",
    )
    [found] = project.json("deploy", "-jv", "cpu=3", "-jv", 'env={"B": "c"}')
    assert found["job_variables"] == {"cpu": 3, "size": "large", "env": {"A": "a", "B": "c"}}


def test_a_run_has_its_own_on_top(project: Project) -> None:
    project.done("deploy", FLOW, "-p", "own", "-jv", "cpu=2", "-jv", 'env={"A": "a", "B": "b"}')
    with_size = project.json("deployment", "run", "default", "-jv", "size=large", "-jv", 'env={"B": "c"}')
    assert with_size["job_variables"] == {"cpu": 2, "size": "large", "env": {"A": "a", "B": "c"}}
    assert project.json("deployment", "inspect", "default")["job_variables"]["env"] == {"A": "a", "B": "b"}
    alone = project.json("run", FLOW, "--pool", "own", "-jv", "size=small", "-jv", "cpu=8")
    assert alone["job_variables"] == {"size": "small", "cpu": 8}


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        (("-jv", "cpu=many"), ("cpu: 'many' is not of type 'integer'", "work pool 'own'")),
        (("-jv", "cpu=9"), ("cpu: 9 is greater than the maximum of 8",)),
        (("-jv", "size=tiny"), ("size:", "tiny")),
        (("-jv", "cup=4"), ("'cup' is not known (did you mean 'cpu'?)", "env, cpu, size (required).")),
        (("-jv", 'env={"A": 5}'), ("env.A: 5 is not of type 'string'",)),
        (("-jv", "cpu=0", "-jv", "zzz=1"), ("cpu: 0 is less than the minimum", "'zzz' is not known")),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_everywhere(
    project: Project, server_connection: redis.Redis, given: tuple[str, ...], messages: tuple[str, ...]
) -> None:
    project.done("deploy", FLOW, "-p", "own")
    with unchanged(server_connection):
        for command in (
            ("deploy", FLOW, "-p", "own"),
            ("deploy", FLOW, "-p", "own", "--dry-run"),
            ("deployment", "run", "default"),
            ("run", FLOW, "--pool", "own"),
        ):
            told = project.refused(*command, *given)
            for message in messages:
                assert message in told, command


def test_what_is_required_may_come_with_the_run_but_not_later(project: Project, server_connection: redis.Redis) -> None:
    project.done("deploy", FLOW, "-p", "own")
    with unchanged(server_connection):
        assert "'size' is missing" in project.refused("deployment", "run", "default")
        assert "'size' is missing" in project.refused("run", FLOW, "--pool", "own")
        assert "'size' is missing" in project.refused("deploy", FLOW, "-p", "own", "--cron", "0 4 * * *")
        assert "'size' is missing" in project.refused(
            "deployment", "schedule", "create", "default", "--cron", "0 4 * * *"
        )
    project.done("deployment", "run", "default", "-jv", "size=small")


def test_every_fault_of_a_file_at_once(project: Project, server_connection: redis.Redis) -> None:
    project.write(
        "deployment.yaml",
        "deployments:\n"
        "  - {entrypoint: 'etl.py:load', parameters: {dya: 1}, work_pool: {name: own, job_variables: {cpu: 99}}}\n"
        "  - {name: b, entrypoint: 'no.py:f', work_pool: {name: below}}\n"
        "  - {name: c, entrypoint: 'etl.py:load', work_pool: {name: above, job_variables: {stream_output: 'no'}}}\n",
    )
    with unchanged(server_connection):
        told = project.refused("deploy")
    for message in (
        "deployment.yaml:2: The parameters do not fit the flow 'load': 'dya' is not known (did you mean 'day'?)",
        "deployment.yaml:2: The job variables do not fit the base job template of work pool 'own': cpu: 99",
        "deployment.yaml:3: Entrypoint 'no.py:f' cannot be used",
        "deployment.yaml:3: Work pool 'below' was not found",
        "deployment.yaml:4: The job variables do not fit the base job template of work pool 'above': stream_output",
    ):
        assert message in told
    assert told.count("Nothing was changed.") == 1


@pytest.mark.parametrize("command", [("deploy",), ("run",)])
def test_wrong_usage(project: Project, command: tuple[str, ...]) -> None:
    for word in ("cpu", "=4", ""):
        assert f"{word!r} is not KEY=VALUE" in project.refused(*command, FLOW, "-jv", word, code=2)


def test_the_default_pool_has_the_variables_of_the_infrastructure(
    project: Project, server_connection: redis.Redis
) -> None:
    with unchanged(server_connection):
        assert "'image' is not known" in project.refused("deploy", FLOW, "-jv", "image=x")
        assert "'image' is not known" in project.refused("run", FLOW, "-jv", "image=x")
    found = project.json("deploy", FLOW, "-jv", "stream_output=false", "-jv", "grace_seconds=5")
    assert found["job_variables"] == {"stream_output": False, "grace_seconds": 5}


def test_infrastructure(project: Project, server_connection: redis.Redis) -> None:
    project.write("deployment.yaml", "entrypoint: etl.py:load\ninfrastructure: process\n")
    assert project.json("deploy")[0]["infrastructure"] == "process"
    project.write("deployment.yaml", "entrypoint: etl.py:load\ninfrastructure: kubernetes\n")
    with unchanged(server_connection):
        assert "deployment.yaml:2: infrastructure 'kubernetes' comes later" in project.refused("deploy")


def test_parameters_have_the_types_that_the_flow_asks_for(project: Project) -> None:
    typed = ("--param", "name=5", "--param", "n=5", "--param", "day=5")
    assert project.json("deploy", FLOW, *typed)["parameters"] == {"name": "5", "n": 5, "day": 5}
    quoted = ("-p", 'name="5"', "-p", "day=[1]")
    run = project.json("deployment", "run", "default", *quoted)
    assert run["parameters"] == {"name": "5", "n": 5, "day": [1]}
    assert project.json("run", FLOW, "-p", "name=true")["parameters"] == {"name": "true"}
    assert "n: 'five' is not of type 'integer'" in project.refused("run", FLOW, "-p", "n=five")

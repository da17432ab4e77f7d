"""What a flow says of itself, by `@flow`, annotations and docstring: defaults that a file and options override."""

import pytest
import redis

from tests.cli.project import Project
from tests.dumps import unchanged

CODE = '''
import datetime
from pydantic import BaseModel
from dispatcher import current_run, flow

class Source(BaseModel):
    url: str
    tries: int = 3

@flow(name="nightly-load", retries=2, retry_delay=1.5, timeout=datetime.timedelta(minutes=1))
def load(day: datetime.date, source: Source | None = None):
    """Loads one day.

    Slowly.
    """
    run = current_run()
    return [day.year, source and source.tries, run.name, run.deployment, run.parameters["day"]]

def plain(): ...
'''
SAID = {"retries": 2, "retry_delay_seconds": 1.5, "timeout_seconds": 60}


@pytest.fixture
def project(project: Project) -> Project:
    project.write("flows.py", CODE)
    return project


def said(document: dict[str, object]) -> dict[str, object]:
    return {name: document[name] for name in SAID}


def test_what_the_flow_says_is_the_default(project: Project) -> None:
    found = project.json("deploy", "flows.py:load", "-n", "mine")
    assert found["name"] == "nightly-load/mine"
    assert said(found) == SAID
    assert found["description"] == "Loads one day."
    schema = found["parameter_schema"]
    assert schema["properties"]["day"] == {"title": "day", "type": "string", "format": "date"}
    assert list(schema["$defs"]) == ["Source"]


def test_what_the_flow_could_not_read_as_a_date_is_refused(project: Project) -> None:
    assert "day: 'soon' is not a 'date'" in project.refused("deploy", "flows.py:load", "--param", "day=soon")
    project.done("deploy", "flows.py:load", "-n", "mine")
    said = project.refused("deployment", "run", "mine", "-p", "day=2026-02-30")
    assert "day: '2026-02-30' is not a 'date'" in said
    project.done("deployment", "run", "mine", "-p", "day=2026-02-28")


def test_a_flow_that_says_nothing_has_the_usual_defaults(project: Project) -> None:
    found = project.json("deploy", "flows.py:plain")
    assert said(found) == {"retries": 0, "retry_delay_seconds": 0, "timeout_seconds": None}
    assert found["description"] == ""


def test_a_file_wins_over_the_flow_and_options_win_over_the_file(project: Project) -> None:
    text = "entrypoint: flows.py:load\nretries: 0\ntimeout_seconds: null\ndescription: Mine\n"
    project.write("deployment.yaml", text)
    [found] = project.json("deploy")
    assert said(found) == {"retries": 0, "retry_delay_seconds": 1.5, "timeout_seconds": None}
    assert found["description"] == "Mine"
    [found] = project.json("deploy", "--timeout-seconds", "5", "--description", "Theirs")
    assert said(found) == {"retries": 0, "retry_delay_seconds": 1.5, "timeout_seconds": 5}
    assert found["description"] == "Theirs"
    found = project.json("deploy", "flows.py:load", "--retries", "0", "--retry-delay-seconds", "0")
    assert said(found) == {"retries": 0, "retry_delay_seconds": 0, "timeout_seconds": 60}


def test_unchecked_code_says_nothing(project: Project) -> None:
    found = project.json("deploy", "flows.py:load", "--no-check")
    assert (found["name"], found["retries"], found["description"]) == ("load/default", 0, "")


def test_the_values_arrive_as_what_the_flow_asks_for(project: Project) -> None:
    project.json("deploy", "flows.py:load", "-n", "mine", "--params", '{"source": {"url": "u"}}')
    project.json("deployment", "run", "mine", "--name", "first", "-p", "day=2026-11-21")
    project.json("run", "flows.py:load", "--name", "second", "-p", "day=2026-11-21")
    project.work()
    first, second = (project.json("flow-run", "inspect", name) for name in ("first", "second"))
    assert first["result"] == [2026, 3, "first", "nightly-load/mine", "2026-11-21"], first["message"]
    assert second["result"] == [2026, None, "second", None, "2026-11-21"], second["message"]


def test_a_run_without_a_deployment_has_the_flows_retries(project: Project) -> None:
    project.write(
        "again.py",
        "from dispatcher import current_run, flow\n@flow(retries=1)\ndef f():\n    assert current_run().attempt == 2\n",
    )
    with project.agent():
        assert project.json("run", "again.py:f", "--watch")["attempts"] == 2
        answer = project.typed("run", "again.py:f", "--retries", "0", "--watch", "-o", "json")
        assert (answer.code, answer.json["attempts"]) == (1, 1)


def test_a_value_that_does_not_fit_fails_the_run_in_plain_words(project: Project) -> None:
    project.json("run", "flows.py:load", "--no-check", "--name", "it", "-p", "day=soon")
    project.work()
    ended = project.json("flow-run", "inspect", "it")
    assert ended["state"] == "FAILED"
    assert ended["message"].startswith("The parameters do not fit the flow 'load': day: ")
    assert "Traceback" not in project.done("flow-run", "logs", "it").stdout


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f(a, /): pass", "its parameter 'a' is positional-only; parameters are passed by name: drop the '/'"),
        ("from dispatcher import flow\n@flow(name='a/b')\ndef f(): ...", "Flow name 'a/b' is not valid"),
        ("from dispatcher import flow\n@flow(retries=-1)\ndef f(): ...", "retries of @flow is -1"),
    ],
)
def test_refused_and_nothing_changed(project: Project, server_connection: redis.Redis, code: str, message: str) -> None:
    project.write("wrong.py", code)
    with unchanged(server_connection):
        assert message in project.refused("deploy", "wrong.py:f")
        assert message in project.refused("run", "wrong.py:f")

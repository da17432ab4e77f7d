"""The pool's base job template, as a worker or an agent fills it in for each run that it executes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.models import Document, Run
from dispatcher.ops import pools, runs
from dispatcher.pool_types import default_template
from dispatcher.states import State
from tests.agent.words import words
from tests.consumers import POOL, Scene
from tests.polling import poll_until

TEXT: Document = {"type": "string"}
SECRET = "s3cret-value"
SHOW = "import json, os\ndef main(): print(json.dumps(dict(os.environ)))\n"


def template(scene: Scene, job: Document, variables: Document, *required: str) -> None:
    """Gives the pool this template."""
    of = {"job_configuration": job, "variables": {"type": "object", "properties": variables, "required": required}}
    scene.client.run(pools.update(POOL, template=json.loads(json.dumps(of))))


def submit(scene: Scene, **variables: Any) -> str:
    """A run that prints its environment."""
    (scene.folder / "show.py").write_text(SHOW)
    return scene.submit(entrypoint="show.py:main", job_variables=variables)


def environment(scene: Scene, run: str) -> dict[str, str]:
    """What the run saw."""
    done = scene.finished(run)
    assert done.state is State.COMPLETED, done.message
    seen: dict[str, str] = json.loads(scene.log(run)[0])
    return seen


def inspected(scene: Scene, run: str) -> str:
    """All that `flow-run inspect` prints, as a table and as JSON."""
    answers = [words(scene, "flow-run", "inspect", run, "-o", form) for form in ("table", "json")]
    assert [answer.returncode for answer in answers] == [0, 0], answers
    return "".join(answer.stdout for answer in answers)


# Whose word counts


def test_what_is_hard_coded_cannot_be_changed_by_a_deployment(scene: Scene) -> None:
    command = ["sh", "-c", "echo $WHO; pwd"]
    job = {"command": command, "working_dir": "/", "env": {"WHO": "operator"}, "name": "{{ name }}"}
    template(scene, job, {"name": TEXT, "env": {"type": "object"}})
    scene.start()
    run = scene.finished(scene.submit("hello", job_variables={"env": {"WHO": "deployment", "B": "b"}, "name": "n"}))
    assert (run.state, scene.log(run.id)) == (State.COMPLETED, ["operator", "/"])
    assert run.job == {"command": command, "working_dir": "/", "env": {"WHO": "operator", "B": "b"}, "name": "n"}
    for name, value in (("command", "true"), ("working_dir", "/tmp")):
        refused = scene.finished(scene.submit("hello", job_variables={name: value}))
        assert refused.state is State.CRASHED
        assert f"{name!r}" in refused.message
        assert scene.log(refused.id)[0].startswith("[could not start: ")


def test_the_environment_is_merged_from_the_template_its_defaults_and_the_run(scene: Scene) -> None:
    defaults = {"A": "default", "B": "default", "HARD": "default"}
    job = {"env": {"HARD": "{{ size }}", "GONE": "{{ nothing }}"}}
    known = {"env": {"type": "object", "default": defaults}, "size": {"type": "integer"}, "nothing": TEXT}
    template(scene, job, known)
    scene.start()
    seen = environment(scene, submit(scene, env={"B": "run", "C": "run", "HARD": "run", "GONE": "run"}, size=3))
    assert {name: seen.get(name) for name in "ABC"} == {"A": "default", "B": "run", "C": "run"}
    assert (seen["HARD"], seen.get("GONE")) == ("3", None)


def test_nothing_leaks_from_run_to_run(scene: Scene) -> None:
    scene.start()
    for size in (1, 2, 1):
        mine = {f"LEAK_{size}": "x", "SHARED": str(size)}
        both = [submit(scene, env=mine, working_dir="/"), submit(scene)]
        first, second = (environment(scene, run) for run in both)
        assert {name: first[name] for name in first if "LEAK" in name or name == "SHARED"} == mine
        assert [name for name in second if "LEAK" in name or name == "SHARED"] == []
        assert (first["PWD"], second["PWD"]) != ("/", "/")
        (shown,) = (scene.read(both[1]).job,)
        assert shown is not None
        assert (shown["env"], "working_dir" in shown) == ({}, False)


# The environment of the consumer


def with_token(scene: Scene, *, allowed: str) -> None:
    worker = scene.begin("worker", "--pool", POOL, TOKEN=SECRET, FOLDER="/", DISPATCHER_ALLOW_ENV=allowed)
    poll_until(lambda: worker.pid in {row.pid for row in scene.listed()}, 20, "the worker is registered")


def test_an_allowed_variable_reaches_the_process_and_is_never_shown(scene: Scene) -> None:
    job = {"env": {"GIVEN": "{{ $TOKEN }}", "URL": "https://me:{{ $TOKEN }}@{{ host }}/", "NONE": "{{ $UNSET }}"}}
    template(scene, job, {"host": TEXT})
    with_token(scene, allowed="UNSET,TOKEN")
    run = scene.submit(command=("sh", "-c", 'echo "${#GIVEN} ${#URL} ${NONE-unset}"'), job_variables={"host": "h"})
    assert scene.finished(run).state is State.COMPLETED
    assert scene.log(run) == [f"{len(SECRET)} {len(f'https://me:{SECRET}@h/')} unset"]
    told = inspected(scene, run)
    assert SECRET not in told
    assert "https://me:{{ $TOKEN }}@h/" in told
    assert all(SECRET not in consumer.log for consumer in scene.started)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"command": "{{ $TOKEN }}"}, "the command '{{ $TOKEN }}' was not found"),
        ({"command": ["{{ $FOLDER }}{{ $TOKEN }}", "x"]}, "{{ $TOKEN }}' was not found"),
        ({"working_dir": "/no/{{ $TOKEN }}"}, "has no folder '/no/{{ $TOKEN }}'"),
        ({"timeout_seconds": "{{ $TOKEN }}"}, "timeout_seconds must be a number of seconds"),
        ({"command": "'{{ $TOKEN }}"}, "command cannot be cut into words"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_nor_is_it_told_when_what_was_made_of_it_is_wrong(scene: Scene, job: Document, said: str) -> None:
    template(scene, job, {})
    with_token(scene, allowed="TOKEN,FOLDER")
    run = scene.finished(scene.submit("hello"))
    assert run.state is State.CRASHED
    assert said in run.message
    told = [str(run), *scene.log(run.id), *(consumer.log for consumer in scene.started)]
    assert SECRET not in "".join(told)


def test_what_the_consumer_does_not_allow_does_not_start(scene: Scene) -> None:
    template(scene, {"env": {"GIVEN": "{{ $TOKEN }}", "AT": "{{ $FOLDER }}"}}, {})
    with_token(scene, allowed="FOLDER")
    run = scene.finished(scene.submit("hello"))
    assert (run.state, run.attempts) == (State.CRASHED, 1)
    for fact in ("reads TOKEN from the environment", "DISPATCHER_ALLOW_ENV", "could not start"):
        assert fact in run.message
    assert SECRET not in inspected(scene, run.id)


# A template that changes


def echoing(said: str, **variables: Document) -> tuple[Document, Document]:
    return {"command": ["echo", said]}, variables


def test_a_template_that_is_changed_counts_for_the_next_run_and_for_those_that_wait(scene: Scene) -> None:
    scene.start("--limit", "1")
    first = scene.submit("hello")
    assert scene.finished(first).state is State.COMPLETED
    assert scene.log(first) == ["hello world"]

    held = scene.submit("hold")
    scene.held()
    waiting, cooked = scene.submit("hello"), scene.submit("hello", delay_ms=100)
    template(scene, *echoing("one"))
    scene.go()
    for run in (waiting, cooked, scene.submit("hello")):
        assert scene.finished(run).state is State.COMPLETED
        assert scene.log(run) == ["one"]
    assert scene.finished(held).result == "held"

    template(scene, *echoing("two"))
    again = scene.submit("hello")
    assert scene.finished(again).job == {"command": ["echo", "two"]}
    scene.client.run(pools.update(POOL, template={}))
    last = scene.submit("hello")
    assert scene.finished(last).state is State.COMPLETED
    assert scene.log(last) == ["hello world"], "the type's own again"


def test_a_template_that_a_waiting_run_does_not_fit_any_more_ends_that_run_and_says_why(scene: Scene) -> None:
    template(scene, *echoing("{{ word }}", word=TEXT))
    worker = scene.start("--limit", "1")
    held = scene.submit("hold", job_variables={"word": "x"}, command=("sh", "-c", "exit 3"))
    assert scene.finished(held).state is State.COMPLETED
    scene.client.run(pools.pause(POOL))
    missing, unknown = scene.submit("hello", retries=3), scene.submit("hello", retries=3, job_variables={"word": "x"})
    template(scene, *echoing("{{ words }}", words=TEXT), "words")
    scene.client.run(pools.resume(POOL))
    of: dict[str, Callable[[Run], bool]] = {
        missing: lambda run: "'words'" in run.message,
        unknown: lambda run: "'word'" in run.message and "did you mean 'words'" in run.message,
    }
    for run_id, says in of.items():
        run = scene.finished(run_id)
        assert (run.state, run.attempts, run.started_at_ms) == (State.CRASHED, 1, None)
        assert run.message.startswith("could not start: ")
        assert f"the base job template of work pool {POOL!r}" in run.message
        assert says(run), run.message
        assert scene.log(run_id) == [f"[{run.message}]"]
    assert worker.process.poll() is None
    assert scene.pool().slots_used == 0
    template(scene, *echoing("{{ words }}", words=TEXT))
    scene.client.run(runs.retry(POOL, missing))
    assert scene.finished(missing).state is State.COMPLETED


# Pools of agents


def test_an_agent_makes_the_job_by_the_infrastructure_of_the_deployment(agent_scene: Scene) -> None:
    agent_scene.start(kind="agent")
    variables = {"env": {"A": "mine"}, "name": "etl", "grace_seconds": 3}
    (agent_scene.folder / "show.py").write_text(SHOW)
    run = agent_scene.submit(entrypoint="show.py:main", infrastructure="process", job_variables=variables)
    assert environment(agent_scene, run)["A"] == "mine"
    assert agent_scene.read(run).job == {**variables, "labels": {}, "stream_output": True}
    wrong = agent_scene.finished(agent_scene.submit("hello", job_variables={"grace_secs": 3}))
    assert (wrong.state, "'grace_secs'" in wrong.message) == (State.CRASHED, True)


def test_the_pools_own_template_comes_before_that_of_the_infrastructure(agent_scene: Scene) -> None:
    template(agent_scene, {"command": ["echo", "{{ word }}"]}, {"word": {**TEXT, "default": "hard"}})
    agent_scene.start(kind="agent")
    run = agent_scene.finished(agent_scene.submit("hello", infrastructure="process", job_variables={"word": "soft"}))
    assert (run.state, agent_scene.log(run.id), run.job) == (State.COMPLETED, ["soft"], {"command": ["echo", "soft"]})


# What the default template of the type lets a deployment say


def test_every_variable_of_the_default_template_counts(scene: Scene) -> None:
    (scene.folder / "inside").mkdir()
    worker = scene.start("--grace-seconds", "60")
    common = {"name": "etl", "labels": {"team": "data"}, "env": {"A": "b"}, "working_dir": "inside"}
    asked = {**common, "stream_output": False, "timeout_seconds": 30.5, "grace_seconds": 0}
    run = scene.finished(scene.submit("hello", job_variables={**asked, "command": "sh -c 'echo $A; pwd'"}))
    assert scene.log(run.id) == ["b", str(scene.folder / "inside")]
    assert run.job == {**asked, "command": "sh -c 'echo $A; pwd'"}
    assert set(run.job) == set(default_template("process")["job_configuration"])
    late = scene.finished(scene.submit("stubborn", job_variables={"timeout_seconds": 0.3, "grace_seconds": 0}))
    assert (late.state, late.message) == (State.FAILED, "timed out after 0.3 s")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0
    assert "has started as etl, process" in worker.log
    assert str(scene.folder / "inside") not in worker.log

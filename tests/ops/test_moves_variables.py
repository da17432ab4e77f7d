"""Job variables of waiting runs that go to another pool: the deployment's are those of the new pool, their own stay."""

from collections.abc import Mapping
from typing import Any

import pytest

from dispatcher.models import Deployment, RunInput
from dispatcher.ops import deployments, moves, pools
from dispatcher.requests import Request
from dispatcher.submitting import submit
from tests.deploying import NAME, Office, deployment, every, until
from tests.ops.test_moves import recover
from tests.scene import POOL, Scene

OTHER = "other"
Variables = Mapping[str, Any]


@pytest.fixture
def office(scene: Scene) -> Office:
    scene.run(pools.create(OTHER))
    return Office(scene.run, scene.clock, scene.server)


def having(variables: Variables, *schedules: Any, pool: str = POOL) -> Deployment:
    return deployment(*schedules, pool=pool, input=RunInput(entrypoint="f.py:f", job_variables=dict(variables)))


def variables_in(office: Office, pool: str) -> list[Variables]:
    return [run.input.job_variables for run in sorted(office.kept(pool), key=lambda run: run.id)]


@pytest.mark.parametrize(
    ("own", "there", "expected"),
    [
        ({}, {}, {}),
        ({}, {"grace_seconds": 9}, {"grace_seconds": 9}),
        ({"env": {"B": "b"}}, {"env": {"A": "c"}}, {"env": {"A": "c", "B": "b"}}),
        ({"grace_seconds": 3}, {"grace_seconds": 9}, {"grace_seconds": 3}),
    ],
)
def test_the_deployments_are_made_anew_and_the_runs_own_stay(
    office: Office, own: Variables, there: Variables, expected: Variables
) -> None:
    here = {"stream_output": False, "env": {"A": "a"}}
    office.run(deployments.save(having(here)))
    office.run(submit([Request(NAME, job_variables=own)]))
    office.run(deployments.save(having({"stream_output": True})))  # what waits keeps what it was submitted with
    office.run(deployments.save(having(there, pool=OTHER)))
    assert variables_in(office, OTHER) == [expected]
    office.run(deployments.save(having(here)))
    (back,) = variables_in(office, POOL)
    assert back == {**here, **own, "env": {"A": "a", **own.get("env", {})}}, "and again"


def test_those_of_a_schedule_have_none_of_their_own(office: Office) -> None:
    office.run(deployments.save(having({"grace_seconds": 1}, every(10))))
    office.clock.advance(25 * 60_000)
    office.run(deployments.save(having({"grace_seconds": 2}, every(10))))
    assert {"grace_seconds": 1} in variables_in(office, POOL), "late ones stay as they are"
    office.run(deployments.save(having({"grace_seconds": 3}, every(10), pool=OTHER)))
    assert {run["grace_seconds"] for run in variables_in(office, OTHER)} == {3}


@pytest.mark.parametrize(
    ("kept", "expected"), [({"grace_seconds": 1}, {"grace_seconds": 2}), ({"grace_seconds": 7}, {"grace_seconds": 7})]
)
def test_what_does_not_tell_its_own_apart(office: Office, scene: Scene, kept: Variables, expected: Variables) -> None:
    """As earlier versions kept it: only what is no different from the deployment's is made anew."""
    office.run(deployments.save(having({"grace_seconds": 1})))
    scene.submit(deployment=NAME, input=RunInput(entrypoint="f.py:f", job_variables=dict(kept)))
    office.run(deployments.save(having({"grace_seconds": 2}, pool=OTHER)))
    assert variables_in(office, OTHER) == [expected]


@pytest.mark.parametrize("calls", range(1, 16))
def test_whoever_ends_the_move(office: Office, calls: int) -> None:
    office.run(deployments.save(having({"grace_seconds": 1})))
    office.run(submit([Request(NAME, job_variables={"stream_output": False})]))
    office.run(until(deployments.save(having({}, pool=OTHER)), calls))
    recover(office)
    where = office.run(deployments.read(NAME)).pool
    expected = {"stream_output": False} | ({"grace_seconds": 1} if where == POOL else {})
    assert (variables_in(office, where), moves.duty(NAME) in office.run(pools.duties(POOL))[0]) == ([expected], False)

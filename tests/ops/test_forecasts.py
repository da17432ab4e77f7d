"""What storing a deployment would do is what it then does."""

from contextlib import nullcontext
from typing import Any

import pytest

from dispatcher.errors import VariablesInvalid
from dispatcher.models import RunInput
from dispatcher.ops import deployments, forecasts, pools, templates
from dispatcher.requests import Request
from dispatcher.states import State
from dispatcher.submitting import submit
from tests.deploying import MINUTE_MS, NAME, Office, deployment, every
from tests.scene import Scene

OTHER = "other"
JITTERED = every(15, jitter_s=300)
BEFORE = (every(10), JITTERED, every(20, expires_s=7200))
CHANGES: list[tuple[Any, ...]] = [
    BEFORE,
    (),
    (every(10), JITTERED, every(30)),
    (every(10, parameters={"size": 1}), every(15, jitter_s=299), every(20, expires_s=7200, is_active=False)),
    (every(10, is_active=False), JITTERED),
]


@pytest.fixture
def office(scene: Scene) -> Office:
    scene.run(pools.create(OTHER))
    return Office(scene.run, scene.clock, scene.server)


@pytest.mark.parametrize("options", [{}, {"pool": OTHER}, {"queue": "low"}, {"is_paused": True}, {"input": {"day": 1}}])
@pytest.mark.parametrize("changed", CHANGES)
def test_it_comes_as_foreseen(office: Office, scene: Scene, changed: tuple[Any, ...], options: dict[str, Any]) -> None:
    office.run(deployments.save(deployment(*BEFORE)))
    scene.submit_many(2, deployment=NAME, delay_ms=MINUTE_MS)
    office.pass_minutes(32)
    consumer = scene.join()
    taken = scene.claim(consumer, 2).runs
    scene.start(consumer, (taken[0].id, 1))
    scene.finish(consumer, (taken[0].id, 1), State.FAILED, retry_in_ms=50 * MINUTE_MS)
    if "input" in options:
        options = {"input": RunInput(entrypoint="f.py:f", parameters=options["input"])}
    after = deployment(*changed, **options)
    foreseen = office.run(forecasts.stored(office.run(deployments.read(NAME)), after)).saved
    assert office.run(deployments.save(after)) == foreseen


def test_a_new_one(office: Office) -> None:
    after = deployment(*BEFORE, queue="low")
    foreseen = office.run(forecasts.stored(None, after)).saved
    assert office.run(deployments.save(after)) == foreseen
    assert (foreseen.made_queue, foreseen.scheduled) == (True, 6 + 4 + 4)


@pytest.mark.parametrize(
    ("own", "now", "fault"),
    [
        ({}, {"n": 2}, ""),
        ({"n": 3}, {"n": 2}, ""),
        ({"m": 1}, {"n": 2}, "'m' is not known"),
        ({"n": 1}, {"n": 2}, "n: 1 is less than the minimum of 2"),
        ({}, {}, "'n' is missing"),
    ],
)
def test_which_waiting_runs_do_not_fit_another_pool(
    office: Office, own: dict[str, Any], now: dict[str, Any], fault: str
) -> None:
    anything = {"job_configuration": {}, "variables": {"additionalProperties": True}}
    picky = {"properties": {"n": {"minimum": 2}}, "required": ["n"]}
    office.run(pools.create("here", template=anything))
    office.run(pools.update(OTHER, template={"job_configuration": {}, "variables": picky}))
    before = deployment(pool="here", input=RunInput(entrypoint="f.py:f", job_variables={"old": 1}))
    office.run(deployments.save(before))
    office.run(submit([Request(NAME, job_variables=own)] * 12))  # more than are read at once
    after = deployment(pool=OTHER, input=RunInput(entrypoint="f.py:f", job_variables=now))
    foreseen = office.run(forecasts.misfits(before, after))
    assert [fault in one.detail for one in foreseen] == ([True] * 12 if fault else [])
    office.run(deployments.save(after))
    template = office.run(templates.read(OTHER))
    for moved in office.kept(OTHER):
        with pytest.raises(VariablesInvalid) if fault else nullcontext():
            templates.check(template, moved.input.job_variables, moved.input.infrastructure)


def test_late_runs_of_a_schedule_take_what_the_deployment_says(office: Office) -> None:
    before = deployment(every(10), input=RunInput(entrypoint="f.py:f", job_variables={"grace_seconds": 1}))
    office.run(deployments.save(before))
    office.clock.advance(25 * MINUTE_MS)
    picky = {"job_configuration": {}, "variables": {"properties": {"n": {}}, "required": ["n"]}}
    office.run(pools.update(OTHER, template=picky))
    after = deployment(pool=OTHER, input=RunInput(entrypoint="f.py:f"))
    late = office.run(forecasts.misfits(before, after))
    assert len(late) == 2
    assert all("'n' is missing" in one.detail for one in late), "what they had is not known there, and left behind"
    named = deployment(pool=OTHER, input=RunInput(entrypoint="f.py:f", job_variables={"n": 1}))
    assert office.run(forecasts.misfits(before, named)) == []

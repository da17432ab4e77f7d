"""What storing a deployment would do is what it then does."""

from typing import Any

import pytest

from dispatcher.models import RunInput
from dispatcher.ops import deployments, forecasts, pools
from dispatcher.states import State
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

"""What time does by itself, done by the very script that is called, must not undo what that script has looked at."""

from __future__ import annotations

import pytest

from dispatcher.ops import audits, deployments, pools, queues, runs
from dispatcher.states import State
from tests.deploying import deployment, rest
from tests.scene import LEASE_MS, POOL, Scene

GRACE_MS = 2_000


@pytest.fixture
def awake(scene: Scene) -> str:
    """A consumer whose heartbeats keep the pool from falling silent."""
    return scene.join("awake", selector="=nothing")


def end_lease(scene: Scene, awake: str) -> None:
    """Time passes until a lease taken now has ended, and nobody has looked since."""
    for _ in range(3):
        scene.clock.advance(LEASE_MS // 3)
        scene.renew(awake)
    scene.clock.advance(GRACE_MS)


def test_a_lost_run_does_not_vanish_with_its_queue(scene: Scene, awake: str) -> None:
    scene.queue("q")
    run, _ = scene.held(scene.join("dies", selector="=q"), "q")
    end_lease(scene, awake)
    scene.run(queues.delete(POOL, "q"))
    assert scene.run(audits.audit(POOL)) == []
    assert scene.see(run).queue == "default"
    assert scene.take(scene.join("next")) == [run]


def test_what_is_retried_is_not_trimmed_by_what_ends_beside_it(scene: Scene, awake: str) -> None:
    scene.run(pools.update(POOL, keep_runs=100))
    worker = scene.join()
    first = scene.finished(worker, State.CRASHED)
    for _ in range(99):
        scene.finished(worker, State.CRASHED)
    scene.submit()
    for _ in range(3):  # the third loss crashes it: one too many
        scene.tick()
        assert scene.take(worker)
        end_lease(scene, awake)
    assert scene.run(runs.retry(POOL, first)) is State.SCHEDULED
    assert scene.run(audits.audit(POOL)) == []
    assert scene.see(first).name == "r"
    assert first in scene.take(worker)


@pytest.mark.parametrize("is_forced", [False, True])
def test_a_run_that_is_lost_as_it_is_cancelled_is_cancelled(scene: Scene, awake: str, is_forced: bool) -> None:
    run, _ = scene.held(scene.join("dies"))
    end_lease(scene, awake)
    assert scene.run(runs.cancel(POOL, run, force=is_forced)) is State.CANCELLED
    assert scene.state(run) is State.CANCELLED
    assert scene.used() == {"": 0, "default": 0}


def test_a_pool_that_is_made_again_while_it_is_taken_off_the_lists(scene: Scene) -> None:
    scene.run(deployments.save(deployment()))
    flow = pools.delete(POOL)
    call = next(flow)
    while call.command != "SREM":
        call = flow.send(scene.run(call))
    scene.run(pools.create(POOL))
    scene.run(deployments.save(deployment()))
    rest(scene.run, flow, call)
    assert scene.run(pools.names()) == [POOL]
    assert scene.run(deployments.read("f/d")).pool == POOL
    assert scene.run(audits.audit(POOL)) == []

"""What happens meanwhile, by time in the very script that is called or by others between two calls, must not undo what
was looked at."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dispatcher.call import Call
from dispatcher.errors import DeploymentChanged, DeploymentNotFound
from dispatcher.ops import audits, deployments, pools, queues, runs
from dispatcher.requests import Request
from dispatcher.states import State
from dispatcher.submitting import submit
from tests.deploying import NAME, deployment, interleaved, rest, stopped_before
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
    call = stopped_before("SREM", scene.run, flow)
    scene.run(pools.create(POOL))
    scene.run(deployments.save(deployment()))
    rest(scene.run, flow, call)
    assert scene.run(pools.names()) == [POOL]
    assert scene.run(deployments.read("f/d")).pool == POOL
    assert scene.run(audits.audit(POOL)) == []


# Submitting while the deployment changes


def stopped_at_submit(scene: Scene) -> tuple[Any, Call[Any]]:
    """Somebody submits two runs of the deployment, and has looked at everything, but not sent it."""
    flow = submit([Request(NAME), Request(NAME)])
    return flow, stopped_before("run_submit", scene.run, flow)


@pytest.mark.parametrize(("queue", "pool"), [("default", "other"), ("low", "other"), ("low", POOL)])
def test_a_run_submitted_late_is_where_its_deployment_went(scene: Scene, queue: str, pool: str) -> None:
    scene.run(pools.create("other"))
    scene.run(deployments.save(deployment()))
    flow, call = stopped_at_submit(scene)
    scene.run(deployments.save(deployment(queue=queue, pool=pool)))
    with pytest.raises(DeploymentChanged) as changed:
        scene.run(call)
    call = flow.throw(changed.value)
    found = [receipt.run for receipt in rest(scene.run, flow, call)]
    assert [(run.pool, run.queue, run.state) for run in found] == [(pool, queue, State.SCHEDULED)] * 2
    assert {run.id for run in scene.run(runs.list_pool(pool, most=9))} == {run.id for run in found}


def test_a_run_submitted_late_is_refused_when_its_deployment_is_gone(scene: Scene) -> None:
    scene.run(deployments.save(deployment()))
    flow, call = stopped_at_submit(scene)
    scene.run(deployments.delete(NAME))
    with pytest.raises(DeploymentChanged) as changed:
        scene.run(call)
    with pytest.raises(DeploymentNotFound) as refused:
        rest(scene.run, flow, flow.throw(changed.value))
    assert refused.value.__notes__ == ["This is request 1 of 2. Nothing was submitted."]
    assert scene.run(runs.list_pool(POOL, most=1)) == []


def end_always_late(scene: Scene, flow: Any, call: Call[Any]) -> None:
    """Whenever it submits, its deployment has just changed."""
    while True:
        is_late = call.command == "run_submit"
        call = flow.throw(DeploymentChanged(deployment=NAME)) if is_late else flow.send(scene.run(call))


def test_who_is_always_late_is_told_how_many_were_submitted(scene: Scene) -> None:
    scene.run(deployments.save(deployment()))
    flow = submit([Request(NAME)] * 101)
    call = flow.send(scene.run(stopped_before("run_submit", scene.run, flow)))
    with pytest.raises(DeploymentChanged) as refused:
        end_always_late(scene, flow, call)
    assert refused.value.__notes__ == ["100 of 101 runs were submitted before that."]
    assert len(scene.run(runs.list_pool(POOL, most=200))) == 100


def test_what_was_submitted_is_not_submitted_again_however_its_deployment_changed(scene: Scene) -> None:
    scene.run(deployments.save(deployment()))
    flow, call = stopped_at_submit(scene)
    first = scene.run(call)
    scene.run(deployments.save(deployment(description="changed")))
    again = scene.run(call)  # the reply was lost
    assert [(one.id, one.is_new) for one in again] == [(one.id, False) for one in first]
    assert {receipt.run.id for receipt in rest(scene.run, flow, call)} == {one.id for one in first}


@pytest.mark.parametrize("seed", range(40))
def test_no_run_is_left_behind_by_a_move_whoever_submits_meanwhile(scene: Scene, seed: int) -> None:
    scene.run(pools.create("other"))
    scene.run(deployments.save(deployment()))
    requests = [Request(NAME) for _ in range(3)]
    flows = [deployments.save(deployment(pool="other")), *(submit([request]) for request in requests)]
    interleaved(scene.run, flows, random.Random(seed))
    assert scene.run(runs.list_pool(POOL, most=9)) == []
    assert len(scene.run(runs.list_pool("other", most=9))) == len(requests)
    assert scene.run(audits.audit(POOL)) == scene.run(audits.audit("other")) == []

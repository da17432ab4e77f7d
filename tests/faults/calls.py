"""Calls of every script, each with a pool in which it has something to do: for tests of what happens to calls.

A `Given` prepares the pool of a scene and returns the call, which is not sent yet. Of an operation of several calls it
sends those that come before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Arg, Call, Flow
from dispatcher.errors import DispatcherError
from dispatcher.models import Outcome, RunInput
from dispatcher.ops import deployments, leases, moves, pools, queues, schedules
from dispatcher.ops.reading import optional
from dispatcher.states import State
from tests.conftest import Run
from tests.deploying import MINUTE_MS, NAME, deployment, every
from tests.scene import POOL, Scene

Given = Callable[[Scene], Call[Any]]


def busy(scene: Scene) -> str:
    """A pool with a bit of everything: two queues, runs waiting and held, idle consumers. Returns the busy one's id."""
    worker = scene.join("busy")
    scene.queue("q", 1, limit=2)
    scene.running(worker, deployment="f/d", idempotency_key="k")
    for name in ("idle", "other"):
        scene.claim(scene.join(name, selector="=q"))
    scene.submit_many(3)
    scene.submit("q", delay_ms=5_000)
    scene.clock.advance(1_000)
    return worker


def on_held(make: Callable[[str, tuple[str, int]], Call[Any]], *, started: bool = True) -> Given:
    """A call about one run that a consumer holds."""

    def given(scene: Scene) -> Call[Any]:
        worker = scene.join("holder", selector="=own")
        scene.queue("own")
        held = scene.running(worker, "own") if started else scene.held(worker, "own")
        busy(scene)
        return make(worker, held)

    return given


def on_finished(make: Callable[[str], Call[Any]]) -> Given:
    def given(scene: Scene) -> Call[Any]:
        run = scene.finished(scene.join("done"))
        busy(scene)
        return make(run)

    return given


def in_busy(make: Callable[[str], Call[Any]]) -> Given:
    return lambda scene: make(busy(scene))


def created(scene: Scene) -> Call[Any]:
    busy(scene)
    return of_flow(pools.create("new", limit=3), scene, "pool_create")


def deleted_pool(scene: Scene) -> Call[Any]:
    scene.finished(scene.join())
    scene.claim(scene.join("idle", selector="^x"))
    return next(pools.delete(POOL, cancel_runs=True))


def deleted_queue(scene: Scene) -> Call[Any]:
    scene.queue("empty")
    busy(scene)
    return next(queues.delete(POOL, "empty"))


def drained_queue(scene: Scene) -> Call[Any]:
    busy(scene)
    return Call("queue_drain", (keyspace.pool(POOL),), ("q", "default", 100), optional)


def due_runs(scene: Scene) -> Call[Any]:
    busy(scene)
    scene.clock.advance(5_000)
    return pools.tick(POOL)


def read_why(scene: Scene) -> Call[Any]:
    busy(scene)
    return Call("run_why", (keyspace.pool(POOL),), (scene.submit(),), list)


def repairing(script: str, key: str, member: str, *args: Arg) -> Given:
    """A repair of a pool in which something was lost: a member of an index, or the whole key."""

    def given(scene: Scene) -> Call[Any]:
        busy(scene)
        place = key.replace("CONSUMER", scene.join("stray"))
        assert (scene.server.zrem(place, member) if member else scene.server.delete(place)) == 1
        return Call(script, (keyspace.pool(POOL),), (1, *args), list)

    return given


def of_flow(flow: Flow[Any], scene: Scene, script_name: str, after: Call[Any] | None = None) -> Call[Any]:
    """The first call of that script in a flow, or the first after another one; what comes before it is done."""
    call: Call[Any] = next(flow) if after is None else step(flow, scene.run, after)
    while call.command != script_name:
        call = step(flow, scene.run, call)
    return call


def step(flow: Flow[Any], driver: Run, call: Call[Any]) -> Call[Any]:
    """Sends the call; returns the flow's next one."""
    try:
        reply = driver(call)
    except DispatcherError as error:
        return flow.throw(error)
    return flow.send(reply)


def scheduled(scene: Scene) -> None:
    """A deployment with two schedules, some of whose runs are late, held, waiting or yet to be made."""
    busy(scene)
    given = RunInput(entrypoint="f.py:f", parameters={"size": 1})
    scene.run(deployments.save(deployment(every(10), every(45, overlap="skip", expires_s=60), input=given)))
    scene.clock.advance(25 * MINUTE_MS)
    scene.claim(scene.join("early", prefetch_ms=10 * MINUTE_MS), 2)


def changed_deployment(scene: Scene) -> Call[Any]:
    """One schedule's runs become others, one stops, one comes; only in place of the version that was read."""
    scheduled(scene)
    over = scene.run(deployments.read(NAME)).version
    fresh = deployment(every(10, parameters={"size": 2}), every(45, is_active=False, overlap="skip"), every(7))
    return of_flow(deployments.save(fresh, over=over), scene, "deployment_save")


def halted_deployment(scene: Scene) -> Call[Any]:
    """The first step of a move to another pool."""
    scheduled(scene)
    scene.run(pools.create("target"))
    return of_flow(deployments.save(deployment(every(10), pool="target")), scene, "deployment_save")


def deleted_deployment(scene: Scene) -> Call[Any]:
    scheduled(scene)
    return of_flow(deployments.delete(NAME), scene, "deployment_delete")


def read_schedule(scene: Scene) -> Call[Any]:
    scheduled(scene)
    return schedules.progress(POOL, [(NAME, every(10).id), (NAME, "gone")])


def admitted_runs(scene: Scene) -> Call[Any]:
    scheduled(scene)
    return of_flow(schedules.expand(POOL, [(NAME, every(10).id)]), scene, "schedule_admit")


def found_duties(scene: Scene) -> Call[Any]:
    scheduled(scene)
    scene.clock.advance(60 * MINUTE_MS)
    return pools.duties(POOL)


def moving(scene: Scene) -> Flow[int]:
    """A move to another pool, of late runs, future ones, one that failed and waits for its retry."""
    scheduled(scene)
    scene.run(pools.create("target"))
    worker = scene.join("again", selector="=retried")
    scene.queue("retried")
    held = scene.running(worker, "retried", deployment=NAME, idempotency_key="once")
    scene.run(leases.log(POOL, worker, *held, ["a"]))
    scene.run(leases.finish(POOL, worker, [Outcome(*held, State.FAILED, retry_in_ms=60_000)]))
    return moves.move(POOL, NAME, "target", "default")


def moved_on(scene: Scene) -> Call[Any]:
    """The second step of a move: some runs have been adopted, the rest is on its way."""
    flow = moving(scene)
    return of_flow(flow, scene, "run_move", after=of_flow(flow, scene, "run_move"))


def requeued_runs(scene: Scene) -> Call[Any]:
    scheduled(scene)
    return of_flow(deployments.save(deployment(every(10), queue="q")), scene, "run_requeue")


def put_back_runs(scene: Scene) -> Call[Any]:
    """The pool to which runs were moving is gone."""
    flow = moving(scene)
    scene.run(of_flow(flow, scene, "run_move"))
    scene.run(pools.delete("target"))
    return of_flow(moves.put_back(POOL, NAME, ""), scene, "run_return")


def refused_runs(scene: Scene) -> Call[Any]:
    """Runs that were to come to a pool, whose deployment went elsewhere since."""
    scene.run(of_flow(moving(scene), scene, "run_move"))
    return of_flow(moves.put_back(POOL, NAME, ""), scene, "run_refuse")

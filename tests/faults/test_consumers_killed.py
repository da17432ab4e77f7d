"""Consumers that are killed: nothing of theirs lives on, their runs wait again, no slot leaks, no attempt counts."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from dispatcher.ops import pools, queues
from dispatcher.states import State
from tests.consumers import LEASE_S, POOL, ConsumerProcess, Scene, is_dead
from tests.polling import poll_until

FIVE = range(5)
GRACE_S = 2.0  # after the end of a lease the server waits this long
HEARTBEAT_S = LEASE_S / 3


def five_held(scene: Scene, *options: str) -> tuple[ConsumerProcess, list[str], list[int]]:
    """A worker named `victim` with five running runs, each with a grandchild; the runs, and all the processes."""
    scene.client.run(pools.set_limit(POOL, 5))
    worker = scene.start("--name", "victim", *options)
    given = [scene.submit("hold", parameters={"name": f"held-{number}"}) for number in FIVE]
    processes = [pid for number in FIVE for pid in scene.held(f"held-{number}")]
    for run in given:
        scene.until(run, State.RUNNING)
    assert scene.pool().slots_used == 5
    return worker, given, processes


def guardian_of(consumer: ConsumerProcess) -> psutil.Process:
    children = psutil.Process(consumer.pid).children()
    return next(child for child in children if any("guardian.py" in word for word in child.cmdline()))


def all_dead(processes: list[int], timeout_s: float = 5.0) -> None:
    poll_until(lambda: all(map(is_dead, processes)), timeout_s, "children and grandchildren are dead")


def test_with_a_successor_the_runs_wait_again_as_soon_as_it_joins(scene: Scene) -> None:
    scene.client.run(pools.update(POOL, lease_ms=60_000))
    worker, given, processes = five_held(scene)
    worker.kill()
    scene.start("--name", "victim")
    all_dead(processes)
    lost = [scene.events("lost", run) for run in given]
    assert [len(events) for events in lost] == [1] * 5
    *_, joined = scene.events("joined")
    assert {events[0].at_ms for events in lost} == {joined.at_ms}, "by the very call, long before their leases end"

    for run in given:
        again = scene.until(run, State.RUNNING)
        assert (again.lost, again.attempts, again.epoch) == (1, 0, 2)
    scene.go()
    for run in given:
        done = scene.finished(run)
        assert (done.state, done.lost, done.attempts) == (State.COMPLETED, 1, 1)
    assert scene.pool().slots_used == 0
    assert [row.name for row in scene.listed()] == ["victim"], "the row of the dead one is gone"


def test_without_a_successor_the_runs_wait_again_after_their_lease(scene: Scene) -> None:
    scene.client.run(queues.create(POOL, "other"))
    scene.start("--name", "witness", "-q", "other")
    worker, given, processes = five_held(scene, "-q", "default")
    killed_ms = time.time() * 1000
    worker.kill()
    all_dead(processes)
    for run in given:
        again = scene.until(run, State.SCHEDULED, timeout_s=LEASE_S + GRACE_S + 5)
        assert (again.lost, again.attempts, again.releases) == (1, 0, 0)
    waited_s = [(scene.events("lost", run)[0].at_ms - killed_ms) / 1000 for run in given]
    assert min(waited_s) > LEASE_S + GRACE_S - HEARTBEAT_S - 1
    assert max(waited_s) < LEASE_S + GRACE_S + 3, "two leases would be longer"
    assert scene.pool().slots_used == 0


def test_another_name_on_the_same_host_is_a_successor_too(scene: Scene) -> None:
    worker, given, _ = five_held(scene)
    worker.kill()
    scene.start("--name", "heir")
    for run in given:
        assert scene.until(run, State.RUNNING).lost == 1


def test_nothing_of_a_killed_consumer_is_left(scene: Scene) -> None:
    worker, _, processes = five_held(scene)
    guardian = guardian_of(worker)
    folder = Path(guardian.cmdline()[-1])
    assert len(list(folder.glob("*-1"))) == 5, "one folder a run"
    worker.kill()
    all_dead(processes)
    poll_until(lambda: is_dead(guardian.pid), 5, "the guardian has ended")
    assert not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_without_its_guardian_the_children_still_die(scene: Scene) -> None:
    worker, _, processes = five_held(scene)
    guardian_of(worker).kill()
    worker.kill()
    all_dead(processes[::2])
    for grandchild in processes[1::2]:
        os.kill(grandchild, signal.SIGKILL)


def test_a_guardian_that_died_is_replaced_and_knows_the_old_groups(scene: Scene) -> None:
    scene.submit("hold", parameters={"name": "first"})
    worker = scene.start()
    processes = [*scene.held("first")]
    old = guardian_of(worker)
    old.kill()
    scene.submit("hold", parameters={"name": "second"})
    processes += scene.held("second")
    assert guardian_of(worker).pid != old.pid
    worker.kill()
    all_dead(processes)


def test_the_guardian_does_not_hear_the_signals_of_a_terminal(scene: Scene) -> None:
    scene.submit("hold")
    worker = scene.start()
    processes = [*scene.held()]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        guardian_of(worker).send_signal(number)
    worker.kill()
    all_dead(processes)

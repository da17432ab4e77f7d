"""Consumers that cannot reach Redis, or are frozen: they go on by themselves, and no run is executed twice at once."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dispatcher import broker
from dispatcher.ops import pools
from dispatcher.states import State
from tests.consumers import LEASE_S, POOL, Scene, is_dead, opened
from tests.polling import poll_until
from tests.proxy import Proxy


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with Proxy(redis_url) as proxy:
        yield proxy


def pause(seconds: float) -> None:
    """Lets an outage last: its length is what the test is about."""
    end_s = time.monotonic() + seconds
    poll_until(lambda: time.monotonic() >= end_s, seconds + 5, "the outage has lasted")


def test_an_outage_of_ten_seconds_is_survived(scene: Scene, proxy: Proxy) -> None:
    scene.client.run(pools.update(POOL, lease_ms=30_000))
    worker = scene.start(url=proxy.url)
    ends_during, ends_after = scene.submit("hold", parameters={"name": "a", "until": "go-a"}), scene.submit("hold")
    waiting, _ = scene.held("a"), scene.held()
    for run in (ends_during, ends_after):
        scene.until(run, State.RUNNING)
    proxy.cut()
    scene.go("go-a")
    poll_until(lambda: is_dead(waiting[0]), 10, "the run has ended during the outage")
    submitted = scene.submit("hello")
    pause(10)
    assert scene.read(ends_during).state is State.RUNNING
    proxy.mend()
    assert scene.finished(ends_during, timeout_s=5).state is State.COMPLETED
    assert scene.finished(submitted, timeout_s=5).state is State.COMPLETED
    scene.go()
    found = scene.finished(ends_after)
    assert (found.state, found.lost, found.epoch) == (State.COMPLETED, 0, 1)
    assert worker.log.count("Trying again until it answers") == 1, worker.log
    assert worker.log.count("Redis answers again") == 1
    worker.signal(signal.SIGTERM)
    assert worker.exit_code() == 0


@pytest.mark.parametrize("outage", ["hang_up", "stall"])
def test_a_consumer_that_is_cut_off_beyond_its_lease_stops_its_run_before_another_starts_it(
    scene: Scene, proxy: Proxy, outage: str
) -> None:
    run = scene.submit("hold")
    cut_off = scene.start("--name", "cut-off", url=proxy.url)
    child, grandchild = scene.held()
    scene.until(run, State.RUNNING)
    other = scene.start("--name", "other")
    (scene.folder / "held").unlink()
    began_s = time.monotonic()
    getattr(proxy, outage)()
    poll_until(lambda: is_dead(child) and is_dead(grandchild), LEASE_S, "the run was stopped before its lease ended")
    assert time.monotonic() - began_s > LEASE_S / 3, "but not at the first missed heartbeat"
    assert not (scene.folder / "held").exists()
    again = scene.held()
    found = scene.until(run, State.RUNNING)
    assert found.consumer is not None
    assert (found.consumer.pid, found.lost, found.attempts, found.epoch) == (other.pid, 1, 0, 2)

    proxy.mend()
    poll_until(lambda: "answers again" in cut_off.log or outage == "stall", 20, "the other one is back")
    fresh = scene.submit("hello")
    assert scene.finished(fresh).state is State.COMPLETED
    assert not is_dead(again[0]), "what was cut off does not touch the run that is not its own any more"
    scene.go()
    assert scene.finished(run).state is State.COMPLETED
    cut_off.signal(signal.SIGTERM)
    assert cut_off.exit_code() == 0


def test_a_frozen_consumer_stops_its_runs_when_it_wakes_and_its_late_writes_change_nothing(scene: Scene) -> None:
    long = scene.submit("hold", parameters={"name": "long", "until": "go-long"})
    short = scene.submit("hold", parameters={"name": "short", "until": "go-short"})
    frozen = scene.start("--name", "frozen")
    before = [*scene.held("long"), *scene.held("short")]
    for run in (long, short):
        scene.until(run, State.RUNNING)
    for name in ("long", "short"):
        (scene.folder / name).unlink()
    other = scene.start("--name", "other")
    frozen.signal(signal.SIGSTOP)
    after = [*scene.held("long"), *scene.held("short")]
    scene.go("go-short")  # both executions end; the report of the frozen one comes after its lease
    assert scene.finished(short).state is State.COMPLETED
    poll_until(lambda: psutil.Process(before[2]).status() == psutil.STATUS_ZOMBIE, 10, "its process has ended too")

    frozen.signal(signal.SIGCONT)
    poll_until(lambda: all(map(is_dead, before)), 5, "the processes of the frozen consumer are dead")
    poll_until(lambda: frozen.log.count("not ours any more") == 2, 10, "both runs were given up")
    assert not is_dead(after[0])
    for run in (long, short):
        found = scene.read(run)
        assert found.consumer is not None
        assert (found.consumer.pid, found.epoch, found.lost) == (other.pid, 2, 1)
    scene.go("go-long")
    done = scene.finished(long)
    assert (done.state, done.attempts, scene.pool().slots_used) == (State.COMPLETED, 1, 0)
    assert "Traceback" not in frozen.log


def test_lost_replies_make_nothing_happen_twice_or_never(scene: Scene, proxy: Proxy) -> None:
    scene.start("--limit", "2", url=proxy.url)
    given = []
    for number in range(20):
        proxy.drop_next_reply()
        given.append(scene.submit("note", parameters={"word": str(number)}))
        scene.finished(given[-1])
    assert proxy.dropped == 20
    assert sorted(scene.file("journal").split(), key=int) == [str(number) for number in range(20)]
    for run in given:
        found = scene.read(run)
        assert (found.state, found.attempts, found.lost) == (State.COMPLETED, 1, 0)
    assert scene.pool().slots_used == 0


def test_runs_go_on_while_redis_is_down_for_longer_than_the_lease(server_binary: Path, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))
    try:
        with opened(broker.ensure(folder), tmp_path) as scene:
            run = scene.submit("hold")
            worker = scene.start()
            child, _ = scene.held()
            scene.until(run, State.RUNNING)
            pause(1.5)  # the broker writes its file every second
            server = broker.status(folder).pid
            assert server is not None
            os.kill(server, signal.SIGKILL)
            pause(LEASE_S + 3)
            assert not is_dead(child), "nobody can be given the lease while Redis is down"
            broker.ensure(folder)
            poll_until(lambda: "Redis answers again" in worker.log, 10, "the worker is back")
            scene.go()
            found = scene.finished(run)
            assert (found.state, found.lost, found.epoch) == (State.COMPLETED, 0, 1)
    finally:
        broker.stop(folder)
        shutil.rmtree(folder)


def test_a_consumer_starts_before_its_redis(scene: Scene, proxy: Proxy) -> None:
    proxy.cut()
    worker = scene.begin("worker", "--pool", POOL, url=proxy.url)
    poll_until(lambda: "Trying again until it answers" in worker.log, 20, "the worker says that Redis is away")
    run = scene.submit("hello")
    proxy.mend()
    assert scene.finished(run).state is State.COMPLETED


def test_a_consumer_ends_although_redis_is_away(scene: Scene, proxy: Proxy) -> None:
    scene.submit("hold")
    worker = scene.start("--grace-seconds", "1", url=proxy.url)
    processes = scene.held()
    proxy.cut()
    for said in ("waited for", "given back"):
        worker.signal(signal.SIGTERM)
        poll_until(lambda said=said: said in worker.log, 10, "the signal was taken")  # type: ignore[misc]
    assert worker.exit_code(20) == 1
    assert all(map(is_dead, processes))
    assert "Redis could not be told" in worker.log

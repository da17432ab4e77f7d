"""A consumer whose log nobody reads any more: it goes on, keeps its leases, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from dispatcher.states import State
from tests.consumers import LEASE_S, PATIENCE_S, POOL, Scene
from tests.polling import poll_until


def fill(descriptor: int) -> None:
    """Writes to the pipe until it takes no more."""
    os.set_blocking(descriptor, False)
    try:
        while True:
            os.write(descriptor, b"x")
    except BlockingIOError:
        os.set_blocking(descriptor, True)


def test_a_reader_of_the_log_that_stops_holds_nobody_up(scene: Scene) -> None:
    reading, writing = os.pipe()
    argv = [sys.executable, "-m", "dispatcher", "--redis-url", scene.url, "worker", "start", "--pool", POOL]
    environment = {**os.environ, "TMPDIR": str(scene.temporary)}
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=writing, cwd=scene.folder, env=environment) as worker:
        try:
            poll_until(scene.listed, PATIENCE_S, "the worker is registered")
            fill(writing)
            held = scene.submit("hold")
            scene.held()
            for _ in range(5):
                assert scene.finished(scene.submit("hello")).state is State.COMPLETED
            begun_ms = scene.read(held).read_at_ms
            poll_until(
                lambda: scene.read(held).read_at_ms - begun_ms > 1000 * LEASE_S, 3 * LEASE_S, "more than a lease passed"
            )
            scene.go()
            found = scene.finished(held)
            assert (found.state, found.lost, found.epoch) == (State.COMPLETED, 0, 1)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE_S) == 0
        finally:
            worker.kill()
    os.close(writing)
    os.close(reading)


def test_what_is_logged_is_read_in_its_order_and_to_the_end(scene: Scene) -> None:
    given = [scene.submit("hello") for _ in range(5)]
    worker = scene.begin("worker", "--pool", POOL, "--run-once", "--limit", "5")
    assert worker.exit_code() == 0
    for run in given:
        started, ended = (worker.log.index(f"({run}) {word}") for word in ("has started", "is COMPLETED"))
        assert started < ended

"""The health check of real workers: 200 while Redis answers them, 503 while it does not, and no client holds one up."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from dispatcher.ops import pools
from dispatcher.states import State
from tests.consumers import PATIENCE_S, POOL, ConsumerProcess, Scene
from tests.polling import poll_until
from tests.proxy import Proxy


class Healthy:
    """A worker with a health check on a port of its own."""

    def __init__(self, scene: Scene, *options: str, url: str | None = None) -> None:
        self.worker: ConsumerProcess = scene.begin(
            "worker",
            "--with-healthcheck",
            *(options or ("--pool", POOL)),
            url=url,
            DISPATCHER_HEALTHCHECK_PORT="0",
        )
        found = poll_until(
            lambda: re.search(r"http://127\.0\.0\.1:(\d+)/health", self.worker.log), PATIENCE_S, "the address is shown"
        )
        assert found is not None
        self.port = int(found[1])

    def ask(self, path: str = "/health", method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def until(self, status: int, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        poll_until(lambda: self.ask()[0] == status, timeout_s, f"/health answers {status}")
        facts: dict[str, Any] = json.loads(self.ask()[1])
        return facts

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)


@pytest.fixture
def proxy(scene: Scene) -> Iterator[Proxy]:
    with Proxy(scene.url) as proxy:
        yield proxy


def test_a_worker_tells_how_it_is(scene: Scene) -> None:
    healthy = Healthy(scene, "--pool", POOL, "--limit", "2", "--name", "mine")
    facts = healthy.until(200)
    assert facts["status"] == "working"
    assert {name: facts[name] for name in ("name", "kind", "type", "pool", "running", "limit")} == {
        "name": "mine",
        "kind": "worker",
        "type": "process",
        "pool": POOL,
        "running": 0,
        "limit": 2,
    }
    assert facts["last_claim_answered_seconds_ago"] < PATIENCE_S
    assert facts["faults"] == []
    assert healthy.ask(method="HEAD") == (200, "")

    done, held = scene.submit("fail"), scene.submit("hold")
    scene.finished(done)
    scene.held()
    ended = 'dispatcher_consumer_runs_ended_total{state="FAILED"} 1.0'
    poll_until(lambda: ended in healthy.ask("/metrics")[1], PATIENCE_S, "the worker has heard that the run is finished")
    status, text = healthy.ask("/metrics")
    assert status == 200
    for line in (
        "dispatcher_consumer_runs_taken_total 2.0",
        ended,
        "dispatcher_consumer_running 1.0",
        "dispatcher_consumer_limit 2.0",
        "dispatcher_consumer_redis_away 0.0",
    ):
        assert line in text.splitlines()
    assert f'name="mine",pool="{POOL}"' in text

    healthy.worker.signal(signal.SIGTERM)
    poll_until(lambda: json.loads(healthy.ask()[1])["status"] == "draining", PATIENCE_S, "it says that it drains")
    assert healthy.ask()[0] == 200
    scene.go()
    assert scene.finished(held).state is State.COMPLETED
    assert healthy.worker.exit_code() == 0
    with pytest.raises(ConnectionRefusedError):
        healthy.ask()


@pytest.mark.parametrize("outage", [Proxy.stall, Proxy.cut], ids=["stopped", "down"])
def test_it_is_not_healthy_while_redis_does_not_answer_and_is_again_afterwards(
    scene: Scene, proxy: Proxy, outage: Any
) -> None:
    healthy = Healthy(scene, url=proxy.url)
    healthy.until(200)
    outage(proxy)
    facts = healthy.until(503)
    assert facts["status"] == "not healthy"
    assert facts["faults"]
    proxy.mend()
    assert healthy.until(200)["faults"] == []
    assert scene.finished(scene.submit("hello")).state is State.COMPLETED


def test_it_is_not_healthy_before_it_has_joined(scene: Scene, proxy: Proxy) -> None:
    proxy.cut()
    healthy = Healthy(scene, url=proxy.url)
    assert "it has not joined its pool yet" in healthy.until(503)["faults"]
    proxy.mend()
    healthy.until(200)


def test_it_is_not_healthy_without_its_pool(scene: Scene) -> None:
    healthy = Healthy(scene)
    healthy.until(200)
    scene.client.run(pools.delete(POOL))
    healthy.until(503)
    scene.client.run(pools.create(POOL, type="process"))
    healthy.until(200)


def test_a_port_that_is_taken_is_refused_before_anything_is_made(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ("--with-healthcheck", "--pool", "fresh", "--type", "process")
        worker = scene.begin("worker", *options, DISPATCHER_HEALTHCHECK_PORT=port)
        assert worker.exit_code() == 1
    assert f"The health check cannot listen on 127.0.0.1:{port}: " in worker.log
    assert "DISPATCHER_HEALTHCHECK_PORT" in worker.log
    assert "Traceback" not in worker.log
    assert scene.client.run(pools.names()) == [POOL]


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"GET / HTTP/1.0\r\n\r\n", 404),
        (b"POST /health HTTP/1.1\r\nContent-Length: 9\r\n\r\n", 405),
        (b"GET /health?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"hello\r\n\r\n", 400),
        (b"GET /health\r\n\r\n", 400),
        (b"\xff\xfe \x00 HTTP/1.1\r\n\r\n", 404),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_odd_requests_are_answered_shortly(healthy_worker: Healthy, request_text: bytes, status: int) -> None:
    with healthy_worker.connected() as connection:
        connection.sendall(request_text)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.0 %d " % status)


def test_clients_that_are_slow_or_many_hold_nobody_up(scene: Scene, healthy_worker: Healthy) -> None:
    with ExitStack() as stack:
        for number in range(100):
            connection = stack.enter_context(healthy_worker.connected())
            connection.sendall(b"GET /hea" if number % 2 else b"")
        assert healthy_worker.ask()[0] == 200
        assert scene.finished(scene.submit("hello")).state is State.COMPLETED
        slow = stack.enter_context(healthy_worker.connected())
        assert slow.recv(1) == b"", "whoever says nothing is cut off"
        healthy_worker.worker.signal(signal.SIGTERM)
        assert healthy_worker.worker.exit_code() == 0


@pytest.fixture
def healthy_worker(scene: Scene) -> Healthy:
    healthy = Healthy(scene)
    healthy.until(200)
    return healthy

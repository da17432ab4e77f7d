"""A consumer among things that nobody expected: it goes on, and it does not spin."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import redis

from agent.consumer import ConsumerLoop
from agent.options import Options
from agent.patience import Patience
from dispatcher import keyspace
from dispatcher.aio import AsyncClient
from dispatcher.client import Client
from dispatcher.models import Consumer
from dispatcher.states import State
from tests.consumers import PATIENCE_S, POOL, Scene
from tests.polling import poll_until

ME = Consumer(
    id="ME",
    name="worker-host",
    pool=POOL,
    kind="worker",
    type="process",
    host="host",
    boot="boot",
    pid=1,
    born_at_ms=1,
    version="1",
    selector="*",
    prefetch_ms=0,
    limit=None,
)


def test_a_run_that_cannot_be_read_ends_no_consumer(scene: Scene) -> None:
    broken = scene.submit("hello")
    with redis.Redis.from_url(scene.url) as server:
        server.set(keyspace.run_input(POOL, broken), '{"path": [')
    worker = scene.start()
    poll_until(lambda: "could not be taken" in worker.log, PATIENCE_S, "the worker says that it cannot read a run")
    assert scene.finished(scene.submit("hello")).state is State.COMPLETED
    assert worker.process.poll() is None


def test_no_wait_between_two_looks_is_so_short_that_it_never_ends(scene: Scene) -> None:
    for _ in range(2):  # one of them keeps the pool's timer
        scene.begin("worker", "--pool", POOL, DISPATCHER_WORKER_QUERY_SECONDS="0.001")
    poll_until(lambda: len(scene.listed()) == 2, PATIENCE_S, "both workers are registered")
    with redis.Redis.from_url(scene.url) as server:

        def facts() -> dict[str, Any]:
            return dict(server.info("all"))

        first = facts()
        end_s = first["server_time_usec"] / 1e6 + 1.5
        poll_until(lambda: facts()["server_time_usec"] / 1e6 > end_s, 5, "one and a half seconds have passed")
        claims = facts()["cmdstat_evalsha"]["calls"] - first["cmdstat_evalsha"]["calls"]
    assert claims < 30


def test_whoever_reads_its_output_holds_nobody_up(scene: Scene) -> None:
    loud = scene.submit(command=(sys.executable, "-c", "for _ in range(3000): print('x' * 100)"))
    argv = [sys.executable, "-m", "dispatcher", "--redis-url", scene.url, "worker", "start", "--pool", POOL]
    environment = {**os.environ, "TMPDIR": str(scene.temporary)}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=scene.folder, env=environment
    ) as worker:
        try:
            assert scene.finished(loud).state is State.COMPLETED
            assert len(scene.log(loud)) == 3000
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(PATIENCE_S) == 0
        finally:
            worker.kill()


class Bell(AsyncClient):
    """A doorbell that breaks in a way that nobody thought of, and then rings."""

    def __init__(self) -> None:
        super().__init__("redis://localhost")
        self.answers: list[Exception | str] = [RuntimeError("a bug"), ValueError("another"), "control"]

    async def run(self, operation: Any) -> Any:
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_the_doorbell_is_listened_to_again_after_what_nobody_expected(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole() -> None:
        client = Bell()
        loop = ConsumerLoop(
            ME, Options("", is_output_shown=False), client, Patience(client), Client("redis://localhost")
        )
        heard = asyncio.Event()
        monkeypatch.setattr(loop._pulse, "hurry", heard.set)
        try:
            loop._listen_anew()
            async with asyncio.timeout(5):
                await heard.wait()
            assert loop._stir.is_set(), "a wake may have been lost: the pool is looked at"
        finally:
            assert loop._listening is not None
            loop._listening.cancel()
            loop._infrastructure.close()

    asyncio.run(whole())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError, ValueError]

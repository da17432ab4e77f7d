"""How consumers join: a refusal leaves nothing behind, and consumers that start at once have names of their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis

from agent import identity
from agent.joining import settled, under_own_name
from agent.options import Options
from agent.patience import Patience
from agent.worker import KIND
from dispatcher import keyspace
from dispatcher.aio import AsyncClient
from dispatcher.errors import ConsumerNameTaken
from dispatcher.models import Consumer
from dispatcher.ops import consumers, pools
from tests.agent.words import words
from tests.consumers import POOL, ConsumerProcess, Scene
from tests.polling import poll_until

AT_ONCE = 4


def made(scene: Scene) -> dict[str, list[str]]:
    """The names of all pools and their queues."""
    return {pool.name: [queue.name for queue in pool.queues] for pool in scene.client.run(pools.list_all())}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("worker", "start", "-p", "new", "-t", "process", "-n", "a b", "--run-once"), "Consumer name 'a b'"),
        (("worker", "start", "-p", POOL, "-q", "good", "-q", "a b"), "Work queue name 'a b'"),
        (("worker", "start", "-p", POOL, "-q", "good", "-n", "a b"), "Consumer name 'a b'"),
        (("agent", "start", "-p", "fresh", "-q", "good", "-q", "x y"), "Work queue name 'x y'"),
        (("agent", "start", "-p", "fresh", "-n", "x y"), "Consumer name 'x y'"),
        (("agent", "start", "-q", "good", "-n", "x y"), "Consumer name 'x y'"),
        (("agent", "start", "-p", "fresh", "-m", "x y"), "Work queue name 'x y'"),
    ],
)
def test_a_refused_name_leaves_nothing_behind(scene: Scene, options: tuple[str, ...], said: str) -> None:
    before = made(scene)
    done = words(scene, *options)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert made(scene) == before
    assert scene.listed() == []


def test_a_taken_name_leaves_no_queue_behind(scene: Scene) -> None:
    scene.start("--name", "mine")
    before = made(scene)
    done = words(scene, "worker", "start", "-p", POOL, "-q", "good", "--name", "mine")
    assert (done.returncode, "A live consumer named 'mine'" in done.stderr) == (1, True), done.stderr
    assert "serves queue" not in done.stderr
    assert made(scene) == before


@contextmanager
def starting_line(connection: redis.Redis, count: int) -> Iterator[None]:
    """Whoever wants to write waits, until `count` clients do: then they all go at once."""
    connection.client_pause(60_000, all=False)
    try:
        yield
        poll_until(
            lambda: sum("b" in client["flags"] for client in connection.client_list()) == count,
            20,
            f"{count} consumers are about to register",
        )
    finally:
        connection.client_unpause()


def started_at_once(scene: Scene, connection: redis.Redis, *options: str) -> list[ConsumerProcess]:
    """Workers that all have looked whose names are taken before any of them is registered."""
    with starting_line(connection, AT_ONCE):
        return [scene.begin("worker", "--pool", POOL, *options) for _ in range(AT_ONCE)]


def test_of_those_that_start_at_once_one_has_the_chosen_name(scene: Scene, server_connection: redis.Redis) -> None:
    workers = started_at_once(scene, server_connection, "--name", "same", "-q", "default")
    poll_until(lambda: sum(worker.process.poll() is not None for worker in workers) == AT_ONCE - 1, 20, "three ended")
    (holder,) = (worker for worker in workers if worker.process.poll() is None)
    assert [(row.name, row.pid) for row in scene.listed()] == [("same", holder.pid)]
    for worker in workers:
        if worker is not holder:
            assert worker.exit_code() == 1
            assert f"A live consumer named 'same' (process {holder.pid})" in worker.log
            assert "serves" not in worker.log.replace("serves work pool", ""), worker.log
    run = scene.submit("hello")
    assert scene.finished(run).consumer is not None


def test_those_that_start_at_once_get_numbers(scene: Scene, server_connection: redis.Redis) -> None:
    workers = started_at_once(scene, server_connection, "-q", "default")
    for worker in workers:
        poll_until(lambda worker=worker: "serves queue default" in worker.log, 20, "the worker serves")  # type: ignore[misc]
    rows = scene.listed()
    first = min((row.name for row in rows), key=len)
    assert sorted(row.name for row in rows) == [first, *(f"{first}-{number}" for number in range(2, AT_ONCE + 1))]
    assert {row.pid for row in rows} == {worker.pid for worker in workers}


def test_a_queue_is_made_by_who_may_serve_it(scene: Scene) -> None:
    worker = scene.start("-q", "new", "-q", "default")
    poll_until(lambda: "Worker of type process" in worker.log, 20, "the worker serves")
    assert f"Work queue new of work pool {POOL} did not exist and was made" in worker.log
    run = scene.submit("hello", queue="new")
    assert scene.finished(run).queue == "new"


# Once registered

ME = Consumer(
    id="A",
    name="mine",
    pool=POOL,
    kind="worker",
    type="process",
    host=identity.host(),
    boot=identity.boot(),
    pid=os.getpid(),
    born_at_ms=identity.born_at_ms(os.getpid()),
    version="1",
    selector="*",
    prefetch_ms=0,
    limit=None,
)
OTHER = replace(ME, id="Z")  # this process, under another session: as alive as can be


def kept(scene: Scene, me: Consumer, *, is_chosen: bool = True) -> Consumer:
    async def look() -> Consumer:
        async with AsyncClient(scene.url) as client:
            return await under_own_name(Patience(client), me, is_chosen=is_chosen)

    return asyncio.run(look())


@pytest.mark.parametrize(("first", "second"), [(ME, OTHER), (OTHER, ME)])
def test_the_first_that_joined_keeps_the_name(scene: Scene, first: Consumer, second: Consumer) -> None:
    for consumer in (first, second):
        scene.client.run(consumers.register(consumer))
    with pytest.raises(ConsumerNameTaken):
        kept(scene, second)
    assert kept(scene, first) == first
    assert kept(scene, replace(second, name="another")).name == "another"


def test_who_joined_again_is_the_last(scene: Scene) -> None:
    for consumer in (ME, OTHER):
        scene.client.run(consumers.register(consumer))
    scene.client.run(consumers.leave(POOL, ME.id))
    scene.client.run(consumers.register(ME))
    assert kept(scene, OTHER) == OTHER
    numbered = kept(scene, ME, is_chosen=False)
    assert (numbered.id, numbered.name) == (ME.id, identity.default_name("worker"))
    assert [(row.id, row.name) for row in scene.listed()] == [("Z", "mine"), ("A", numbered.name)]


def test_whose_joining_is_forgotten_was_there_before(scene: Scene, server_connection: redis.Redis) -> None:
    scene.client.run(consumers.register(OTHER))
    server_connection.delete(keyspace.events(POOL))
    scene.client.run(consumers.register(ME))
    with pytest.raises(ConsumerNameTaken):
        kept(scene, ME)
    server_connection.delete(keyspace.events(POOL))
    with pytest.raises(ConsumerNameTaken):
        kept(scene, ME)


def test_a_pool_that_is_deleted_meanwhile_does_not_end_the_consumer(scene: Scene) -> None:
    async def settle() -> Consumer:
        async with AsyncClient(scene.url) as client:
            return await settled(KIND, Options(scene.url, POOL, queues=("new",)), Patience(client), ME)

    scene.client.run(pools.delete(POOL))
    assert asyncio.run(settle()) == ME

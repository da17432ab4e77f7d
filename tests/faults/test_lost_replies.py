"""The reply of each script is lost once: what the driver sends again leaves the server as one single call would.

`CASES` has a line for every script: how to prepare the pool, the call, and what the caller gets after its first reply
was lost. Each case runs three times from the same dump: unharmed, to see what one call does; through a proxy that loses
the reply, with each driver. Streams are compared without their ids, which are the server's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from dispatcher import keyspace
from dispatcher.call import Call, script
from dispatcher.errors import (
    BrokerUnavailable,
    PoolNotFound,
    QueueNotFound,
    RunFinished,
    RunNotFound,
    RunUnfinished,
)
from dispatcher.models import Outcome
from dispatcher.ops import consumers, leases, pools, queues, runs
from dispatcher.ops.reading import optional
from dispatcher.states import State
from tests import headers
from tests.conftest import AsyncRun, Clock, Run, SyncRun
from tests.dumps import content, dump, restore
from tests.proxy import Proxy
from tests.scene import POOL, Scene, new_consumer, new_run

SAME = "the same"  # as the first answer
Given = Callable[[Scene], Call[Any]]


@dataclass(frozen=True)
class Case:
    """`answer`: what the call gives when it is answered the second time, or the error that it raises."""

    script: str
    given: Given
    answer: Any = SAME


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
    """The one call of a flow that makes a pool."""
    busy(scene)
    return next(pools.create("new", limit=3))


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


CASES = [
    Case("pool_create", created),
    Case("pool_read", in_busy(lambda _: pools.read(POOL))),
    Case("pool_set", in_busy(lambda _: pools.pause(POOL, "note"))),
    Case("pool_tick", due_runs),
    Case("pool_delete", deleted_pool, PoolNotFound),
    Case("queue_create", in_busy(lambda _: queues.create(POOL, "new", priority=1))),
    Case("queue_set", in_busy(lambda _: queues.set_limit(POOL, "q", 0))),
    Case("queue_rank", in_busy(lambda _: queues.set_priorities(POOL, {"default": 1, "q": 9}))),
    Case("queue_drain", drained_queue),
    Case("queue_delete", deleted_queue, QueueNotFound),
    Case("run_submit", in_busy(lambda _: runs.submit(POOL, [new_run(idempotency_key="n"), new_run("q")])), "known ids"),
    Case("run_read", on_finished(lambda run: runs.read_many(POOL, [run]))),
    Case("run_cancel", on_held(lambda _, held: runs.cancel(POOL, held[0]))),
    Case("run_cancel", in_busy(lambda _: runs.cancel(POOL, "01WAITING")), RunFinished),
    Case("run_cancel", on_held(lambda _, held: runs.cancel(POOL, held[0], force=True)), RunFinished),
    Case("run_retry", on_finished(lambda run: runs.retry(POOL, run)), RunUnfinished),
    Case("run_delete", on_finished(lambda run: runs.delete(POOL, run)), RunNotFound),
    Case("run_why", read_why),
    Case("lease_claim", in_busy(lambda worker: leases.claim(POOL, worker, request="R", want=2, load=1))),
    Case("lease_claim", on_held(lambda worker, _: leases.claim(POOL, worker, request="R", want=2, load=1))),
    Case("lease_start", on_held(lambda worker, held: leases.start(POOL, worker, *held, pid=5), started=False)),
    Case("lease_log", on_held(lambda worker, held: leases.log(POOL, worker, *held, ["a", "b"])), BrokerUnavailable),
    Case(
        "lease_finish",
        on_held(lambda worker, held: leases.finish(POOL, worker, [Outcome(*held, State.FAILED, "m", 1, "2")])),
        ["already"],
    ),
    Case(
        "lease_finish",
        on_held(lambda worker, held: leases.finish(POOL, worker, [Outcome(*held, State.FAILED, retry_in_ms=9)])),
        ["already"],
    ),
    Case("lease_release", on_held(lambda worker, held: leases.release(POOL, worker, [held])), ["FENCED"]),
    Case("lease_renew", on_held(lambda worker, held: leases.renew(POOL, worker, [held]))),
    Case(
        "consumer_register",
        on_held(lambda worker, _: consumers.register(new_consumer("holder"), [worker])),
        "registered, nothing more given back",
    ),
    Case("consumer_leave", on_held(lambda worker, _: consumers.leave(POOL, worker)), 0),
    Case("consumer_read", in_busy(lambda _: consumers.list_all(POOL))),
]


@pytest.fixture
def scene(redis_url: str, clock: Clock, server_connection: redis.Redis) -> Iterator[Scene]:
    run = SyncRun(redis_url, clock)
    run(pools.create(POOL))
    yield Scene(run, clock, server_connection)
    run.close()


@pytest.fixture(params=[SyncRun, AsyncRun])
def cut_off(
    request: pytest.FixtureRequest, redis_url: str, clock: Clock, server_connection: redis.Redis
) -> Iterator[tuple[Run, Proxy]]:
    """A driver that reaches the server by a proxy, connected already, and a server that knows every script: the next
    reply is that of the call."""
    for name in headers.names():
        server_connection.script_load(script(name).text)
    with Proxy(redis_url) as proxy:
        driver: SyncRun | AsyncRun = request.param(proxy.url, clock)
        driver(pools.names())
        yield driver, proxy
        driver.close()


def test_there_is_a_case_for_every_script() -> None:
    assert {case.script for case in CASES} == set(headers.names())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.script)
def test_a_lost_reply_changes_nothing_more(scene: Scene, cut_off: tuple[Run, Proxy], case: Case) -> None:
    driver, proxy = cut_off
    scene.submit(id="01WAITING", priority=1000)
    call = case.given(scene)
    assert call.command == case.script
    before = dump(scene.server)
    first = scene.run(call)
    once = content(scene.server)
    restore(scene.server, before)

    proxy.drop_next_reply()
    if isinstance(case.answer, type):
        with pytest.raises(case.answer):
            driver(call)
    else:
        again = driver(call)
        if not isinstance(case.answer, str):
            assert again == case.answer
        elif case.answer == SAME:
            assert again == first
    assert proxy.dropped == 1
    assert content(scene.server) == once


def test_the_case_of_submit_gives_the_ids_as_known(scene: Scene, cut_off: tuple[Run, Proxy]) -> None:
    driver, proxy = cut_off
    given = new_run()
    proxy.drop_next_reply()
    (found,) = driver(runs.submit(POOL, [given]))
    assert (found.id, found.is_new) == (given.id, False)


def test_a_whole_deletion_survives_each_lost_reply(scene: Scene, cut_off: tuple[Run, Proxy]) -> None:
    driver, proxy = cut_off
    scene.submit_many(150)
    proxy.drop_next_reply()
    assert driver(pools.delete(POOL, cancel_runs=True)) < 151, "what the lost reply had counted is not known"
    assert list(scene.server.scan_iter()) == []


def test_a_deleted_pool_leaves_the_directory_even_if_its_last_reply_was_lost(
    scene: Scene, cut_off: tuple[Run, Proxy]
) -> None:
    driver, proxy = cut_off
    proxy.drop_next_reply()
    with pytest.raises(PoolNotFound):
        driver(pools.delete(POOL))
    assert list(scene.server.scan_iter()) == []


def test_scripts_that_the_server_forgot_are_taught_again(run: Run, server_connection: redis.Redis) -> None:
    run(pools.create(POOL))
    server_connection.script_flush()
    assert run(pools.read(POOL)).name == POOL
    server_connection.script_flush()
    submits = [runs.submit(POOL, [new_run()]) for _ in range(3)]
    assert all(answer[0].is_new for answer in run.many(submits))
    assert run(pools.read(POOL)).counts.scheduled == 3

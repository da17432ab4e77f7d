"""The reply of each script is lost once: what the driver sends again leaves the server as one single call would.

`CASES` has a line for every script: its call (`calls.py`), and what the caller gets after its first reply
was lost. Each case runs three times from the same dump: unharmed, to see what one call does; through a proxy that loses
the reply, with each driver. Streams are compared without their ids, which are the server's time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis

from dispatcher import keyspace
from dispatcher.call import Flow, script
from dispatcher.errors import (
    BrokerUnavailable,
    PoolNotFound,
    QueueNotFound,
    RunFinished,
    RunNotFound,
    RunUnfinished,
)
from dispatcher.models import Outcome, RunInput
from dispatcher.ops import consumers, deployments, leases, pools, queues, runs, schedules
from dispatcher.states import State
from tests import headers
from tests.conftest import AsyncRun, Clock, Run, SyncRun
from tests.deploying import NAME, deployment, every
from tests.dumps import content, dump, restore
from tests.faults import calls
from tests.proxy import Proxy
from tests.scene import POOL, Scene, new_consumer, new_run

SAME = "the same"  # as the first answer
MENDED = ["audited"]  # nothing is left to mend
WAITING = "01WAITING"  # a run in every pool


@dataclass(frozen=True)
class Case:
    """`answer`: what the call gives when it is answered the second time, or the error that it raises."""

    script: str
    given: calls.Given
    answer: Any = SAME


CASES = [
    Case("pool_create", calls.created),
    Case("pool_read", calls.in_busy(lambda _: pools.read(POOL))),
    Case("pool_set", calls.in_busy(lambda _: pools.pause(POOL, "note"))),
    Case("pool_tick", calls.due_runs),
    Case("pool_delete", calls.deleted_pool, PoolNotFound),
    Case("queue_create", calls.in_busy(lambda _: queues.create(POOL, "new", priority=1))),
    Case("queue_set", calls.in_busy(lambda _: queues.set_limit(POOL, "q", 0))),
    Case("queue_rank", calls.in_busy(lambda _: queues.set_priorities(POOL, {"default": 1, "q": 9}))),
    Case("queue_drain", calls.drained_queue),
    Case("queue_delete", calls.deleted_queue, QueueNotFound),
    Case(
        "run_submit",
        calls.in_busy(lambda _: runs.submit(POOL, [new_run(idempotency_key="n"), new_run("q")])),
        "known ids",
    ),
    Case("run_read", calls.on_finished(lambda run: runs.read_many(POOL, [run]))),
    Case("run_cancel", calls.on_held(lambda _, held: runs.cancel(POOL, held[0]))),
    Case("run_cancel", calls.in_busy(lambda _: runs.cancel(POOL, WAITING)), RunFinished),
    Case("run_cancel", calls.on_held(lambda _, held: runs.cancel(POOL, held[0], force=True)), RunFinished),
    Case("run_retry", calls.on_finished(lambda run: runs.retry(POOL, run)), RunUnfinished),
    Case("run_delete", calls.on_finished(lambda run: runs.delete(POOL, run)), RunNotFound),
    Case("run_why", calls.read_why),
    Case("lease_claim", calls.in_busy(lambda worker: leases.claim(POOL, worker, request="R", want=2, load=1))),
    Case("lease_claim", calls.on_held(lambda worker, _: leases.claim(POOL, worker, request="R", want=2, load=1))),
    Case("lease_start", calls.on_held(lambda worker, held: leases.start(POOL, worker, *held, pid=5), started=False)),
    Case(
        "lease_log", calls.on_held(lambda worker, held: leases.log(POOL, worker, *held, ["a", "b"])), BrokerUnavailable
    ),
    Case(
        "lease_finish",
        calls.on_held(lambda worker, held: leases.finish(POOL, worker, [Outcome(*held, State.FAILED, "m", 1, "2")])),
        ["already"],
    ),
    Case(
        "lease_finish",
        calls.on_held(lambda worker, held: leases.finish(POOL, worker, [Outcome(*held, State.FAILED, retry_in_ms=9)])),
        ["already"],
    ),
    Case("lease_release", calls.on_held(lambda worker, held: leases.release(POOL, worker, [held])), ["FENCED"]),
    Case("lease_renew", calls.on_held(lambda worker, held: leases.renew(POOL, worker, [held]))),
    Case(
        "consumer_register",
        calls.on_held(lambda worker, _: consumers.register(new_consumer("holder"), [worker])),
        "registered, nothing more given back",
    ),
    Case("consumer_leave", calls.on_held(lambda worker, _: consumers.leave(POOL, worker)), 0),
    Case(
        "deployment_save",
        lambda scene: calls.of_flow(deployments.save(deployment(every(10))), scene, "deployment_save"),
    ),
    Case("deployment_save", calls.changed_deployment, 0),
    Case("deployment_save", calls.halted_deployment, 0),
    Case("deployment_delete", calls.deleted_deployment, 0),
    Case("schedule_read", calls.read_schedule),
    Case("schedule_admit", calls.admitted_runs, 0),
    Case("pool_duties", calls.found_duties, ([], 5000)),
    Case("run_move", lambda scene: calls.of_flow(calls.moving(scene), scene, "run_move")),
    Case("run_move", calls.moved_on),
    Case("run_adopt", lambda scene: calls.of_flow(calls.moving(scene), scene, "run_adopt"), []),
    Case("run_requeue", calls.requeued_runs, 0),
    Case("run_return", calls.put_back_runs, 0),
    Case("run_refuse", calls.refused_runs),
    Case("pool_audit", calls.repairing("pool_audit", keyspace.queues(POOL), "q", "01QUEUE", "queue:q"), MENDED),
    Case("queue_audit", calls.repairing("queue_audit", keyspace.admissible(POOL), "default", 0), MENDED),
    Case("run_audit", calls.repairing("run_audit", keyspace.ready(POOL, "default"), WAITING, "", WAITING), MENDED),
    Case("consumer_audit", calls.repairing("consumer_audit", keyspace.consumer(POOL, "CONSUMER"), ""), MENDED),
    Case("consumer_read", calls.in_busy(lambda _: consumers.list_all(POOL))),
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
    scene.submit(id=WAITING, priority=1000)
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


FRESH = deployment(every(10), every(7), input=RunInput(entrypoint="f.py:f", parameters={"size": 2}))
CHANGES: dict[str, Callable[[], Flow[Any]]] = {
    "save": lambda: deployments.save(FRESH),
    "requeue": lambda: deployments.save(replace(FRESH, queue="other")),
    "move": lambda: deployments.save(replace(FRESH, pool="target", queue="other")),
    "pause": lambda: deployments.set_paused(NAME, True),
    "add": lambda: deployments.add_schedule(NAME, every(7)),
    "delete": lambda: deployments.delete(NAME),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_deployment_survives_the_loss_of_every_reply(
    scene: Scene, cut_off: tuple[Run, Proxy], change: str
) -> None:
    driver, proxy = cut_off
    calls.scheduled(scene)
    scene.run(pools.create("target"))
    before = dump(scene.server)
    scene.run(CHANGES[change]())
    once = of_deployment(scene)
    restore(scene.server, before)
    assert of_deployment(scene) != once

    flow = CHANGES[change]()
    call = next(flow)
    count = 0
    with contextlib.suppress(StopIteration):
        while True:
            proxy.drop_next_reply()
            count += 1
            call = calls.step(flow, driver, call)
    assert proxy.dropped == count
    assert of_deployment(scene) == once


def of_deployment(scene: Scene) -> tuple[object, object]:
    """Its runs, and what its schedules have come to, in each pool."""
    kept = [run for pool in (POOL, "target") for run in scene.run(runs.list_pool(pool, deployment=NAME, most=1000))]
    facts = [(run.pool, run.queue, run.state, run.due_at_ms, run.schedule, run.epoch) for run in kept]
    ids = [every(10).id, every(45).id, every(7).id]
    found = [
        row for pool in (POOL, "target") for row in scene.run(schedules.progress(pool, [(NAME, one) for one in ids]))
    ]
    progress = [(row.digest, row.cursor_ms, row.look_at_ms, row.nominal_ms, row.fault) for row in found]
    return sorted(facts), progress


def test_scripts_that_the_server_forgot_are_taught_again(run: Run, server_connection: redis.Redis) -> None:
    run(pools.create(POOL))
    server_connection.script_flush()
    assert run(pools.read(POOL)).name == POOL
    server_connection.script_flush()
    submits = [runs.submit(POOL, [new_run()]) for _ in range(3)]
    assert all(answer[0].is_new for answer in run.many(submits))
    assert run(pools.read(POOL)).counts.scheduled == 3

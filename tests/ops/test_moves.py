"""Waiting runs go where their deployment goes: nothing of them changes but where they are, whoever is slow, ends in
between or does the same."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.call import Flow
from dispatcher.errors import PoolHasRuns, RunMoving
from dispatcher.models import Deployment
from dispatcher.ops import deployments, leases, moves, pools, queues, runs, schedules, views
from dispatcher.ops.leases import Held
from dispatcher.states import State
from dispatcher.upkeep import duties
from tests.deploying import (
    MINUTE_MS,
    NAME,
    Office,
    deployment,
    every,
    interleaved,
    minutes,
    rest,
    stopped_before,
    until,
)
from tests.dumps import dump, restore
from tests.scene import POOL, Scene

OTHER = "other"
SCHEDULES = (every(10), every(15, overlap="skip"), every(20, expires_s=7200, jitter_s=30))
BEFORE = deployment(*SCHEDULES, queue="high")
AFTER = deployment(*SCHEDULES, queue="low", pool=OTHER)


@pytest.fixture
def office(scene: Scene) -> Office:
    scene.run(pools.create(OTHER))
    return Office(scene.run, scene.clock, scene.server)


class Furnished:
    """A deployment with runs in every state of waiting, and one that is running."""

    def __init__(self, scene: Scene, office: Office) -> None:
        self.scene = scene
        self.consumer = scene.join()
        office.run(deployments.save(BEFORE))
        self.urgent = scene.submit("high", deployment=NAME, priority=5, idempotency_key="once")
        self.later = scene.submit("high", deployment=NAME, delay_ms=90 * MINUTE_MS)
        self.foreign = scene.submit("high")
        first = scene.join("first", selector="=early")
        scene.queue("early")
        self.retrying = scene.held(first, "early", deployment=NAME)[0]
        scene.start(first, (self.retrying, 1))
        scene.run(leases.log(POOL, first, self.retrying, 1, ["one", "zwei ü 🙂", ""]))
        scene.finish(first, (self.retrying, 1), State.FAILED, retry_in_ms=50 * MINUTE_MS, message="it broke")
        self.running: Held = scene.held(first, "early", deployment=NAME)
        scene.start(first, self.running)
        self.holder = first
        for _ in range(2 * 12):
            scene.clock.advance(MINUTE_MS // 6 * 5)
            scene.renew(first, self.running)
        office.perform()

    def finish(self) -> None:
        assert self.scene.finish(self.holder, self.running) == "COMPLETED"


@pytest.fixture
def furnished(scene: Scene, office: Office) -> Furnished:
    return Furnished(scene, office)


def facts(office: Office, pool: str) -> dict[str, Any]:
    """What must stay as it is, of each waiting run of the deployment."""
    found = {}
    for run in office.kept(pool):
        if run.state is State.SCHEDULED:
            fields = office.server.hgetall(keyspace.run(pool, run.id))
            logged = office.server.xrange(keyspace.run_log(pool, run.id))
            places = [
                kind
                for kind, key in (("ready", keyspace.ready), ("due", keyspace.due), ("retry", keyspace.retry))
                if office.server.zscore(key(pool, run.queue), run.id) is not None
            ]
            of_schedule = office.server.zscore(keyspace.schedule_runs(pool, NAME, run.schedule), run.id)
            expiry = office.server.zscore(keyspace.expiring(pool), run.id)
            seen = office.run(runs.read(pool, run.id))
            changing = ("queue", "moves", "consumer", "claimed_ms", "ended_epoch")
            kept = {name: value for name, value in fields.items() if name not in changing}
            found[run.id] = (kept, logged, places, of_schedule, expiry, seen.input)
    return found


def nominal_times(office: Office) -> dict[str, list[float]]:
    """The starts of all runs of each schedule without jitter, in both pools."""
    found: dict[str, list[float]] = {}
    for pool in office.pools():
        for run in office.kept(pool):
            if run.schedule:
                found.setdefault(run.schedule, []).append(minutes(run.due_at_ms))
    return {schedule: sorted(starts) for schedule, starts in found.items()}


def test_waiting_runs_go_along_as_they_are(office: Office, scene: Scene, furnished: Furnished) -> None:
    before = facts(office, POOL)
    saved = office.run(deployments.save(AFTER))
    assert saved.moved == len(before)
    assert saved.taken_back == 0
    there = facts(office, OTHER)
    assert {run: there.get(run) for run in before} == before
    assert len(there) == len(before) + saved.scheduled
    assert {run.queue for run in office.kept(OTHER)} == {"low"}
    assert [run.id for run in office.kept(POOL)] == [furnished.running[0]]
    assert scene.see(furnished.foreign).queue == "high"
    furnished.finish()
    left = {key for key in scene.server.scan_iter("*") if f"{{{POOL}}}" in key and any(run in key for run in before)}
    assert left == {keyspace.moved(POOL, run) for run in before}, "no more than that they went"
    seen = office.run(deployments.read(NAME))
    assert seen == AFTER
    assert scene.server.exists(keyspace.deployment_set(POOL), keyspace.duties(POOL)) == 0
    assert list(scene.server.scan_iter(keyspace.schedule(POOL, NAME, "*"))) == []


def test_they_go_on_there(office: Office, scene: Scene, furnished: Furnished) -> None:
    office.run(deployments.save(AFTER))
    consumer = scene.join("there", pool=OTHER)
    order = [run.id for run in scene.claim(consumer, 64, pool=OTHER).runs]
    assert order[0] == furnished.urgent
    assert office.made(State.PENDING, pool=OTHER) == [0, 10, 15, 20]
    again = scene.submit("low", pool=OTHER, deployment=NAME, idempotency_key="once")
    assert again == furnished.urgent, "the key went along"
    scene.clock.advance(45 * MINUTE_MS)
    office.perform(OTHER)
    taken = scene.claim(consumer, 64, pool=OTHER).runs
    (retried,) = [run for run in taken if run.id == furnished.retrying]
    assert (retried.epoch, retried.attempts) == (2, 1)
    scene.run(leases.log(OTHER, consumer, retried.id, 2, ["three"]))
    lines = [(line.number, line.text) for line in scene.run(runs.logs(OTHER, retried.id))]
    assert lines == [(1, "one"), (2, "zwei ü 🙂"), (3, ""), (4, "three")], "they are counted on"


def test_schedules_go_on_where_they_were(office: Office) -> None:
    office.run(deployments.save(deployment(every(10))))
    office.pass_minutes(25)
    saved = office.run(deployments.save(deployment(every(10), pool=OTHER)))
    assert office.made(pool=OTHER) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert saved.moved + saved.scheduled == 9
    office.pass_minutes(35)
    office.run(deployments.save(deployment(every(10))))
    office.pass_minutes(60)
    starts = nominal_times(office)[every(10).id]
    assert starts == [10 * (number + 1) for number in range(len(starts))]
    assert starts[-1] >= 180


def test_a_change_with_the_move_makes_the_future_runs_anew(office: Office) -> None:
    office.run(deployments.save(deployment(every(10), every(45), every(50))))
    office.clock.advance(25 * MINUTE_MS)
    changed = (every(10, parameters={"size": 1}), every(45, is_active=False))
    saved = office.run(deployments.save(deployment(*changed, pool=OTHER)))
    assert saved.taken_back == 4 + 4 + 4
    assert saved.moved == 2
    assert office.made(pool=OTHER) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert office.made() == []


@pytest.mark.parametrize("is_moving", [True, False])
def test_paused_with_the_move_nothing_waits_any_more(office: Office, is_moving: bool) -> None:
    office.run(deployments.save(deployment(every(10))))
    office.clock.advance(25 * MINUTE_MS)
    pool = OTHER if is_moving else POOL
    saved = office.run(deployments.save(deployment(every(10), pool=pool, is_paused=True)))
    assert (saved.taken_back, saved.moved) == (6, 0)
    assert office.made() == office.made(pool=OTHER) == []


def test_more_than_one_batch(office: Office, scene: Scene) -> None:
    office.run(deployments.save(deployment()))
    ids = scene.submit_many(150, deployment=NAME) + scene.submit_many(101, deployment=NAME, delay_ms=1000)
    assert office.run(deployments.save(deployment(pool=OTHER))).moved == 251
    assert sorted(office.waiting(OTHER)) == sorted(ids)
    assert office.waiting() == {}


def test_to_another_queue(office: Office, scene: Scene, furnished: Furnished) -> None:
    before = facts(office, POOL)
    elsewhere = scene.submit("early", deployment=NAME)
    saved = office.run(deployments.save(replace(BEFORE, queue="low")))
    assert saved.moved == len(before) - 1, "the one that waits for its retry was submitted to a queue of its own"
    now = facts(office, POOL)
    assert {run: now.get(run) for run in before} == before
    queues_of = {run.id: run.queue for run in office.kept() if run.state is State.SCHEDULED}
    assert {run for run, queue in queues_of.items() if queue != "low"} == {furnished.retrying, elsewhere}
    assert scene.server.zscore(keyspace.duties(POOL), f"requeue:{NAME}:high") is None


def test_back_and_forth(office: Office, scene: Scene, furnished: Furnished) -> None:
    before = facts(office, POOL)
    for number in range(4):
        office.run(deployments.save(AFTER if number % 2 == 0 else BEFORE))
        assert office.kept(OTHER if number % 2 else POOL) in ([], [scene.see(furnished.running[0])])
    now = facts(office, POOL)
    assert {run: now.get(run) for run in before} == before
    assert office.kept(OTHER) == []


def test_a_run_that_a_person_retries_goes_along_without_its_schedule(office: Office, scene: Scene) -> None:
    office.run(deployments.save(deployment(every(10))))
    scene.clock.advance(10 * MINUTE_MS)
    (run,) = scene.take(scene.join())
    scene.run(runs.cancel(POOL, run, force=True))
    scene.run(runs.retry(POOL, run))
    office.run(deployments.save(deployment(every(10), pool=OTHER)))
    assert run in office.waiting(OTHER)
    assert office.made(pool=OTHER) == [10, 20, 30, 40, 50, 60, 70]
    (found,) = scene.run(schedules.progress(OTHER, [(NAME, every(10).id)]))
    assert [minutes(at_ms) for at_ms in found.nominal_ms] == [20, 30, 40, 50, 60, 70]


# crashes --------------------------------------------------------------------------------------------------------------


def recover(office: Office) -> None:
    """What schedulers do in the seconds after a crash."""
    for _ in range(3):
        office.clock.advance(5_001)
        for pool in office.pools():
            office.perform(pool)


def assert_sound(office: Office, known: set[str]) -> None:
    """Every run exists, in one pool, and can be claimed there once."""
    where = office.everywhere()
    assert all(len(found) == 1 for found in where.values()), where
    moving = {run for pool in office.pools() for run in office.server.zrange(keyspace.moving(pool), 0, -1)}
    assert known - where.keys() <= moving, "a run is gone"


CHANGES: dict[str, Callable[[], Flow[Any]]] = {
    "to another pool": lambda: deployments.save(AFTER),
    "to another pool, changed": lambda: deployments.save(replace(AFTER, schedules=(every(10),))),
    "to another queue": lambda: deployments.save(replace(BEFORE, queue="low")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whenever_it_ends_in_between_others_finish_it(
    office: Office, scene: Scene, furnished: Furnished, change: str
) -> None:
    office.run(deployments.read(NAME))
    before = dump(scene.server)
    now_ms = scene.clock.now_ms
    known = set(office.waiting()) | {furnished.running[0]}
    is_over, calls = False, 0
    places = set()
    while not is_over:
        restore(scene.server, before)
        scene.clock.now_ms = now_ms
        is_over = scene.run(until(CHANGES[change](), calls))
        calls += 1
        if change != "to another pool, changed":  # its other schedules' runs are taken back
            assert_sound(office, known)
        recover(office)
        seen = office.run(deployments.read(NAME))
        places.add((seen.pool, seen.queue))
        where = office.everywhere()
        assert scene.server.zcard(keyspace.moving(POOL)) == 0
        assert all(len(found) == 1 for found in where.values())
        if change != "to another pool, changed":
            assert known <= where.keys()
        of_schedules = {run for run in known if run in where and run != furnished.running[0]} - {furnished.retrying}
        assert {where[run][0] for run in of_schedules} == {seen.pool}
        assert {run.queue for run in office.kept(seen.pool) if run.id in of_schedules} == {seen.queue}
        office.pass_minutes(60, step=5)
        for schedule, starts in nominal_times(office).items():
            if schedule in (every(10).id, every(15).id) and schedule in {one.id for one in seen.schedules}:
                step = 10 if schedule == every(10).id else 15
                assert starts == [step * (number + 1) for number in range(len(starts))], f"after {calls} calls"
                assert starts[-1] > minutes(scene.clock.now_ms) + 45
    assert calls > 6
    assert len(places) == 2, "early it stays as it was, later it is done"


def test_deleted_while_it_moves(office: Office, scene: Scene, furnished: Furnished) -> None:
    before = dump(scene.server)
    now_ms = scene.clock.now_ms
    by_hand = {furnished.urgent, furnished.later, furnished.retrying, furnished.running[0]}
    is_over, calls = False, 0
    while not is_over:
        restore(scene.server, before)
        scene.clock.now_ms = now_ms
        is_over = scene.run(until(deployments.save(AFTER), calls))
        calls += 1
        office.run(deployments.delete(NAME))
        recover(office)
        where = office.everywhere()
        assert by_hand <= where.keys()
        assert all(len(found) == 1 for found in where.values())
        assert scene.server.zcard(keyspace.moving(POOL)) == 0
        assert office.run(deployments.list_all()) == []
        count = len(where)
        office.pass_minutes(60, step=5)
        assert len(office.everywhere()) == count, f"schedules that nobody has any more make runs, after {calls} calls"


def test_the_pool_where_it_goes_is_deleted_in_between(office: Office, scene: Scene, furnished: Furnished) -> None:
    before = dump(scene.server)
    now_ms = scene.clock.now_ms
    known = set(office.waiting())
    is_over, calls = False, 0
    while not is_over:
        restore(scene.server, before)
        scene.clock.now_ms = now_ms
        flow = deployments.save(AFTER)
        is_over = scene.run(until(flow, calls))
        calls += 1
        arrived = set(office.waiting(OTHER))
        scene.run(pools.delete(OTHER, cancel_runs=True))
        recover(office)
        left = set(office.waiting())
        assert left & arrived == set(), "what was cancelled there does not come back"
        by_hand = {furnished.urgent, furnished.later, furnished.retrying}
        assert by_hand - arrived <= left
        assert scene.server.zcard(keyspace.moving(POOL)) == 0
        assert scene.server.zcard(keyspace.duties(POOL)) == len(SCHEDULES) * (office_has(office)), f"{calls} calls"
    assert known


def office_has(office: Office) -> bool:
    return bool([one for one in office.run(deployments.list_all()) if one.name == NAME])


def test_the_pool_that_it_leaves_is_deleted_in_between(office: Office, scene: Scene) -> None:
    office.run(deployments.save(deployment(every(10))))
    before = dump(scene.server)
    is_over, calls = False, 0
    while not is_over:
        restore(scene.server, before)
        flow = deployments.save(deployment(every(10), pool=OTHER))
        is_over = scene.run(until(flow, calls))
        calls += 1
        scene.run(pools.delete(POOL, cancel_runs=True))
        keys = [key for key in scene.server.scan_iter("*") if f"{{{POOL}}}" in key]
        assert all(":moved:" in key for key in keys), keys
        scene.run(pools.create(POOL))
        scene.run(deployments.save(deployment(every(10), pool=OTHER)))
        starts = office.made(State.SCHEDULED, pool=OTHER)
        assert starts in ([10, 20, 30, 40, 50, 60], [70, 80, 90, 100]), "the first six, or they were cancelled"


# who is slow ----------------------------------------------------------------------------------------------------------


def test_who_is_slow_brings_nothing_into_two_pools(office: Office, scene: Scene) -> None:
    """A mover read what leaves; before it goes on, others finish the move, and bring everything back."""
    office.run(deployments.save(deployment()))
    run = scene.submit(deployment=NAME)
    flow = moves.move(POOL, NAME, OTHER, "default")
    call = stopped_before("run_adopt", scene.run, flow)
    office.run(deployments.save(deployment(pool=OTHER)))
    office.run(deployments.save(deployment()))
    assert rest(scene.run, flow, call) >= 0
    assert office.everywhere() == {run: [POOL]}


def test_who_is_slow_forgets_nothing_that_left_again(office: Office, scene: Scene) -> None:
    office.run(deployments.save(deployment()))
    run = scene.submit(deployment=NAME)
    flow = moves.move(POOL, NAME, OTHER, "default")
    call = next(flow)
    for _ in range(2):
        while call.command != "run_move":
            call = flow.send(scene.run(call))
        if scene.server.zcard(keyspace.moving(POOL)) == 0:
            call = flow.send(scene.run(call))
    assert call.command == "run_move"
    office.run(deployments.save(deployment(pool=OTHER)))
    office.run(deployments.save(deployment()))
    scene.run(until(moves.move(POOL, NAME, OTHER, "default"), 4))
    assert scene.server.zcard(keyspace.moving(POOL)) == 1
    rest(scene.run, flow, call)
    assert list(office.everywhere().values()) in ([[POOL]], [[OTHER]])
    assert run in office.everywhere()


def test_who_is_slow_leads_nothing_to_a_queue_of_before(office: Office, scene: Scene) -> None:
    office.run(deployments.save(deployment(queue="high")))
    run = scene.submit("high", deployment=NAME)
    flow = deployments.save(deployment(queue="low"))
    call = stopped_before("run_requeue", scene.run, flow)
    office.run(deployments.save(deployment(queue="high")))
    rest(scene.run, flow, call)
    assert scene.see(run).queue == "high"


def test_who_is_slow_leaves_nothing_on_its_way(office: Office, scene: Scene) -> None:
    """A mover lets one more run go out when others have done with the move and its duty, and then it ends."""
    office.run(deployments.save(deployment()))
    flow = moves.move(POOL, NAME, OTHER, "default")
    late = scene.submit(deployment=NAME)
    call = stopped_before("run_move", scene.run, flow)
    scene.run(runs.cancel(POOL, late))
    scene.run(runs.retry(POOL, late))
    scene.run(call)
    assert scene.server.zcard(keyspace.moving(POOL)) == 1
    office.run(deployments.save(deployment(pool=OTHER)))
    recover(office)
    assert office.everywhere() == {late: [OTHER]}


@pytest.mark.parametrize("seed", range(12))
def test_many_at_the_same_time(office: Office, scene: Scene, seed: int) -> None:
    """Deployed here and there at once, with schedulers at work in both pools and consumers that take runs."""
    chance = random.Random(seed)
    office.run(deployments.save(deployment(every(10), queue="high")))
    by_hand = scene.submit_many(5, "high", deployment=NAME)
    scene.clock.advance(25 * MINUTE_MS)
    consumers = {pool: scene.join(pool, pool=pool) for pool in (POOL, OTHER)}
    claims: list[str] = []

    def deploying(pool: str, queue: str) -> Flow[Any]:
        for _ in range(2):
            yield from deployments.save(deployment(every(10), pool=pool, queue=queue))

    def caring(pool: str) -> Flow[Any]:
        for _ in range(3):
            yield from pools.tick(pool)
            yield from duties.perform(pool, [moves.duty(NAME), f"schedule:{NAME}:{every(10).id}"])

    def working(pool: str) -> Flow[Any]:
        for number in range(3):
            found = yield from leases.claim(pool, consumers[pool], request=f"{pool}{number}", want=2, load=0)
            claims.extend(run.id for run in found.runs)

    flows = [
        *(deploying(OTHER, "low"), deploying(POOL, "high"), deploying(OTHER, "lower")),
        *(caring(POOL), caring(OTHER), caring(POOL), working(POOL), working(OTHER)),
    ]
    interleaved(scene.run, flows, chance)
    recover(office)
    where = office.everywhere()
    assert all(len(found) == 1 for found in where.values()), where
    assert set(by_hand) <= where.keys()
    assert len(claims) == len(set(claims)), "one run was handed out in both pools"
    assert [scene.server.zcard(keyspace.moving(pool)) for pool in (POOL, OTHER)] == [0, 0]
    seen: Deployment = office.run(deployments.read(NAME))
    for pool in (POOL, OTHER):
        waiting = [run for run in office.kept(pool) if run.state is State.SCHEDULED]
        assert pool == seen.pool or waiting == [], f"left behind in {pool}"
    office.pass_minutes(60, step=5)
    starts = nominal_times(office)[every(10).id]
    assert starts == [10 * (number + 1) for number in range(len(starts))]
    assert starts[-1] > 85 + 45


# a run on its way -----------------------------------------------------------------------------------------------------


def leaving(office: Office, scene: Scene) -> str:
    """A run that is on its way, because who moved it ended."""
    office.run(deployments.save(deployment()))
    run = scene.submit(deployment=NAME)
    flow = deployments.save(deployment(pool=OTHER))
    calls = 0
    while scene.server.zcard(keyspace.moving(POOL)) == 0:
        calls += 1
        office.run(deployments.save(deployment()))
        scene.run(until(flow, calls))
        flow = deployments.save(deployment(pool=OTHER))
    return run


def test_a_run_on_its_way_is_nobodys(office: Office, scene: Scene) -> None:
    run = leaving(office, scene)
    assert scene.take(scene.join()) == []
    scene.refused(runs.cancel(POOL, run), RunMoving)
    scene.refused(runs.cancel(POOL, run, force=True), RunMoving)
    (reason,) = scene.run(views.why(POOL, run)).reasons
    assert (reason.code, OTHER in reason.text) == ("moving", True)
    assert scene.run(moves.requeue(POOL, NAME, before="default", after="low")) == 0
    recover(office)
    assert scene.run(runs.cancel(OTHER, run)) is State.CANCELLED


def test_a_pool_with_a_run_on_its_way_is_not_empty(office: Office, scene: Scene) -> None:
    run = leaving(office, scene)
    scene.refused(pools.delete(POOL), PoolHasRuns)
    assert scene.run(pools.delete(POOL, cancel_runs=True)) == 1
    recover(office)
    assert office.everywhere() == {}
    assert [key for key in scene.server.scan_iter("*") if run in key] == [keyspace.moved(POOL, run)]


def test_what_did_not_arrive_waits_again_as_a_run_of_its_schedule(office: Office, scene: Scene) -> None:
    office.run(deployments.save(BEFORE))
    before = facts(office, POOL)
    scene.run(moves.waiting(POOL, NAME))
    scene.run(until(moves.move(POOL, NAME, OTHER, "low"), 4))
    assert scene.server.zcard(keyspace.moving(POOL)) == len(before)
    assert scene.run(moves.put_back(POOL, NAME, "")) == len(before)
    assert facts(office, POOL) == before
    assert {run.queue for run in office.kept()} == {"high"}
    (found,) = scene.run(schedules.progress(POOL, [(NAME, every(10).id)]))
    assert len(found.nominal_ms) == 6


def test_a_queue_that_is_gone_is_made_again(office: Office, scene: Scene) -> None:
    office.run(deployments.save(deployment(queue="high")))
    run = scene.submit("high", deployment=NAME)
    flow = deployments.save(deployment(queue="low"))
    call = next(flow)
    while call.command != "run_requeue":
        if call.command == "run_read":
            scene.run(queues.delete(POOL, "low"))
        call = flow.send(scene.run(call))
    with pytest.raises(Exception, match="low"):
        rest(scene.run, flow, call)
    recover(office)
    assert scene.see(run).queue == "low"

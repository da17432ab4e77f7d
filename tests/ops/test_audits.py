"""Audit and repair: a healthy pool is left alone, and each damage is found, told and mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import redis

from dispatcher import keyspace
from dispatcher.errors import PoolNotFound
from dispatcher.models import Fault, Schedule
from dispatcher.ops import audits, consumers, deployments, moves, pools, queues, runs, views
from dispatcher.states import State
from dispatcher.upkeep import duties
from tests.deploying import deployment, until
from tests.dumps import content, dump, restore, unchanged
from tests.scene import POOL, Scene

# Written whenever a script runs, or never made anew: nobody decides by them.
PASSING = {keyspace.events(POOL), keyspace.state(POOL)}


@dataclass
class Full:
    """A pool in which there is everything: `ready`, `due`, `again`, `undecided` wait, `pending`, `running`,
    `cancelling` are held by `busy`, `done` and `failed` are finished; `idle` is parked."""

    scene: Scene
    server: redis.Redis
    ready: str = ""
    due: str = ""
    again: str = ""
    pending: str = ""
    running: str = ""
    cancelling: str = ""
    done: str = ""
    failed: str = ""
    scheduled: str = ""
    schedule: str = ""
    busy: str = ""
    idle: str = ""

    def key(self, part: str) -> str:
        return keyspace.pool(POOL).removesuffix("pool") + part.format(**vars(self))

    def send(self, command: str, part: str, *words: Any) -> None:
        """A command on a key of the pool; names of runs and consumers in braces."""
        given = [word.format(**vars(self)) if isinstance(word, str) else word for word in words]
        self.server.execute_command(command, self.key(part), *given)  # type: ignore[no-untyped-call]

    def content(self) -> dict[str, Any]:
        return {key: value for key, value in content(self.server).items() if key not in PASSING}


@pytest.fixture
def full(scene: Scene, server_connection: redis.Redis) -> Full:
    full = Full(scene, server_connection)
    for name, limit in (("a", 2), ("b", None)):
        scene.queue(name, limit=limit)
    full.busy = scene.join("busy")
    full.done = scene.finished(full.busy)
    full.failed = scene.finished(full.busy, State.FAILED)
    held = scene.running(full.busy, "a")
    scene.finish(full.busy, held, State.FAILED, retry_in_ms=60_000)
    full.again = held[0]
    full.cancelling = scene.running(full.busy, "b")[0]
    scene.run(runs.cancel(POOL, full.cancelling))
    full.running = scene.running(full.busy, "a")[0]
    full.pending = scene.held(full.busy, "a", idempotency_key="once", deployment="f/x")[0]
    full.ready = scene.submit("a", deployment="f/d", priority=7)  # behind the limit
    full.due = scene.submit("b", delay_ms=600_000, idempotency_key="twice")
    scene.run(deployments.save(deployment(Schedule(interval_s=3600, overlap="skip", expires_s=60), queue="b")))
    kept = scene.run(runs.list_pool(POOL, deployment="f/d"))
    full.scheduled = next(run.id for run in kept if run.schedule)
    full.schedule = next(run.schedule for run in kept if run.schedule)
    full.idle = scene.join("idle")
    assert scene.claim(full.idle).runs == ()
    return full


def codes(faults: list[Fault]) -> set[str]:
    return {fault.code for fault in faults}


def test_a_healthy_pool_has_no_fault_and_is_left_as_it_is(full: Full) -> None:
    with unchanged(full.server):
        assert full.scene.run(audits.audit(POOL)) == []
        assert full.scene.run(audits.repair(POOL)) == []


def test_an_empty_pool_and_none(scene: Scene) -> None:
    with unchanged(scene.server):
        assert scene.run(audits.repair(POOL)) == []
    for operation in (audits.audit("nope"), audits.repair("nope")):
        scene.refused(operation, PoolNotFound)


def test_what_only_waits_for_the_next_script_is_no_fault(full: Full) -> None:
    """Leases that have ended, runs that have come due, a consumer that fell silent: time sees to them."""
    full.scene.clock.advance(86_400_000)
    with unchanged(full.server):
        assert full.scene.run(audits.repair(POOL)) == []


NOBODY = "01ZZZZZZZZZZZZZZZZZZZZZZZZ"
SPAN = 2**42
# What is damaged, which faults are told; what follows from runs and queues is as before after the repair.
DERIVED: dict[str, tuple[list[tuple[Any, ...]], set[str]]] = {
    "a lease is lost": ([("ZREM", "leases", "{running}")], {"missing"}),
    "all leases are lost": ([("DEL", "leases")], {"missing"}),
    "a finished run has a lease": ([("ZADD", "leases", 9, "{done}")], {"stray"}),
    "a waiting run has a lease": ([("ZADD", "leases", 9, "{due}")], {"stray"}),
    "nobody has a lease": ([("ZADD", "leases", 9, NOBODY)], {"stray"}),
    "a lease never ends": ([("ZADD", "leases", 2 * 10**13, "{running}")], {"score"}),
    "a slot's time": ([("ZADD", "queue:a:slots", 9, "{running}")], {"score"}),
    "a run ended long ago": ([("ZADD", "runs:finished:FAILED", 9, "{failed}")], {"score"}),
    "a slot is lost": ([("ZREM", "queue:a:slots", "{pending}")], {"missing", "index"}),
    "nobody has a slot": ([("ZADD", "queue:b:slots", 9, NOBODY)], {"stray"}),
    "a finished run has a slot": ([("ZADD", "queue:b:slots", 9, "{failed}")], {"stray"}),
    "a slot in another queue": ([("ZADD", "queue:b:slots", 9, "{running}")], {"stray"}),
    "a slot in a queue that is gone": ([("ZADD", "queue:ghost:slots", 9, "{running}")], {"stray"}),
    "its consumer does not hold it": ([("SREM", "consumer:{busy}:runs", "{cancelling}")], {"missing"}),
    "another consumer holds it": ([("SADD", "consumer:{idle}:runs", "{cancelling}")], {"stray"}),
    "a consumer that is gone holds it": ([("SADD", f"consumer:{NOBODY}:runs", "{cancelling}")], {"stray"}),
    "a ready run is nowhere": ([("ZREM", "queue:a:ready", "{ready}")], {"missing"}),
    "a due run is nowhere": ([("ZREM", "queue:b:due", "{due}")], {"missing", "index"}),
    "a retry is nowhere": ([("ZREM", "queue:a:retry", "{again}")], {"missing", "index"}),
    "a run in two queues": ([("ZADD", "queue:b:ready", SPAN, "{ready}")], {"stray", "index"}),
    "a run twice in its queue": ([("ZADD", "queue:b:ready", SPAN, "{due}")], {"stray", "index"}),
    "a retry twice in its queue": ([("ZADD", "queue:a:due", 9, "{again}")], {"stray", "index"}),
    "a held run waits": ([("ZADD", "queue:b:ready", SPAN, "{running}")], {"stray", "index"}),
    "a finished run waits": ([("ZADD", "queue:b:retry", 9, "{done}")], {"stray", "index"}),
    "nobody waits": ([("ZADD", "queue:b:ready", SPAN, NOBODY)], {"stray", "index"}),
    "in a queue that is gone": ([("ZADD", "queue:ghost:ready", SPAN, "{ready}")], {"stray"}),
    "a due run's time": ([("ZADD", "queue:b:due", 9, "{due}")], {"score", "index"}),
    "a ready run's rank": ([("ZADD", "queue:a:ready", 9, "{ready}")], {"score"}),
    "a retry's time": ([("ZADD", "queue:a:retry", 9, "{again}")], {"score", "index"}),
    "a finished run is in no index": ([("ZREM", "runs:finished:COMPLETED", "{done}")], {"missing"}),
    "a finished run is in two": ([("ZADD", "runs:finished:CRASHED", 9, "{done}")], {"stray"}),
    "a held run counts as finished": ([("ZADD", "runs:finished:FAILED", 9, "{running}")], {"stray"}),
    "a run is not in the index by start": ([("ZREM", "runs:by-start", "{due}")], {"missing"}),
    "a run has the wrong start there": ([("ZADD", "runs:by-start", 9, "{done}")], {"score"}),
    "nobody is in the index by start": ([("ZADD", "runs:by-start", 9, NOBODY)], {"stray"}),
    "the index by start is lost": ([("DEL", "runs:by-start")], {"missing"}),
    "a run is not in its deployment's index": ([("ZREM", "runs:of:f/x", "{pending}")], {"missing"}),
    "a run is in another deployment's": ([("ZADD", "runs:of:f/y", 9, "{pending}")], {"stray"}),
    "an expiry is lost": ([("ZREM", "expiring", "{scheduled}")], {"missing"}),
    "nobody expires": ([("ZADD", "expiring", 9, NOBODY)], {"stray"}),
    "a finished run of a schedule": ([("ZADD", "schedule:f/d:{schedule}:runs", 9, "{done}")], {"stray"}),
    "a run moves to nowhere": ([("ZADD", "moving", 9, "{due}")], {"stray"}),
    "nobody moves": ([("ZADD", "moving", 9, NOBODY)], {"stray"}),
    "a full queue is admissible": ([("ZADD", "admissible", 2, "a")], {"index", "asleep"}),
    "a queue that is gone is admissible": ([("ZADD", "admissible", 2, "ghost")], {"index", "asleep"}),
    "no queue has a next run": ([("DEL", "next")], {"index"}),
    "a queue is early at another time": ([("ZADD", "early", 9, "b")], {"index"}),
    "leases of a wrong type": ([("SET", "leases", "x")], {"type", "missing"}),
    "indexes of a wrong type": ([("SET", "admissible", "x"), ("SET", "next", "x"), ("SET", "early", "x")], {"type"}),
    "slots of a wrong type": ([("SET", "queue:a:slots", "x")], {"type", "missing"}),
    "waiting runs of a wrong type": ([("SET", "queue:b:due", "x")], {"type", "missing"}),
    "the index by start of a wrong type": ([("SET", "runs:by-start", "x")], {"type", "missing"}),
    "finished runs of a wrong type": ([("SET", "runs:finished:FAILED", "x")], {"type", "missing"}),
    "what a consumer holds, of a wrong type": ([("SET", "consumer:{busy}:runs", "x")], {"type", "missing"}),
    "a group is not listed": ([("SREM", "groups", "0/*")], {"unlisted", "awake"}),
    "groups of a wrong type": ([("SET", "groups", "x")], {"type"}),
    "a consumer is parked and woken": ([("ZADD", "woken:0/*", 2 * 10**12, "{idle}")], {"twice"}),
    "a busy consumer is parked": ([("ZADD", "parked:0/=a", 9, "{busy}")], {"unlisted"}),
    "who does not sleep has a timer": ([("ZADD", "timers", 9, "{busy}")], {"awake"}),
    "a duty for nothing": ([("ZADD", "duties", 9, "schedule:f/gone:1")], {"nothing"}),
    "a queue is not listed": ([("ZREM", "queues", "a")], {"unlisted", "index"}),
    "parts of a run that is gone": ([("SET", f"run:{NOBODY}:input", "{{}}")], {"orphan"}),
    "a key of a run that is gone": ([("SET", "idempotency:f/x:gone", NOBODY, "EX", 99)], {"nobody"}),
    "all at once": (
        [("DEL", key) for key in ("leases", "admissible", "next", "early", "queue:b:due", "queue:a:ready", "expiring")]
        + [("DEL", key) for key in ("queue:a:slots", "queue:b:slots", "runs:by-start", "consumer:{busy}:runs")],
        {"missing", "index"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_what_follows_is_made_anew(full: Full, name: str) -> None:
    commands, told = DERIVED[name]
    before = full.content()
    for command in commands:
        full.send(*command)
    damaged = full.content()
    with unchanged(full.server):
        found = full.scene.run(audits.audit(POOL))
    assert codes(found) == told
    assert all(fault.problem and fault.repair for fault in found)
    assert damaged != before
    mended = full.scene.run(audits.repair(POOL))
    assert mended != []
    assert full.content() == before
    assert full.scene.run(audits.audit(POOL)) == []
    with unchanged(full.server):
        assert full.scene.run(audits.repair(POOL)) == []


# What cannot be as it was, because it does not follow from anything: it is made harmless.
LOST: dict[str, tuple[list[tuple[Any, ...]], set[str]]] = {
    "a finished run": ([("DEL", "run:{done}")], {"stray", "orphan"}),
    "a waiting run": ([("DEL", "run:{due}")], {"stray", "orphan", "nobody"}),
    "a held run": ([("DEL", "run:{pending}")], {"stray", "orphan", "nobody"}),
    "a run of a schedule": ([("DEL", "run:{scheduled}")], {"stray", "orphan"}),
    "a run's record is something else": ([("SET", "run:{done}", "x")], {"type"}),
    "a run's log is something else": ([("SET", "run:{running}:log", "x")], {"type"}),
    "a run's state": ([("HDEL", "run:{running}", "state")], {"field"}),
    "a run's state is nonsense": ([("HSET", "run:{due}", "state", "SLEEPING")], {"field"}),
    "a run's time": ([("HDEL", "run:{due}", "due_ms")], {"field"}),
    "a run's queue": ([("HSET", "run:{ready}", "queue", "ghost")], {"gone", "missing", "stray"}),
    "the queues": ([("DEL", "queues")], {"unlisted", "index"}),
    "the queues are something else": ([("SET", "queues", "x")], {"type"}),
    "a queue's fields": ([("DEL", "queue:b")], {"queue", "index"}),
    "a queue is something else": ([("SET", "queue:b", "x")], {"type"}),
    "a priority": ([("ZADD", "queues", 3, "a")], {"priority"}),
    "a consumer's fields": ([("DEL", "consumer:{idle}")], {"row", "stranger", "awake"}),
    "a consumer's place": ([("ZREM", "consumers", "{idle}")], {"leftover", "stranger", "awake"}),
    "the consumers are something else": ([("SET", "consumers", "x")], {"type"}),
    "who is parked is something else": ([("SET", "parked:0/*", "x")], {"type"}),
    "the history": ([("SET", "events", "x")], {"type"}),
    "the clock's state": ([("SET", "state", "x")], {"type"}),
    "the duties": ([("SET", "duties", "x")], {"type"}),
    "the deployments": ([("SET", "deployments", "x")], {"type"}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_made_harmless(full: Full, name: str) -> None:
    commands, told = LOST[name]
    for command in commands:
        full.send(*command)
    scene = full.scene
    with unchanged(full.server):
        assert codes(scene.run(audits.audit(POOL))) >= told
    scene.run(audits.repair(POOL))
    assert scene.run(audits.audit(POOL)) == []
    scene.pass_lease(ms=120_000)
    assert scene.pool().slots_used == 0, "what nobody holds any more has run out"
    scene.run(consumers.list_all(POOL))
    taker = scene.join("taker")
    fresh = scene.submit()
    assert fresh in scene.take(taker)
    assert scene.run(audits.audit(POOL)) == []


def test_a_run_whose_state_is_lost_has_crashed_and_can_be_retried(full: Full) -> None:
    full.send("HDEL", "run:{running}", "state")
    [fault] = full.scene.run(audits.repair(POOL))[:1]
    assert (fault.code, fault.subject, fault.place) == ("field", full.running, f"run:{full.running}")
    found = full.scene.see(full.running)
    assert (found.state, found.message) == (State.CRASHED, "its record was damaged, and repaired")
    assert full.scene.used() == {"": 2, "default": 0, "a": 1, "b": 1}
    assert full.scene.run(runs.retry(POOL, full.running)) is State.SCHEDULED


def test_a_queue_that_is_made_again_is_paused(full: Full) -> None:
    full.send("DEL", "queue:b")
    full.scene.run(audits.repair(POOL))
    found = full.scene.run(queues.read(POOL, "b"))
    assert (found.is_paused, found.limit, len(found.id)) == (True, None, 26)
    assert "its limit is lost" in found.note


def test_who_sleeps_beside_work_is_woken(full: Full) -> None:
    full.send("HDEL", "queue:a", "limit")
    full.send("ZADD", "admissible", 2, "a")
    assert codes(full.scene.run(audits.audit(POOL))) == {"asleep"}
    full.scene.run(audits.repair(POOL))
    assert full.scene.doorbell(full.idle) == ["work"]
    assert full.scene.take(full.idle) == [full.ready]


def test_a_schedule_that_nobody_looks_at_is_given_its_duty(full: Full) -> None:
    full.send("ZREM", "duties", "schedule:f/d:{schedule}")
    with unchanged(full.server):
        [fault] = full.scene.run(audits.audit(POOL))
    assert (fault.code, fault.subject) == ("undone", f"schedule:f/d:{full.schedule}")
    assert full.scene.run(audits.repair(POOL)) == [fault]
    assert full.scene.run(audits.audit(POOL)) == []
    assert full.scene.doorbell(full.idle) == ["timer"], "who keeps the pool's time is told"
    full.scene.clock.advance(3_600_000 * 2)
    assert full.scene.run(duties.perform(POOL, full.scene.run(pools.duties(POOL))[0])) > 0


def test_a_schedule_whose_times_are_over_needs_no_duty(scene: Scene) -> None:
    once = Schedule(rrule="FREQ=DAILY;COUNT=1", anchor="2027-01-15T09:00:00Z")
    scene.run(deployments.save(deployment(once)))
    assert scene.server.zcard(keyspace.duties(POOL)) == 0
    with unchanged(scene.server):
        assert scene.run(audits.repair(POOL)) == []


@pytest.mark.parametrize("lost", ["p", "other"])
def test_whoever_stops_in_a_move_whose_duty_is_lost(scene: Scene, lost: str) -> None:
    """After any number of calls; the duty is lost, or what it is for has begun in the other pool alone."""
    scene.run(pools.create("other"))
    scene.run(deployments.save(deployment(Schedule(interval_s=600))))
    run = scene.submit(deployment="f/d")
    before, now_ms = dump(scene.server), scene.clock.now_ms
    is_over, calls, told = False, 0, 0
    while not is_over:
        restore(scene.server, before)
        scene.clock.now_ms = now_ms
        is_over = scene.run(until(deployments.save(deployment(Schedule(interval_s=600), pool="other")), calls))
        calls += 1
        if lost == "other":
            for pool in ("p", "other"):
                assert scene.run(audits.audit(pool)) == [], f"a sound move, {calls} calls"
        scene.server.zrem(keyspace.duties(POOL), moves.duty("f/d"))
        for pool in ("p", "other"):
            told += len(scene.run(audits.repair(pool)))
            assert scene.run(audits.audit(pool)) == []
        for _ in range(3):
            scene.clock.advance(5_001)
            for pool in ("p", "other"):
                while found := scene.run(pools.duties(pool))[0]:
                    scene.run(duties.perform(pool, found))
        goal = scene.run(deployments.read("f/d")).pool
        (kept,) = [pool for pool in ("p", "other") if scene.server.hexists(keyspace.deployment_set(pool), "f/d")]
        assert kept == goal
        assert scene.server.zscore(keyspace.runs_by_start(goal), run) is not None
        assert scene.server.zcard(keyspace.moving(POOL)) == 0
    assert told > 3


def test_directories_are_entered_and_cleared(full: Full) -> None:
    full.server.srem(keyspace.pools(), POOL)
    full.server.hdel(keyspace.deployments(), "f/d")
    full.server.hset(keyspace.deployments(), "f/nope", POOL)
    full.server.hset(keyspace.deployments(), "f/other", "elsewhere")
    found = full.scene.run(audits.audit(POOL))
    assert sorted((fault.code, fault.subject) for fault in found) == [
        ("directory", "deployment f/d"),
        ("directory", f"work pool {POOL}"),
        ("entry", "deployment f/nope"),
    ]
    assert full.scene.run(audits.repair(POOL)) == found
    assert full.scene.run(pools.names()) == [POOL]
    assert full.server.hgetall(keyspace.deployments()) == {"f/d": POOL, "f/other": "elsewhere"}
    assert full.scene.run(audits.audit(POOL)) == []


@pytest.mark.foreign_keys
def test_a_pool_that_is_something_else_cannot_be_mended(full: Full) -> None:
    full.send("SET", "pool", "x")
    with unchanged(full.server):
        for operation in (audits.audit(POOL), audits.repair(POOL)):
            [fault] = full.scene.run(operation)
            assert (fault.code, fault.repair) == ("pool", "")


def test_a_repair_leaves_an_event(full: Full) -> None:
    full.send("ZADD", "leases", 9, NOBODY)
    full.scene.run(audits.repair(POOL))
    assert [event.fields for event in full.scene.run(views.events(POOL)) if event.event == "repaired"] == [
        {"value": "1"}
    ]


def test_many_runs_are_looked_at_a_page_at_a_time(scene: Scene) -> None:
    ids = scene.submit_many(3 * audits.PAGE)
    scene.server.delete(keyspace.ready(POOL, "default"), keyspace.admissible(POOL))
    found = scene.run(audits.audit(POOL))
    assert sorted(fault.subject for fault in found) == sorted(ids)
    assert {fault.subject for fault in scene.run(audits.repair(POOL))} == {*ids, "default"}
    one = scene.join()
    assert scene.take(one, 10) == ids[:10]


def test_another_pool_is_none_of_its_business(full: Full) -> None:
    full.scene.run(pools.create("p2"))
    full.scene.submit(pool="p2")
    full.server.delete(keyspace.runs_by_start("p2"))
    assert full.scene.run(audits.repair(POOL)) == []
    assert codes(full.scene.run(audits.audit("p2"))) == {"missing"}

"""Filter queues: what they select, that a run is claimed once, limits by matching, made later, deleted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import redis

from dispatcher import keyspace
from dispatcher.client import Client
from dispatcher.errors import (
    AmbiguousName,
    BadName,
    BadValue,
    FilterMisplaced,
    QueueExists,
    QueueIsFilter,
    QueueNowhere,
    TooManyFilters,
)
from dispatcher.ids import new_id
from dispatcher.models import DEFAULT_POOL, Deployment, QueueFilter, RunInput
from dispatcher.ops import audits, consumers, deployments, leases, pools, previews, queues, runs, views
from dispatcher.states import State
from tests.conftest import Clock, Run
from tests.deploying import MINUTE_MS, Office, every
from tests.dumps import content
from tests.scene import Scene, new_consumer, new_run

ALL = QueueFilter()
A, B, AB = QueueFilter(tags=("a",)), QueueFilter(tags=("b",)), QueueFilter(tags=("a", "b"))
HOUR_MS = 3_600_000


@pytest.fixture
def scene(run: Run, clock: Clock, server_connection: redis.Redis) -> Scene:
    run(pools.create(DEFAULT_POOL))
    return Scene(run, clock, server_connection, DEFAULT_POOL)


def make(scene: Scene, name: str, filter: QueueFilter, **options: Any) -> str:
    scene.run(queues.create(DEFAULT_POOL, name, filter=filter, **options))
    scene.run(queues.fill(DEFAULT_POOL))
    return name


def tagged(scene: Scene, *tags: str, queue: str = "default", **options: Any) -> str:
    return scene.submit(queue, input=RunInput(tags=tags), **options)


def serving(scene: Scene, *names: str, **options: Any) -> str:
    return scene.join(new_id(), selector="=" + ",".join(names), **options)


def lanes(scene: Scene) -> list[str]:
    """The keys in which filters keep what they show."""
    return sorted(key for key in scene.server.scan_iter(count=1000) if "/" in key and ":queue:" in key)


# refused ------------------------------------------------------------------------------------------------------------


def test_only_the_default_pool_has_filters(scene: Scene) -> None:
    scene.run(pools.create("other"))
    with pytest.raises(FilterMisplaced, match="--pool other"):
        queues.create("other", "q", filter=A)


@pytest.mark.parametrize(
    ("faulty", "kind", "match"),
    [
        (QueueFilter(types=("vapour",)), BadValue, "infrastructure type 'vapour' is not known"),
        (QueueFilter(types=("docker",)), BadValue, "'docker' comes later"),
        (QueueFilter(types=("agent",)), BadValue, "'agent' is not known: choose one of process"),
        (QueueFilter(tags=("a", "")), BadValue, "empty tag"),
        (QueueFilter(tags=("\ud800",)), BadValue, "half a character"),
        (QueueFilter(tags=("x" * 5_000,)), BadValue, "too large"),
        (QueueFilter(deployments=("plain",)), BadName, "Deployment name ''"),
        (QueueFilter(deployments=("f/d/e",)), BadName, "'d/e'"),
    ],
)
def test_faulty_filters(scene: Scene, faulty: QueueFilter, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        queues.create(DEFAULT_POOL, "q", filter=faulty)


def test_no_run_is_sent_to_a_filter_queue(scene: Scene) -> None:
    make(scene, "all", ALL)
    scene.queue("q")
    scene.submit("q")
    scene.refused(runs.submit(DEFAULT_POOL, [new_run(), new_run("all")]), QueueIsFilter, "'all' of work pool")
    deployment = Deployment("f/d", "1", DEFAULT_POOL, "all", RunInput())
    scene.refused(deployments.save(deployment), QueueIsFilter, "none is sent to it")
    scene.refused(queues.delete(DEFAULT_POOL, "q", move_to="all"), QueueIsFilter, "'all'")


def test_a_hundred_filters_and_no_more(scene: Scene) -> None:
    for number in range(100):
        scene.run(queues.create(DEFAULT_POOL, f"f{number}", filter=A))
    scene.refused(queues.create(DEFAULT_POOL, "more", filter=A), TooManyFilters, "100 queues with filters")
    scene.queue("ordinary")
    run = tagged(scene, "a")
    assert scene.take(serving(scene, "f99")) == [run]
    assert {scene.used()[f"f{number}"] for number in range(100)} == {1}


# what a filter selects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "shown"),
    [
        (ALL, "plain a ab b deployed odd"),
        (A, "a ab"),
        (AB, "ab"),
        (QueueFilter(tags=("b", "a", "b")), "ab"),
        (QueueFilter(deployments=("f/d",)), "deployed"),
        (QueueFilter(deployments=("f/d", "g/d")), "deployed odd"),
        (QueueFilter(tags=("a",), deployments=("f/d",)), ""),
        (QueueFilter(types=("process",)), "plain a ab b deployed odd"),
        (QueueFilter(tags=('größe, "x"\n{}',), deployments=("g/d",), types=("process",)), "odd"),
        (QueueFilter(tags=("A",)), ""),
    ],
)
@pytest.mark.parametrize("is_late", [False, True], ids=["made first", "made later"])
def test_what_is_shown(scene: Scene, filter: QueueFilter, shown: str, is_late: bool) -> None:
    scene.queue("other")
    if not is_late:
        make(scene, "shown", filter)
    names = {
        scene.submit("other", input=RunInput(parameters={"tags": ["a", "b"]})): "plain",
        tagged(scene, "a"): "a",
        tagged(scene, "c", "b", "a", queue="other"): "ab",
        tagged(scene, "b"): "b",
        scene.submit(deployment="f/d"): "deployed",
        tagged(scene, 'größe, "x"\n{}', deployment="g/d"): "odd",
    }
    if is_late:
        make(scene, "shown", filter)
    found = scene.run(queues.read(DEFAULT_POOL, "shown"))
    assert found.counts.scheduled == len(shown.split())
    assert sorted(names[run] for run in scene.take(serving(scene, "shown"))) == sorted(shown.split())


def test_types(scene: Scene) -> None:
    make(scene, "processes", QueueFilter(types=("process",)))
    scene.submit(input=RunInput(infrastructure="elsewhere"))
    run = scene.submit()
    assert scene.take(serving(scene, "processes")) == [run]


def test_a_run_that_cannot_be_read_by_scripts_harms_nobody(scene: Scene) -> None:
    make(scene, "all", ALL)
    make(scene, "a", A)
    call = runs.submit(DEFAULT_POOL, [new_run()])
    unreadable = '{"parameters":{"half":"\\ud800"},"tags":["a"]}'  # as others may write it, not we
    odd = scene.run(replace(call, args=(*call.args[:-1], unreadable)))[0].id
    run = tagged(scene, "a")
    make(scene, "later", ALL)
    assert scene.take(serving(scene, "a")) == [run]
    assert scene.take(serving(scene, "all")) == [odd]


def test_the_document_tells_the_filter(scene: Scene) -> None:
    make(scene, "f", QueueFilter(("b", "a"), ("f/d",), ("process",)), limit=2, priority=7, description="d")
    found = scene.run(queues.read(DEFAULT_POOL, "f")).document()
    assert found["filter"] == {"tags": ["b", "a"], "deployments": ["f/d"], "types": ["process"]}
    assert (found["priority"], found["concurrency_limit"], found["description"]) == (7, 2, "d")
    assert scene.run(queues.read(DEFAULT_POOL, "default")).document()["filter"] is None
    make(scene, "all", QueueFilter(types=("process",)))
    assert [queue.filter is not None and queue.filter.is_match_all for queue in scene.pool().queues] == [
        False, True, False,
    ]  # fmt: skip
    scene.refused(queues.create(DEFAULT_POOL, "f", filter=A), QueueExists)


# claims -------------------------------------------------------------------------------------------------------------


def test_a_run_is_claimed_once_and_leaves_every_lane(scene: Scene) -> None:
    for name, shown in (("a", A), ("b", B), ("ab", AB), ("all", ALL)):
        make(scene, name, shown)
    run = tagged(scene, "a", "b")
    one, two = serving(scene, "ab"), scene.join("two")
    assert scene.take(one) == [run]
    assert [scene.take(consumer) for consumer in (one, two, serving(scene, "a", "b", "all"))] == [[], [], []]
    assert [key.rpartition(":queue:")[2] for key in lanes(scene)] == ["/a:slots", "/ab:slots", "/all:slots", "/b:slots"]
    again = tagged(scene, "a", "b")
    assert scene.take(two) == [again]
    assert scene.used() == {"": 2, "default": 2, "a": 2, "b": 2, "ab": 2, "all": 2}


def test_order_is_by_served_queue_then_home_then_run(scene: Scene) -> None:
    scene.queue("low", 9)
    make(scene, "second", B, priority=3)
    make(scene, "first", A, priority=2)
    by_second = tagged(scene, "b", priority=1)
    late = tagged(scene, "a", priority=900)
    low = tagged(scene, "a", queue="low", priority=1)
    early = tagged(scene, "a", start_at_ms=scene.clock.now_ms - 5)
    other = scene.submit("low")
    assert scene.take(serving(scene, "low", "second", "first")) == [early, late, low, by_second, other]


def test_ordinary_queues_and_filters_together(scene: Scene) -> None:
    scene.queue("q")
    make(scene, "f-a", A)
    make(scene, "f-b", B)
    mine, a, b, other = scene.submit("q"), tagged(scene, "a"), tagged(scene, "b"), scene.submit()
    assert scene.take(serving(scene, "q", "f-a")) == [mine, a]
    assert scene.take(scene.join(selector="^f-")) == [b]
    assert scene.take(scene.join("every")) == [other]


def test_future_runs_become_ready_and_are_prefetched_in_their_lane(scene: Scene) -> None:
    make(scene, "a", A)
    make(scene, "shut", A, is_paused=True)
    one = serving(scene, "a", prefetch_ms=10_000)
    scene.submit(delay_ms=9_000)
    early, later = tagged(scene, "a", delay_ms=9_000), tagged(scene, "a", delay_ms=20_000)
    assert scene.take(serving(scene, "shut", prefetch_ms=10_000)) == []
    (found,) = scene.claim(one, 5).runs
    assert (found.id, found.wait_ms) == (early, 9_000)
    assert scene.take(one) == []
    scene.clock.advance(20_000)
    assert scene.take(serving(scene, "a")) == [later]


def test_who_waits_looks_when_a_run_of_its_filter_can_be_prefetched(scene: Scene) -> None:
    make(scene, "a", A)
    one = serving(scene, "a", prefetch_ms=10_000)
    scene.submit(delay_ms=12_000)
    run = tagged(scene, "a", delay_ms=14_000)
    assert (scene.claim(one).block_ms, scene.claim(one).is_timer) == (4_000, True)
    scene.clock.advance(4_000)
    assert scene.take(one) == [run]


def test_retries_are_shown_and_wait_for_their_time(scene: Scene) -> None:
    make(scene, "a", A)
    one = serving(scene, "a", prefetch_ms=10_000)
    run = tagged(scene, "a")
    (claimed,) = scene.claim(one).runs
    assert scene.finish(one, (run, claimed.epoch), State.FAILED, retry_in_ms=5_000) == "SCHEDULED"
    assert scene.run(queues.read(DEFAULT_POOL, "a")).counts.scheduled == 1
    assert scene.take(one) == []
    scene.clock.advance(5_000)
    assert scene.take(one) == [run]


def test_runs_of_schedules_go_through_their_lanes(scene: Scene) -> None:
    """Those that may not overlap wait apart until it is decided; those that expire leave; what is taken back too."""
    make(scene, "all", ALL)
    office = Office(scene.run, scene.clock, scene.server)
    office.deploy(every(10, overlap="cancel_running", expires_s=900), pool=DEFAULT_POOL)
    one = serving(scene, "all", prefetch_ms=10_000)

    def mirrored() -> dict[str, int]:
        sizes = {}
        for kind in ("ready", "due", "retry"):
            of_queue = scene.server.zrange(getattr(keyspace, kind)(DEFAULT_POOL, "default"), 0, -1, withscores=True)
            lane = getattr(keyspace, f"lane_{kind}")(DEFAULT_POOL, "default", "all")
            assert scene.server.zrange(lane, 0, -1, withscores=True) == of_queue, kind
            sizes[kind] = len(of_queue)
        return sizes

    assert mirrored()["retry"] > 2
    for _ in range(10):
        scene.clock.advance(MINUTE_MS)
        scene.tick()
    assert mirrored()["ready"] == 1
    (claimed,) = scene.claim(one, 5).runs
    held = claimed.id, claimed.epoch
    for _ in range(60):
        scene.clock.advance(10_000)
        scene.renew(one, held)
    assert scene.state(held[0]) is State.CANCELLING
    assert mirrored()["ready"] == 0, "the next one waits for its end"
    scene.finish(one, held, State.CANCELLED)
    scene.clock.advance(1_000)
    scene.tick()
    assert mirrored()["ready"] == 1
    scene.clock.advance(900_000)
    scene.tick()
    mirrored()
    office.deploy(pool=DEFAULT_POOL)
    assert mirrored()["retry"] == 0
    assert scene.used()["all"] == 0


# gates --------------------------------------------------------------------------------------------------------------


def test_every_gate_counts(scene: Scene) -> None:
    make(scene, "a", A)
    make(scene, "all", ALL)
    one, two, own = serving(scene, "a"), serving(scene, "all"), serving(scene, "default")
    run = tagged(scene, "a")
    scene.run(queues.pause(DEFAULT_POOL, "default"))
    assert [scene.take(consumer) for consumer in (one, two, own)] == [[], [], []], "its own queue is paused"
    scene.run(queues.resume(DEFAULT_POOL, "default"))
    scene.run(queues.set_limit(DEFAULT_POOL, "default", 0))
    assert scene.take(one) == [], "its own queue admits nothing"
    scene.run(queues.set_limit(DEFAULT_POOL, "default", None))
    scene.run(pools.pause(DEFAULT_POOL))
    assert scene.take(one) == []
    scene.run(pools.resume(DEFAULT_POOL))
    scene.run(queues.pause(DEFAULT_POOL, "a"))
    assert scene.take(one) == [], "the filter queue is paused"
    assert scene.take(two) == [run], "another one is not"


def test_a_limit_counts_every_held_run_that_matches(scene: Scene) -> None:
    scene.queue("q")
    make(scene, "a", A, limit=2)
    make(scene, "ab", AB)
    via_a, via_ab, own = serving(scene, "a"), serving(scene, "ab"), serving(scene, "default")
    first, second = tagged(scene, "a", "b"), tagged(scene, "a")
    third, fourth = tagged(scene, "a", "b"), tagged(scene, "a", queue="q")
    assert scene.take(via_ab, 1) == [first]
    assert scene.take(via_a) == [second]
    assert scene.used()["a"] == 2
    assert scene.take(via_a) == [], "both slots are used"
    assert scene.take(own) == [third], "who takes it from its own queue does not pass the filter queue"
    assert scene.used() == {"": 3, "default": 3, "q": 0, "a": 3, "ab": 2}
    scene.finish(own, (third, 1))
    assert scene.take(via_a) == []
    scene.release(via_ab, (first, 1))
    assert scene.take(via_a) == [first], "it stands before the one of the other queue"
    scene.run(runs.cancel(DEFAULT_POOL, first, force=True))
    assert scene.take(via_a) == [fourth]
    scene.run(queues.set_limit(DEFAULT_POOL, "a", 1))
    assert scene.used()["a"] == 2, "lowering it preempts nothing"


def test_slots_of_lost_runs_are_free_again(scene: Scene) -> None:
    make(scene, "a", A, limit=1)
    one = serving(scene, "a")
    run = tagged(scene, "a")
    assert scene.take(one) == [run]
    assert scene.run(consumers.leave(DEFAULT_POOL, one)) == 1
    assert scene.used()["a"] == 0
    assert scene.take(serving(scene, "a")) == [run]


# waking -------------------------------------------------------------------------------------------------------------


def test_whatever_makes_work_possible_wakes(scene: Scene) -> None:
    make(scene, "a", A, limit=1)
    one = serving(scene, "a")
    scene.claim(one)
    scene.submit()
    assert scene.doorbell(one) == [], "it does not match"
    first = tagged(scene, "a")
    assert scene.doorbell(one) == ["work"]
    assert scene.take(one) == [first]
    two = serving(scene, "a")
    scene.claim(two)
    second = tagged(scene, "a")
    assert scene.doorbell(two) == [], "the limit is reached"
    scene.finish(one, (first, 1))
    assert scene.doorbell(two) == ["work"], "a slot is free"
    assert scene.take(two) == [second]
    third = tagged(scene, "a")
    scene.claim(one)
    scene.run(queues.set_limit(DEFAULT_POOL, "a", 2))
    assert scene.doorbell(one) == ["work"], "there is a slot more"
    assert scene.take(one) == [third]
    scene.run(queues.set_limit(DEFAULT_POOL, "a", None))
    scene.run(queues.pause(DEFAULT_POOL, "a"))
    scene.claim(one)
    tagged(scene, "a")
    assert scene.doorbell(one) == []
    scene.run(queues.resume(DEFAULT_POOL, "a"))
    assert scene.doorbell(one) == ["work"]


def test_a_consumer_that_was_there_first_is_woken_by_a_new_filter(scene: Scene) -> None:
    one = serving(scene, "a")
    scene.claim(one)
    run = tagged(scene, "a")
    assert scene.doorbell(one) == []
    make(scene, "a", A)
    assert scene.doorbell(one) == ["work"]
    assert scene.take(one) == [run]


# made later, deleted ------------------------------------------------------------------------------------------------


def test_a_new_filter_picks_up_waiting_runs_and_counts_held_ones(scene: Scene) -> None:
    one = scene.join()
    held = tagged(scene, "a")
    assert scene.take(one) == [held]
    scene.finish(one, (held, 1), State.FAILED, retry_in_ms=1_000)
    retrying, future = held, tagged(scene, "a", delay_ms=HOUR_MS)
    held = tagged(scene, "a")
    assert scene.take(one) == [held]
    ready = tagged(scene, "a")
    make(scene, "a", A, limit=2)
    found = scene.run(queues.read(DEFAULT_POOL, "a"))
    assert (found.counts.scheduled, found.counts.pending, found.slots_used) == (3, 1, 1)
    via_a = serving(scene, "a")
    assert scene.take(via_a) == [ready]
    scene.clock.advance(1_000)
    assert scene.take(via_a) == [], "the limit counts the run that was held before"
    scene.finish(one, (held, 1))
    assert scene.take(via_a) == [retrying]
    assert scene.state(future) == State.SCHEDULED


def test_a_filter_is_closed_until_it_shows_all(scene: Scene) -> None:
    """Made without waiting for it, as by a command that was killed: whatever script comes next goes on."""
    shown = scene.submit_many(350, input=RunInput(tags=("a",)))
    one, own = serving(scene, "a"), serving(scene, "default")
    scene.run(queues.create(DEFAULT_POOL, "a", filter=A))
    assert scene.run(queues.read(DEFAULT_POOL, "a")).counts.scheduled == 100
    assert scene.claim(one).runs == (), "there is more to pick up, this claim was the second step"
    assert scene.take(own, 1) == shown[:1], "others go on meanwhile; the third step"
    moved = tagged(scene, "a", delay_ms=HOUR_MS)
    found = scene.run(queues.read(DEFAULT_POOL, "a"))
    assert (found.counts.scheduled, found.counts.pending) == (350, 1)
    assert scene.doorbell(one) == ["work"]
    assert scene.take(one) == shown[1:65]
    assert scene.server.hget(keyspace.state(DEFAULT_POOL), "filling") is None
    assert scene.state(moved) == State.SCHEDULED


def test_a_parked_consumer_goes_on_with_filling_by_itself(scene: Scene) -> None:
    scene.submit_many(350, input=RunInput(tags=("a",)))
    scene.run(queues.create(DEFAULT_POOL, "a", filter=A))
    one = serving(scene, "a")
    waits = [scene.claim(one).block_ms for _ in range(2)]
    assert waits == [1, 0], "it looks again at once, and then there is work"


def test_what_moves_while_a_filter_is_filled_is_picked_up_once(scene: Scene) -> None:
    """The run at which the last step ended is deleted, one before it starts later: nothing is passed over."""
    scene.queue("q", limit=0)
    batch = scene.submit_many(150, "q", input=RunInput(tags=("a",)))
    one = scene.join()
    done = tagged(scene, "a", start_at_ms=scene.clock.now_ms)
    assert scene.take(one) == [done]
    scene.run(queues.create(DEFAULT_POOL, "a", filter=A))
    cursor = scene.server.hget(keyspace.state(DEFAULT_POOL), "filling").split()[1]
    assert cursor == batch[99]
    scene.run(runs.cancel(DEFAULT_POOL, cursor))
    scene.run(queues.fill(DEFAULT_POOL))
    assert scene.run(queues.read(DEFAULT_POOL, "a")).counts.scheduled == 149
    assert scene.used()["a"] == 1


def test_deleting_a_filter_loses_no_run(scene: Scene) -> None:
    make(scene, "a", A, limit=1)
    make(scene, "all", ALL)
    one = serving(scene, "a")
    held, waiting, future = tagged(scene, "a"), tagged(scene, "a"), tagged(scene, "a", delay_ms=1_000)
    assert scene.take(one) == [held]
    assert scene.run(queues.delete(DEFAULT_POOL, "a", cancel_runs=True)) == 0
    assert scene.take(one) == []
    assert [key for key in lanes(scene) if "/a:" in key] == []
    assert scene.take(serving(scene, "all")) == [waiting]
    scene.clock.advance(1_000)
    assert scene.take(scene.join("own")) == [future]
    assert scene.finish(one, (held, 1)) == "COMPLETED"
    scene.run(queues.delete(DEFAULT_POOL, "all"))
    assert lanes(scene) == []
    assert scene.server.hget(keyspace.pool(DEFAULT_POOL), "filters") is None


def test_a_filter_made_again_selects_anew(scene: Scene) -> None:
    make(scene, "f", A)
    tagged(scene, "a")
    run = tagged(scene, "b")
    scene.run(queues.delete(DEFAULT_POOL, "f"))
    make(scene, "f", B)
    assert scene.take(serving(scene, "f")) == [run]


def test_a_filter_with_the_name_of_a_queue_that_is_gone(scene: Scene) -> None:
    scene.queue("q")
    one = scene.join()
    held = tagged(scene, "b", queue="q")
    assert scene.take(one) == [held]
    scene.run(queues.delete(DEFAULT_POOL, "q"))
    make(scene, "q", A, limit=1)
    assert scene.used()["q"] == 0
    scene.release(one, (held, 1))
    assert scene.see(held).queue == "default", "no run lives in a filter queue"


def test_runs_stay_in_their_lanes_when_their_queue_is_deleted(scene: Scene) -> None:
    scene.queue("q")
    make(scene, "a", A)
    now, future = tagged(scene, "a", queue="q"), tagged(scene, "a", queue="q", delay_ms=1_000)
    assert scene.run(queues.delete(DEFAULT_POOL, "q", move_to="default")) == 2
    scene.clock.advance(1_000)
    assert scene.take(serving(scene, "a")) == [now, future]


def test_a_cancelled_run_is_not_shown(scene: Scene) -> None:
    make(scene, "a", A)
    run = tagged(scene, "a")
    scene.run(runs.cancel(DEFAULT_POOL, run))
    assert lanes(scene) == []
    scene.run(runs.retry(DEFAULT_POOL, run))
    assert scene.take(serving(scene, "a")) == [run]


def test_deleting_the_pool_leaves_nothing(scene: Scene) -> None:
    make(scene, "a", A)
    tagged(scene, "a")
    scene.run(queues.create(DEFAULT_POOL, "b", filter=B))
    assert scene.run(pools.delete(DEFAULT_POOL, cancel_runs=True)) == 1
    assert list(scene.server.scan_iter()) == []


# looking ------------------------------------------------------------------------------------------------------------


def test_counts_of_what_is_shown(scene: Scene) -> None:
    scene.queue("q")
    make(scene, "a", A)
    one = serving(scene, "a")
    for queue in ("default", "q", "q"):
        tagged(scene, "a", queue=queue, start_at_ms=scene.clock.now_ms - 20_000)
    scene.submit("q")
    assert len(scene.claim(one).runs) == 1
    found = {queue.name: queue for queue in scene.pool().queues}
    shown, counts = found["a"].counts, scene.pool().counts
    assert (shown.scheduled, shown.late, shown.pending) == (2, 2, 1)
    assert (counts.scheduled, counts.late, counts.pending) == (3, 2, 1), "what a filter shows is counted once"
    assert [found[name].status for name in ("a", "q")] == ["ready", "not_ready"]


def test_preview(scene: Scene) -> None:
    seconds, _ = scene.server.time()
    scene.clock.now_ms = seconds * 1000
    scene.queue("q")
    make(scene, "a", A)
    make(scene, "all", ALL)
    soon, now, _ = tagged(scene, "a", delay_ms=1_000), tagged(scene, "a", queue="q"), scene.submit()

    def ids(*names: str) -> list[str]:
        return [run.id for run in scene.run(previews.waiting(DEFAULT_POOL, names, within_ms=HOUR_MS, most=10))]

    assert ids("a") == [now, soon]
    assert len(ids("default", "q", "a", "all")) == 3, "each run comes once"


def reasons(scene: Scene, run: str) -> list[str]:
    return [f"{reason.code}: {reason.text}" for reason in scene.run(views.why(DEFAULT_POOL, run)).reasons]


def test_why(scene: Scene) -> None:
    make(scene, "a", A, limit=1)
    make(scene, "ab", AB)
    run = tagged(scene, "a", "b")
    assert [line.partition(":")[0] for line in reasons(scene, run)] == ["no-consumer"]
    one = serving(scene, "a")
    scene.submit(priority=1)
    assert reasons(scene, run) == ["next: nothing holds it back: it is next"], "the other one is not shown"
    assert scene.take(one, 1) == [run]
    run = tagged(scene, "a", "b")
    (limit,) = scene.run(views.why(DEFAULT_POOL, run)).reasons
    assert (limit.code, len(limit.holders)) == ("filter-limit", 1)
    assert "work queue a, which has reached its concurrency limit: 1 of 1 slots used" in limit.text
    assert limit.advice.endswith("set-concurrency-limit a N --pool default-agent-pool")
    scene.run(queues.pause(DEFAULT_POOL, "a", "nap"))
    assert reasons(scene, run)[0] == "filter-paused: its consumers take it through work queue a, which is paused (nap)"
    serving(scene, "ab")
    assert reasons(scene, run) == ["next: nothing holds it back: it is next"], "another way is open"
    scene.join("own")
    assert reasons(scene, run) == ["behind: 1 ready runs go before it"]


def test_audit_and_repair(scene: Scene) -> None:
    scene.queue("q")
    make(scene, "a", A, limit=2)
    make(scene, "all", ALL)
    one = scene.join()
    held = tagged(scene, "a", queue="q")
    assert scene.take(one) == [held]
    waiting, future, other = tagged(scene, "a"), tagged(scene, "a", delay_ms=9_000), scene.submit()
    assert scene.run(audits.audit(DEFAULT_POOL)) == []
    before = content(scene.server)
    assert scene.run(audits.repair(DEFAULT_POOL)) == []
    assert content(scene.server) == before
    pool, server = DEFAULT_POOL, scene.server
    server.zrem(keyspace.lane_ready(pool, "default", "a"), waiting)
    server.zadd(keyspace.lane_ready(pool, "default", "a"), {other: 5})
    server.zadd(keyspace.lane_due(pool, "default", "all"), {future: 5})
    server.delete(keyspace.filter_slots(pool, "a"))
    server.zadd(keyspace.filter_slots(pool, "all"), {"GHOST": 5})
    server.hdel(keyspace.pool(pool), "filters")
    found = scene.run(audits.audit(pool))
    assert {fault.code for fault in found} >= {"filter", "stray"}, "without the filters nothing belongs into a lane"
    scene.run(audits.repair(pool))
    assert scene.run(audits.audit(pool)) == []
    passing = {keyspace.state(pool), keyspace.events(pool)}
    after = content(scene.server)
    assert {key for key in before | after if before.get(key) != after.get(key)} <= passing


# for commands -------------------------------------------------------------------------------------------------------


def test_a_queue_is_found_by_name_or_id_in_any_pool(scene: Scene) -> None:
    for pool in ("one", "two"):
        scene.run(pools.create(pool))
        scene.queue("twice", pool=pool)
    scene.queue("once", pool="two")
    make(scene, "a", A)
    found, queue = scene.run(queues.find("once"))
    assert (found.name, queue.name) == ("two", "once")
    assert scene.run(queues.find(queue.id)) == (found, queue)
    assert scene.run(queues.find("default"))[0].name == DEFAULT_POOL
    assert scene.run(queues.find("a"))[1].filter == A
    scene.refused(queues.find("twice"), AmbiguousName, "one, two")
    scene.refused(queues.find("ghost"), QueueNowhere, "'ghost'")


def test_a_queue_for_tags(run: Run, server_connection: redis.Redis) -> None:
    found = run(queues.ensure_tagged(["b", "a", "b"]))
    assert (found.name, found.filter) == ("agent-queue-a-b", AB)
    assert run(queues.ensure_tagged(["a", "b"])).id == found.id
    other = run(queues.ensure_tagged(["a-b"]))
    assert other.name.startswith("agent-queue-a-b-")
    assert other.filter == QueueFilter(tags=("a-b",))
    assert run(queues.ensure_tagged(["a-b"])).id == other.id
    odd = run(queues.ensure_tagged(["größe €" * 30]))
    assert len(odd.name) <= 100
    assert run(queues.ensure_tagged(["größe €" * 30])).id == odd.id
    assert json.loads(server_connection.hget(keyspace.pool(DEFAULT_POOL), "filters") or "").keys() == {
        found.name, other.name, odd.name,
    }  # fmt: skip
    with pytest.raises(BadValue, match="at least one tag"):
        run(queues.ensure_tagged([]))


# races --------------------------------------------------------------------------------------------------------------


def test_each_run_is_claimed_once_under_race(redis_url: str) -> None:
    """Eight threads through overlapping filters and the queues themselves, while filters come and go."""
    count = 200
    selectors = ["=a", "=all", "=a,b", "=b,all", "=default", "=q,a", "*", "^a"]
    with Client(redis_url) as client:
        client.run(pools.create(DEFAULT_POOL))
        client.run(queues.create(DEFAULT_POOL, "q"))
        client.run(queues.create(DEFAULT_POOL, "a", filter=A))
        client.run(queues.create(DEFAULT_POOL, "all", filter=ALL))
        for start in range(0, count, 50):
            batch = [
                new_run("q" if number % 3 else "default", input=RunInput(tags=("a", "b")[: number % 3]))
                for number in range(start, start + 50)
            ]
            client.run(runs.submit(DEFAULT_POOL, batch))

        def take_all(selector: str) -> list[str]:
            me = new_consumer(selector, DEFAULT_POOL, selector=selector)
            taken: list[str] = []
            with Client(redis_url) as own:
                own.run(consumers.register(me))
                for turn in range(60):
                    found = own.run(leases.claim(DEFAULT_POOL, me.id, request=new_id(), want=1 + turn % 2, load=0))
                    taken += [run.id for run in found.runs]
                    if selector == "*" and turn in (5, 15):
                        own.run(queues.delete(DEFAULT_POOL, "all"))
                    if selector == "*" and turn in (1, 10, 20):
                        own.run(queues.ensure(DEFAULT_POOL, "b", filter=B))
                        own.run(queues.ensure(DEFAULT_POOL, "all", filter=ALL))
            return taken

        with ThreadPoolExecutor(len(selectors)) as threads:
            taken = [run for found in threads.map(take_all, selectors) for run in found]
        assert len(taken) == len(set(taken)) == count
        found = client.run(pools.read(DEFAULT_POOL))
        assert (found.counts.pending, found.counts.scheduled, found.slots_used) == (count, 0, count)
        assert {queue.name: queue.slots_used for queue in found.queues}["all"] == count

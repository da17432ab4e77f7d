"""Looking: every reason why a run is not running, and the stream of events."""

from __future__ import annotations

import random

import pytest

from dispatcher.call import Call, Flow
from dispatcher.errors import PoolNotFound, RunNotFound
from dispatcher.models import Why
from dispatcher.ops import consumers, leases, pools, queues, runs, views
from dispatcher.states import State
from tests.dumps import unchanged
from tests.scene import LEASE_MS, POOL, Scene


def why(scene: Scene, run: str) -> Why:
    with unchanged(scene.server):
        return scene.run(views.why(POOL, run))


def codes(scene: Scene, run: str) -> list[str]:
    return [reason.code for reason in why(scene, run).reasons]


def text(scene: Scene, run: str, code: str) -> tuple[str, str]:
    """Text and advice of one reason."""
    (found,) = (reason for reason in why(scene, run).reasons if reason.code == code)
    return found.text, found.advice


# refused ------------------------------------------------------------------------------------------------------------


def test_unknown_pool_and_run(scene: Scene) -> None:
    refusals: list[tuple[Call[Why] | Flow[Why], type[PoolNotFound] | type[RunNotFound]]] = [
        (views.why("x", "R"), PoolNotFound),
        (views.why(POOL, "R"), RunNotFound),
    ]
    for operation, kind in refusals:
        scene.refused(operation, kind)


# why ----------------------------------------------------------------------------------------------------------------


def test_nothing_holds_it_back(scene: Scene) -> None:
    scene.join()
    assert codes(scene, scene.submit()) == ["next"]


def test_not_due(scene: Scene) -> None:
    scene.join()
    run = scene.submit(delay_ms=90_500)
    assert codes(scene, run) == ["not-due"]
    assert text(scene, run, "not-due")[0] == "it is not due yet: it starts in 90.5 s"


def test_paused(scene: Scene) -> None:
    scene.join()
    run = scene.submit()
    scene.run(pools.pause(POOL, "moving house"))
    scene.run(queues.pause(POOL, "default"))
    assert codes(scene, run) == ["pool-paused", "queue-paused"]
    assert text(scene, run, "pool-paused") == (
        "work pool p is paused (moving house)", "dispatcher work-pool resume p",
    )  # fmt: skip
    assert text(scene, run, "queue-paused") == (
        "work queue default is paused", "dispatcher work-queue resume default --pool p",
    )  # fmt: skip


def test_limits_name_the_holders(scene: Scene) -> None:
    one = scene.join("one")
    scene.queue("q", limit=1)
    first = scene.running(one, "q")[0]
    scene.clock.advance(500)
    second = scene.held(one)[0]
    scene.run(pools.set_limit(POOL, 2))
    run = scene.submit("q")
    found = why(scene, run)
    assert [reason.code for reason in found.reasons] == ["pool-limit", "queue-limit"]
    pool, queue = found.reasons
    assert "concurrency limit: 2 of 2 slots used" in pool.text
    assert {(holder.run_id, holder.consumer, holder.since_ms) for holder in pool.holders} == {
        (first, "one", 500), (second, "one", 0),
    }  # fmt: skip
    assert [(holder.run_id, holder.run_name) for holder in queue.holders] == [(first, "r")]


def test_at_most_ten_holders_are_named(scene: Scene) -> None:
    one = scene.join()
    scene.submit_many(12)
    scene.take(one)
    scene.run(pools.set_limit(POOL, 12))
    (reason,) = why(scene, scene.submit()).reasons
    assert ("12 of 12" in reason.text, len(reason.holders)) == (True, 10)


def test_nobody_serves_the_queue(scene: Scene) -> None:
    run = scene.submit()
    assert text(scene, run, "no-consumer") == (
        "no live consumer serves its queue", "dispatcher agent start --pool p",
    )  # fmt: skip
    scene.join("other", selector="=x")
    one = scene.join("one")
    assert codes(scene, run) == ["next"]
    scene.clock.advance(LEASE_MS + 2_000)
    assert "the last one was seen 32.0 s ago: one on here" in text(scene, run, "no-consumer")[0]
    scene.renew(one)
    assert codes(scene, run) == ["next"]
    scene.run(consumers.leave(POOL, one))
    assert codes(scene, run) == ["no-consumer"]


def test_a_typed_pool_wants_workers(scene: Scene) -> None:
    scene.run(pools.create("typed", type="process"))
    run = scene.submit(pool="typed")
    (reason,) = scene.run(views.why("typed", run)).reasons
    assert reason.advice == "dispatcher worker start --pool typed"


def test_behind_others(scene: Scene) -> None:
    scene.join()
    scene.queue("better", limit=2)
    scene.run(queues.set_priorities(POOL, {"better": 1, "default": 2}))
    scene.queue("worse", 9)
    scene.submit_many(5, "better")
    scene.submit_many(3)
    run = scene.submit()
    scene.submit_many(4, "worse")
    assert text(scene, run, "behind")[0] == "5 ready runs go before it", "two that are admitted, and three of its own"


@pytest.mark.parametrize("state", [State.PENDING, State.RUNNING, State.CANCELLING])
def test_held(scene: Scene, state: State) -> None:
    one = scene.join("one")
    held = scene.held(one) if state == State.PENDING else scene.running(one)
    if state == State.CANCELLING:
        scene.run(runs.cancel(POOL, held[0]))
    scene.clock.advance(1_500)
    code = {"PENDING": "starting", "RUNNING": "running", "CANCELLING": "cancelling"}[state]
    assert codes(scene, held[0]) == [code]
    said, advice = text(scene, held[0], code)
    assert "one" in said
    assert "1.5 s" in said
    if state == State.CANCELLING:
        assert f"dispatcher flow-run cancel --force {held[0]}" in advice


def test_finished(scene: Scene) -> None:
    run = scene.finished(scene.join(), State.FAILED)
    assert text(scene, run, "finished") == ("it is finished: FAILED", f"dispatcher flow-run retry {run}")


def test_whenever_a_reason_is_given_the_claim_agrees(scene: Scene) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    one = scene.join()
    scene.queue("q")
    for _ in range(25):
        if dice.random() < 0.5:
            scene.run(pools.set_limit(POOL, dice.choice([None, 0, 1, 2])))
            scene.run(queues.set_limit(POOL, "q", dice.choice([None, 0, 1, 2])))
        else:
            scene.run((pools.pause if dice.random() < 0.3 else pools.resume)(POOL))
            scene.run((queues.pause if dice.random() < 0.3 else queues.resume)(POOL, "q"))
        run = scene.submit("q", delay_ms=dice.choice([0, 0, 60_000]))
        said = codes(scene, run)
        given = scene.take(one)
        assert (run in given) == (set(said) <= {"next", "behind"}), said
        for held in dice.sample(given, len(given) // 2):
            scene.finish(one, (held, 1))
        if run not in given:
            scene.run(runs.cancel(POOL, run))
        scene.renew(one, *((other, 1) for other in given))


# events -------------------------------------------------------------------------------------------------------------


def test_each_change_of_pool_and_queue_leaves_an_event(scene: Scene) -> None:
    scene.queue("q", 1, limit=2)
    scene.run(queues.set_limit(POOL, "q", None))
    scene.run(pools.pause(POOL, "n"))
    scene.run(queues.delete(POOL, "q"))
    one = scene.join()
    scene.run(consumers.leave(POOL, one))
    found = [(event.event, event.fields) for event in scene.run(views.events(POOL))]
    assert found == [
        ("pool-created", {"type": "agent", "limit": ""}),
        ("queue-set", {"queue": "default", "name": "priority", "value": "2"}),
        ("queue-created", {"queue": "q", "priority": "1", "limit": "2"}),
        ("queue-set", {"queue": "q", "name": "limit", "value": ""}),
        ("pool-set", {"name": "paused", "value": "1"}),
        ("pool-set", {"name": "note", "value": "n"}),
        ("queue-deleted", {"queue": "q"}),
        ("joined", {"consumer": one}),
        ("left", {"consumer": one}),
    ]


def test_each_move_of_a_run_leaves_an_event(scene: Scene) -> None:
    one = scene.join()
    run, epoch = scene.running(one)
    scene.release(one, (run, epoch))
    scene.claim(one)
    scene.finish(one, (run, 2), State.FAILED, retry_in_ms=0)
    scene.claim(one)
    scene.run(runs.cancel(POOL, run))
    scene.finish(one, (run, 3))
    scene.run(runs.retry(POOL, run))
    scene.run(runs.cancel(POOL, run))
    scene.run(runs.delete(POOL, run))
    moves = [event for event in scene.run(views.events(POOL)) if event.fields.get("run") == run]
    assert [(event.event, event.fields["state"], event.fields["epoch"]) for event in moves] == [
        ("submitted", "SCHEDULED", "0"), ("claimed", "PENDING", "1"), ("started", "RUNNING", "1"),
        ("released", "SCHEDULED", "1"), ("claimed", "PENDING", "2"), ("retrying", "SCHEDULED", "2"),
        ("claimed", "PENDING", "3"), ("cancelling", "CANCELLING", "3"), ("finished", "CANCELLED", "3"),
        ("retried", "SCHEDULED", "3"), ("cancelled", "CANCELLED", "3"), ("deleted", "CANCELLED", "3"),
    ]  # fmt: skip
    assert {event.fields["consumer"] for event in moves if event.event == "claimed"} == {one}


def test_events_can_be_read_on_and_waited_for(scene: Scene) -> None:
    latest = scene.run(views.latest_event(POOL))
    assert scene.run(views.events(POOL, after=latest)) == []
    one = scene.join()
    (event,) = scene.run(views.events(POOL, after=latest))
    assert (event.event, event.at_ms) == ("joined", scene.clock.now_ms)
    assert scene.run(views.latest_event(POOL)) == event.id
    held = scene.running(one)
    scene.run(leases.log(POOL, one, *held, ["line"]))
    follow = views.follow(POOL, held[0], events_after=event.id, log_after=0, waits_ms=60_000)
    moves, lines = scene.run(follow)
    assert [move.event for move in moves] == ["submitted", "claimed", "started"]
    assert [line.text for line in lines] == ["line"]
    nothing = views.follow(POOL, held[0], events_after=moves[-1].id, log_after=lines[-1].number, waits_ms=1)
    assert scene.run(nothing) == ([], [])


def test_events_of_a_pool_without_any(scene: Scene) -> None:
    assert scene.run(views.latest_event("x")) == "0-0"
    assert scene.run(views.events("x")) == []


def test_replaying_the_events_gives_every_state(scene: Scene) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    workers = [scene.join(name) for name in "ab"]
    scene.queue("q", limit=3)
    waiting: list[str] = []
    held: dict[str, tuple[str, int]] = {}
    for _ in range(120):
        scene.clock.advance(dice.choice([0, 100, 4_000]))
        act = dice.random()
        worker = dice.choice(workers)
        if act < 0.25:
            waiting.append(scene.submit(dice.choice(["q", "default"]), delay_ms=dice.choice([0, 0, 3_000])))
        elif act < 0.5:
            held |= {run.id: (worker, run.epoch) for run in scene.claim(worker, dice.randint(1, 3)).runs}
        elif act < 0.85 and held:
            run = dice.choice(list(held))
            holder, epoch = held.pop(run)
            way = dice.randint(0, 3)
            if way == 0:
                scene.release(holder, (run, epoch))
            elif way == 1:
                scene.finish(holder, (run, epoch), State.FAILED, retry_in_ms=1_000)
            elif way == 2:
                scene.finish(holder, (run, epoch), dice.choice([State.COMPLETED, State.FAILED, State.CRASHED]))
            else:
                held[run] = (holder, epoch)  # forgotten: it will be lost
        elif waiting:
            state = scene.state(run := dice.choice(waiting))
            if state in (State.COMPLETED, State.FAILED, State.CRASHED, State.CANCELLED):
                scene.run(runs.retry(POOL, run))
            else:
                scene.run(runs.cancel(POOL, run, force=dice.random() < 0.3))
        for one in workers:
            scene.renew(one)
    replayed = {
        event.fields["run"]: event.fields["state"]
        for event in scene.run(views.events(POOL, most=10_000))
        if "run" in event.fields
    }
    found = scene.run(runs.list_pool(POOL, most=10_000))
    assert replayed == {run.id: run.state for run in found}
    assert len(found) == len(waiting)

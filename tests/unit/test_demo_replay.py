"""The judge of the demo must be able to say no: it is shown streams that keep the limits, and streams that do not."""

from cli.demo_play import judged
from cli.demo_replay import POOL, Replay
from cli.demo_stage import PARTS
from dispatcher.models import Event
from dispatcher.states import State


def stream(*words: str) -> list[Event]:
    """`event run queue state`, one after the other, 10 ms apart; or `queue-created queue limit`, `pool-set limit`."""
    found = []
    for number, text in enumerate(words):
        name, *rest = text.split()
        if name == "pool-created":
            fields = {"type": "process", "limit": rest[0]}
        elif name == "queue-created":
            fields = {"queue": rest[0], "priority": "1", "limit": rest[1] if len(rest) > 1 else ""}
        elif name == "pool-set":
            fields = {"name": "limit", "value": rest[0]}
        else:
            fields = dict(zip(("run", "queue", "state"), rest, strict=True)) | {"consumer": "c", "epoch": "1"}
        found.append(Event(f"{number}-0", number * 10, name, fields))
    return found


def replayed(*words: str) -> Replay:
    replay = Replay()
    replay.feed(stream(*words))
    return replay


def test_within_the_limits() -> None:
    replay = replayed(
        "pool-created 2",
        "queue-created high 1",
        "queue-created low",
        "submitted a high SCHEDULED",
        "claimed a high PENDING",
        "claimed b low PENDING",
        "started a high RUNNING",
        "finished a high COMPLETED",
        "claimed c high PENDING",
    )
    assert {name: (lane.limit, lane.most, lane.exceeded) for name, lane in replay.lanes.items()} == {
        POOL: (2, 2, 0),
        "high": (1, 1, 0),
        "low": (None, 1, 0),
    }
    course = replay.runs["a"]
    assert (course.state, course.wait_ms, course.starts, course.ends) == (State.COMPLETED, 30, 1, 1)


def test_one_too_many_in_a_queue_and_in_the_pool() -> None:
    replay = replayed(
        "pool-created 2",
        "queue-created high 1",
        "claimed a high PENDING",
        "claimed b high PENDING",
        "claimed c x PENDING",
    )
    assert (replay.lanes["high"].exceeded, replay.lanes["high"].most) == (1, 2)
    assert (replay.lanes[POOL].exceeded, replay.lanes[POOL].most) == (1, 3)


def test_a_lowered_limit_does_not_blame_those_who_hold_already() -> None:
    replay = replayed(
        "pool-created 2", "claimed a q PENDING", "claimed b q PENDING", "pool-set 1", "started b q RUNNING"
    )
    assert replay.lanes[POOL].exceeded == 0
    replay.feed(stream("finished a q COMPLETED", "claimed c q PENDING"))
    assert replay.lanes[POOL].exceeded == 1


def test_cancelling_holds_its_slot_and_a_retry_does_not() -> None:
    replay = replayed(
        "claimed a q PENDING", "cancelling a q CANCELLING", "claimed b q PENDING", "retrying b q SCHEDULED"
    )
    assert replay.lanes["q"].holders == {"a"}
    replay.feed(stream("finished a q CANCELLED"))
    assert replay.lanes["q"].holders == set()


def test_without_events_no_promise_counts_as_kept() -> None:
    findings = judged(Replay(), {"a": PARTS[0]}, worker_code=None)
    assert [kept for kept, _ in findings] == [False] * len(findings)


def test_a_run_that_ended_otherwise_is_told() -> None:
    replay = replayed("submitted a low SCHEDULED", "claimed a low PENDING", "finished a low CRASHED")
    assert (False, "0 of 1 runs ended as they should") in judged(replay, {"a": PARTS[0]}, worker_code=0)

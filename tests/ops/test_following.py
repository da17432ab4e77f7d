"""What a follower of a run reads: the pool's events and the run's log lines, as they come, without polling."""

import threading
from concurrent.futures import ThreadPoolExecutor

from dispatcher.client import Client
from dispatcher.ops import leases, queues, runs, views
from tests.scene import POOL, Scene


def test_what_came_since(scene: Scene) -> None:
    one = scene.join()
    since = scene.run(views.latest_event(POOL))
    held = scene.running(one)
    scene.run(leases.log(POOL, one, *held, ["first", "second"]))
    events, lines = scene.run(views.follow(POOL, held[0], events_after=since, log_after=0, waits_ms=10))
    assert [event.event for event in events if event.fields.get("run")] == ["submitted", "claimed", "started"]
    assert [(line.number, line.text) for line in lines] == [(1, "first"), (2, "second")]
    scene.run(leases.log(POOL, one, *held, ["third"]))
    after = scene.run(views.latest_event(POOL))
    events, more = scene.run(views.follow(POOL, held[0], events_after=after, log_after=lines[-1].number, waits_ms=10))
    assert (events, [line.text for line in more]) == ([], ["third"])
    assert [line.text for line in scene.run(runs.log_end(POOL, held[0], most=2))] == ["second", "third"]


def test_nothing_new_is_nothing(scene: Scene) -> None:
    run = scene.submit()
    after = scene.run(views.latest_event(POOL))
    assert scene.run(views.follow(POOL, run, events_after=after, log_after=0, waits_ms=10)) == ([], [])
    assert scene.run(views.next_events(POOL, after=after, waits_ms=10)) == []
    assert scene.run(views.latest_event("nobody")) == "0-0"


def test_a_blocked_follower_hears_it(scene: Scene, redis_url: str) -> None:
    after = scene.run(views.latest_event(POOL))
    begun = threading.Event()

    def wait() -> list[str]:
        with Client(redis_url) as client:
            begun.set()
            return [event.event for event in client.run(views.next_events(POOL, after=after, waits_ms=20_000))]

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(wait)
        assert begun.wait(10)
        scene.run(queues.create(POOL, "high"))
        assert "queue-created" in answer.result(timeout=10)

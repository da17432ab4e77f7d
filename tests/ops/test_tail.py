"""What `events tail` reads: the latest events, those since a moment, and the next ones of several pools."""

from __future__ import annotations

from dispatcher.models import Event
from dispatcher.ops import broker_facts, pools, queues, views
from tests.scene import POOL, Scene


def names(events: list[Event]) -> list[str]:
    return [event.event for event in events]


def test_the_latest_come_last(scene: Scene) -> None:
    scene.queue("a")
    scene.queue("b")
    assert names(scene.run(views.last_events(POOL, most=2))) == ["queue-created", "queue-created"]
    assert [event.fields["queue"] for event in scene.run(views.last_events(POOL, most=2))] == ["a", "b"]
    assert scene.run(views.last_events(POOL, most=99)) == scene.run(views.events(POOL))
    assert scene.run(views.last_events("nobody", most=9)) == []


def test_since_a_moment(scene: Scene) -> None:
    scene.queue("a")
    found = scene.run(views.events(POOL))
    for event in found:
        at_ms = int(event.id.partition("-")[0])
        since = scene.run(views.events(POOL, after=views.just_before(at_ms)))
        assert since == [one for one in found if int(one.id.partition("-")[0]) >= at_ms]
    assert scene.run(views.events(POOL, after=views.just_before(0))) == found
    later = scene.run(broker_facts.now_ms()) + 1_000
    assert scene.run(views.events(POOL, after=views.just_before(later))) == []


def test_the_next_of_several_pools(scene: Scene) -> None:
    scene.run(pools.create("other"))
    after = {pool: scene.run(views.latest_event(pool)) for pool in (POOL, "other", "nobody")}
    assert scene.run(views.next_events_of(after, waits_ms=5)) == {}
    scene.run(queues.create(POOL, "a"))
    assert {pool: names(found) for pool, found in scene.run(views.next_events_of(after, waits_ms=5)).items()} == {
        POOL: ["queue-created"]
    }
    scene.run(pools.set_limit("other", 3))
    found = scene.run(views.next_events_of(after, waits_ms=5))
    assert set(found) == {POOL, "other"}

"""Finished runs go when they are too old or too many, and nothing else goes; logs are bounded in bytes."""

from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.errors import BadValue
from dispatcher.ops import leases, pools, runs, views
from dispatcher.ops.leases import LOG_BYTES
from dispatcher.states import State
from tests.scene import POOL, Scene

DAY_MS = 86_400_000


@pytest.fixture
def consumer(scene: Scene) -> str:
    return scene.join()


def kept(scene: Scene, *states: State) -> list[str]:
    return [run.id for run in scene.run(runs.list_pool(POOL, states=frozenset(states), most=1_000_000))]


def completed(scene: Scene, consumer: str, count: int) -> list[str]:
    """So many runs that have ended, one millisecond after the other."""
    found = []
    for run in scene.submit_many(count):
        scene.clock.advance(1)
        held = (run, scene.claim(consumer).runs[0].epoch)
        assert scene.finish(consumer, held) == "COMPLETED"
        found.append(run)
    return found


def test_a_week_and_ten_thousand_of_each_state(scene: Scene, consumer: str) -> None:
    found = scene.pool()
    assert (found.keep_ms, found.keep_runs) == (7 * DAY_MS, 10_000)
    run = scene.finished(consumer)
    scene.clock.advance(7 * DAY_MS - 1)
    scene.renew(scene.join("two"))
    assert scene.state(run) is State.COMPLETED
    scene.clock.advance(1)
    scene.renew(scene.join("three"))
    assert kept(scene) == []


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CRASHED, State.CANCELLED])
def test_by_age_in_every_final_state(scene: Scene, consumer: str, state: State) -> None:
    scene.run(pools.update(POOL, keep_ms=60_000))
    if state is State.CANCELLED:
        scene.run(runs.cancel(POOL, scene.submit()))
    else:
        scene.finished(consumer, state)
    scene.clock.advance(59_999)
    scene.renew(consumer)
    assert len(kept(scene, state)) == 1
    scene.clock.advance(1)
    scene.renew(scene.join("two"))
    assert kept(scene) == []


def test_by_number_the_oldest_first_and_each_state_for_itself(scene: Scene, consumer: str) -> None:
    scene.run(pools.update(POOL, keep_runs=100))
    failed = scene.finished(consumer, State.FAILED)
    ended = completed(scene, consumer, 103)
    assert sorted(kept(scene, State.COMPLETED)) == sorted(ended[3:])
    assert kept(scene, State.FAILED) == [failed]


def test_exactly_so_many_are_kept(scene: Scene, consumer: str) -> None:
    scene.run(pools.update(POOL, keep_runs=100))
    ended = completed(scene, consumer, 100)
    scene.renew(consumer)
    assert len(kept(scene)) == 100
    completed(scene, consumer, 1)
    assert ended[0] not in kept(scene)
    assert len(kept(scene)) == 100


def test_a_smaller_number_is_reached_by_heartbeats(scene: Scene, consumer: str) -> None:
    completed(scene, consumer, 120)
    scene.run(pools.update(POOL, keep_runs=100))
    left = []
    for _ in range(4):
        scene.renew(consumer)
        left.append(len(kept(scene)))
    assert left == [112, 104, 100, 100]


def test_nothing_but_finished_runs_goes(scene: Scene, consumer: str) -> None:
    scene.run(pools.update(POOL, keep_ms=60_000, keep_runs=100))
    held = scene.running(consumer)
    waiting = scene.submit(delay_ms=DAY_MS)
    late = scene.submit()
    retrying = scene.running(scene.join("two"), "default", priority=1)
    other = scene.see(retrying[0]).consumer
    assert other
    scene.finish(other.id, retrying, State.FAILED, retry_in_ms=DAY_MS)
    for _ in range(30):
        scene.clock.advance(10_000)
        scene.renew(consumer, held)
    assert sorted(kept(scene)) == sorted([held[0], waiting, late, retrying[0]])


def test_nothing_is_left_of_it_and_its_key_is_free(scene: Scene, consumer: str) -> None:
    scene.run(pools.update(POOL, keep_ms=60_000))
    held = scene.running(consumer, idempotency_key="k", deployment="f/d")
    scene.run(leases.log(POOL, consumer, *held, ["line"]))
    scene.finish(consumer, held, result_json="1")
    scene.clock.advance(60_000)
    scene.renew(scene.join("two"))
    assert [key for key in scene.server.scan_iter("*") if held[0] in key] == []
    assert scene.server.exists(keyspace.runs_of(POOL, "f/d"), keyspace.idempotency(POOL, "f/d", "k")) == 0
    assert scene.submit(idempotency_key="k", deployment="f/d") != held[0]


def test_a_key_that_went_to_another_run_stays_with_it(scene: Scene, consumer: str) -> None:
    scene.run(pools.update(POOL, keep_ms=60_000))
    scene.finish(consumer, scene.running(consumer, idempotency_key="k"))
    scene.server.delete(keyspace.idempotency(POOL, "", "k"))  # its week is over
    second = scene.submit(idempotency_key="k")
    scene.clock.advance(60_000)
    scene.renew(scene.join("two"))
    assert kept(scene) == [second]
    assert scene.submit(idempotency_key="k") == second


def test_it_is_told_after_the_end(scene: Scene, consumer: str) -> None:
    """Even of a run that goes as soon as it ends, because the clock went back and a hundred ended later."""
    scene.run(pools.update(POOL, keep_runs=100))
    completed(scene, consumer, 100)
    scene.clock.advance(-60_000)
    run = scene.finished(scene.join("two"))
    told = [event.event for event in scene.run(views.events(POOL, most=10_000)) if event.fields.get("run") == run]
    assert told == ["submitted", "claimed", "started", "finished", "trimmed"]
    assert scene.server.exists(keyspace.run(POOL, run)) == 0


@pytest.mark.parametrize("given", [{"keep_ms": 59_999}, {"keep_runs": 99}, {"keep_runs": 10_000_001}], ids=str)
def test_what_cannot_be_kept_so(scene: Scene, given: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        pools.update(POOL, **given)
    scene.refused(pools.create("new", **given), BadValue)


def test_a_pool_is_made_with_its_own(scene: Scene) -> None:
    made = scene.run(pools.create("new", keep_ms=60_000, keep_runs=100))
    assert (made.keep_ms, made.keep_runs) == (60_000, 100)
    scene.run(pools.update("new", keep_ms=DAY_MS))
    assert scene.run(pools.read("new")).keep_runs == 100


# logs ---------------------------------------------------------------------------------------------------------------


def lines_of(scene: Scene, run: str) -> list[str]:
    return [line.text for line in scene.run(runs.log(POOL, run))]


def size(text: str) -> int:
    return len(text.encode()) + 64


def test_a_log_keeps_its_newest_lines_within_its_bytes(scene: Scene, consumer: str) -> None:
    held = scene.running(consumer)
    written: list[str] = []
    for number in range(40):
        batch = [f"{number}.{line} " + "é" * (977 * (line % 17)) for line in range(10)]
        written += batch
        scene.run(leases.log(POOL, consumer, *held, batch))
        found = lines_of(scene, held[0])
        total = sum(map(size, found))
        assert found == written[-len(found) :]
        assert total <= LOG_BYTES
        assert len(found) == len(written) or total + size(written[-len(found) - 1]) > LOG_BYTES, "one more would fit"
        assert int(scene.server.hget(keyspace.run(POOL, held[0]), "log_bytes")) == total
        numbers = [line.number for line in scene.run(runs.log(POOL, held[0]))]
        assert numbers == list(range(len(written) - len(found) + 1, len(written) + 1)), "they tell how many are gone"
    assert len(found) < len(written)


def test_a_log_of_exactly_its_bytes_is_whole(scene: Scene, consumer: str) -> None:
    held = scene.running(consumer)
    lines = ["x" * (LOG_BYTES // 4 - 64)] * 4
    scene.run(leases.log(POOL, consumer, *held, lines))
    assert len(lines_of(scene, held[0])) == 4
    scene.run(leases.log(POOL, consumer, *held, [""]))
    assert lines_of(scene, held[0]) == [*lines[1:], ""]


def test_a_line_that_is_too_large_leaves_the_log_empty_but_sound(scene: Scene, consumer: str) -> None:
    held = scene.running(consumer)
    scene.run(leases.log(POOL, consumer, *held, ["first", "x" * LOG_BYTES]))
    assert lines_of(scene, held[0]) == []
    scene.run(leases.log(POOL, consumer, *held, ["last"]))
    (last,) = scene.run(runs.log(POOL, held[0]))
    assert (last.number, last.text) == (3, "last")

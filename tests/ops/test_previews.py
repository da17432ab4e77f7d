"""Which waiting runs a preview shows, in which order."""

from dispatcher.ops import previews
from dispatcher.states import State
from tests.conftest import Clock, Run
from tests.scene import POOL, Scene

HOUR_MS = 3_600_000


def ids(run: Run, *queues: str, within_ms: int = HOUR_MS, most: int = 100) -> list[str]:
    return [found.id for found in run(previews.waiting(POOL, queues, within_ms=within_ms, most=most))]


def test_by_expected_start_and_within_the_window(run: Run, clock: Clock, scene: Scene) -> None:
    # The window is measured on the server's own clock, which TIME tells; the test's clock follows it here.
    seconds, _ = scene.server.time()
    clock.now_ms = seconds * 1000
    scene.queue("high", limit=0)
    soon = scene.submit("high", delay_ms=HOUR_MS // 2)
    scene.submit(delay_ms=2 * HOUR_MS)
    now = scene.submit(priority=900)
    late = scene.submit("high", start_at_ms=clock.now_ms - HOUR_MS)
    assert ids(run, "high", "default") == [late, now, soon]
    assert ids(run, "default") == [now]
    assert ids(run, "high", "default", within_ms=0) == [late, now]
    assert ids(run, "high", "default", most=2) == [late, now]
    assert ids(run) == []


def test_only_waiting_runs(run: Run, scene: Scene) -> None:
    consumer = scene.join()
    scene.held(consumer)
    waiting = scene.submit()
    found = run(previews.waiting(POOL, ["default"], within_ms=0, most=10))
    assert [(one.id, one.state) for one in found] == [(waiting, State.SCHEDULED)]


def test_more_than_one_page(run: Run, scene: Scene) -> None:
    expected = scene.submit_many(205)
    assert ids(run, "default", most=250) == expected
    assert ids(run, "default", most=101) == expected[:101]

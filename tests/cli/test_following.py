"""Following a run that prints faster than it is shown: every line comes once, or its absence is told in its place."""

from collections.abc import Iterator
from itertools import takewhile

import pytest
import redis

from cli.following import Gap, follow
from dispatcher.client import Client
from dispatcher.models import LogLine, Run
from dispatcher.ops import leases, pools, runs
from dispatcher.states import State
from tests.conftest import Clock, SyncRun
from tests.scene import POOL, Scene

News = Iterator[Run | LogLine | Gap]


@pytest.fixture
def scene(redis_url: str, server_connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A log keeps its newest three lines, of one character each."""
    monkeypatch.setattr(leases, "LOG_BYTES", 3 * 65)
    run = SyncRun(redis_url, None)
    run(pools.create(POOL))
    yield Scene(run, Clock(), server_connection)
    run.close()


def said(news: News) -> list[str | int]:
    """Texts of lines, and of gaps how many are gone, until the run is shown anew."""
    shown = takewhile(lambda piece: not isinstance(piece, Run), news)
    return [piece.text if isinstance(piece, LogLine) else piece.lines for piece in shown if not isinstance(piece, Run)]


def test_a_gap_is_told_in_its_place(scene: Scene, client: Client) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.run(leases.log(POOL, one, *held, list("abc")))
    news = follow(client, scene.see(held[0]))
    assert [piece.state for piece in (next(news),) if isinstance(piece, Run)] == [State.RUNNING]
    assert [next(news) for _ in "abc"] == scene.run(runs.log(POOL, held[0]))
    scene.run(leases.log(POOL, one, *held, list("defghi")))
    scene.finish(one, held)
    assert said(news) == [3, "g", "h", "i"]


def test_lines_that_were_gone_before(scene: Scene, client: Client) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.run(leases.log(POOL, one, *held, list("abcdefgh")))
    scene.finish(one, held)
    run = scene.see(held[0])
    assert said(follow(client, run)) == [5, "f", "g", "h"]
    assert said(follow(client, run, old_lines=2)) == ["g", "h"], "they were not asked for"
    assert said(follow(client, run, old_lines=9)) == ["f", "g", "h"]


def test_lines_that_went_before_the_first_was_seen(scene: Scene, client: Client) -> None:
    one = scene.join()
    held = scene.running(one)
    news = follow(client, scene.see(held[0]), old_lines=2)
    next(news)
    scene.run(leases.log(POOL, one, *held, ["a"]))
    assert next(news) == scene.run(runs.log(POOL, held[0]))[0]
    scene.run(leases.log(POOL, one, *held, list("bcdef")))
    scene.run(leases.log(POOL, one, *held, ["g"]))
    scene.finish(one, held)
    assert said(news) == [3, "e", "f", "g"], "once, however many went at a time"

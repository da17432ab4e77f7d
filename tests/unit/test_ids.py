"""Identifiers sort by the time they were made, within one process strictly."""

import threading
import time

import pytest

from dispatcher import ids
from dispatcher.ids import new_id


def test_form() -> None:
    found = new_id()
    assert len(found) == 26
    assert set(found) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_ids_grow_strictly() -> None:
    made = [new_id() for _ in range(5_000)]
    assert made == sorted(set(made))


def test_time_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_000 * 1_000_000)
    early = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1_800_000_000_001 * 1_000_000)
    late = new_id()
    assert early[:10] < late[:10]


def test_a_clock_that_goes_back_does_not_turn_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert new_id() > before


def test_threads_never_share_one() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id() for _ in range(500))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4_000

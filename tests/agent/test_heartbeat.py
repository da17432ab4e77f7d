"""The heartbeat against a scripted client: what it renews, whom it stops, and when it must not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.clock import now_s
from agent.heartbeat import Pulse
from agent.outcome import Stop
from dispatcher.call import Call
from dispatcher.client import Client
from dispatcher.errors import BrokerDown, BrokerUnavailable, ConsumerUnknown, PoolNotFound
from dispatcher.models import Heartbeat
from tests.polling import poll_until

LEASE_MS = 600


class Script(Client):
    """Answers every heartbeat as it was told to, and counts them."""

    def __init__(self) -> None:
        self.answer: Callable[[], Heartbeat] = lambda: Heartbeat(LEASE_MS, (), ())
        self.sent: list[tuple[Any, ...]] = []

    def run(self, operation: Any) -> Any:
        assert isinstance(operation, Call)
        self.sent.append(operation.args[1:])
        return self.answer()

    def fail(self, error: Exception) -> None:
        def answer() -> Heartbeat:
            raise error

        self.answer = answer


class Run:
    """A held run that notes what is done to it."""

    def __init__(self, name: str = "R", epoch: int = 1) -> None:
        self.key = (name, epoch)
        self.signals: list[tuple[str, float]] = []
        self.stops: list[Stop] = []

    def stop_process(self, *, force: bool) -> None:
        self.signals.append(("KILL" if force else "TERM", now_s()))

    def interrupt(self, stop: Stop) -> None:
        self.stops.append(stop)


class Setting:
    def __init__(self) -> None:
        self.client = Script()
        self.unknown = threading.Event()
        self.duties: list[tuple[str, ...]] = []
        self.pulse = Pulse(
            self.client, "pool", "ME", lambda function, *args: function(*args), self.unknown.set, self.duties.append
        )

    def beats(self, more: int = 2) -> None:
        wanted = len(self.client.sent) + more
        poll_until(lambda: len(self.client.sent) >= wanted, 5, f"{more} more heartbeats")


@pytest.fixture
def setting() -> Iterator[Setting]:
    setting = Setting()
    setting.pulse.start(LEASE_MS)
    yield setting
    setting.pulse.stop()


def test_what_is_held_is_renewed_and_lives(setting: Setting) -> None:
    run = Run()
    setting.pulse.hold(run, now_s(), LEASE_MS)
    setting.beats(8)
    assert set(setting.client.sent) == {("R", 1)}
    assert (run.signals, run.stops) == ([], [])
    setting.pulse.drop(run)
    setting.beats()
    assert setting.client.sent[-1] == ()


def test_an_idle_consumer_that_was_heard_by_a_claim_says_nothing(setting: Setting) -> None:
    end_s = time.monotonic() + LEASE_MS / 1000
    before = len(setting.client.sent)

    def claims() -> bool:
        setting.pulse.heard()
        return time.monotonic() > end_s

    poll_until(claims, 5, "a lease has passed")
    assert len(setting.client.sent) == before


def test_a_lost_run_is_killed_and_only_that(setting: Setting) -> None:
    lost, kept, again = Run("LOST"), Run("KEPT"), Run("LOST", epoch=2)
    for run in (lost, kept):
        setting.pulse.hold(run, now_s(), LEASE_MS)
    setting.client.answer = lambda: Heartbeat(LEASE_MS, (lost.key,), ())
    setting.pulse.hurry()
    poll_until(lambda: lost.stops, 5, "the lost run is told")
    setting.client.answer = lambda: Heartbeat(LEASE_MS, (), ())
    setting.pulse.hold(again, now_s(), LEASE_MS)
    setting.beats()
    assert ([name for name, _ in lost.signals], lost.stops) == (["KILL"], [Stop.LOST])
    for run in (kept, again):
        assert (run.signals, run.stops) == ([], [])


def test_a_cancelled_run_is_told(setting: Setting) -> None:
    run = Run()
    setting.pulse.hold(run, now_s(), LEASE_MS)
    setting.client.answer = lambda: Heartbeat(LEASE_MS, (), (run.key,))
    setting.pulse.hurry()
    poll_until(lambda: run.stops, 5, "the run is told")
    assert run.stops[0] is Stop.CANCEL
    assert run.signals == [], "how a run is stopped is the execution's affair"


def test_what_became_of_an_old_claim_does_not_touch_the_new_one(setting: Setting) -> None:
    old, new = Run(epoch=1), Run(epoch=2)
    for run in (old, new):
        setting.pulse.hold(run, now_s(), LEASE_MS)
    setting.client.answer = lambda: Heartbeat(LEASE_MS, (old.key,), (old.key,))
    setting.pulse.hurry()
    poll_until(lambda: old.stops, 5, "the old one is told")
    setting.beats()
    assert old.stops == [Stop.LOST]
    assert (new.signals, new.stops) == ([], [])


def test_a_lease_that_became_shorter_is_dated_and_renewed_as_such() -> None:
    setting = Setting()
    setting.pulse.start(60_000)
    try:
        dead, alive = Run("DEAD"), Run("ALIVE")
        setting.client.fail(BrokerUnavailable("timed out"))
        setting.pulse.hold(dead, now_s() - LEASE_MS / 1000, LEASE_MS)
        poll_until(lambda: dead.signals, 5, "the lease that ended is noticed")
        setting.pulse.drop(dead)
        setting.client.answer = lambda: Heartbeat(LEASE_MS, (), ())
        setting.pulse.hold(alive, now_s(), LEASE_MS)
        setting.beats(8)
        assert (alive.signals, alive.stops) == ([], [])
    finally:
        setting.pulse.stop()


def test_a_longer_lease_of_one_run_does_not_delay_the_others(setting: Setting) -> None:
    run, longer = Run(), Run("LONGER")
    setting.pulse.hold(run, now_s(), LEASE_MS)
    setting.pulse.hold(longer, now_s(), 60_000)
    setting.beats(8)
    assert (run.signals, longer.signals) == ([], [])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("of a library")])
def test_the_heartbeat_goes_on_after_what_nobody_expected(
    setting: Setting, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run()
    setting.pulse.hold(run, now_s(), LEASE_MS)
    setting.client.fail(error)
    setting.pulse.hurry()
    setting.beats(1)
    setting.client.answer = lambda: Heartbeat(LEASE_MS, (), ())
    setting.beats(6)
    assert (run.signals, run.stops) == ([], [])
    assert str(error) in caplog.text


def test_before_an_unrenewed_lease_ends_the_run_is_told_and_then_killed(setting: Setting) -> None:
    run = Run()
    sent_s = now_s()
    setting.client.fail(BrokerUnavailable("timed out"))
    setting.pulse.hold(run, sent_s, LEASE_MS)
    poll_until(lambda: len(run.signals) == 2, 5, "the run is stopped")
    assert [name for name, _ in run.signals] == ["TERM", "KILL"]
    assert run.stops == [Stop.EXPIRING]
    assert LEASE_MS / 2000 < run.signals[0][1] - sent_s < run.signals[1][1] - sent_s < 1.5 * LEASE_MS / 1000


def test_a_heartbeat_that_hangs_does_not_delay_that(setting: Setting) -> None:
    hangs = threading.Event()

    def answer() -> Heartbeat:
        hangs.wait(10)
        raise BrokerUnavailable("at last")

    setting.client.answer = answer
    run = Run()
    setting.pulse.hold(run, now_s(), LEASE_MS)
    try:
        poll_until(lambda: len(run.signals) == 2, 5, "the run is stopped")
    finally:
        hangs.set()


@pytest.mark.parametrize("error", [BrokerDown("refused"), PoolNotFound(pool="pool")])
def test_nothing_is_stopped_while_nobody_else_can_be_given_the_lease(setting: Setting, error: Exception) -> None:
    run = Run()
    setting.client.fail(error)
    setting.pulse.hurry()
    setting.beats(1)
    setting.pulse.hold(run, now_s(), LEASE_MS)
    end_s = now_s() + 2 * LEASE_MS / 1000
    poll_until(lambda: now_s() > end_s, 5, "two leases have passed")
    assert (run.signals, run.stops) == ([], [])
    setting.client.answer = lambda: Heartbeat(LEASE_MS, (), ())
    setting.beats(6)
    assert (run.signals, run.stops) == ([], [])


def test_a_consumer_frozen_beyond_the_lease_kills_at_once(setting: Setting) -> None:
    run = Run()
    setting.client.fail(BrokerUnavailable("timed out"))
    setting.pulse.hold(run, now_s() - 10, LEASE_MS)
    poll_until(lambda: run.signals, 5, "the run is killed")
    assert [name for name, _ in run.signals] == ["KILL"]


def test_a_consumer_that_is_unknown_is_told_so(setting: Setting) -> None:
    setting.client.fail(ConsumerUnknown(consumer="ME", pool="pool"))
    assert setting.unknown.wait(5)

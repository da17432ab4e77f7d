"""When a consumer is healthy, by a clock that the test moves."""

from __future__ import annotations

import pytest

from agent import vitals as module
from agent.metrics import Metrics
from agent.vitals import Beat, Vitals

PERIOD_S = 10.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "now_s", clock)
    return clock


@pytest.fixture
def vitals(clock: Clock) -> Vitals:
    """A consumer whose heartbeat is answered, always."""
    vitals = Vitals()
    vitals.heartbeat = lambda: Beat(0.0, PERIOD_S)
    return vitals


def claimed(vitals: Vitals, look_in_s: float | None) -> None:
    vitals.asked()
    vitals.answered(0.01)
    vitals.looks_in(look_in_s)


def test_one_that_has_not_joined_yet_is_not_healthy(clock: Clock) -> None:
    is_healthy, facts = Vitals().report()
    assert not is_healthy
    assert facts["faults"] == ["it has not joined its pool yet", "no claim has been answered yet"]


def test_one_that_is_parked_for_long_is_healthy_until_its_look_is_overdue(clock: Clock, vitals: Vitals) -> None:
    claimed(vitals, look_in_s=3600.0)
    clock.now_s += 3604
    assert vitals.report()[0]
    clock.now_s += 2
    is_healthy, facts = vitals.report()
    assert (is_healthy, facts["faults"]) == (False, ["a look for runs is 6.0 s overdue"])
    claimed(vitals, look_in_s=15.0)
    assert vitals.report()[0]


def test_one_that_is_full_owes_no_look(clock: Clock, vitals: Vitals) -> None:
    claimed(vitals, look_in_s=None)
    clock.now_s += 100_000
    assert vitals.report()[0]


def test_a_claim_must_be_answered_in_time_however_often_it_is_sent(clock: Clock, vitals: Vitals) -> None:
    claimed(vitals, look_in_s=1.0)
    for _ in range(3):
        vitals.asked()
        clock.now_s += 1.5
    assert vitals.report()[0]
    vitals.asked()
    clock.now_s += 1
    assert vitals.faults() == ["a claim has not been answered for 5.5 s"]
    vitals.answered(5.5)
    assert vitals.faults() == []


@pytest.mark.parametrize(
    ("period_s", "ago_s", "is_healthy"), [(10, 14.9, True), (10, 15.1, False), (1.6, 3.1, True), (1.6, 3.3, False)]
)
def test_a_heartbeat_must_be_answered_in_time(
    clock: Clock, vitals: Vitals, period_s: float, ago_s: float, is_healthy: bool
) -> None:
    vitals.heartbeat = lambda: Beat(ago_s, period_s)
    claimed(vitals, look_in_s=3600.0)
    assert vitals.report()[0] == is_healthy


def test_one_that_drains_owes_no_claim_but_heartbeats(clock: Clock, vitals: Vitals) -> None:
    claimed(vitals, look_in_s=1.0)
    vitals.drains()
    clock.now_s += 100
    assert vitals.report()[1]["status"] == "draining"
    assert vitals.report()[0]
    vitals.heartbeat = lambda: Beat(30.0, PERIOD_S)
    assert not vitals.report()[0]


def test_the_metrics_say_the_same(clock: Clock, vitals: Vitals) -> None:
    vitals.facts = {"name": 'a "name"\n', "pool": "above"}
    vitals.taken = 3
    for state in ("COMPLETED", "COMPLETED", "FAILED"):
        vitals.ended(state)
    for took_s in (0.001, 0.004, 9.0):
        vitals.answered(took_s)
    lines = Metrics(vitals).text().splitlines()
    for line in (
        'dispatcher_consumer_info{name="a \\"name\\"\\n",pool="above"} 1.0',
        "dispatcher_consumer_runs_taken_total 3.0",
        'dispatcher_consumer_runs_ended_total{state="COMPLETED"} 2.0',
        'dispatcher_consumer_runs_ended_total{state="FAILED"} 1.0',
        "dispatcher_consumer_running 0.0",
        "dispatcher_consumer_limit +Inf",
        'dispatcher_consumer_claim_seconds_bucket{le="0.001"} 1.0',
        'dispatcher_consumer_claim_seconds_bucket{le="0.005"} 2.0',
        'dispatcher_consumer_claim_seconds_bucket{le="5.0"} 2.0',
        'dispatcher_consumer_claim_seconds_bucket{le="+Inf"} 3.0',
        "dispatcher_consumer_claim_seconds_count 3.0",
        "dispatcher_consumer_claim_seconds_sum 9.005",
        "dispatcher_consumer_heartbeat_age_seconds 0.0",
        "dispatcher_consumer_redis_away 0.0",
        "dispatcher_consumer_healthy 1.0",
    ):
        assert line in lines

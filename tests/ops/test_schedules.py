"""Schedules make their runs ahead, each time once, however many look after them, and take back what is not wanted any
more. The arithmetic is tested in `tests/unit/test_schedules_*`; here it is what lies in Redis."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from dispatcher.client import Client
from dispatcher.errors import (
    BadValue,
    DeploymentNotFound,
    PoolBeingDeleted,
    PoolNotFound,
    PoolRunsStopping,
    QueueNotFound,
    ScheduleInvalid,
)
from dispatcher.models import RunInput, Schedule
from dispatcher.ops import deploying, deployments, pools, queues, runs, schedules
from dispatcher.states import State
from tests.conftest import Clock
from tests.deploying import HOUR_MS, MINUTE_MS, NAME, Office, deployment, every, minutes
from tests.scene import POOL, Scene

TENS = [10, 20, 30, 40, 50, 60]


@pytest.fixture
def office(scene: Scene) -> Office:
    return Office(scene.run, scene.clock, scene.server)


def test_a_schedule_makes_its_first_runs_at_once(office: Office) -> None:
    saved = office.deploy(every(10))
    assert (saved.scheduled, saved.taken_back, saved.moved) == (6, 0, 0)
    assert office.made() == TENS
    assert {run.schedule for run in office.kept()} == {every(10).id}


def test_a_rare_schedule_has_its_next_runs_however_far_they_are(office: Office) -> None:
    office.deploy(Schedule(cron="0 4 * * *"))
    assert office.made() == [20 * 60 + day * 24 * 60 for day in range(4)]


def test_a_run_is_made_of_the_deployment_and_the_schedules_own_parameters(office: Office) -> None:
    given = RunInput(entrypoint="f.py:f", parameters={"day": 1, "size": 2}, tags=("t",))
    office.deploy(every(60, parameters={"size": 3}), input=given)
    for run in office.kept():
        seen = office.run(runs.read(POOL, run.id))
        assert seen.input == replace(given, parameters={"day": 1, "size": 3})


def test_there_are_always_three_runs_and_an_hour_ahead(office: Office) -> None:
    office.deploy(every(10), every(45))
    for _ in range(200):
        office.pass_minutes(1)
        now = minutes(office.clock.now_ms)
        for schedule, step in ((every(10), 10), (every(45), 45)):
            of = [minutes(run.due_at_ms) for run in office.kept() if run.schedule == schedule.id]
            assert of == [step * (number + 1) for number in range(len(of))], "a time is missing or there twice"
            assert len([start for start in of if start > now]) >= 3
            assert of[-1] + step > now + 60


def test_twenty_schedulers_make_no_duplicate_and_miss_no_time(
    office: Office, redis_url: str, scene: Scene, clock: Clock
) -> None:
    office.deploy(every(3), every(7, jitter_s=60))
    pairs = [(NAME, every(3).id), (NAME, every(7, jitter_s=60).id)]
    together = Barrier(20)

    def look(client: Client) -> int:
        together.wait()
        return client.run(schedules.expand(POOL, pairs))

    consumer = scene.join()
    clients = [Client(redis_url, now_ms=clock) for _ in range(20)]
    with ThreadPoolExecutor(20) as threads:
        for _ in range(12):
            clock.advance(20 * MINUTE_MS)
            list(threads.map(look, clients))
            while claimed := scene.claim(consumer, 64).runs:  # so that no schedule has a hundred
                for run in claimed:
                    scene.finish(consumer, (run.id, run.epoch))
    for client in clients:
        client.close()
    for schedule, step in ((every(3), 3), (every(7), 7)):
        of = sorted(run.due_at_ms for run in office.kept() if run.schedule == schedule.id)
        nominal = [int(minutes(start_ms) // step * step) for start_ms in of]
        assert nominal == [step * (number + 1) for number in range(len(of))]
        assert nominal[-1] + step > 240 + 60


def test_deployed_again_unchanged_it_keeps_its_runs(office: Office) -> None:
    office.deploy(every(10))
    before = office.waiting()
    office.clock.advance(25 * MINUTE_MS)
    saved = office.deploy(every(10), description="another word")
    assert saved.taken_back == 0
    assert before.items() <= office.waiting().items()
    assert office.made() == [*TENS, 70, 80, 90]


def test_a_change_makes_the_future_runs_anew_and_keeps_the_late_ones(office: Office) -> None:
    office.deploy(every(10))
    before = office.waiting()
    office.clock.advance(25 * MINUTE_MS)
    saved = office.deploy(every(10, parameters={"size": 1}))
    assert (saved.taken_back, saved.scheduled) == (4, 7)
    assert office.made() == [*TENS, 70, 80, 90]
    late = {run: start for run, start in before.items() if start <= 25}
    assert before.items() & office.waiting().items() == late.items()
    for run in office.kept():
        wanted = {} if run.id in late else {"size": 1}
        assert office.run(runs.read(POOL, run.id)).input.parameters == wanted


def test_a_run_that_was_claimed_before_its_time_is_not_made_twice(office: Office, scene: Scene) -> None:
    office.deploy(every(10))
    consumer = scene.join(prefetch_ms=10_000)
    scene.clock.advance(10 * MINUTE_MS - 5_000)
    (early,) = scene.claim(consumer).runs
    assert early.wait_ms == 5_000
    office.deploy(every(10, parameters={"size": 1}))
    assert office.made() == [*TENS, 70]
    office.deploy(every(10, is_active=False))
    assert office.made() == [10]
    office.deploy(every(10, parameters={"size": 2}))
    assert office.made() == [*TENS, 70], "the one that is held, and the others"


def test_what_is_put_off_beyond_now_is_not_forgotten_by_a_change(office: Office) -> None:
    """A run whose time has come, and that only jitter keeps back, would not be made anew: so it stays."""
    office.deploy(every(10, jitter_s=3600))
    before = office.waiting()
    office.clock.advance(25 * MINUTE_MS)
    office.deploy(every(10, jitter_s=3600, parameters={"size": 1}))
    nominal = {round(score) for _, score in _members(office, every(10).id)}
    assert {minutes(at_ms) for at_ms in nominal} == {*TENS, 70, 80, 90}
    assert len(before.items() & office.waiting().items()) == 2, "those of 08:10 and 08:20"


def _members(office: Office, schedule: str) -> list[tuple[str, float]]:
    key = f"dispatcher:{{{POOL}}}:schedule:{NAME}:{schedule}:runs"
    found: list[tuple[str, float]] = office.server.zrange(key, 0, -1, withscores=True)  # type: ignore[assignment]
    return found


@pytest.mark.parametrize("what", ["deployment", "schedule"])
def test_paused_takes_back_what_waits_and_resumed_goes_on_from_now(office: Office, scene: Scene, what: str) -> None:
    office.deploy(every(10))
    office.clock.advance(25 * MINUTE_MS)
    (held,) = scene.claim(scene.join()).runs

    def set_active(is_active: bool) -> None:
        if what == "deployment":
            office.run(deployments.set_paused(NAME, not is_active))
        else:
            office.run(deployments.set_schedule("d", every(10).id[:5], is_active=is_active))

    set_active(False)
    assert office.made() == [10], "what is held goes on, what waits is gone, late or not"
    office.pass_minutes(60, step=10)
    assert office.made() == [10]
    set_active(True)
    assert office.made() == [10, 90, 100, 110, 120, 130, 140, 150], "nothing is made up for"
    scene.finish(*_holder(scene), (held.id, held.epoch))


def _holder(scene: Scene) -> tuple[str]:
    (consumer,) = {run.consumer.id for run in scene.run(runs.list_pool(POOL)) if run.consumer}
    return (consumer,)


def test_one_of_several_schedules_is_paused(office: Office) -> None:
    office.deploy(every(10), every(45))
    office.run(deployments.set_schedule(NAME, every(45).id, is_active=False))
    assert office.made() == TENS


def test_removed_its_future_runs_go_and_late_ones_stay(office: Office) -> None:
    office.deploy(every(10), every(45))
    office.clock.advance(25 * MINUTE_MS)
    saved = office.run(deployments.delete_schedule(NAME, every(10).id))
    assert saved.taken_back == 4
    assert office.made() == [10, 20, 45, 90, 135, 180]


def test_with_its_deployment_gone_its_future_runs_go(office: Office) -> None:
    office.deploy(every(10))
    office.clock.advance(25 * MINUTE_MS)
    office.run(deployments.delete(NAME))
    assert office.made() == [10, 20]
    office.pass_minutes(60, step=10)
    assert office.made() == [10, 20]


@pytest.mark.parametrize(
    ("catchup", "made"),
    [("latest", [*TENS, 240]), ("none", TENS), ("all", list(range(10, 250, 10)))],
)
def test_what_becomes_of_times_that_passed_while_nobody_scheduled(
    office: Office, catchup: str, made: list[int]
) -> None:
    office.deploy(every(10, catchup=catchup))
    office.clock.advance(4 * HOUR_MS + 5 * MINUTE_MS)
    office.perform()
    assert [start for start in office.made() if start <= 245] == made
    assert [start for start in office.made() if start > 245] == [250, 260, 270, 280, 290, 300, 310]


def test_at_most_a_hundred_runs_of_a_schedule_wait(office: Office, scene: Scene) -> None:
    office.deploy(every(1, catchup="all"))
    office.pass_minutes(300, step=5)
    assert office.made() == list(range(1, 101)), "nobody executes them"
    consumer = scene.join()
    for run in scene.claim(consumer, 30).runs:
        scene.finish(consumer, (run.id, run.epoch))
    office.pass_minutes(1)
    assert len(office.unfinished()) == 100
    assert office.made() == list(range(1, 131)), "none was left out"


def test_jitter_puts_off_and_no_more_than_it_says(office: Office) -> None:
    office.deploy(every(10, jitter_s=300))
    starts = dict(zip((run for run, _ in _members(office, every(10).id)), TENS, strict=True))
    late = [office.waiting()[run] - nominal for run, nominal in starts.items()]
    assert all(0 <= minutes_off <= 5 for minutes_off in late)
    assert len(set(late)) > 1, "each is put off by its own"
    again = set(office.waiting().values())
    office.run(deployments.set_paused(NAME, True))
    office.run(deployments.set_paused(NAME, False))
    assert again == set(office.waiting().values()), "the same time is put off by the same"


def test_why_its_runs_cannot_be_made_is_kept_and_it_is_tried_again_in_a_minute(office: Office) -> None:
    schema = {"properties": {"size": {"type": "integer"}}, "required": ["size"]}
    given = RunInput(entrypoint="f.py:f", job_variables={"env": {"A": "b"}})
    office.deploy(every(10, parameters={"size": 1}), input=given, parameter_schema=schema)
    fitting = {
        "job_configuration": {"env": "{{ env }}"},
        "variables": {"properties": {"env": {"type": "object"}}},
    }
    refusing = {**fitting, "variables": {"properties": {"env": {"type": "string"}}}}
    office.run(pools.update(POOL, template=refusing))
    office.pass_minutes(30, step=10)
    (found,) = office.run(schedules.progress(POOL, [(NAME, every(10).id)]))
    assert "env" in found.fault
    assert found.look_at_ms is not None
    assert found.look_at_ms - office.clock.now_ms == 60_000
    assert office.made() == TENS, "no time is skipped meanwhile"
    office.run(pools.update(POOL, template=fitting))
    office.pass_minutes(1)
    (found,) = office.run(schedules.progress(POOL, [(NAME, every(10).id)]))
    assert found.fault == ""
    assert office.made() == [*TENS, 70, 80, 90]


def test_one_schedule_with_a_fault_does_not_hold_up_the_others(office: Office) -> None:
    office.deploy(every(10), every(45))
    pairs = [(NAME, every(45).id), ("f/gone", "1"), (NAME, "unknown"), (NAME, every(10).id)]
    office.clock.advance(HOUR_MS)
    assert office.run(schedules.expand(POOL, pairs)) > 0
    assert [start for start in office.made() if start % 10 == 0 and start % 45] == [
        *(10, 20, 30, 40, 50, 60, 70, 80, 100, 110, 120)
    ]


def test_a_queue_that_was_deleted_is_made_again(office: Office) -> None:
    office.deploy(every(10), queue="high")
    office.run(queues.delete(POOL, "high", cancel_runs=True))
    office.pass_minutes(10, step=10)
    assert {run.queue for run in office.unfinished()} == {"high"}
    assert office.made(State.SCHEDULED) == [70, 80, 90, 100]


def test_what_is_refused(office: Office, scene: Scene) -> None:
    office.deploy(every(10))
    pair = [(NAME, every(10).id)]
    scene.refused(schedules.expand("nope", pair), PoolNotFound)
    scene.held(scene.join())
    with pytest.raises(PoolRunsStopping):
        scene.run(pools.delete(POOL, cancel_runs=True))
    office.clock.advance(HOUR_MS)
    scene.refused(schedules.expand(POOL, pair), PoolBeingDeleted)
    with pytest.raises(QueueNotFound):
        scene.run(queues.read(POOL, "nope"))


def test_nothing_is_left_of_the_schedules_of_a_deleted_pool(office: Office) -> None:
    over = Schedule(rrule="DTSTART:20270115T080500Z\nRRULE:FREQ=MINUTELY;COUNT=2")
    office.deploy(every(10), over)
    assert office.made() == sorted([*TENS, 5, 6])
    office.run(pools.delete(POOL, cancel_runs=True))
    assert list(office.server.scan_iter("*")) == []


@pytest.mark.parametrize("is_executed", [True, False])
def test_a_rule_that_ends_is_looked_at_no_more(office: Office, is_executed: bool) -> None:
    office.deploy(Schedule(rrule="DTSTART:20270115T080500Z\nRRULE:FREQ=MINUTELY;COUNT=2"))
    if is_executed:
        office.pass_minutes(10)
    assert office.server.zcard(f"dispatcher:{{{POOL}}}:duties") == 0
    assert office.made() == [5, 6]


def test_deployments_of_the_same_name_after_another_make_their_own_runs(office: Office) -> None:
    office.deploy(every(10))
    office.run(deployments.delete(NAME))
    office.clock.advance(5 * MINUTE_MS)
    office.run(deployments.save(replace(deployment(every(10)), id="02")))
    assert office.made() == [*TENS, 70]


def test_what_has_run_out_since_stays_and_is_not_made_anew(office: Office) -> None:
    over = Schedule(rrule="DTSTART:20210115T090000 RRULE:FREQ=HOURLY;COUNT=2")
    office.run(deployments.save(deployment(over)))
    office.run(deploying.store(deployment(), (over, every(10))))
    assert office.run(deployments.read(NAME)).schedules == (over, every(10))
    office.run(deploying.store(deployment(), (every(10),)))
    for again in (deploying.store(deployment(), (over,)), deployments.add_schedule(NAME, over)):
        with pytest.raises(ScheduleInvalid, match="its last time has passed"):
            office.run(again)
    assert office.run(deployments.read(NAME)).schedules == (every(10),)


def test_a_deployment_whose_runs_would_be_too_large_is_not_kept(office: Office) -> None:
    large = {"day": "x" * runs.MAX_INPUT_BYTES}
    for wanted in (
        deployment(input=RunInput(entrypoint="f.py:f", parameters=large)),
        deployment(every(10, parameters=large)),
    ):
        with pytest.raises(BadValue, match="are allowed: pass a reference to the data instead"):
            office.run(deployments.save(wanted))
    with pytest.raises(DeploymentNotFound):
        office.run(deployments.read(NAME))

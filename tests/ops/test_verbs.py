"""The operations behind the Python API, by both drivers: submitting many, waiting on the event stream, deploying."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dispatcher import errors, models
from dispatcher.call import Call, Flow, aside
from dispatcher.models import Deployment, RunInput, Schedule
from dispatcher.ops import deploying, deployments, endings, finding, pools, queues, runs
from dispatcher.requests import Request
from dispatcher.states import State
from dispatcher.submitting import deploy, submit
from tests.conftest import Clock, Run
from tests.scene import Scene, new_run

TRUE = Request(["true"], pool="p", check=False)


def deployment(name: str, **options: object) -> Deployment:
    made = Deployment(name, "id", "p", "lane", RunInput(command=("true",)), created_at_ms=1, updated_at_ms=2)
    return replace(made, **options)  # type: ignore[arg-type]


def submitted(run: Run, *requests: Request) -> list[models.Run]:
    """The runs of these requests."""
    return [receipt.run for receipt in run(submit(requests))]


def test_runs_of_several_pools_come_back_in_the_order_of_the_requests(scene: Scene) -> None:
    scene.run(pools.create("q"))
    found = submitted(scene.run, *[replace(TRUE, pool=pool, name=f"r{n}") for n, pool in enumerate("pqpqp")])
    assert [(run.pool, run.name) for run in found] == [(pool, f"r{n}") for n, pool in enumerate("pqpqp")]


def test_a_deployments_own_queue_is_made_again_and_no_other(scene: Scene) -> None:
    scene.run(deploying.store(deployment("f/x"), None))
    scene.run(queues.delete("p", "lane"))
    many = [Request("f/x") for _ in range(250)]
    assert {(one.run.queue, one.made_queue) for one in scene.run(submit(many))} == {("lane", True)}
    assert [one.made_queue for one in scene.run(submit(many[:1]))] == [False]
    with pytest.raises(errors.QueueNotFound, match="other"):
        scene.run(submit([Request("f/x", queue="other")]))


def test_nothing_of_many_is_submitted_when_a_queue_is_missing(scene: Scene) -> None:
    many = [replace(TRUE, queue="gone" if n == 149 else None) for n in range(150)]
    with pytest.raises(errors.QueueNotFound, match="gone"):
        scene.run(submit(many))
    assert scene.run(runs.list_pool("p", most=1)) == []


def test_a_run_submitted_before_comes_back_whole(scene: Scene) -> None:
    request = replace(TRUE, idempotency_key="k", tags=("first",))
    (first,) = submitted(scene.run, request)
    again = scene.run(submit([replace(request, tags=("second",)), request]))
    assert [(one.run.id, one.run.input.tags, one.is_new) for one in again] == [(first.id, ("first",), False)] * 2


def test_storing_keeps_what_deploying_does_not_change(scene: Scene) -> None:
    daily, hourly = Schedule(cron="0 4 * * *"), Schedule(cron="0 * * * *")
    first = scene.run(deploying.store(deployment("f/x"), [daily, hourly])).deployment
    scene.run(deployments.set_schedule("f/x", daily.id, is_active=False))
    again = scene.run(deploying.store(deployment("f/x", id="other", created_at_ms=9), [daily, hourly])).deployment
    assert (again.id, again.created_at_ms) == (first.id, first.created_at_ms)
    assert [one.is_active for one in again.schedules] == [False, True]
    assert scene.run(deploying.store(deployment("f/x"), None)).deployment.schedules == again.schedules
    assert scene.run(deploying.store(deployment("f/x"), [])).deployment.schedules == ()


def test_a_schedule_that_says_whether_it_is_paused_is_believed(scene: Scene) -> None:
    daily, hourly = Schedule(cron="0 4 * * *"), Schedule(cron="0 * * * *", is_active=False)
    scene.run(deploying.store(deployment("f/x"), [replace(daily, is_active=False), replace(hourly, is_active=True)]))
    after = scene.run(deploying.store(deployment("f/x"), [daily, hourly], said_active={daily.id, hourly.id}))
    assert [one.is_active for one in after.deployment.schedules] == [True, False]


def test_a_pause_goes_to_the_only_new_schedule_and_to_none_of_two(scene: Scene) -> None:
    daily, hourly, weekly = (Schedule(cron=words) for words in ("0 4 * * *", "0 * * * *", "0 4 * * 1"))
    scene.run(deploying.store(deployment("f/x"), [replace(daily, is_active=False)]))
    [one] = scene.run(deploying.store(deployment("f/x"), [hourly])).deployment.schedules
    assert (one.id, one.is_active) == (hourly.id, False)
    two = scene.run(deploying.store(deployment("f/x"), [daily, weekly])).deployment.schedules
    assert [one.is_active for one in two] == [True, True]


def test_a_deployment_says_when_it_changed_and_not_when_it_did_not(scene: Scene) -> None:
    def updated_at_ms() -> int:
        return scene.run(deployments.read("f/x")).updated_at_ms

    hourly = Schedule(cron="0 * * * *")
    scene.run(deployments.save(deployment("f/x")))
    same = scene.run(deploying.store(deployment("f/x"), None))
    assert same.deployment.changes(same.before) == {}
    scene.run(deployments.set_paused("f/x", False))
    assert updated_at_ms() == 2
    for change in (
        deployments.add_schedule("f/x", hourly),
        deployments.set_schedule("f/x", hourly.id, is_active=False),
        deployments.set_paused("f/x", True),
        deployments.delete_schedule("f/x", hourly.id),
        deploying.store(deployment("f/x", description="d"), None),
    ):
        scene.run(deployments.save(replace(scene.run(deployments.read("f/x")), updated_at_ms=2)))
        scene.run(change)
        assert updated_at_ms() > 2


def test_the_default_pool_is_made_and_no_other(run: Run, clock: Clock) -> None:
    request = Request(["true"], check=False)
    assert run(deploy(request, "x", schedules=None, description="d", infrastructure="process")).name == "true/x"
    assert [pool.name for pool in run(pools.list_all())] == ["default-agent-pool"]
    with pytest.raises(errors.PoolNotFound):
        run(deploy(replace(request, pool="q"), "x", schedules=None, description=None, infrastructure="process"))


def test_the_default_pool_is_made_for_what_is_sent_and_for_nothing_refused(run: Run, clock: Clock) -> None:
    request = Request(["true"], check=False)
    with pytest.raises(errors.VariablesInvalid):
        run(submit([replace(request, job_variables={"nope": 1})]))
    assert run(pools.names()) == []
    with pytest.raises(errors.QueueNotFound):
        run(submit([replace(request, queue="nope")]))
    assert run(pools.names()) == ["default-agent-pool"]


def test_a_wait_sees_an_end_that_came_before_it_looked(scene: Scene) -> None:
    run = scene.submit()
    scene.run(runs.cancel("p", run))
    assert scene.run(endings.ended(run)).state is State.CANCELLED


def test_a_wait_follows_a_run_to_another_pool(scene: Scene) -> None:
    scene.run(pools.create("q"))
    scene.run(deploying.store(deployment("f/x"), None))
    (run,) = submitted(scene.run, Request("f/x"))
    moved = False

    def waiting() -> Flow[State]:
        """The wait, with the move and the end of the run in between, as others would make them."""
        nonlocal moved
        steps = endings.ended(run)
        call = next(steps)
        while True:
            if call.command == "XREAD" and not moved:
                moved = True
                yield from deploying.store(deployment("f/x", pool="q"), None)
                yield from runs.cancel("q", run.id)
            try:
                reply = yield call
            except errors.DispatcherError as error:
                call = steps.throw(error)
            else:
                try:
                    call = steps.send(reply)
                except StopIteration as end:
                    return end.value.state  # type: ignore[no-any-return]

    assert scene.run(waiting()) is State.CANCELLED


def test_a_wait_has_an_end(scene: Scene) -> None:
    with pytest.raises(errors.WaitTimedOut, match="is Scheduled"):
        scene.run(endings.ended(scene.submit(), longest_s=0.05))


def test_reading_a_run_lets_time_pass_first(scene: Scene, clock: Clock) -> None:
    scene.run(runs.submit("p", [new_run(id="R1", delay_ms=1_000, expires_ms=None)]))
    clock.advance(60_000)
    assert scene.run(finding.run("R1")).state_name == "Late"
    assert [run.id for run in scene.run(finding.listed(states=frozenset({State.SCHEDULED})))] == ["R1"]


def test_the_nearest_name_is_told(scene: Scene) -> None:
    scene.run(deploying.store(deployment("load-orders/nightly"), None))
    for name in ("load-order/nightly", "nigthly", "load-orders"):
        with pytest.raises(errors.DeploymentNotFound, match=r"Did you mean load-orders/nightly\?"):
            scene.run(finding.deployment(name))
    with pytest.raises(errors.DeploymentNotFound, match="dispatcher deploy"):
        scene.run(finding.deployment("zzz"))


def test_work_of_this_process_is_a_step_as_any_other(run: Run) -> None:
    def fail() -> int:
        raise errors.BadValue("not so")

    def flow() -> Flow[object]:
        pong = yield from Call("PING", (), (), str)
        two = yield from aside(lambda: 2)
        try:
            yield from aside(fail)
        except errors.BadValue as error:
            return pong, two, str(error)
        return None

    assert run(flow()) == ("PONG", 2, "not so")
    with pytest.raises(ZeroDivisionError):
        run(aside(lambda: 1 // 0))


def test_a_flow_is_looked_at_in_a_step_of_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("def load(day): ...\n")
    with pytest.raises(errors.ParametersInvalid, match="'day' is missing"):
        run(submit([Request("flows.py:load", path=str(tmp_path))]))
    (found,) = submitted(run, Request("flows.py:load", path=str(tmp_path), check=False))
    assert found.input.entrypoint == "flows.py:load"

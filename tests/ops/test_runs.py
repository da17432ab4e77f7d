"""Flow runs seen from outside: submit, read, find, list, cancel, retry, delete, logs."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.errors import (
    AmbiguousName,
    BadName,
    BadValue,
    PoolNotFound,
    QueueNotFound,
    RunFinished,
    RunIdShort,
    RunNotFound,
    RunUnfinished,
)
from dispatcher.ids import new_id
from dispatcher.models import NewRun, RunInput
from dispatcher.ops import leases, pools, runs
from dispatcher.states import State
from tests.dumps import unchanged
from tests.scene import POOL, Scene, new_run

# malformed and refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {"priority": 0}, {"priority": 1001}, {"priority": -1},
    {"delay_ms": -1}, {"start_at_ms": -1}, {"start_at_ms": 2**42},
    {"input": RunInput(parameters={"text": "x" * 600_000})},
    {"id": ""}, {"id": "a:b"}, {"id": "a b"},
    {"input": RunInput(parameters={"half": "\ud800"})}, {"input": RunInput(tags=("\udcff",))}, {"name": "\udcff"},
])  # fmt: skip
def test_malformed_run(scene: Scene, options: dict[str, Any]) -> None:
    facts = {"id": new_id(), "name": "r", "queue": "default", "input": RunInput(), **options}
    with unchanged(scene.server), pytest.raises(BadValue):
        scene.run(runs.submit(POOL, [new_run(), NewRun(**facts)]))


@pytest.mark.parametrize(("pool", "queue"), [("a/b", "default"), (POOL, "a/b"), (POOL, "")])
def test_bad_name(scene: Scene, pool: str, queue: str) -> None:
    with pytest.raises(BadName):
        runs.submit(pool, [new_run(queue)])


def test_too_many_at_once(scene: Scene) -> None:
    with pytest.raises(BadValue, match="at most 100"):
        runs.submit(POOL, [new_run() for _ in range(101)])


def test_unknown_pool(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        runs.submit("x", [new_run()]),
        runs.read("x", "r"),
        runs.cancel("x", "r"),
        runs.retry("x", "r"),
        runs.delete("x", "r"),
    ]
    for operation in operations:
        scene.refused(operation, PoolNotFound, "'x' was not found")


def test_all_or_none_when_a_queue_is_unknown(scene: Scene) -> None:
    scene.refused(runs.submit(POOL, [new_run(), new_run("ghost")]), QueueNotFound, "Work queue 'ghost' was not found")


def test_unknown_run(scene: Scene) -> None:
    operations: list[Call[Any] | Flow[Any]] = [
        runs.read(POOL, "R"),
        runs.cancel(POOL, "R"),
        runs.cancel(POOL, "R", force=True),
        runs.retry(POOL, "R"),
        runs.delete(POOL, "R"),
    ]
    for operation in operations:
        scene.refused(operation, RunNotFound, "'R' was not found")
    scene.refused(runs.find("RUNS"), RunNotFound, "'RUNS' was not found")


# submit -------------------------------------------------------------------------------------------------------------


def test_a_run_is_kept_as_submitted(scene: Scene) -> None:
    given = NewRun(
        id=new_id(), name="swift-otter", queue="default", deployment="f/d", priority=7, idempotency_key="k",
        start_at_ms=scene.clock.now_ms + 5, input=RunInput("m:f", parameters={"a": [1, {}]}, tags=("t",), retries=2),
    )  # fmt: skip
    (answer,) = scene.run(runs.submit(POOL, [given]))
    assert (answer.id, answer.is_new) == (given.id, True)
    found = scene.see(given.id)
    assert (found.name, found.queue, found.deployment, found.priority, found.idempotency_key, found.input) == (
        given.name, given.queue, given.deployment, given.priority, given.idempotency_key, given.input,
    )  # fmt: skip
    assert (found.state, found.due_at_ms, found.created_at_ms) == (
        State.SCHEDULED, given.start_at_ms, scene.clock.now_ms,
    )  # fmt: skip
    assert (found.epoch, found.attempts, found.lost, found.releases, found.consumer) == (0, 0, 0, 0, None)


def test_a_delay_counts_from_the_servers_now(scene: Scene) -> None:
    one = scene.join()
    run = scene.submit(delay_ms=1_000)
    assert scene.see(run).due_at_ms == scene.clock.now_ms + 1_000
    scene.clock.advance(999)
    assert scene.take(one) == []
    scene.clock.advance(1)
    assert scene.take(one) == [run]


def test_submitting_a_run_again_changes_nothing(scene: Scene) -> None:
    call = runs.submit(POOL, [new_run(), new_run()])
    first = scene.run(call)
    with unchanged(scene.server):
        again = scene.run(call)
    assert [(one.id, one.is_new) for one in again] == [(one.id, False) for one in first]


def test_an_idempotency_key_gives_the_first_run(scene: Scene) -> None:
    first = scene.submit(idempotency_key="k")
    with unchanged(scene.server):
        (again,) = scene.run(runs.submit(POOL, [new_run(idempotency_key="k", priority=5)]))
    assert (again.id, again.is_new) == (first, False)


def test_idempotency_keys_are_of_a_deployment(scene: Scene) -> None:
    ids = {scene.submit(idempotency_key="k", deployment=deployment) for deployment in ("", "f/a", "f/b")}
    assert len(ids) == 3
    assert scene.submit(idempotency_key="k", deployment="f/a") in ids


def test_one_key_twice_in_a_batch_is_one_run(scene: Scene) -> None:
    one, two = scene.run(runs.submit(POOL, [new_run(idempotency_key="k"), new_run(idempotency_key="k")]))
    assert (one.is_new, two.is_new, one.id) == (True, False, two.id)


def test_a_key_ends_after_a_week_or_with_its_run(scene: Scene) -> None:
    one = scene.join()
    run, epoch = scene.held(one, idempotency_key="k")
    key = keyspace.idempotency(POOL, "", "k")
    assert 0 < scene.server.pttl(key) <= 7 * 86_400_000
    scene.start(one, (run, epoch))
    scene.finish(one, (run, epoch))
    assert scene.submit(idempotency_key="k") == run, "finished is not forgotten"
    scene.run(runs.delete(POOL, run))
    assert scene.server.exists(key) == 0
    assert scene.submit(idempotency_key="k") != run


# read, find, list ---------------------------------------------------------------------------------------------------


def test_read_many_leaves_out_what_is_not_there(scene: Scene) -> None:
    one, two = scene.submit_many(2)
    assert [run.id for run in scene.run(runs.read_many(POOL, [two, "ghost", one]))] == [two, one]


def test_find_by_id_beginning_or_name_in_any_pool(scene: Scene) -> None:
    scene.run(pools.create("other"))
    run = NewRun(id="01ABCDEF" + "0" * 18, name="swift-otter", queue="default", input=RunInput())
    scene.run(runs.submit("other", [run]))
    scene.submit_many(110)
    for text in (run.id, run.id.lower(), "01ABCD", "01abcd", "swift-otter"):
        found = scene.run(runs.find(text))
        assert (found.id, found.pool) == (run.id, "other")


def test_find_names_all_that_fit(scene: Scene) -> None:
    scene.submit_many(2)
    scene.refused(runs.find("r"), AmbiguousName, "2 runs match")


def test_list_filters_and_is_bounded(scene: Scene) -> None:
    one = scene.join()
    scene.queue("q")
    done = scene.finished(one)
    failed = scene.finished(one, State.FAILED)
    held = scene.held(one, deployment="f/d")[0]
    waiting = scene.submit("q", delay_ms=1_000)

    def ids(**options: Any) -> set[str]:
        return {run.id for run in scene.run(runs.list_pool(POOL, **options))}

    assert ids() == {done, failed, held, waiting}
    assert ids(states=frozenset({State.COMPLETED, State.FAILED})) == {done, failed}
    assert ids(states=frozenset({State.PENDING})) == {held}
    assert ids(states=frozenset({State.SCHEDULED, State.COMPLETED})) == {waiting, done}
    assert ids(deployment="f/d") == {held}
    assert ids(queue="q") == {waiting}
    assert ids(due_after_ms=scene.clock.now_ms + 1) == {waiting}
    assert ids(due_before_ms=scene.clock.now_ms + 1) == {done, failed, held}
    assert [run.id for run in scene.run(runs.list_pool(POOL, most=1))] == [waiting], "the latest start goes first"


def test_list_goes_on_until_it_has_enough(scene: Scene) -> None:
    first = scene.submit(deployment="f/d")
    scene.clock.advance(1)
    scene.submit_many(150)
    scene.queue("q")
    assert len(scene.run(runs.list_pool(POOL, most=140))) == 140
    found = scene.run(runs.list_pool(POOL, states=frozenset({State.SCHEDULED}), due_before_ms=scene.clock.now_ms))
    assert [run.id for run in found] == [first], "behind the first page"


# cancel -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [0, 1_000])
def test_a_waiting_run_is_cancelled_at_once(scene: Scene, delay_ms: int) -> None:
    run = scene.submit(delay_ms=delay_ms)
    assert scene.run(runs.cancel(POOL, run)) == State.CANCELLED
    found = scene.see(run)
    assert (found.state, found.ended_at_ms) == (State.CANCELLED, scene.clock.now_ms)
    scene.clock.advance(1_000)
    assert scene.take(scene.join()) == []


@pytest.mark.parametrize("is_started", [False, True])
def test_the_holder_of_a_run_is_asked_to_stop_it(scene: Scene, is_started: bool) -> None:
    one = scene.join()
    held = scene.running(one) if is_started else scene.held(one)
    assert scene.run(runs.cancel(POOL, held[0])) == State.CANCELLING
    assert scene.doorbell(one) == ["control"]
    assert scene.renew(one, held).cancelling == (held,)
    assert scene.used()[""] == 1, "it holds its slot until it has ended"
    assert scene.run(runs.cancel(POOL, held[0])) == State.CANCELLING
    assert scene.doorbell(one) == ["control"], "at most one token"
    if not is_started:
        assert scene.start(one, held) == State.CANCELLING
    assert scene.finish(one, held, State.FAILED) == "CANCELLED"
    assert scene.used()[""] == 0


@pytest.mark.parametrize("before", [State.PENDING, State.RUNNING, State.CANCELLING])
def test_force_ends_a_held_run_here_and_now(scene: Scene, before: State) -> None:
    one = scene.join()
    held = scene.held(one) if before == State.PENDING else scene.running(one)
    if before == State.CANCELLING:
        scene.run(runs.cancel(POOL, held[0]))
    assert scene.state(held[0]) == before
    assert scene.run(runs.cancel(POOL, held[0], force=True)) == State.CANCELLED
    found = scene.see(held[0])
    assert (found.state, found.attempts, scene.used()[""]) == (State.CANCELLED, 1, 0)
    assert scene.doorbell(one) == ["control"]
    assert scene.renew(one, held).lost == (held,), "its holder has to kill the process"
    assert scene.finish(one, held) == "FENCED"


def test_force_on_a_waiting_run_is_a_cancel(scene: Scene) -> None:
    run = scene.submit()
    assert scene.run(runs.cancel(POOL, run, force=True)) == State.CANCELLED
    assert scene.see(run).attempts == 0


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CRASHED])
def test_a_finished_run_cannot_be_cancelled(scene: Scene, state: State) -> None:
    run = scene.finished(scene.join(), state)
    for force in (False, True):
        scene.refused(runs.cancel(POOL, run, force=force), RunFinished, f"is finished already .{state}")


def test_a_cancelled_run_cannot_be_cancelled_again(scene: Scene) -> None:
    run = scene.submit()
    scene.run(runs.cancel(POOL, run))
    scene.refused(runs.cancel(POOL, run), RunFinished, "CANCELLED")


def test_cancelling_a_run_whose_lease_ends_at_that_moment(scene: Scene) -> None:
    one, two = scene.join(), scene.join("two")
    run = scene.running(one)[0]
    for _ in range(3):
        scene.clock.advance(10_000)
        scene.renew(two)
    scene.clock.advance(2_000)
    assert scene.run(runs.cancel(POOL, run)) == State.CANCELLED
    assert (scene.see(run).lost, scene.used()[""]) == (1, 0)


# retry by the operator ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.CRASHED, State.CANCELLED])
def test_a_finished_run_can_be_made_again(scene: Scene, state: State) -> None:
    one = scene.join()
    held = scene.running(one)
    if state == State.CANCELLED:
        scene.run(runs.cancel(POOL, held[0]))
    scene.finish(one, held, state, message="m", exit_code=3, result_json="1")
    assert scene.state(held[0]) == state
    scene.clock.advance(100)
    assert scene.run(runs.retry(POOL, held[0])) == State.SCHEDULED
    found = scene.see(held[0])
    assert (found.state, found.due_at_ms, found.epoch, found.attempts) == (
        State.SCHEDULED, scene.clock.now_ms, held[1], 1,
    )  # fmt: skip
    assert (found.message, found.exit_code, found.result, found.consumer) == ("", None, None, None)
    assert (found.claimed_at_ms, found.started_at_ms, found.ended_at_ms) == (None, None, None)
    (again,) = scene.claim(one).runs
    assert (again.id, again.epoch) == (held[0], held[1] + 1)
    assert scene.finish(one, held) == "FENCED", "the earlier attempt is over"


def test_an_unfinished_run_cannot_be_retried(scene: Scene) -> None:
    one = scene.join()
    waiting, held = scene.held(one), scene.submit()
    for run, state in ((waiting[0], "PENDING"), (held, "SCHEDULED")):
        scene.refused(runs.retry(POOL, run), RunUnfinished, f"is not finished .{state}")


# delete -------------------------------------------------------------------------------------------------------------


def test_an_unfinished_run_cannot_be_deleted(scene: Scene) -> None:
    one = scene.join()
    for run in (scene.held(one)[0], scene.submit()):
        scene.refused(runs.delete(POOL, run), RunUnfinished)


def test_delete_leaves_nothing_of_the_run(scene: Scene) -> None:
    one = scene.join()
    held = scene.held(one, deployment="f/d", idempotency_key="k")
    scene.run(leases.log(POOL, one, *held, ["line"]))
    scene.start(one, held)
    scene.finish(one, held, result_json="1")
    scene.run(runs.delete(POOL, held[0]))
    assert [key for key in scene.server.scan_iter() if ":run" in key and "consumer" not in key] == []
    assert list(scene.server.scan_iter(match="*idempotency*")) == []
    scene.refused(runs.delete(POOL, held[0]), RunNotFound)


# logs ---------------------------------------------------------------------------------------------------------------


def test_logs_are_read_in_pages_and_from_the_end(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.run(leases.log(POOL, one, *held, [f"line {number}" for number in range(5)]))
    page = scene.run(runs.logs(POOL, held[0], most=3))
    rest = scene.run(runs.logs(POOL, held[0], after=page[-1].number))
    assert [line.text for line in [*page, *rest]] == [f"line {number}" for number in range(5)]
    assert [line.number for line in [*page, *rest]] == [1, 2, 3, 4, 5]
    assert {line.at_ms for line in page} == {scene.clock.now_ms}
    assert [line.text for line in scene.run(runs.log_end(POOL, held[0], most=2))] == ["line 3", "line 4"]
    assert scene.run(runs.logs(POOL, "ghost")) == []


def test_lines_are_counted_on_when_the_run_is_tried_again(scene: Scene) -> None:
    one = scene.join()
    held = scene.running(one)
    scene.run(leases.log(POOL, one, *held, ["a", "b"]))
    scene.finish(one, held, State.FAILED)
    scene.run(runs.retry(POOL, held[0]))
    (again,) = scene.claim(one).runs
    scene.run(leases.log(POOL, one, again.id, again.epoch, ["c"]))
    found = scene.run(runs.logs(POOL, held[0]))
    assert [(line.number, line.text) for line in found] == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("text", ["", "0", "01"])
def test_find_takes_no_stray_letter_for_the_only_run(scene: Scene, text: str) -> None:
    scene.submit()
    scene.refused(runs.find(text), RunIdShort, "at least 4 characters")


def test_an_input_that_is_nested_too_deep_is_refused(scene: Scene) -> None:
    deep: object = 1
    for _ in range(990):
        deep = [deep]
    run = NewRun(id=new_id(), name="n", queue="default", input=RunInput(parameters={"deep": deep}))
    with pytest.raises(BadValue, match="nested more than 100 deep"):
        runs.submit(POOL, [run])

"""The Python API as its users meet it: submit, wait, result, deploy; what is refused; threads, forks, event loops.

Runs are executed by the worker of `dispatcher.testing`, but for one test with an agent.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from redis.connection import AbstractConnection as Connection

from dispatcher import AsyncClient, Client, FlowRun, Request, Schedule, State, errors, flow
from dispatcher.call import Call
from dispatcher.testing import Worker
from tests import consumers
from tests.guide.scripts import ran
from tests.polling import poll_until

FLOWS = """
    import asyncio, time
    from dispatcher import flow

    def load(day: str, rows: int = 1):
        "Loads a day."
        print("loading", day)
        return {"day": day, "rows": rows}

    def fail(text: str = "no luck"):
        raise ValueError(text)

    def unkept():
        return object()

    async def later(value: int = 1):
        await asyncio.sleep(0)
        return value

    @flow(name="marked", retries=2, retry_delay=5)
    def with_mark():
        pass
"""


@pytest.fixture
def worker(dispatcher_worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The current folder has `flows.py`."""
    (tmp_path / "flows.py").write_text(textwrap.dedent(FLOWS), "utf-8")
    monkeypatch.chdir(tmp_path)
    return dispatcher_worker


@pytest.fixture
def client(worker: Worker) -> Iterator[Client]:
    with Client() as connected:
        yield connected


def double(n: int) -> int:
    return 2 * n


def count(n: int) -> Iterator[int]:
    yield n


# Submitting ---------------------------------------------------------------------------------------------------------


def test_an_entrypoint_goes_to_the_default_pool(client: Client, worker: Worker, tmp_path: Path) -> None:
    run = client.submit("flows.py:load", {"day": "monday"}, tags=["a"], priority=7, name="first")
    assert (run.state, run.pool, run.queue, run.name, run.priority) == (
        State.SCHEDULED,
        "default-agent-pool",
        "default",
        "first",
        7,
    )
    assert (run.input.path, run.input.tags) == (str(tmp_path), ("a",))
    worker.drain()
    assert client.result(run) == {"day": "monday", "rows": 1}
    assert [line.text for line in client.logs(run)] == ["loading monday"]


def test_a_run_is_read_by_the_names_of_its_json(client: Client, worker: Worker) -> None:
    run = client.submit("flows.py:load", {"day": "x"}, tags=["a"], job_variables={"stream_output": False}, name="first")
    assert (run.start_time, run.end_time) == (None, None)
    assert repr(run) == f"FlowRun(id={run.id!r}, name='first', state='SCHEDULED')"
    worker.drain()
    ended = client.get(run)
    document = ended.document()
    for name in ("expected_start_time", "start_time", "end_time", "created"):
        assert datetime.fromisoformat(document[name]) == getattr(ended, name)
        assert getattr(ended, name).utcoffset() == timedelta(0)
    for name in ("work_pool_name", "work_queue_name", "parameters", "job_variables"):
        assert document[name] == getattr(ended, name)
    assert (ended.tags, ended.job_variables) == (("a",), {"stream_output": False})


def test_a_deployment_is_submitted_by_its_name(client: Client, worker: Worker) -> None:
    client.deploy("flows.py:load", "nightly", parameters={"rows": 5}, tags=["a"], retries=1)
    run = client.submit("load/nightly", {"day": "monday"}, tags=["b"])
    assert (run.deployment, run.input.tags, run.input.retries) == ("load/nightly", ("a", "b"), 1)
    by_plain_name = client.submit("nightly", {"day": "tuesday", "rows": 6}, retries=3)
    assert by_plain_name.input.retries == 3
    worker.drain()
    assert client.result(run) == {"day": "monday", "rows": 5}
    assert client.result(by_plain_name) == {"day": "tuesday", "rows": 6}


def test_a_function_is_submitted_as_itself(client: Client, worker: Worker) -> None:
    run = client.submit(double, {"n": 21})
    assert run.input.entrypoint is not None
    assert run.input.entrypoint.endswith("test_python_api.py:double")
    worker.drain()
    assert client.result(run) == 42


def test_words_are_a_command(client: Client, worker: Worker) -> None:
    run = client.submit(["sh", "-c", "echo $DISPATCHER_RUN_NAME; exit 3"], name="words")
    worker.drain()
    assert (client.get(run).state, client.get(run).exit_code) == (State.CRASHED, 3)
    assert [line.text for line in client.logs(run)] == ["words"]


def test_an_installed_function_is_found_by_its_module(client: Client, worker: Worker) -> None:
    run = client.submit(textwrap.dedent, {"text": "  x"})
    assert (run.input.entrypoint, run.input.path) == ("textwrap:dedent", None)
    worker.drain()
    assert client.result(run) == "x"


def test_what_a_flow_says_of_itself_counts(client: Client, worker: Worker) -> None:
    assert client.submit("flows.py:with_mark").input.retries == 2
    assert client.submit("flows.py:with_mark", retries=0).input.retries == 0
    assert client.deploy("flows.py:with_mark", "x").name == "marked/x"


def test_a_function_that_nobody_else_finds_is_refused(client: Client) -> None:
    def inner() -> None: ...

    class Thing:
        def method(self) -> None: ...

    for function, why in (
        (inner, "made inside"),
        (lambda: None, "no name"),
        (partial(double, 1), "no name of its own"),
        (count, "it is a generator function"),
        (Thing().method, "made inside"),
        (Path(".").exists, "a method of one instance"),
    ):
        with pytest.raises(errors.FlowUnnamed, match=why):
            client.submit(function)


def test_what_does_not_fit_is_refused_with_what_would(client: Client) -> None:
    with pytest.raises(errors.ParametersInvalid, match=r"'dy' is not known \(did you mean 'day'\?\); 'day' is missing"):
        client.submit("flows.py:load", {"dy": "monday"})
    with pytest.raises(errors.ParametersInvalid, match="rows"):
        client.submit("flows.py:load", {"day": "monday", "rows": "many"})
    with pytest.raises(errors.ParametersInvalid, match="'x' is not known"):
        client.submit(double, {"n": 1, "x": 2})
    with pytest.raises(errors.EntrypointInvalid, match="there is no 'lod'"):
        client.submit("flows.py:lod")
    with pytest.raises(errors.EntrypointInvalid, match="there is no file"):
        client.submit("flow.py:load")
    client.deploy("flows.py:load", "nightly", parameters={"day": "x"})
    with pytest.raises(errors.DeploymentNotFound, match=r"Did you mean load/nightly\?"):
        client.submit("load/nigthly")
    with pytest.raises(errors.QueueNotFound, match="high"):
        client.submit("load/nightly", queue="high")
    with pytest.raises(errors.PoolNotFound, match="above"):
        client.submit("flows.py:load", {"day": "x"}, pool="above")
    with pytest.raises(errors.VariablesInvalid, match="stream_output"):
        client.submit("load/nightly", job_variables={"stream_output": "perhaps"})
    assert client.runs() == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"start_at": datetime(2027, 1, 1), "start_in": 5}, "exclude"),
        ({"start_at": "tomorrow"}, "start_at: 'tomorrow' is not a time: give ISO 8601"),
        ({"start_at": 5}, "give a datetime, or ISO 8601 text"),
        ({"start_in": -1}, "0 or more"),
        ({"start_in": float("nan")}, "0 or more"),
        ({"priority": 0}, "priority of 0"),
        ({"priority": True}, "whole number"),
        ({"retries": -1}, "whole number"),
        ({"timeout": 0}, "more than 0"),
        ({"tags": "one"}, "list of texts"),
        ({"name": ""}, "1 to 200"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"parameters": {"day": datetime(2027, 1, 1)}}, "day: a datetime"),
        ({"parameters": {"day": float("inf")}}, "day: inf"),
        ({"parameters": ["monday"]}, "dict"),
        ({"queue": "a b"}, "name"),
    ],
)
def test_a_slip_is_refused(client: Client, said: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.BadRequest, match=why):
        client.submit("flows.py:load", **{"parameters": {"day": "x"}, "check": False, **said})
    assert client.runs() == []


@pytest.mark.parametrize("what", [None, 5, [], ["echo", 5], b"load", ""])
def test_what_is_nothing_to_run_is_refused(client: Client, what: Any) -> None:
    for use in (client.submit, client.deploy, lambda what: client.submit_many(what, [{}])):
        with pytest.raises(errors.BadValue, match="give a deployment, an entrypoint, a function or a command"):
            use(what)


def test_of_a_deployment_pool_and_path_are_not_said_again(client: Client) -> None:
    client.deploy("flows.py:load", "nightly", parameters={"day": "x"})
    for option in ({"pool": "default-agent-pool"}, {"path": "/srv"}):
        with pytest.raises(errors.BadValue, match="the deployment says it"):
            client.submit("load/nightly", **option)  # type: ignore[arg-type]


def test_times_are_pythons_own(client: Client, worker: Worker) -> None:
    now = worker.clock.now
    in_an_hour = client.submit(double, {"n": 1}, start_in=timedelta(hours=1))
    naive = client.submit(double, {"n": 2}, start_at=datetime.now() + timedelta(hours=2))
    aware = client.submit(double, {"n": 3}, start_at=datetime.now(UTC) + timedelta(hours=2))
    assert in_an_hour.due_at_ms == round(1000 * (now + timedelta(hours=1)).timestamp())
    assert abs(naive.due_at_ms - aware.due_at_ms) < 5_000
    written = client.submit(double, {"n": 4}, start_at="2090-11-21T18:30:00+01:00")
    assert written.expected_start_time == datetime(2090, 11, 21, 17, 30, tzinfo=UTC)
    assert worker.drain() == []
    worker.clock.advance(3600)
    assert [run.id for run in worker.drain()] == [in_an_hour.id]
    worker.clock.set(datetime.now(UTC) + timedelta(hours=3))
    assert [run.result for run in worker.drain()] == [4, 6]


def test_a_key_submits_once(client: Client, worker: Worker) -> None:
    client.deploy(double, "one")
    client.deploy(double, "two")
    first = client.submit("double/one", {"n": 1}, idempotency_key="k")
    again = client.submit("double/one", {"n": 2}, idempotency_key="k")
    other = client.submit("double/two", {"n": 3}, idempotency_key="k")
    assert (again.id, again.input.parameters) == (first.id, {"n": 1})
    assert other.id != first.id
    worker.drain()
    assert client.submit("double/one", {"n": 4}, idempotency_key="k").result == 2


# Many ---------------------------------------------------------------------------------------------------------------


def test_five_thousand_runs_keep_their_order(client: Client) -> None:
    client.deploy(double, "many")
    found = client.submit_many("double/many", ({"n": n} for n in range(5_000)))
    assert [run.input.parameters["n"] for run in found] == list(range(5_000))
    assert len({run.id for run in found}) == 5_000
    assert sorted(run.id for run in found) == [run.id for run in found]
    assert client.pools.get("default-agent-pool").counts.scheduled == 5_000


def test_requests_of_all_kinds_together(client: Client, worker: Worker) -> None:
    client.pools.create("other", type="process")
    client.deploy(double, "one")
    found = client.submit_many(
        [
            Request("double/one", {"n": 1}, idempotency_key="k"),
            Request(double, {"n": 2}, pool="other"),
            Request("double/one", {"n": 3}, idempotency_key="k"),
            Request("flows.py:load", {"day": "x"}, priority=1),
        ]
    )
    assert found[0].id == found[2].id
    assert [run.pool for run in found] == ["default-agent-pool", "other", "default-agent-pool", "default-agent-pool"]
    worker.drain()
    assert [client.result(run) for run in found] == [2, 4, 2, {"day": "x", "rows": 1}]


def test_one_fault_among_many_submits_none(client: Client) -> None:
    client.deploy(double, "many")
    wrong = [{"n": n} for n in range(250)]
    wrong[177] = {"m": 1}
    with pytest.raises(errors.ParametersInvalid) as caught:
        client.submit_many("double/many", wrong)
    assert "request 178 of 250" in " ".join(caught.value.__notes__)
    with pytest.raises(errors.QueueNotFound):
        client.submit_many([Request("double/many", {"n": n}, queue="gone" if n == 249 else None) for n in range(250)])
    with pytest.raises(errors.BadValue, match="give requests"):
        client.submit_many("double/many")
    assert client.runs() == []
    assert client.submit_many([]) == []
    assert client.submit_many("double/many", []) == []


def test_what_many_have_in_common_is_said_once(client: Client) -> None:
    found = client.submit_many(Request(double, {"n": 0}, tags=["backfill"], priority=9), [{"n": 1}, {}])
    assert [(run.input.parameters, run.input.tags, run.priority) for run in found] == [
        ({"n": 1}, ("backfill",), 9),
        ({"n": 0}, ("backfill",), 9),
    ]


# Waiting ------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_with_the_run(client: Client, worker: Worker) -> None:
    run = client.submit(double, {"n": 4})
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(client.wait, run) for _ in range(10)]
        worker.drain()
        assert {found.result(10).state for found in waiting} == {State.COMPLETED}
    assert client.wait(run.name).result == 8
    assert client.wait(run.id[:12]).result == 8


def test_a_wait_has_an_end(client: Client) -> None:
    run = client.submit(double, {"n": 4}, name="slow")
    since_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"'slow' .* is not finished after 0\.\d s: it is Scheduled"):
        client.wait(run, timeout=timedelta(milliseconds=200))
    with pytest.raises(errors.WaitTimedOut):
        client.result(run, timeout=0)
    assert 0.2 <= time.monotonic() - since_s < 5


def test_a_wait_for_what_is_deleted_or_unknown_is_refused(client: Client, worker: Worker) -> None:
    with pytest.raises(errors.RunNotFound):
        client.wait("nobody")
    run = client.submit(double, {"n": 4})
    worker.drain()
    client.delete(run)
    with pytest.raises(errors.RunNotFound):
        client.result(run)


def test_a_run_that_moves_is_waited_for_where_it_goes(client: Client, worker: Worker) -> None:
    client.pools.create("other", type="process")
    client.deploy(double, "moving")
    run = client.submit("double/moving", {"n": 5})
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.result, run, 30)
        client.deploy(double, "moving", pool="other")
        worker.drain()
        assert waiting.result(30) == 10
    assert client.get(run).pool == "other"


def test_the_result_of_a_failed_run_raises_why(client: Client, worker: Worker) -> None:
    failed = client.submit("flows.py:fail", {"text": "no such day"})
    cancelled = client.cancel(client.submit(double, {"n": 1}))
    unkept = client.submit("flows.py:unkept")
    later = client.submit("flows.py:later", {"value": 3})
    worker.drain()
    with pytest.raises(errors.RunFailed, match="is FAILED: ValueError: no such day") as caught:
        client.result(failed)
    assert (caught.value.state, caught.value.message) == ("FAILED", "ValueError: no such day")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(errors.RunFailed) as caught:
        client.result(cancelled)
    assert caught.value.state == State.CANCELLED
    assert client.result(unkept) is None
    assert "not JSON" in client.get(unkept).message
    assert client.result(later) == 3
    assert any("no such day" in line.text for line in client.logs(failed, last=1))


def test_runs_are_cancelled_retried_deleted_and_explained(client: Client, worker: Worker) -> None:
    run = client.submit(double, {"n": 1}, start_in=60)
    assert "not due yet" in client.why(run).reasons[0].text
    assert client.cancel(run).state is State.CANCELLED
    with pytest.raises(errors.RunFinished):
        client.cancel(run.id)
    assert client.retry(run.id).state is State.SCHEDULED
    with pytest.raises(errors.RunUnfinished):
        client.delete(run)
    worker.clock.advance(60)
    worker.drain()
    client.delete(run)
    assert client.runs() == []


def test_runs_are_listed_by_what_they_are(client: Client, worker: Worker) -> None:
    client.deploy(double, "one")
    done = client.submit("double/one", {"n": 1})
    failed = client.submit("flows.py:fail")
    worker.drain()
    waiting = client.submit(double, {"n": 2}, start_in=600)
    assert [run.id for run in client.runs()] == [waiting.id, failed.id, done.id]
    assert [run.id for run in client.runs(state="completed")] == [done.id]
    assert {run.id for run in client.runs(state=[State.FAILED, State.COMPLETED])} == {failed.id, done.id}
    assert [run.id for run in client.runs(deployment="one")] == [done.id]
    assert [run.id for run in client.runs(after=worker.clock.now + timedelta(seconds=1))] == [waiting.id]
    assert len(client.runs(limit=2)) == 2
    with pytest.raises(errors.BadValue, match="COMPLETED"):
        client.runs(state="done")
    with pytest.raises(errors.QueueNotFound):
        client.runs(pool="default-agent-pool", queue="no")


# Deployments, pools, queues -----------------------------------------------------------------------------------------


def test_deploying_again_updates_in_place(client: Client, worker: Worker) -> None:
    hourly = Schedule(cron="0 * * * *")
    first = client.deploy("flows.py:load", "x", parameters={"day": "d"}, schedules=[hourly], queue="high")
    assert (first.description, first.queue, first.parameter_schema is None) == ("Loads a day.", "high", False)
    assert len(client.runs(deployment="load/x")) >= 3
    client.deployments.pause_schedule("load/x", hourly.id)
    assert client.runs(deployment="load/x", state="scheduled") == []
    again = client.deploy("flows.py:load", "x", parameters={"day": "e"})
    assert (again.id, again.queue, again.input.parameters) == (first.id, "default", {"day": "e"})
    assert [one.is_active for one in again.schedules] == [False]
    assert client.deploy("flows.py:load", "x", schedules=[]).schedules == ()
    client.deployments.pause("x")
    assert client.deployments.get("x").is_paused
    client.deployments.resume("load/x")
    client.deployments.delete("load/x")
    assert client.deployments.list() == []


def test_what_cannot_be_deployed_is_refused(client: Client) -> None:
    for what, options, error in (
        ("load/x", {}, errors.BadValue),
        ("flows.py:load", {"name": "a b"}, errors.BadName),
        ("flows.py:load", {"pool": "gone"}, errors.PoolNotFound),
        ("flows.py:load", {"parameters": {"x": 1}}, errors.ParametersInvalid),
        ("flows.py:load", {"schedules": [Schedule(cron="0 4 * *")]}, errors.ScheduleInvalid),
        ("flows.py:load", {"schedules": [Schedule(cron="0 4 * * *")]}, errors.ParametersInvalid),  # day is missing
        ("flows.py:load", {"schedules": ["0 4 * * *"]}, errors.BadValue),
        ("flows.py:load", {"infrastructure": "docker"}, errors.BadValue),
        (["no-such-program"], {}, errors.BadValue),
    ):
        with pytest.raises(error):
            client.deploy(what, **options)
    assert client.deployments.list() == []


def test_pools_and_queues_are_administered(client: Client, worker: Worker) -> None:
    pool = client.pools.create("above-ground", limit=2)
    assert (pool.name, pool.limit) == ("above-ground", 2)
    assert client.queues.create("above-ground", "high", priority=1).priority == 1
    assert [queue.name for queue in client.queues.list("above-ground")] == ["high", "default"]
    client.queues.set_priorities("above-ground", {"default": 1})
    assert client.queues.get("above-ground", "high").priority == 2
    client.pools.pause("above-ground", "lunch")
    run = client.submit(double, {"n": 1}, pool="above-ground")
    assert worker.drain() == []
    assert "lunch" in client.why(run).reasons[0].text
    client.pools.resume("above-ground")
    client.pools.set_limit("above-ground", 0)
    assert worker.drain() == []
    client.pools.set_limit("above-ground", None)
    assert [found.result for found in worker.drain()] == [2]
    client.queues.delete("above-ground", "high")
    client.pools.delete("above-ground")
    assert [pool.name for pool in client.pools.list()] == []
    with pytest.raises(errors.PoolNotFound):
        client.pools.get("above-ground")


def test_what_python_can_give_and_json_cannot(client: Client) -> None:
    given: Any
    for given in (None, 3):
        with pytest.raises(errors.BadValue, match="a run is named by"):
            client.get(given)
        with pytest.raises(errors.BadName):
            client.pools.get(given)
        with pytest.raises(errors.BadValue, match=f"each is {given}"):
            client.submit_many(["true"], [given])
    with pytest.raises(errors.BadValue, match="give a list"):
        client.deploy(["true"], schedules=cast("Any", Schedule(cron="* * * * *")))
    with pytest.raises(errors.BadValue, match="without NUL"):
        client.submit(["true"], name="a\0b")
    with pytest.raises(errors.BadValue, match="half a character"):
        client.submit(["true"], name="\ud800")
    with pytest.raises(errors.BadValue, match="the Redis URL is a int"):
        Client(cast("Any", 3))


def test_runs_are_listed_by_the_names_that_people_see(client: Client) -> None:
    late = client.submit(["true"], start_at="2020-01-01T00:00:00Z")
    soon = client.submit(["true"], start_in=3600)
    assert [run.id for run in client.runs(state="late")] == [late.id]
    assert {run.id for run in client.runs(state=["Late", State.SCHEDULED])} == {late.id, soon.id}
    assert client.runs(state="AwaitingRetry") == []
    with pytest.raises(errors.BadValue, match="Late, AwaitingRetry"):
        client.runs(state="Tardy")


def test_the_end_of_a_log(worker: Worker) -> None:
    def tell() -> None:
        print("1\n2\n3")

    run = worker.submit(tell)
    worker.drain()
    assert [[line.text for line in worker.client.logs(run, last=n)] for n in (0, 1, 5)] == [[], ["3"], ["1", "2", "3"]]
    with pytest.raises(errors.BadValue, match="last is -1"):
        worker.client.logs(run, last=-1)


# Both clients -------------------------------------------------------------------------------------------------------


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert public(AsyncClient) - public(Client) == {"aclose"}
    assert public(Client) - public(AsyncClient) == set()
    for name in public(Client) - {"deployments", "pools", "queues"}:
        sync, awaited = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(sync) == inspect.signature(awaited), name
        assert (inspect.iscoroutinefunction(sync), inspect.iscoroutinefunction(awaited)) == (False, True), name
        assert inspect.getdoc(sync), name
        assert sync.__qualname__.endswith(f".{name}")


def test_a_method_tells_what_it_takes_and_returns(worker: Worker) -> None:
    async def main() -> None:
        async with AsyncClient() as awaited:
            for noun in ("deployments", "pools", "queues"):
                ours, theirs = getattr(worker.client, noun), getattr(awaited, noun)
                assert public(type(ours)) == public(type(theirs))
                for name in public(type(ours)):
                    assert inspect.signature(getattr(ours, name)) == inspect.signature(getattr(theirs, name))
                    assert inspect.iscoroutinefunction(getattr(theirs, name))
                    assert inspect.getdoc(getattr(ours, name)), f"{noun}.{name}"

    asyncio.run(main())
    assert list(inspect.signature(Client.submit).parameters)[:4] == ["self", "what", "parameters", "pool"]
    assert str(inspect.signature(worker.client.wait)).endswith("-> 'Run'")
    assert str(inspect.signature(worker.client.pools.list)) == "() -> 'list[Pool]'"


def test_the_same_awaited(worker: Worker) -> None:
    async def main() -> list[Any]:
        async with AsyncClient() as client:
            await client.deploy(double, "one")
            found = await asyncio.gather(*(client.submit("double/one", {"n": n}) for n in range(100)))
            results = [asyncio.create_task(client.result(run)) for run in found]
            await asyncio.to_thread(worker.drain)
            assert [pool.name for pool in await client.pools.list()] == ["default-agent-pool"]
            return await asyncio.gather(*results)

    assert asyncio.run(main()) == [2 * n for n in range(100)]


def test_an_event_loop_goes_on_while_a_flow_is_imported(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1)\ndef load(): ...\n")

    async def main() -> int:
        turns = 0
        async with AsyncClient() as client:
            submitting = asyncio.create_task(client.submit("slow.py:load"))
            while not submitting.done():
                await asyncio.sleep(0.01)
                turns += 1
            assert (await submitting).state is State.SCHEDULED
        return turns

    assert asyncio.run(main()) > 20


def test_a_wait_can_be_cancelled_and_the_client_used_on(worker: Worker) -> None:
    async def main() -> Any:
        async with AsyncClient() as client:
            run = await client.submit(double, {"n": 2})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.wait(run)
            await asyncio.to_thread(worker.drain)
            return await client.result(run)

    assert asyncio.run(main()) == 4


def test_an_async_client_belongs_to_one_loop(worker: Worker) -> None:
    async def use(client: AsyncClient) -> None:
        await client.pools.list()

    async def main() -> None:
        async with AsyncClient() as client:
            await use(client)
            with ThreadPoolExecutor() as pool, pytest.raises(errors.ClientMisplaced, match="another event loop"):
                await asyncio.wrap_future(pool.submit(asyncio.run, use(client)))
            await use(client)

    asyncio.run(main())


# In an application --------------------------------------------------------------------------------------------------


def test_many_threads_share_one_client(client: Client, worker: Worker) -> None:
    client.deploy(double, "one")
    together = threading.Barrier(60)

    def work(n: int) -> FlowRun:
        together.wait()
        return client.get(client.submit("double/one", {"n": n}))

    with ThreadPoolExecutor(60) as pool:
        found = list(pool.map(work, range(60)))
        results = [pool.submit(client.result, run, 30) for run in found]  # more at once than a pool has connections
        worker.drain()
        assert [one.result() for one in results] == [2 * n for n in range(60)]
    assert [run.input.parameters["n"] for run in found] == list(range(60))


def test_a_closed_client_says_so(worker: Worker) -> None:
    client = Client()
    run = client.submit(double, {"n": 1})
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.wait, run)
        names = Call(
            "CLIENT", (), ("LIST",), lambda reply: [line for line in reply.splitlines() if "cmd=xread" in line]
        )
        poll_until(lambda: worker.client.run(names), 10, "the client waits")
        client.close()
        with pytest.raises(errors.ClientClosed):
            waiting.result(10)
    client.close()
    for use in (lambda: client.get(run), lambda: client.pools.list(), lambda: client.submit(double, {"n": 1})):
        with pytest.raises(errors.ClientClosed, match="is closed"):
            use()

    async def main() -> None:
        other = AsyncClient()
        await other.pools.list()
        await other.aclose()
        await other.aclose()
        with pytest.raises(errors.ClientClosed):
            await other.pools.list()

    asyncio.run(main())


def test_nothing_is_left_open(dispatcher_broker: str, tmp_path: Path) -> None:
    code = """
        import asyncio, gc, sys, threading
        from dispatcher import AsyncClient, Client

        url = sys.argv[1]
        with Client(url) as client:
            threads = [threading.Thread(target=client.pools.list) for _ in range(20)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        client.close()
        del client
        unused = Client(url)
        del unused

        async def main():
            async with AsyncClient(url) as client:
                await asyncio.gather(*(client.pools.list() for _ in range(20)))

        asyncio.run(main())
        gc.collect()
        print("clean")
    """
    assert ran(tmp_path, code, dispatcher_broker) == "clean\n"


def test_a_reply_is_not_read_by_the_next_when_its_own_reader_was_interrupted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: Any = Connection.send_packed_command

    def interrupted(self: Connection, *args: Any, **options: Any) -> None:
        """As when a signal comes just then: the flow is asked to stop, or somebody types Ctrl-C."""
        sent(self, *args, **options)
        raise KeyboardInterrupt

    def popped(key: str) -> Call[Any]:
        return Call("BLPOP", (key,), (1,), lambda reply: reply, waits_ms=1_000)

    client.run(Call("RPUSH", ("ours",), ("it",), int))
    client.run(popped("ours"))  # the connection for such waits is there
    client.run(Call("RPUSH", ("ours",), ("it again",), int))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Connection, "send_packed_command", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.run(popped("nothing"))
    assert client.run(popped("ours")) == ["ours", "it again"]


FORKING = """
    import os, sys, threading, warnings
    from dispatcher import Client
    from dispatcher.call import Call
    from dispatcher.testing import Worker

    number = Call("CLIENT", (), ("ID",), int)

    def sockets():
        names = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                 if os.path.islink(f"/proc/self/fd/{name}")]
        return {name for name in names if name.startswith("socket:")}
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files in /proc")
def test_a_fork_shares_no_connection(dispatcher_broker: str, tmp_path: Path) -> None:
    code = (
        FORKING
        + """
    warnings.simplefilter("ignore", DeprecationWarning)  # that the process has threads is the point
    client = Client(sys.argv[1])
    mine = client.run(number)
    waiting = threading.Thread(target=client.run, args=(Call("BLPOP", ("nothing",), (30,), len, waits_ms=30_000),))
    waiting.daemon = True
    waiting.start()
    while "blocked_clients:0" in client.run(Call("INFO", (), ("clients",), str)):
        pass  # until then the connection is still being made, and nobody has it yet
    children = []
    for _ in range(5):
        child = os.fork()
        if not child:
            assert not sockets(), sockets()
            assert client.run(number) != mine
            client.pools.list()
            client.close()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5
    assert client.run(number) == mine
    print("apart", flush=True)
    os._exit(0)
    """
    )
    assert ran(tmp_path, code, dispatcher_broker) == "apart\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_use_the_clients_of_their_module(
    redis_url: str, tmp_path: Path, method: str
) -> None:
    code = """
        import multiprocessing, sys
        from dispatcher import Client, errors

        client = Client(sys.argv[1])

        def make(n):
            try:
                return client.pools.create(f"p{n % 10}").name
            except errors.PoolExists as error:
                return str(error)[:9]

        if __name__ == "__main__":
            client.pools.list()
            with multiprocessing.get_context(sys.argv[2]).Pool(4) as pool:
                said = pool.map(make, range(40), chunksize=1)
                pool.close()
                pool.join()
            mine = [pool.name for pool in client.pools.list()]
            for name in mine:
                client.pools.delete(name)
            client.close()
            print(sorted(set(said)) == ["Work pool", *mine], len(mine))
    """
    assert ran(tmp_path, code, redis_url, method) == "True 10\n"


def test_without_a_url_it_is_the_broker_of_the_commands(tmp_path: Path, server_binary: Path) -> None:
    home = tmp_path / "h"
    code = """
        from pathlib import Path
        from dispatcher import Client, broker

        with Client() as client:
            assert client.url == broker.status(broker.default_data_folder()).url
            print(client.pools.create("here").name)
        broker.stop(broker.default_data_folder())
    """
    assert ran(tmp_path, code, DISPATCHER_HOME=str(home)) == "here\n"
    with pytest.raises(AssertionError, match="DISPATCHER_REDIS_URL"):
        ran(tmp_path, "from dispatcher import Client\nClient()", DISPATCHER_REDIS_URL="http://nowhere")


def test_a_broker_that_may_lose_runs_is_refused(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def policy(word: str) -> Call[object]:
        return Call("CONFIG", (), ("SET", "maxmemory-policy", word), lambda reply: reply)

    worker.client.run(policy("allkeys-lru"))
    try:
        with Client() as client, pytest.raises(errors.BadRequest, match="allkeys-lru"):
            client.pools.list()
        monkeypatch.setenv("DISPATCHER_ALLOW_UNSAFE_BROKER", "true")
        with Client() as client:
            assert client.pools.list() == []
    finally:
        worker.client.run(policy("noeviction"))


def test_nobody_there() -> None:
    with Client("redis://127.0.0.1:1") as client, pytest.raises(errors.BrokerUnavailable, match="cannot be reached"):
        client.pools.list()
    with pytest.raises(errors.BadValue, match="not valid"):
        Client("http://nowhere")


def test_an_agent_executes_what_python_submits(redis_url: str, tmp_path: Path) -> None:
    with consumers.opened(redis_url, tmp_path) as scene, Client(redis_url) as client:
        client.deploy("flows.py:hello", "now", pool=consumers.POOL, path=str(scene.folder))
        scene.start()
        assert client.result(client.submit("hello/now", {"name": "you"}), timeout=30) == {"greeted": "you"}
        held = client.submit("hello/now", name="later", start_in=3600)
        assert client.cancel("later").id == held.id


@flow(name="renamed")
def marked() -> None: ...


def test_a_marked_function_is_deployed_under_its_own_name(client: Client) -> None:
    deployed: Callable[..., Any] = client.deploy
    assert deployed(marked, "x").name == "renamed/x"

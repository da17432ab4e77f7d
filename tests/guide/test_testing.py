"""`dispatcher.testing` as its users meet it: the fixtures, the worker in the process of the test, the fixed clock."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator

from dispatcher import Client, Schedule, State, current_run, errors, flow
from dispatcher.call import Call
from dispatcher.ops import consumers
from dispatcher.testing import Worker
from tests.guide.scripts import ran

pytest_plugins = ["pytester"]


@pytest.fixture
def worker(dispatcher_worker: Worker) -> Worker:
    return dispatcher_worker


def texts(worker: Worker, run: str) -> list[str]:
    return [line.text for line in worker.client.logs(run)]


# What a flow meets --------------------------------------------------------------------------------------------------


def test_a_function_of_the_test_is_a_flow(worker: Worker) -> None:
    seen = []

    def greet(name: str = "world") -> dict[str, str]:
        seen.append(current_run())
        print("hello", name)
        print("and more", end="", file=sys.stderr)
        return {"greeted": name}

    run = worker.submit(greet, {"name": "you"}, name="mine")
    assert run.state is State.SCHEDULED
    (done,) = worker.drain()
    assert (done.id, done.state, done.result) == (run.id, State.COMPLETED, {"greeted": "you"})
    assert texts(worker, run.id) == ["hello you", "and more"]
    assert (seen[0].id, seen[0].name, seen[0].attempt, seen[0].deployment) == (run.id, "mine", 1, None)
    assert seen[0].parameters == {"name": "you"}
    assert worker.drain() == []
    with pytest.raises(errors.NoCurrentRun):
        current_run()


def test_each_function_is_itself_though_they_share_a_name(worker: Worker) -> None:
    def made(n: int) -> object:
        def inner() -> int:
            return n

        return inner

    for n in range(3):
        worker.submit(made(n))  # type: ignore[arg-type]
    worker.submit(lambda: 3)
    assert [run.result for run in worker.drain()] == [0, 1, 2, 3]


def test_parameters_become_what_the_flow_asks_for(worker: Worker) -> None:
    def weekday(day: date) -> str:
        return day.strftime("%A")

    worker.submit(weekday, {"day": "2026-11-21"})
    assert [run.result for run in worker.drain()] == ["Saturday"]
    with pytest.raises(errors.ParametersInvalid):
        worker.submit(weekday, {"day": 5, "night": 6})
    with pytest.raises(errors.ParametersInvalid, match="'someday' is not a 'date'"):
        worker.submit(weekday, {"day": "someday"})


def even(count: int) -> int:
    if count % 2:
        raise ValueError("it is odd")
    return count


def test_what_only_the_flow_can_judge_fails_as_it_starts(worker: Worker) -> None:
    def order(count: Annotated[int, AfterValidator(even)]) -> int:
        return count

    worker.submit(order, {"count": 3})
    (unfit,) = worker.drain()
    assert unfit.state is State.FAILED
    assert "count" in unfit.message


def test_what_a_flow_raises_ends_the_run_alone(worker: Worker) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    def leave(code: object) -> None:
        sys.exit(code)  # type: ignore[arg-type]

    worker.submit(fail)
    for code in (0, 3, "words"):
        worker.submit(leave, {"code": code})
    failed, fine, three, words = worker.drain()
    assert (failed.state, failed.message, failed.exit_code) == (State.FAILED, "ValueError: no luck", 1)
    log = texts(worker, failed.id)
    assert (log[0], log[-1]) == ("Traceback (most recent call last):", "ValueError: no luck")
    assert "executing.py" not in "".join(log)
    assert fine.state is State.COMPLETED
    assert (three.state, three.message, three.exit_code) == (State.CRASHED, "exit code 3", 3)
    assert (words.state, words.exit_code, texts(worker, words.id)) == (State.CRASHED, 1, ["words"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, pytest.fail.Exception])
def test_what_ends_the_test_gives_the_run_back(worker: Worker, error: type[BaseException]) -> None:
    def interrupted() -> None:
        raise error("stop")

    run = worker.submit(interrupted)
    with pytest.raises(error):
        worker.drain()
    assert (worker.client.get(run).state, worker.client.get(run).attempts) == (State.SCHEDULED, 0)


def test_an_async_flow_is_awaited_also_in_an_async_test(worker: Worker) -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return current_run().attempt

    async def fail() -> None:
        raise ValueError("late")

    worker.submit(later)
    assert [run.result for run in worker.drain()] == [1]

    async def test() -> None:
        worker.submit(later)
        worker.submit(fail)
        assert [run.state for run in worker.drain()] == [State.COMPLETED, State.FAILED]

    asyncio.run(test())


def test_files_are_loaded_as_a_run_would_and_forgotten(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, modules = Path.cwd(), set(sys.modules)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"NAME = {name!r}")
        (tmp_path / name / "flows.py").write_text(
            "import os, beside\ndef which():\n    os.environ['LEFT'] = '1'\n    return [beside.NAME, os.getcwd()]\n"
        )
        worker.submit("flows.py:which", path=str(tmp_path / name))
    assert [run.result for run in worker.drain()] == [[name, str(tmp_path / name)] for name in ("one", "two")]
    assert Path.cwd() == here
    assert {"flows", "beside"}.isdisjoint(set(sys.modules) - modules)
    assert "LEFT" not in os.environ


def test_what_a_test_has_replaced_is_replaced_for_the_flow(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.py").write_text("def price(): return 1\ndef load(): return price()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import shop  # type: ignore[import-not-found]

    monkeypatch.setattr(shop, "price", lambda: 2)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    monkeypatch.setitem(sys.modules, "shop", shop)
    worker.deploy("shop.py:load", "x", path=str(tmp_path))
    worker.submit("load/x")
    assert [run.result for run in worker.drain()] == [2]


def test_job_variables_and_commands(worker: Worker, tmp_path: Path) -> None:
    def seen() -> list[str | None]:
        return [os.environ.get("GREETING"), Path.cwd().name]

    (tmp_path / "inner").mkdir()
    variables = {"env": {"GREETING": "hi"}, "working_dir": str(tmp_path / "inner")}
    worker.submit(seen, job_variables=variables)
    words = worker.submit(["sh", "-c", 'echo "$GREETING $DISPATCHER_RUN_ATTEMPT"; pwd'], job_variables=variables)
    worker.submit(seen, job_variables={"working_dir": "/no/such/folder"})
    worker.submit(["no-such-program-here"], check=False)
    assert [run.state for run in worker.drain()] == ["COMPLETED", "COMPLETED", "CRASHED", "CRASHED"]
    assert worker.client.runs(state="completed")[-1].result == ["hi", "inner"]
    assert texts(worker, words.id) == ["hi 1", str(tmp_path / "inner")]
    assert {run.message.partition(":")[0] for run in worker.client.runs(state="crashed")} == {"could not start"}


# What the broker decides --------------------------------------------------------------------------------------------


def test_retries_come_when_their_time_has_come(worker: Worker) -> None:
    @flow(retries=2, retry_delay=30)
    def fail() -> None:
        raise ValueError(current_run().attempt)

    worker.submit(fail)
    for seconds in (0, 30, 60):
        worker.clock.advance(seconds - 1 if seconds else 0)
        if seconds:
            assert worker.drain() == []
            worker.clock.advance(1)
        (run,) = worker.drain()
    assert (run.state, run.attempts, run.message) == (State.FAILED, 3, "ValueError: 3")
    worker.submit(fail, retry_delay=0)
    (at_once,) = worker.drain()
    assert at_once.attempts == 3


def test_priorities_limits_and_pauses_hold(worker: Worker) -> None:
    done = []

    def note(word: str) -> None:
        done.append(word)

    worker.client.pools.create("p", type="process")
    for name, priority in (("low", 3), ("high", 1), ("paused", 2)):
        worker.client.queues.create("p", name, priority=priority)
    worker.client.queues.pause("p", "paused")
    for queue in ("low", "high", "paused"):
        for priority in (9, 1):
            worker.submit(note, {"word": f"{queue} {priority}"}, pool="p", queue=queue, priority=priority)
    worker.client.queues.set_limit("p", "low", 0)
    worker.drain()
    assert done == ["high 1", "high 9"]
    worker.client.queues.set_limit("p", "low", 1)
    worker.client.queues.resume("p", "paused")
    worker.drain()
    assert done[2:] == ["paused 1", "paused 9", "low 1", "low 9"]


def test_what_a_run_submits_is_executed_too(worker: Worker) -> None:
    def count_down(n: int) -> int:
        if n:
            worker.submit(count_down, {"n": n - 1})
        return n

    worker.submit(count_down, {"n": 3})
    assert [run.result for run in worker.drain()] == [3, 2, 1, 0]

    def for_ever() -> None:
        worker.submit(for_ever)

    worker.submit(for_ever)
    with pytest.raises(errors.DrainEndless, match="20 runs"):
        worker.drain(most=20)


def test_a_run_can_be_cancelled_while_it_runs(worker: Worker) -> None:
    def cancelled() -> bool:
        worker.client.cancel(current_run().id)
        return current_run().cancel_requested

    worker.submit(cancelled)
    (run,) = worker.drain()
    assert run.state is State.CANCELLED


def test_schedules_go_by_the_clock(worker: Worker) -> None:
    begun = []

    def nightly() -> None:
        begun.append(worker.clock.now)

    worker.clock.set(datetime(2026, 11, 21, 12, tzinfo=UTC))
    worker.deploy(nightly, "x", schedules=[Schedule(cron="0 4 * * *", timezone="Europe/Berlin")])
    assert worker.drain() == []
    for _ in range(10):
        worker.clock.advance(timedelta(hours=15))
        worker.drain()
        worker.clock.advance(timedelta(hours=9))
        worker.drain()
    assert begun == [datetime(2026, 11, 22 + day, 3, tzinfo=UTC) for day in range(9)] + [
        datetime(2026, 12, 1, 3, tzinfo=UTC)
    ]


def test_many_are_drained_in_order(worker: Worker) -> None:
    seen = []

    def note(n: int) -> None:
        seen.append(n)

    worker.submit_many(note, [{"n": n} for n in range(300)])
    assert len(worker.drain()) == 300
    assert seen == list(range(300))


# The fixtures -------------------------------------------------------------------------------------------------------


def test_a_client_of_the_code_under_test_meets_the_same_broker_and_time(worker: Worker) -> None:
    with Client() as client:
        assert client.url == worker.client.url
        worker.clock.advance(timedelta(days=3))
        run = client.submit(["true"], check=False)
        assert run.created_at_ms == round(1000 * worker.clock.now.timestamp())
    assert [found.state for found in worker.drain()] == [State.COMPLETED]


def test_the_environment_and_profile_of_the_user_are_not_seen(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = pytester.mkdir("home")
    (home / "profiles.toml").write_text('active = "p"\n[profiles.p]\nDISPATCHER_REDIS_URL = "redis://127.0.0.1:1"\n')
    monkeypatch.setenv("DISPATCHER_HOME", str(home))
    monkeypatch.setenv("DISPATCHER_PROFILE", "p")
    monkeypatch.setenv("DISPATCHER_OUTPUT", "nonsense")
    pytester.makepyfile(
        """
        import os
        from dispatcher import Client

        def test_it(dispatcher_worker):
            with Client() as client:
                assert client.pools.list() == []
            assert {name for name in os.environ if name.startswith("DISPATCHER_")} == {
                "DISPATCHER_HOME", "DISPATCHER_REDIS_URL"}

        def test_after(request):
            assert os.environ["DISPATCHER_OUTPUT"] == "nonsense"
        """
    )
    pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_each_test_begins_with_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_it(dispatcher_worker, turn):
            assert dispatcher_worker.client.pools.list() == []
            dispatcher_worker.submit(["true"], check=False)
            assert len(dispatcher_worker.drain()) == 1
        """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=2)


def test_the_plugin_is_there_once_and_idle(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("pytest_plugins = ['dispatcher.testing.plugin']")
    pytester.makepyfile(
        """
        import sys

        def test_it(pytestconfig):
            ours = {name for name in sys.modules if name.partition(".")[0] in ("dispatcher", "agent", "cli", "redis")}
            assert ours == {"dispatcher", "dispatcher.testing", "dispatcher.testing.plugin"}
        """
    )
    options = ("-p", "dispatcher.testing.plugin", "-W", "error", "-p", "no:randomly")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=1)


def test_without_a_server_program_the_test_is_skipped_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHER_BROKER_BINARY", "/no/such/server")
    pytester.makepyfile("def test_it(dispatcher_worker): ...")
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no broker for tests: */no/such/server*"])


def test_modules_of_the_user_named_as_ours_are_theirs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        agent="NAME = 'mine'",
        cli="NAME = 'mine'",
        test_it="""
        import agent, cli

        def test_it(dispatcher_worker):
            run = dispatcher_worker.submit(lambda: [agent.NAME, cli.NAME])
            assert dispatcher_worker.drain()[0].result == ["mine", "mine"]
        """,
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_without_pytest(tmp_path: Path) -> None:
    code = """
        from datetime import UTC, datetime
        from dispatcher import Client, testing

        def load(n):
            return n + 1

        with testing.broker() as url:
            with testing.Worker(url, now=datetime(2030, 1, 1, tzinfo=UTC)) as worker:
                worker.submit(load, {"n": 1}, start_in=60)
                assert worker.drain() == []
                worker.clock.advance(60)
                print([run.result for run in worker.drain()], worker.clock.now)
                worker.close()
            with Client(url) as client:
                print(client.pools.get("default-agent-pool").is_served)
    """
    assert ran(tmp_path, code) == "[2] 2030-01-01 00:01:00+00:00\nFalse\n"


def test_it_leaves_its_pools(worker: Worker) -> None:
    worker.submit(["true"], check=False)
    worker.drain()
    read = consumers.list_all("default-agent-pool")
    assert [one.name for one in worker.client.run(read)] == ["dispatcher.testing"]
    url = worker.client.url
    worker.close()
    with Client(url) as client:
        assert client.run(read) == []
        assert client.run(Call("PING", (), (), str)) == "PONG"

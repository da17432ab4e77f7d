"""Workers and agents as real processes: runs go through, limits of one consumer, how it starts, drains and ends."""

from __future__ import annotations

import json
import os
import signal

import pytest

from dispatcher.ops import pools, queues, runs
from dispatcher.states import State
from tests.agent.words import words
from tests.consumers import POOL, Scene, is_dead
from tests.polling import poll_until

HELD = (State.RUNNING,)


# Runs


def test_runs_end_as_they_should_and_their_output_is_kept(scene: Scene) -> None:
    given = {
        "hello": scene.submit("hello", parameters={"name": "you"}),
        "later": scene.submit("later"),
        "command": scene.submit(command=("sh", "-c", "echo out; exit 3")),
        "fail": scene.submit("fail"),
        "missing": scene.submit("missing", retries=5),
        "no folder": scene.submit("hello", path="/no/such/folder", retries=5),
    }
    worker = scene.start()
    found = {name: scene.finished(run) for name, run in given.items()}

    assert {name: (run.state, run.message, run.exit_code, run.result) for name, run in found.items()} == {
        "hello": (State.COMPLETED, "", 0, {"greeted": "you"}),
        "later": (State.COMPLETED, "", 0, 1),
        "command": (State.CRASHED, "exit code 3", 3, None),
        "fail": (State.FAILED, "ValueError: no luck", 1, None),
        "missing": (State.CRASHED, found["missing"].message, None, None),
        "no folder": (State.CRASHED, found["no folder"].message, None, None),
    }
    assert "could not start: there is no 'missing' in 'flows.py'" in found["missing"].message
    assert "has no code folder '/no/such/folder'" in found["no folder"].message
    assert all((run.attempts, run.lost, run.releases) == (1, 0, 0) for run in found.values())
    assert scene.log(given["hello"]) == ["hello you"]
    assert scene.log(given["fail"])[-1] == "ValueError: no luck"
    assert "run-hello | hello you" in worker.log
    assert "Traceback (most recent call last)" not in worker.log.replace("run-fail | Traceback", "")


def test_failed_attempts_are_made_again(scene: Scene) -> None:
    run = scene.submit("fail_until", parameters={"times": 2}, retries=2, retry_delay_s=0.01)
    scene.start()
    found = scene.finished(run)
    assert (found.state, found.result, found.attempts, found.lost) == (State.COMPLETED, 3, 3, 0)


def test_a_run_that_takes_too_long_is_stopped_and_failed(scene: Scene) -> None:
    polite = scene.submit("tidy", timeout_s=0.5)
    stubborn = scene.submit("stubborn", timeout_s=0.5, retries=1, retry_delay_s=60.0)
    scene.start("--grace-seconds", "0.3")
    found = scene.finished(polite)
    assert (found.state, found.message) == (State.FAILED, "timed out after 0.5 s")
    scene.file("tidy-cleaned")
    again = scene.until(stubborn, State.SCHEDULED)
    poll_until(lambda: scene.read(stubborn).attempts == 1, 20, "the stubborn run is waiting for its second attempt")
    again = scene.read(stubborn)
    assert (again.state_name, again.message, again.exit_code) == ("AwaitingRetry", "timed out after 0.5 s", -9)


def test_a_running_run_is_cancelled_at_once(scene: Scene) -> None:
    polite, stubborn = scene.submit("tidy"), scene.submit("stubborn")
    scene.start("--grace-seconds", "0.3")
    scene.file("tidy-started")
    pid = int(scene.file("stubborn"))
    for run in (polite, stubborn):
        assert scene.client.run(runs.cancel(POOL, run)) is State.CANCELLING
    for run in (polite, stubborn):
        assert scene.finished(run, timeout_s=3).state is State.CANCELLED
    scene.file("tidy-cleaned")
    assert is_dead(pid)


def test_a_forced_cancel_kills_the_process_too(scene: Scene) -> None:
    run = scene.submit("hold")
    scene.start()
    child, grandchild = scene.held()
    assert scene.client.run(runs.cancel(POOL, run, force=True)) is State.CANCELLED
    poll_until(lambda: is_dead(child) and is_dead(grandchild), 5, "the process and its child are dead")
    assert scene.read(run).state is State.CANCELLED


def test_a_run_of_the_future_starts_on_time_prepared_or_not(scene: Scene) -> None:
    scene.start("--prefetch-seconds", "5")
    soon = scene.submit("hello", delay_ms=4000)
    scene.until(soon, State.PENDING)
    prefetched = scene.finished(soon)
    late = scene.submit("hello", delay_ms=6000)
    scene.client.run(runs.cancel(POOL, late))
    assert prefetched.started_at_ms is not None
    assert 0 <= prefetched.started_at_ms - prefetched.due_at_ms < 5000, "by its time, not by the next look"


def test_a_prepared_run_can_be_cancelled_before_it_is_due(scene: Scene) -> None:
    scene.start("--prefetch-seconds", "60")
    run = scene.submit("tidy", delay_ms=60_000)
    scene.until(run, State.PENDING)
    scene.client.run(runs.cancel(POOL, run))
    assert scene.finished(run).state is State.CANCELLED
    assert not (scene.folder / "tidy-started").exists()


@pytest.mark.parametrize("where", ["pool", "queue"])
def test_a_prepared_run_does_not_begin_while_it_is_paused(scene: Scene, where: str) -> None:
    worker = scene.start("--prefetch-seconds", "10")
    run = scene.submit("hello", delay_ms=6000)
    scene.until(run, State.PENDING)
    scene.client.run(pools.pause(POOL) if where == "pool" else queues.pause(POOL, "default"))
    found = scene.until(run, State.SCHEDULED)
    assert (found.started_at_ms, found.attempts, found.lost, found.releases) == (None, 0, 0, 1)
    poll_until(lambda: "does not begin: its work pool or queue is paused" in worker.log, 20, "the worker says why")
    scene.client.run(pools.resume(POOL) if where == "pool" else queues.resume(POOL, "default"))
    assert scene.finished(run).state is State.COMPLETED


def test_a_waiting_consumer_hears_of_work_at_once(scene: Scene) -> None:
    scene.start()
    first = scene.finished(scene.submit("hello"))
    run = scene.finished(scene.submit("hello"))
    assert run.claimed_at_ms is not None
    assert run.claimed_at_ms - run.created_at_ms < 5000, "it waits for a wake, not for its next look"
    assert first.consumer is not None


def test_the_limit_is_of_living_executions(scene: Scene) -> None:
    given = [scene.submit("hold", parameters={"name": f"held-{n}", "until": f"go-{n}"}) for n in range(3)]
    scene.start("--limit", "2")
    scene.until(given[0], *HELD)
    scene.until(given[1], *HELD)
    assert scene.read(given[2]).state is State.SCHEDULED
    scene.go("go-0")
    scene.until(given[2], *HELD)
    for name in ("go-1", "go-2"):
        scene.go(name)
    assert {scene.finished(run).state for run in given} == {State.COMPLETED}


def test_a_flow_beside_the_users_own_agent_and_cli(scene: Scene) -> None:
    for name in ("cli", "agent"):
        (scene.folder / f"{name}.py").write_text(f"word = 'my {name}'\n")
    (scene.folder / "dispatcher_flows.py").write_text("import agent, cli\ndef main(): return [agent.word, cli.word]\n")
    given = [scene.submit(entrypoint=f"dispatcher_flows{suffix}:main") for suffix in (".py", "")]
    consumer = scene.begin("worker", "--pool", POOL, PYTHONPATH=str(scene.folder))
    assert [scene.finished(run).result for run in given] == [["my agent", "my cli"]] * 2
    consumer.signal(signal.SIGTERM)
    assert consumer.exit_code() == 0


# Draining


def test_the_first_signal_waits_and_the_consumer_leaves_no_trace(scene: Scene) -> None:
    run = scene.submit("hold")
    worker = scene.start()
    scene.held()
    worker.signal(signal.SIGINT)
    poll_until(lambda: "1 running run will be waited for" in worker.log, 10, "the worker drains")
    waiting = scene.submit("hello")
    scene.go()
    assert worker.exit_code() == 0
    assert scene.read(run).state is State.COMPLETED
    assert scene.read(waiting).state is State.SCHEDULED
    assert scene.listed() == []


def test_a_signal_gives_unstarted_claims_back_at_once(scene: Scene) -> None:
    early, running = scene.submit("hello", delay_ms=8000), scene.submit("hold")
    worker = scene.start("--prefetch-seconds", "10")
    scene.held()
    scene.until(early, State.PENDING)
    worker.signal(signal.SIGTERM)
    given_back = scene.until(early, State.SCHEDULED, timeout_s=3)
    assert (given_back.releases, given_back.attempts, given_back.lost) == (1, 0, 0)
    assert scene.read(running).state is State.RUNNING
    scene.go()
    assert worker.exit_code() == 0


def test_after_the_drain_timeout_runs_are_stopped_and_given_back(scene: Scene) -> None:
    run = scene.submit("tidy")
    worker = scene.start("--drain-timeout", "0.2")
    scene.file("tidy-started")
    worker.signal(signal.SIGTERM)
    assert worker.exit_code(10) == 0
    scene.file("tidy-cleaned")
    found = scene.read(run)
    assert (found.state, found.releases, found.attempts, found.lost) == (State.SCHEDULED, 1, 0, 0)


def test_the_second_signal_stops_what_runs(scene: Scene) -> None:
    run = scene.submit("hold")
    worker = scene.start()
    child, grandchild = scene.held()
    worker.signal(signal.SIGINT)
    poll_until(lambda: "waited for" in worker.log, 10, "the worker drains")
    worker.signal(signal.SIGINT)
    assert worker.exit_code(10) == 0
    assert is_dead(child)
    assert is_dead(grandchild)
    assert scene.read(run).state is State.SCHEDULED


def test_the_third_signal_does_not_wait_for_grace(scene: Scene) -> None:
    run = scene.submit("stubborn")
    worker = scene.start("--grace-seconds", "60")
    scene.file("stubborn")
    for said in ("waited for", "given back", ""):
        worker.signal(signal.SIGINT)
        poll_until(lambda said=said: said in worker.log, 10, "the signal was taken")  # type: ignore[misc]
    assert worker.exit_code(10) == 0
    assert scene.read(run).state is State.SCHEDULED


def test_ctrl_c_of_a_terminal_does_not_reach_the_runs(scene: Scene) -> None:
    scene.submit("hold")
    scene.start()
    child, _ = scene.held()
    assert os.getpgid(child) == child
    assert os.getsid(child) == child


def test_run_once_takes_what_is_there_and_ends(scene: Scene) -> None:
    given = [scene.submit("hello"), scene.submit("fail"), scene.submit("hello")]
    future = scene.submit("hello", delay_ms=3_600_000)
    worker = scene.begin("worker", "--pool", POOL, "--run-once", "--limit", "2")
    assert worker.exit_code() == 0
    assert [scene.read(run).state for run in given] == [State.COMPLETED, State.FAILED, State.SCHEDULED]
    assert "run-hello | hello world" in worker.log
    worker = scene.begin("worker", "--pool", POOL, "--run-once", DISPATCHER_STREAM_OUTPUT="false")
    assert worker.exit_code() == 0
    assert "hello world" not in worker.log
    assert scene.read(given[2]).state is State.COMPLETED
    assert scene.read(future).state is State.SCHEDULED
    assert scene.listed() == []


# What start says and refuses


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("agent", "start"), 1, "dispatcher agent start --pool my-pool"),
        (("agent", "start", "-q", "a", "-m", "b"), 2, "-q/--work-queue and -m/--match were given"),
        (("agent", "start", "-p", POOL), 1, f"dispatcher worker start --pool {POOL}"),
        (("worker", "start"), 1, "dispatcher worker start --pool"),
        (("worker", "start", "-p", "nope"), 1, "dispatcher worker start --pool nope --type process"),
        (("worker", "start", "-p", "nope"), 1, "dispatcher work-pool create nope --type process"),
        (("worker", "start", "-p", POOL, "-t", "docker"), 1, "comes later"),
        (("worker", "start", "-p", POOL, "-t", "agent"), 1, f"dispatcher agent start --pool {POOL}"),
        (("worker", "start", "-p", POOL, "-t", "whatever"), 1, "Choose one of: process"),
        (("worker", "start", "-p", POOL, "-q", "a b"), 1, "name 'a b' is not valid"),
        (("worker", "start", "-p", "{x}", "-t", "process"), 1, "name '{x}' is not valid"),
        (("worker", "start", "-p", POOL, "-n", "a b"), 1, "name 'a b' is not valid"),
        (("agent", "start", "-m", "a,b"), 1, "name 'a,b' is not valid"),
        (("worker", "start", "-p", POOL, "-l", "0"), 2, "0 is not in the range"),
        (("worker", "ls", "-p", "nope"), 1, "Work pool 'nope' was not found"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    scene: Scene, options: tuple[str, ...], code: int, said: str
) -> None:
    before = scene.client.run(pools.names())
    done = words(scene, *options)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert scene.client.run(pools.names()) == before
    assert scene.listed() == []


def test_a_worker_does_not_serve_a_pool_of_agents(agent_scene: Scene) -> None:
    for options in ((), ("--type", "process")):
        done = words(agent_scene, "worker", "start", "-p", POOL, *options)
        assert done.returncode == 1
        assert f"dispatcher agent start --pool {POOL}" in done.stderr


def test_an_agent_makes_its_pool_and_queues_and_says_so(scene: Scene) -> None:
    done = words(scene, "agent", "start", "-q", "high", "-q", "low", "--run-once")
    assert done.returncode == 0, done.stderr
    assert "Work pool default-agent-pool did not exist and was made" in done.stderr
    assert "Work queue high of work pool default-agent-pool did not exist and was made" in done.stderr
    assert "Agent serves queues high, low of work pool default-agent-pool" in done.stderr
    pool = scene.client.run(pools.read("default-agent-pool"))
    assert (pool.type, {queue.name for queue in pool.queues}) == ("agent", {"default", "high", "low"})


def test_a_worker_makes_a_pool_of_its_type(scene: Scene) -> None:
    done = words(scene, "worker", "start", "-p", "fresh", "-t", "process", "--run-once")
    assert done.returncode == 0, done.stderr
    assert scene.client.run(pools.read("fresh")).type == "process"


def test_the_first_line_names_the_broker_without_its_password(scene: Scene) -> None:
    url = scene.url.replace("unix://", "unix://default:s3cret@")
    done = words(scene, "worker", "start", "-p", POOL, "--run-once", url=url)
    assert done.returncode == 0
    assert done.stderr.splitlines()[0].startswith("Using unix://")
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("start", ["worker start -p api --type process", "agent start -q api", "agent start -t api"])
def test_the_broker_may_be_named_by_api(scene: Scene, start: str) -> None:
    done = words(scene, *start.split(), "--run-once", "--api", scene.url, url="unix:///no/broker/here")
    assert done.returncode == 0, done.stderr
    assert f"Using {scene.url}" in done.stderr


def test_a_worker_warns_of_a_pause(scene: Scene) -> None:
    _warns_of_pauses(scene, "worker")


def test_an_agent_warns_of_a_pause(agent_scene: Scene) -> None:
    _warns_of_pauses(agent_scene, "agent")


def _warns_of_pauses(scene: Scene, kind: str) -> None:
    start = (kind, "start", "-p", POOL, "--run-once")
    assert "paused" not in words(scene, *start).stderr
    scene.client.run(queues.pause(POOL, "default"))
    scene.client.run(queues.create(POOL, "open"))
    assert "paused" not in words(scene, *start).stderr, "one of its queues is open"
    assert f"Every queue that this {kind} serves is paused" in words(scene, *start, "-q", "default").stderr
    scene.client.run(pools.pause(POOL))
    assert f"Work pool {POOL} is paused" in words(scene, *start).stderr


def test_a_prefix_follows_queues_that_are_made_later(agent_scene: Scene) -> None:
    agent_scene.start("--match", "dev-", kind="agent")
    agent_scene.client.run(queues.create(POOL, "dev-new"))
    agent_scene.client.run(queues.create(POOL, "other"))
    mine, other = agent_scene.submit("hello", queue="dev-new"), agent_scene.submit("hello", queue="other")
    assert agent_scene.finished(mine).state is State.COMPLETED
    assert agent_scene.read(other).state is State.SCHEDULED


# Names, and the list


def test_consumers_are_listed_with_what_they_are(scene: Scene) -> None:
    scene.submit("hold")
    scene.start("--limit", "3", "--name", "mine", "-q", "default")
    scene.held()
    (row,) = json.loads(words(scene, "worker", "ls", "-p", POOL, "-o", "json").stdout)
    shown = {name: row[name] for name in ("name", "kind", "type", "status", "serves", "running", "limit")}
    assert shown == {
        "name": "mine",
        "kind": "worker",
        "type": "process",
        "status": "online",
        "serves": "default",
        "running": 1,
        "limit": 3,
    }
    table = words(scene, "worker", "ls").stdout
    assert "mine" in table
    assert "1/3" in table
    assert json.loads(words(scene, "agent", "ls", "-o", "json").stdout) == []


def test_a_default_name_is_numbered_and_a_chosen_one_is_refused(scene: Scene) -> None:
    scene.start()
    scene.start()
    first, second = sorted(row.name for row in scene.listed())
    assert second == f"{first}-2"
    done = words(scene, "worker", "start", "-p", POOL, "--name", first)
    assert done.returncode == 1
    assert f"A live consumer named '{first}'" in done.stderr


def test_a_deleted_pool_is_told_once_and_found_again(scene: Scene) -> None:
    worker = scene.start()
    scene.client.run(pools.delete(POOL))
    poll_until(lambda: "was not found" in worker.log, 20, "the worker says that its pool is gone")
    scene.client.run(pools.create(POOL, type="process"))
    run = scene.submit("hello")
    assert scene.finished(run).state is State.COMPLETED
    assert worker.log.count("was not found") == 1

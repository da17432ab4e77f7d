"""Ten commands at once that want the same: real processes, started before any has answered. For deploying see
`test_deploy_racing.py`, for making one pool `test_work_pool.py`."""

from __future__ import annotations

import pytest

from dispatcher.client import Client
from dispatcher.models import NewRun, RunInput
from dispatcher.ops import consumers, leases, pools, queues, runs, views
from dispatcher.states import State
from tests.cli.conftest import Submit
from tests.cli.project import PATIENCE_S, Answer, Project
from tests.scene import new_consumer

AT_ONCE = 10


def at_once(project: Project, *commands: tuple[str, ...]) -> list[Answer]:
    """Types all of them, then waits for their ends."""
    started = [project.start(*words) for words in commands]
    try:
        answers = []
        for process in started:
            stdout, stderr = process.communicate("", timeout=4 * PATIENCE_S)
            answers.append(Answer(process.returncode, stdout, stderr))
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert not any("Traceback" in answer.stderr for answer in answers), answers
    return answers


def ten(project: Project, *words: str) -> list[Answer]:
    return at_once(project, *[words] * AT_ONCE)


def all_done(answers: list[Answer]) -> None:
    assert [answer.code for answer in answers] == [0] * AT_ONCE, answers


def one_done(answers: list[Answer], refused: str) -> Answer:
    """One succeeds, and the others are told why they did not. Returns what the one was told."""
    done, *others = sorted(answers, key=lambda answer: answer.code)
    assert done.code == 0, answers
    assert [(answer.code, answer.stdout) for answer in others] == [(1, "")] * (AT_ONCE - 1), answers
    assert all(refused in answer.stderr for answer in others), answers
    return done


def times_said(answers: list[Answer], words: str) -> int:
    return sum(words in answer.stdout + answer.stderr for answer in answers)


# what is made on first mention --------------------------------------------------------------------------------------


def test_a_queue_is_made_once_and_so_is_the_pool_it_is_made_in(project: Project) -> None:
    commands = [("work-queue", "create", "same", "--limit", str(number)) for number in range(AT_ONCE)]
    answers = at_once(project, *commands)
    done = one_done(answers, "exists already")
    assert times_said(answers, "'default-agent-pool' did not exist and was made") == 1
    found = project.json("work-queue", "ls")
    assert [(queue["name"], queue["priority"]) for queue in found] == [("default", 1), ("same", 2)]
    assert found[1]["concurrency_limit"] == answers.index(done), "it is as the one who made it wanted it"


def test_queues_are_made_beside_each_other(project: Project, client: Client) -> None:
    """Some want to be first, the others take what is free."""
    client.run(pools.create("p"))
    first, free = ([f"{kind}{number}" for number in range(AT_ONCE // 2)] for kind in ("first", "free"))
    making = ("work-queue", "create", "-p", "p")
    pairs = zip(first, free, strict=True)
    commands = [words for one, other in pairs for words in ((*making, one, "--priority", "1"), (*making, other))]
    all_done(at_once(project, *commands))
    found = client.run(queues.list_all("p"))
    assert [queue.priority for queue in found] == list(range(1, AT_ONCE + 2))
    assert {queue.name for queue in found[: len(first)]} == set(first)


@pytest.mark.parametrize("kind", ["agent", "worker"])
def test_consumers_make_the_same_pool_and_queue_once(project: Project, kind: str) -> None:
    typed = ("--type", "process") if kind == "worker" else ()
    answers = ten(project, kind, "start", "-p", "same", "-q", "same", *typed, "--run-once", "--hide-welcome")
    all_done(answers)
    [pool] = project.json("work-pool", "ls")
    assert (pool["name"], pool["type"]) == ("same", "process" if kind == "worker" else "agent")
    found = project.json("work-queue", "ls", "-p", "same")
    assert [(queue["name"], queue["priority"]) for queue in found] == [("default", 1), ("same", 2)]
    assert times_said(answers, "Work pool same did not exist and was made") == 1
    assert times_said(answers, "Work queue same of work pool same did not exist and was made") == 1
    assert project.json(kind, "ls") == [], "all of them have left"


# priorities ---------------------------------------------------------------------------------------------------------


def test_one_priority_for_ten_queues(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    names = [f"q{number}" for number in range(AT_ONCE)]
    for name in names:
        client.run(queues.create("p", name))
    answers = at_once(project, *(("work-queue", "set-priority", name, "1", "-p", "p", "-o", "json") for name in names))
    all_done(answers)
    for answer in answers:
        told = [queue["priority"] for queue in answer.json]
        assert told == sorted(set(told)), "unique whenever anybody looks"
    found = client.run(queues.list_all("p"))
    assert [queue.priority for queue in found] == list(range(1, AT_ONCE + 2)), "nobody moved further than needed"
    assert found[-1].name == "default", "all who were given the number went before who was not"


# the end of things --------------------------------------------------------------------------------------------------


def test_a_queue_is_deleted_once_and_loses_no_run(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    client.run(queues.create("p", "same"))
    count = 5 * queues.BATCH
    batch = [NewRun(f"R{number}", "r", "same", RunInput()) for number in range(count)]
    for start in range(0, count, runs.SUBMIT_BATCH):
        client.run(runs.submit("p", batch[start : start + runs.SUBMIT_BATCH]))
    one_done(
        ten(project, "work-queue", "delete", "same", "-p", "p", "--move-to", "default", "--yes"),
        "Work queue 'same' was not found in work pool 'p'",
    )
    assert [queue.name for queue in client.run(queues.list_all("p"))] == ["default"]
    waiting = client.run(runs.list_pool("p", states=frozenset({State.SCHEDULED}), most=2 * count))
    assert {(run.id, run.queue) for run in waiting} == {(run.id, "default") for run in batch}
    moved = [event.fields["run"] for event in client.run(views.events("p", most=3 * count)) if event.event == "moved"]
    assert sorted(moved) == sorted(run.id for run in batch), "each one was moved once"


def test_a_waiting_run_is_cancelled_once(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    run = submit("p")
    done = one_done(ten(project, "flow-run", "cancel", run), "CANCELLED")
    assert "is Cancelled" in done.stdout
    found = client.run(views.events("p", most=100))
    assert [event.event for event in found if event.fields.get("run") == run] == ["submitted", "cancelled"]


def test_a_held_run_is_asked_to_stop_once(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p"))
    run, holder = submit("p"), new_consumer(pool="p")
    client.run(consumers.register(holder))
    [claimed] = client.run(leases.claim("p", holder.id, request="R", want=1, load=0)).runs
    all_done(ten(project, "flow-run", "cancel", run))
    assert client.run(runs.read("p", run)).state is State.CANCELLING
    assert client.run(pools.read("p")).slots_used == 1, "it holds its slot until it has stopped"
    asked = [event for event in client.run(views.events("p", most=100)) if event.event == "cancelling"]
    assert len(asked) == 1
    assert client.run(leases.release("p", holder.id, [(run, claimed.epoch)])) == ["CANCELLED"]


# runs ---------------------------------------------------------------------------------------------------------------


def test_one_idempotency_key_is_one_run(project: Project) -> None:
    project.write("etl.py", "def load(day='today'): return day\n")
    project.done("deploy", "etl.py:load", "-n", "nightly")
    answers = ten(project, "deployment", "run", "nightly", "--idempotency-key", "same", "-p", "day=monday")
    all_done(answers)
    [run] = project.json("flow-run", "ls")
    assert all(run["id"] in answer.stdout for answer in answers)
    assert times_said(answers, "was submitted before, with this idempotency key") == AT_ONCE - 1

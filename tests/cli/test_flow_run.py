"""`dispatcher flow-run`: find, list, follow, cancel, retry, delete, and why."""

import json

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import pools, queues, runs
from dispatcher.states import State
from tests.cli.conftest import Submit
from tests.cli.project import Project
from tests.dumps import unchanged
from tests.polling import poll_until


@pytest.fixture(autouse=True)
def scene(client: Client) -> None:
    """Pools `p`, with the queues `default` and `busy`, and `q`."""
    client.run(pools.create("p"))
    client.run(queues.create("p", "busy"))
    client.run(pools.create("q"))


def test_ls_filters(project: Project, client: Client, submit: Submit) -> None:
    first = submit("p", name="first", start_at_ms=4_000_000_000_000)
    second = submit("p", "busy", name="second", start_at_ms=4_000_000_001_000)
    third = submit("q", name="third", start_at_ms=4_000_000_002_000)
    client.run(runs.cancel("q", third))

    def listed(*words: str) -> list[str]:
        return [run["id"] for run in project.json("flow-run", "ls", *words)]

    assert listed() == [third, second, first], "the latest expected start first"
    assert listed("--limit", "2") == [third, second]
    assert listed("--pool", "p") == [second, first]
    assert listed("--queue", "busy") == [second]
    assert listed("--state", "cancelled") == [third]
    assert listed("--state", "SCHEDULED", "--state", "CANCELLED", "--after", "2096-10-02T07:06:41Z") == [third, second]
    assert listed("--before", "2096-10-02T07:06:41Z") == [first]
    shown = project.done("flow-run", "ls").stdout
    assert all(word in shown for word in ("first", first, "Scheduled", "p/busy", "Cancelled"))
    assert "No runs." in project.done("flow-run", "ls", "--state", "RUNNING").stdout


def test_a_run_is_found_by_id_beginning_and_name(project: Project, submit: Submit) -> None:
    run = submit("p", name="swift-otter")
    for words in (run, run.lower(), run[:20], "swift-otter"):
        assert project.json("flow-run", "inspect", words)["id"] == run
    assert "swift-otter" in project.done("flow-run", "inspect", run).stdout


def test_a_name_that_two_runs_have(project: Project, submit: Submit, server_connection: redis.Redis) -> None:
    ids = submit("p", name="twin"), submit("q", name="twin")
    with unchanged(server_connection):
        told = project.refused("flow-run", "cancel", "twin")
    assert all(run in told for run in ids)
    assert "ambiguous: 2 runs match" in told


@pytest.mark.parametrize("command", ["inspect", "logs", "watch", "cancel", "retry", "delete", "why"])
def test_a_run_that_is_not_there(project: Project, server_connection: redis.Redis, command: str) -> None:
    with unchanged(server_connection):
        assert "Flow run 'nobody' was not found" in project.refused("flow-run", command, "nobody")


def test_cancel_a_waiting_run_then_retry_then_delete(project: Project, submit: Submit) -> None:
    run = submit("p")
    assert "is not finished (SCHEDULED)" in project.refused("flow-run", "retry", run)
    assert "is not finished (SCHEDULED)" in project.refused("flow-run", "delete", run, "--yes")
    assert "is Cancelled in p/default." in project.done("flow-run", "cancel", run).stdout
    assert "is finished already (CANCELLED)" in project.refused("flow-run", "cancel", run)
    assert project.json("flow-run", "retry", run)["state"] == "SCHEDULED"
    project.done("flow-run", "cancel", run)
    assert "give --yes" in project.refused("flow-run", "delete", run)
    assert "is deleted" in project.done("flow-run", "delete", run, "--yes").stdout
    assert project.json("flow-run", "ls") == []


def test_logs(project: Project) -> None:
    project.write(
        "talk.py", "def talk():\n    for n in range(5):\n        print('line', n)\n    print('\\x1b[2J[bold]')\n"
    )
    project.done("run", "talk.py:talk", "--pool", "p", "--name", "talker")
    assert project.done("flow-run", "logs", "talker").stdout == ""
    project.work("p")
    said = project.done("flow-run", "logs", "talker", "-n", "2").stdout.splitlines()
    assert [line[14:] for line in said] == ["line 4", "\\x1b[2J[bold]"], "nothing steers the terminal"
    document = project.json("flow-run", "logs", "talker")
    assert [line["line"] for line in document][:2] == ["line 0", "line 1"]
    assert [line["number"] for line in document] == [1, 2, 3, 4, 5, 6]
    assert project.json("flow-run", "logs", "talker", "-n", "2") == document[-2:]
    followed = project.done("flow-run", "logs", "talker", "-f", "-o", "json").stdout.splitlines()
    assert [json.loads(line) for line in followed] == document, "each on a line of its own"


def test_no_log_is_an_empty_array(project: Project, submit: Submit) -> None:
    assert project.json("flow-run", "logs", submit("p")) == []


def test_lines_that_a_log_does_not_keep_are_told(project: Project) -> None:
    project.write("talk.py", "def talk():\n    for n in range(1, 401):\n        print(f'{n:<8000}')\n")
    project.done("run", "talk.py:talk", "--pool", "p", "--name", "talker")
    project.work("p")
    document = project.json("flow-run", "logs", "talker")
    assert [int(line["line"]) for line in document] == [line["number"] for line in document]
    gone = document[0]["number"] - 1
    assert document[-1]["number"] == 400
    assert 400 - gone == (2 << 20) // 8064, "as many as fit into 2 MiB"
    told = f"[{gone} lines are gone here: a log keeps its newest 2 MiB]"
    for words in ((), ("-f",)):
        whole = project.done("flow-run", "logs", "talker", *words)
        assert whole.stderr == f"{told}\n"
        assert [int(line[14:]) for line in whole.stdout.splitlines()] == list(range(gone + 1, 401)), "only the log"
        end = project.done("flow-run", "logs", "talker", *words, "-n", "5")
        assert (end.stderr, len(end.stdout.splitlines())) == ("", 5), "what comes before was not asked for"
    followed = project.done("flow-run", "logs", "talker", "-f", "-o", "json")
    assert [json.loads(line) for line in followed.stdout.splitlines()] == document
    watched = project.done("flow-run", "watch", "talker")
    assert [line.strip() for line in watched.stdout.splitlines()[:1]] == [told], "in its place"
    assert (watched.stdout.count("gone here"), watched.stderr) == (1, "")


def test_ls_understands_the_names_that_it_shows(project: Project, submit: Submit) -> None:
    late = submit("p", start_at_ms=1_000_000_000_000)
    later = submit("p", start_at_ms=4_000_000_000_000)

    def listed(*words: str) -> list[str]:
        return [run["id"] for run in project.json("flow-run", "ls", *words)]

    for word in ("Late", "late", "LATE"):
        assert listed("--state", word) == [late]
    assert listed("--state", "Scheduled") == [later, late], "late ones are SCHEDULED, too"
    assert listed("--state", "awaitingretry") == []
    assert listed("--state", "Late", "--state", "Failed", "--pool", "p", "--limit", "1") == [late]
    assert "'soon' is not one of" in project.refused("flow-run", "ls", "--state", "soon", code=2)
    assert "Late or AwaitingRetry" in " ".join(project.done("flow-run", "ls", "--help").stdout.split())


def test_the_beginning_of_an_id_has_four_characters(project: Project, submit: Submit) -> None:
    run = submit("p")
    assert "give at least 4 characters of it" in project.refused("flow-run", "inspect", run[:3])
    short = submit("p", name="abc")
    assert project.json("flow-run", "inspect", "abc")["id"] == short, "a name may be shorter"


def test_follow_a_log_and_cancel_while_it_runs(project: Project, client: Client) -> None:
    project.write("slow.py", "import time\ndef slow():\n    print('begun', flush=True)\n    time.sleep(600)\n")
    run = project.json("run", "slow.py:slow", "--pool", "p", "--name", "sleeper")["id"]
    follower = project.start("flow-run", "logs", "sleeper", "-f")
    watcher = project.start("flow-run", "watch", "sleeper", "-o", "json")
    with project.agent("p"):
        assert follower.stdout is not None
        assert follower.stdout.readline().rstrip().endswith("begun"), "it comes while the run runs"
        assert client.run(runs.read("p", run)).state is State.RUNNING
        why = project.json("flow-run", "why", "sleeper")
        assert [reason["code"] for reason in why["reasons"]] == ["running"]
        assert "is Cancelling in p/default." in project.done("flow-run", "cancel", "sleeper").stdout
        assert follower.communicate(timeout=20)[1] == "", "it ends by itself when the run has ended"
        assert follower.returncode == 0
        stdout, stderr = watcher.communicate(timeout=20)
    assert watcher.returncode == 1, "the run is not COMPLETED"
    assert '"state": "CANCELLED"' in stdout
    assert "Running on" in stderr


def test_force_ends_a_run_whose_holder_is_silent(project: Project, client: Client) -> None:
    project.write("slow.py", "import time\ndef slow():\n    time.sleep(600)\n")
    run = project.json("run", "slow.py:slow", "--pool", "p")["id"]
    with project.agent("p"):
        poll_until(lambda: client.run(runs.read("p", run)).state is State.RUNNING, 20, "the run is RUNNING")
        assert project.json("flow-run", "cancel", run, "--force")["state"] == "CANCELLED"


def test_why(project: Project, client: Client, submit: Submit) -> None:
    run = submit("p", "busy")

    def codes() -> list[str]:
        return [reason["code"] for reason in project.json("flow-run", "why", run)["reasons"]]

    assert "no-consumer" in codes()
    client.run(queues.pause("p", "busy", "lunch"))
    assert "queue-paused" in codes()
    shown = project.done("flow-run", "why", run).stdout
    assert "work queue busy is paused (lunch)" in shown
    assert "dispatcher work-queue resume busy --pool p" in shown
    client.run(queues.resume("p", "busy"))
    client.run(pools.set_limit("p", 0))
    assert "pool-limit" in codes()


def test_why_names_the_holders(project: Project, client: Client, submit: Submit) -> None:
    project.write("slow.py", "import time\ndef slow():\n    time.sleep(600)\n")
    client.run(pools.set_limit("p", 1))
    holder = project.json("run", "slow.py:slow", "--pool", "p", "--name", "holder")["id"]
    with project.agent("p"):
        poll_until(lambda: client.run(runs.read("p", holder)).state is State.RUNNING, 20, "the run is RUNNING")
        waiting = submit("p")
        reasons = project.json("flow-run", "why", waiting)["reasons"]
        [limit] = [reason for reason in reasons if reason["code"] == "pool-limit"]
        assert [(one["run_id"], one["run_name"]) for one in limit["holders"]] == [(holder, "holder")]
        shown = project.done("flow-run", "why", waiting).stdout
        assert "1 of 1 slots used" in shown
        assert "The slots are held by:" in shown
        assert holder in shown


def test_ls_of_a_queue_that_is_not_there(project: Project, client: Client, submit: Submit) -> None:
    assert project.json("flow-run", "ls", "--pool", "p", "--queue", "busy") == []
    assert "Work queue 'bsuy' was not found in work pool 'p'" in project.refused(
        "flow-run", "ls", "--pool", "p", "--queue", "bsuy"
    )
    assert project.json("flow-run", "ls", "--queue", "busy") == [], "one of the pools has it"
    assert "Work queue 'bsuy' was not found in any work pool" in project.refused("flow-run", "ls", "--queue", "bsuy")
    run = submit("p", "busy")
    client.run(runs.cancel("p", run))
    client.run(queues.delete("p", "busy"))
    assert [found["id"] for found in project.json("flow-run", "ls", "--pool", "p", "--queue", "busy")] == [run]
    assert project.json("flow-run", "ls", "--queue", "busy", "--state", "RUNNING") == []
    assert project.json("flow-run", "ls", "--pool", "p", "--queue", "busy", "--state", "RUNNING") == []


def test_why_lists_each_holder_once(project: Project, client: Client, submit: Submit) -> None:
    project.write("slow.py", "import time\ndef slow():\n    time.sleep(600)\n")
    client.run(pools.set_limit("p", 1))
    client.run(queues.set_limit("p", "busy", 1))
    holder = project.json("run", "slow.py:slow", "--pool", "p", "-q", "busy")["id"]
    with project.agent("p"):
        poll_until(lambda: client.run(runs.read("p", holder)).state is State.RUNNING, 20, "the run is RUNNING")
        waiting = submit("p", "busy")
        assert {"pool-limit", "queue-limit"} <= {
            reason["code"] for reason in project.json("flow-run", "why", waiting)["reasons"]
        }
        assert project.done("flow-run", "why", waiting).stdout.count(holder) == 1

"""What is refused: with which exit code, in which words, and that nothing is changed by it."""

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ops import pools, queues
from tests.cli.conftest import Submit, nothing_changes
from tests.cli.project import Project

BAD_NAMES = ["a/b", "a b", "{x}", "", "x" * 200, "-x", "ä", "a\nb"]


@pytest.fixture(autouse=True)
def scene(client: Client, submit: Submit) -> None:
    """Pool `p` with the queues `default` and `busy`, in which a run waits."""
    client.run(pools.create("p"))
    client.run(queues.create("p", "busy"))
    submit("p", "busy")


REFUSALS: list[tuple[str, int, str]] = [
    ("work-pool create p", 1, "exists already"),
    ("work-pool create x --type doker", 1, "choose one of agent, process"),
    ("work-pool create x --limit -1", 2, "is not in the range 0<=x<=999999999"),
    ("work-pool create x --limit many", 2, "not a valid integer"),
    ("work-pool create x --lease 1s", 2, "give 5s to 1h"),
    ("work-pool create x --lease soon", 2, "is not a duration"),
    ("work-pool create", 2, "Missing argument"),
    ("work-pool inspect nope", 1, "Work pool 'nope' was not found"),
    ("work-pool preview nope", 1, "was not found"),
    ("work-pool pause nope", 1, "was not found"),
    ("work-pool resume nope", 1, "was not found"),
    ("work-pool update nope --limit 1", 1, "was not found"),
    ("work-pool update p --limit -1", 2, "is not in the range 0<=x<=999999999"),
    ("work-pool set-concurrency-limit nope 1", 1, "was not found"),
    ("work-pool set-concurrency-limit p -1", 2, "is not in the range 0<=x<=999999999"),
    ("work-pool set-concurrency-limit p 1.5", 2, "not a valid integer"),
    ("work-pool set-concurrency-limit p --unknown", 2, "not a valid integer"),
    ("work-pool clear-concurrency-limit nope", 1, "was not found"),
    ("work-pool delete nope --yes", 1, "was not found"),
    ("work-pool delete p --yes", 1, "1 unfinished runs"),
    ("work-pool ls -o yaml", 2, "'yaml' is not one of"),
    ("work-queue create busy -p p", 1, "exists already"),
    ("work-queue create x -p nope", 1, "Work pool 'nope' was not found"),
    ("work-queue create x -p p --limit -3", 2, "is not in the range 0<=x<=999999999"),
    ("work-queue create x -p p --priority 0", 2, "is not in the range 1<=x<=999999999"),
    ("work-queue create x -p p --priority -1", 2, "is not in the range 1<=x<=999999999"),
    ("work-queue create x -p p --priority first", 2, "not a valid integer"),
    ("work-queue ls -p nope", 1, "was not found"),
    ("work-queue inspect nope -p p", 1, "Work queue 'nope' was not found in work pool 'p'"),
    ("work-queue inspect busy", 1, "Work pool 'default-agent-pool' was not found"),
    ("work-queue preview nope -p p", 1, "was not found"),
    ("work-queue pause nope -p p", 1, "was not found"),
    ("work-queue resume nope -p p", 1, "was not found"),
    ("work-queue update nope -p p -l 1", 1, "was not found"),
    ("work-queue set-concurrency-limit busy -1 -p p", 2, "is not in the range 0<=x<=999999999"),
    ("work-queue set-priority busy 0 -p p", 2, "is not in the range 1<=x<=999999999"),
    ("work-queue set-priority busy -1 -p p", 2, "is not in the range 1<=x<=999999999"),
    ("work-queue set-priority nope 1 -p p", 1, "was not found"),
    ("work-queue set-priority busy 99999999999999999999 -p p", 2, "999999999"),
    ("work-queue create x -p p -q 1000000000", 2, "1<=x<=999999999"),
    ("work-queue preview busy -p p --hours 99999999", 2, "from 0 to 438000"),
    ("flow-run ls --limit 1000000000", 2, "is not in the range 1<=x<=999999999"),
    ("flow-run logs x --lines 99999999999999999999", 2, "is not in the range 1<=x<=999999999"),
    ("events tail --no-follow --lines 99999999999999999999", 2, "is not in the range 0<=x<=999999999"),
    ("agent start -q q --limit many", 2, "'many' is not a valid integer."),
    ("run flows.py:f --retries 99999999999999999999", 2, "is not in the range 0<=x<=999999999"),
    ("work-queue delete default -p p --yes", 1, "every pool keeps one"),
    ("work-queue delete default -p p --yes --cancel-runs", 1, "every pool keeps one"),
    ("work-queue delete busy -p p --yes", 1, "--move-to QUEUE or --cancel-runs"),
    ("work-queue delete busy -p p --yes --move-to nope", 1, "Work queue 'nope' was not found"),
    ("work-queue delete busy -p p --yes --move-to busy", 1, "cannot be moved to itself"),
    ("work-queue delete busy -p p --cancel-runs", 1, "give --yes"),
]


@pytest.mark.parametrize(("typed", "code", "said"), REFUSALS, ids=[typed for typed, _, _ in REFUSALS])
def test_refused(project: Project, server_connection: redis.Redis, typed: str, code: int, said: str) -> None:
    with nothing_changes(server_connection):
        stderr = project.refused(*typed.split(), code=code)
    assert said in stderr
    assert "Error: " in stderr


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_not_taken(project: Project, server_connection: redis.Redis, name: str) -> None:
    with nothing_changes(server_connection):
        for words in (("work-pool", "create", "--", name), ("work-queue", "create", "-p", "p", "--", name)):
            stderr = project.refused(*words)
            assert "is not valid: it must start with a letter or digit" in stderr
            assert len(stderr) < 400


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_not_found(project: Project, server_connection: redis.Redis, name: str) -> None:
    with nothing_changes(server_connection):
        project.refused("work-pool", "inspect", "--", name)
        project.refused("work-pool", "delete", "--yes", "--", name)
        project.refused("work-queue", "inspect", "-p", "p", "--", name)
        project.refused("work-queue", "ls", "-p", name)


def test_text_that_is_not_utf_8_is_refused(project: Project, server_connection: redis.Redis) -> None:
    half = "\udcff"  # what a byte that is not UTF-8 becomes on the way into a program
    with nothing_changes(server_connection):
        for words in (
            ("work-pool", "create", "x", "--description", half),
            ("work-pool", "pause", "p", "--note", half),
            ("run", "--command", "true", "--pool", "p", "--name", half),
            ("run", "--command", "true", "--pool", "p", "--idempotency-key", half),
            ("run", "--command", "true", "--pool", "p", "--tag", half),
            ("run", "--command", f"echo {half}", "--pool", "p"),
            ("deploy", "--command", "true", "--pool", "p", "--description", half),
            ("deploy", "--command", "true", "--pool", "p", "--param", f"a={half}"),
        ):
            assert "Give valid UTF-8." in project.refused(*words), words
    with nothing_changes(server_connection):
        project.refused("flow-run", "inspect", half)

"""`dispatcher audit` and `dispatcher repair`, as users see them. What is found and mended is in
`tests/ops/test_audits.py`."""

from __future__ import annotations

import pytest
import redis

from dispatcher import keyspace
from dispatcher.client import Client
from dispatcher.ops import pools
from tests.cli.conftest import Submit, nothing_changes
from tests.cli.project import Project
from tests.cli.terminal import in_terminal
from tests.dumps import unchanged

NOBODY = "01ZZZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.fixture
def run(client: Client, submit: Submit) -> str:
    """A run that waits in pool `p`."""
    client.run(pools.create("p"))
    return submit("p")


def damage(server: redis.Redis, run: str) -> None:
    """A run that is nowhere, and a slot that nobody holds."""
    server.zrem(keyspace.ready("p", "default"), run)
    server.zadd(keyspace.leases("p"), {NOBODY: 1})


def test_a_healthy_pool(project: Project, run: str, server_connection: redis.Redis) -> None:
    with unchanged(server_connection):
        assert project.done("audit", "-p", "p").stdout == "Work pool 'p' has no fault.\n"
        assert project.json("audit", "-p", "p") == []
        assert project.done("repair", "-p", "p").stdout == "Nothing of work pool 'p' was mended.\n"
        assert project.json("repair", "-p", "p") == {"work_pool_name": "p", "mended": [], "left": []}


def test_faults_are_told(project: Project, run: str, server_connection: redis.Redis) -> None:
    damage(server_connection, run)
    with nothing_changes(server_connection):
        answer = project.typed("audit", "-p", "p", "-o", "json")
        shown = project.typed("audit", "-p", "p")
    assert answer.code == shown.code == 1
    assert {(fault["code"], fault["subject"], fault["place"]) for fault in answer.json} == {
        ("missing", run, "queue:default:ready"),
        ("stray", NOBODY, "leases"),
        ("index", "default", "admissible"),
    }
    assert all(set(fault) == {"code", "subject", "place", "problem", "repair"} for fault in answer.json)
    assert f"run {run}, which is SCHEDULED, does not stand in queue:default:ready" in shown.stdout
    assert shown.stdout.endswith("3 faults. Mend what can be: dispatcher repair --pool p\n")


def test_they_are_mended(project: Project, run: str, server_connection: redis.Redis) -> None:
    damage(server_connection, run)
    done = project.done("repair", "-p", "p", "--yes").stdout
    assert f"{NOBODY} stands in leases, and is no run" in done
    assert "faults of work pool 'p' mended." in done
    project.done("audit", "-p", "p")
    project.work("p")
    assert project.json("flow-run", "inspect", run)["state"] == "COMPLETED"


def test_nobody_is_asked_where_nobody_is(project: Project, run: str, server_connection: redis.Redis) -> None:
    damage(server_connection, run)
    with nothing_changes(server_connection):
        assert "give --yes" in project.refused("repair", "-p", "p", stdin="y\n")


def test_on_a_terminal_somebody_is(project: Project, run: str, server_connection: redis.Redis) -> None:
    damage(server_connection, run)
    with nothing_changes(server_connection):
        code, shown = in_terminal(project, "repair", "-p", "p", typed=b"n\n")
    assert (code, "Nothing was changed" in shown) == (1, True)
    code, shown = in_terminal(project, "repair", "-p", "p", typed=b"y\n", columns=200)
    assert (code, "mended" in shown) == (0, True)


@pytest.mark.foreign_keys
def test_what_cannot_be_mended_is_left(project: Project, run: str, server_connection: redis.Redis) -> None:
    server_connection.set(keyspace.pool("p"), "x")
    assert project.typed("audit", "-p", "p").code == 1
    answer = project.typed("repair", "-p", "p", "--yes", "-o", "json")
    assert answer.code == 1
    assert (answer.json["mended"], [fault["code"] for fault in answer.json["left"]]) == ([], ["pool"])
    assert "none: restore a backup" in project.typed("repair", "-p", "p", "--yes").stdout


@pytest.mark.parametrize("command", ["audit", "repair"])
def test_refused(project: Project, command: str) -> None:
    assert "Work pool 'nope' was not found" in project.refused(command, "-p", "nope")
    assert "is not valid" in project.refused(command, "-p", "a b")
    assert "Missing option '-p'" in project.refused(command, code=2)

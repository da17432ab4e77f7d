"""`dispatcher doctor`, as users see it. What is checked, and what is said of it: `tests/ops/test_checks.py`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import redis

from dispatcher import keyspace
from dispatcher.client import Client
from dispatcher.ops import pools
from tests.cli.conftest import Submit, closed_port, nothing_changes
from tests.cli.project import Project

OF_THE_MACHINE = {"persistence", "memory", "latency", "clock"}  # the tests' own server may be any


def by_name(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in found}


def test_all_is_well(project: Project, client: Client, submit: Submit, server_connection: redis.Redis) -> None:
    client.run(pools.create("p"))
    submit("p", delay_ms=3_600_000)
    client.run(pools.pause("p"))
    with nothing_changes(server_connection):
        answer = project.typed("doctor", "-o", "json")
        shown = project.typed("doctor")
    assert all(set(check) == {"check", "work_pool_name", "status", "detail", "advice"} for check in answer.json)
    found = by_name(answer.json)
    for name in ("broker", "settings", "version", "scripts", "audit", "queues", "schedules", "directories"):
        assert name in found
    assert {check["status"] for name, check in found.items() if name not in OF_THE_MACHINE} == {"ok"}
    assert [found[name]["work_pool_name"] for name in ("audit", "version")] == ["p", None]
    assert answer.code == shown.code == int(any(check["status"] == "finding" for check in answer.json))
    header = shown.stdout.splitlines()[0]
    assert re.split(r" {2,}", header) == ["CHECK", "STATUS", "WHAT WAS FOUND", "WHAT TO DO"]
    assert "audit of p" in shown.stdout


def test_the_embedded_broker_is_well(project: Project) -> None:
    embedded = replace(project, redis_url="")
    try:
        found = by_name(embedded.typed("doctor", "-o", "json").json)
    finally:
        embedded.done("broker", "stop")
    assert found["broker"]["detail"].startswith("embedded, process ")
    assert str(project.folder) in found["broker"]["detail"]
    assert found["persistence"]["status"] == "ok"


def test_a_finding_is_exit_code_1_and_says_what_to_do(
    project: Project, client: Client, submit: Submit, server_connection: redis.Redis
) -> None:
    client.run(pools.create("p"))
    run = submit("p", start_at_ms=1_700_000_000_000)
    answer = project.typed("doctor")
    assert answer.code == 1
    assert "FINDING" in answer.stdout
    assert "dispatcher agent start --pool p" in answer.stdout
    server_connection.zrem(keyspace.runs_by_start("p"), run)
    answer = project.typed("doctor", "-o", "json")
    assert (answer.code, by_name(answer.json)["audit"]["status"]) == (1, "finding")


def test_an_unsafe_server_is_told_and_not_refused(project: Project, server_connection: redis.Redis) -> None:
    server_connection.config_set("maxmemory-policy", "allkeys-lru")
    try:
        answer = project.typed("doctor", "-o", "json")
    finally:
        server_connection.config_set("maxmemory-policy", "noeviction")
    assert answer.code == 1
    assert "maxmemory-policy noeviction" in by_name(answer.json)["eviction"]["advice"]


def test_misspelt_settings_are_warned_of(project: Project) -> None:
    misspelt = replace(project, env={"DISPATCHER_GRACE_SECOND": "3"})
    found = by_name(misspelt.typed("doctor", "-o", "json").json)["settings"]
    assert (found["status"], found["advice"]) == ("warning", "did you mean DISPATCHER_GRACE_SECONDS?")


def test_passwords_are_not_shown(project: Project) -> None:
    if not project.redis_url.startswith("unix://"):
        pytest.skip("the server's URL has no room for a password")
    secret = replace(project, redis_url=project.redis_url.replace("unix://", "unix://default:s3cret@"))
    answer = secret.typed("doctor")
    assert "s3cret" not in answer.stdout + answer.stderr


def test_redis_is_away(project: Project) -> None:
    away = replace(project, redis_url=f"redis://127.0.0.1:{closed_port()}")
    assert "cannot be reached" in away.refused("doctor", code=3)


def test_refused(project: Project) -> None:
    project.refused("doctor", "extra", code=2)
    wrong = replace(project, env={"DISPATCHER_GRACE_SECONDS": "soon"})
    assert "DISPATCHER_GRACE_SECONDS" in wrong.refused("doctor")

"""What `doctor` finds in a real server and its pools."""

from __future__ import annotations

import pytest
import redis

from dispatcher import keyspace
from dispatcher.call import script, script_names
from dispatcher.client import Client
from dispatcher.models import Schedule
from dispatcher.models.checks import FINDING, OK, WARNING, Check
from dispatcher.ops import broker_checks, deployments, pool_checks, pools, queues
from tests.deploying import deployment
from tests.scene import POOL, Scene

JUDGED = {
    "version", "eviction", "persistence", "replicas", "memory", "clients", "clock", "latency", "scripts",
}  # fmt: skip


def named(checks: list[Check], name: str) -> Check:
    [found] = [check for check in checks if check.check == name]
    return found


def test_a_server_is_judged_in_every_respect(scene: Scene) -> None:
    found = scene.run(broker_checks.broker(is_embedded=False, allow_unsafe=False))
    assert {check.check for check in found} == JUDGED
    for name in ("version", "eviction", "replicas", "memory", "clients", "clock"):
        assert named(found, name).status == OK, named(found, name)
    assert named(found, "scripts") == Check("scripts", OK, f"{len(script_names())} loaded")


def test_scripts_are_there_afterwards(scene: Scene) -> None:
    scene.server.script_flush()
    scene.run(broker_checks.broker(is_embedded=False, allow_unsafe=False))
    assert all(scene.server.script_exists(*[script(name).sha for name in script_names()]))


def test_a_user_of_few_rights_is_told_what_is_not_seen(redis_url: str, server_connection: redis.Redis) -> None:
    server_connection.acl_setuser(
        "few", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all", "-info", "-config", "-script"]
    )
    try:
        with Client(redis_url.replace("unix://", "unix://few:s3cret@")) as client:
            found = client.run(broker_checks.broker(is_embedded=False, allow_unsafe=False))
    finally:
        server_connection.acl_deluser("few")
    assert {check.check: check.status for check in found} == {
        "version": WARNING, "clock": OK, "latency": named(found, "latency").status, "scripts": WARNING,
    }  # fmt: skip


def test_a_pool_at_rest_is_well(scene: Scene) -> None:
    found = scene.run(pool_checks.every())
    assert {(check.check, check.pool, check.status) for check in found} == {
        ("audit", POOL, OK), ("queues", POOL, OK), ("schedules", POOL, OK), ("directories", "", OK),
    }  # fmt: skip


def test_runs_that_nobody_takes(scene: Scene) -> None:
    scene.queue("high")
    scene.submit("high")
    found = named(scene.run(pool_checks.every()), "queues")
    assert (found.status, found.advice) == (WARNING, f"dispatcher agent start --pool {POOL}")
    assert "runs waiting in queue high: 1 (0 late), no live consumer serves it" in found.detail
    scene.clock.advance(60_000)
    assert named(scene.run(pool_checks.every()), "queues").status == FINDING
    one = scene.join()
    assert named(scene.run(pool_checks.every()), "queues").status == OK
    scene.take(one)
    scene.clock.advance(40_000)
    found = named(scene.run(pool_checks.every()), "queues")
    assert (found.status, "runs are held: 1, and no consumer of the pool lives" in found.detail) == (WARNING, True)


def test_what_is_paused_is_meant_so(scene: Scene) -> None:
    scene.queue("high")
    scene.submit("high")
    scene.clock.advance(60_000)
    scene.run(queues.pause(POOL, "high"))
    assert named(scene.run(pool_checks.every()), "queues").status == OK
    scene.run(queues.resume(POOL, "high"))
    scene.run(pools.pause(POOL))
    assert named(scene.run(pool_checks.every()), "queues").status == OK


def test_faults_of_a_pool(scene: Scene) -> None:
    scene.run(pools.create("other"))
    run = scene.submit()
    scene.server.delete(keyspace.ready(POOL, "default"))
    found = [check for check in scene.run(pool_checks.every()) if check.check == "audit"]
    assert [(check.pool, check.status) for check in found] == [("other", OK), (POOL, FINDING)]
    assert f"run {run}, which is SCHEDULED, does not stand in queue:default:ready" in found[1].detail
    assert found[1].advice == f"dispatcher audit --pool {POOL}, then dispatcher repair --pool {POOL}"


def test_many_faults_are_told_in_short(scene: Scene) -> None:
    scene.submit_many(10)
    scene.server.delete(keyspace.ready(POOL, "default"))
    assert named(scene.run(pool_checks.every()), "audit").detail.endswith("; and 8 more")


@pytest.mark.foreign_keys
@pytest.mark.parametrize("part", ["pool", "deployments", "leases"])
def test_keys_of_a_wrong_type_do_not_stop_it(scene: Scene, part: str) -> None:
    scene.server.set(keyspace.pool(POOL).removesuffix("pool") + part, "x")
    assert named(scene.run(pool_checks.every()), "audit").status == FINDING


def test_schedules_that_make_no_runs(scene: Scene) -> None:
    scene.clock.now_ms = int(scene.server.time()[0]) * 1000  # duties are compared with the server's own clock
    scene.run(deployments.save(deployment(Schedule(interval_s=60))))
    assert named(scene.run(pool_checks.every()), "schedules").detail == "1 active"
    scene.server.zadd(keyspace.duties(POOL), {"schedule:f/d:x": 1})
    scene.server.hset(keyspace.schedule(POOL, "f/d", "x"), "digest", "x")
    found = named(scene.run(pool_checks.every()), "schedules")
    assert (found.status, "1 duties are overdue, such as schedule:f/d:x" in found.detail) == (FINDING, True)
    scene.server.zrem(keyspace.duties(POOL), "schedule:f/d:x")
    scene.server.hset(keyspace.schedule(POOL, "f/d", Schedule(interval_s=60).id), "fault", "its parameters do not fit")
    found = named(scene.run(pool_checks.every()), "schedules")
    assert (found.status, "of f/d makes no runs: its parameters do not fit" in found.detail) == (FINDING, True)


def test_deployments_whose_place_is_gone(scene: Scene) -> None:
    scene.run(deployments.save(deployment(queue="high")))
    scene.run(queues.delete(POOL, "high"))
    found = named(scene.run(pool_checks.every()), "deployments")
    assert (found.status, found.detail) == (FINDING, "the queue high of deployment f/d does not exist")
    scene.server.hset(keyspace.deployments(), "f/lost", "nowhere")
    found = named(scene.run(pool_checks.every()), "directories")
    assert (found.status, "name a pool that does not exist: f/lost" in found.detail) == (FINDING, True)


def test_pools_that_are_only_listed(scene: Scene) -> None:
    scene.server.sadd(keyspace.pools(), "ghost")
    found = named(scene.run(pool_checks.every()), "directories")
    assert (found.status, found.advice) == (WARNING, "dispatcher work-pool delete ghost takes it off the list")

"""Deployments: kept with their pool, found by full or plain name, replaced, moved, deleted."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from dispatcher import keyspace
from dispatcher.client import Client
from dispatcher.errors import (
    AmbiguousName,
    BadName,
    BadValue,
    DeploymentChanged,
    DeploymentNotFound,
    PoolNotFound,
    ScheduleExists,
    ScheduleNotFound,
)
from dispatcher.models import Deployment, RunInput, Schedule
from dispatcher.ops import deployments, pools, runs
from tests.conftest import Clock
from tests.deploying import every, stopped_before
from tests.scene import POOL, Scene

NIGHTLY = Deployment(
    name="load/nightly",
    id="01",
    pool=POOL,
    queue="high",
    input=RunInput(entrypoint="etl.py:load", path="/srv", parameters={"day": [1, None]}, tags=("etl",), retries=2),
    description="Loads the day",
    parameter_schema={"properties": {"day": {}}, "required": ["day"], "additionalProperties": False},
    created_at_ms=5,
    updated_at_ms=6,
)


def test_what_is_saved_is_read(scene: Scene) -> None:
    assert scene.run(deployments.save(NIGHTLY)).made_queue
    assert not scene.run(deployments.save(NIGHTLY)).made_queue
    assert scene.run(deployments.read("load/nightly")) == NIGHTLY
    assert scene.run(deployments.read("nightly")) == NIGHTLY
    assert scene.run(deployments.list_all()) == [NIGHTLY]
    assert list(scene.priorities()) == ["default", "high"]


@pytest.mark.parametrize(
    "change",
    [{"name": "nightly"}, {"name": "a/b/c"}, {"name": "/b"}, {"name": "a b/c"}, {"queue": "a/b"}, {"pool": "{x}"}],
    ids=str,
)
def test_names_are_checked(scene: Scene, change: dict[str, str]) -> None:
    scene.refused(deployments.save(replace(NIGHTLY, **change)), BadName)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"description": "\udcff"},
        {"input": RunInput(path="/srv/\udcff")},
        {"input": RunInput(parameters={"day": "\ud800"})},
    ],
    ids=str,
)
def test_what_a_script_could_not_read_again_is_refused(scene: Scene, change: dict[str, Any]) -> None:
    scene.refused(deployments.save(replace(NIGHTLY, **change)), BadValue, "half a character")


def test_a_pool_that_is_not_there(scene: Scene) -> None:
    scene.refused(deployments.save(replace(NIGHTLY, pool="nope")), PoolNotFound)


def test_a_plain_name_that_two_flows_have(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY))
    scene.run(deployments.save(replace(NIGHTLY, name="clean/nightly")))
    scene.refused(deployments.read("nightly"), AmbiguousName, "clean/nightly, load/nightly")
    assert scene.run(deployments.full_name("gone/nightly")) == "gone/nightly", "what has the form is not looked up"
    scene.refused(deployments.full_name("weekly"), DeploymentNotFound)


def test_an_id_names_a_deployment_in_every_operation(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY))
    scene.run(deployments.save(replace(NIGHTLY, name="clean/nightly", id="02")))
    assert scene.run(deployments.read("02")).name == "clean/nightly"
    scene.run(deployments.set_paused("02", True))
    scene.run(deployments.delete("02"))
    assert [one.name for one in scene.run(deployments.list_all())] == [NIGHTLY.name]
    scene.refused(deployments.read("02"), DeploymentNotFound)


def test_moved_to_another_pool_it_is_in_one_place(scene: Scene) -> None:
    scene.run(pools.create("other"))
    scene.run(deployments.save(NIGHTLY))
    moved = replace(NIGHTLY, pool="other")
    scene.run(deployments.save(moved))
    assert scene.run(deployments.list_all()) == [moved]
    assert scene.run(deployments.read("nightly")) == moved


def test_deleted_its_runs_stay(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY))
    run = scene.submit("high", deployment="load/nightly")
    scene.run(deployments.delete("nightly"))
    scene.refused(deployments.read("load/nightly"), DeploymentNotFound)
    scene.refused(deployments.delete("load/nightly"), DeploymentNotFound)
    assert [found.id for found in scene.run(runs.list_pool(POOL, deployment="load/nightly"))] == [run]


def test_names_that_nothing_has(scene: Scene) -> None:
    for name in ("load/nightly", "nightly", "", "/", "a/b/c"):
        scene.refused(deployments.read(name), DeploymentNotFound, f"Deployment '{name}' was not found")
        scene.refused(deployments.delete(name), DeploymentNotFound)


def test_a_command_is_kept_as_it_is(scene: Scene) -> None:
    given = replace(NIGHTLY, input=RunInput(command=("sh", "-c", "echo 'ü $x'"), retry_delay_s=0.5, timeout_s=60.0))
    scene.run(deployments.save(given))
    assert scene.run(deployments.read("nightly")) == given


def test_saving_again_replaces(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY))
    scene.run(deployments.save(replace(NIGHTLY, description="new")))
    assert [found.description for found in scene.run(deployments.list_all())] == ["new"]


def test_list_is_by_name_over_all_pools(scene: Scene) -> None:
    scene.run(pools.create("a"))
    for name, pool in (("z/1", "a"), ("b/1", POOL), ("m/1", "a")):
        scene.run(deployments.save(replace(NIGHTLY, name=name, pool=pool)))
    assert [found.name for found in scene.run(deployments.list_all())] == ["b/1", "m/1", "z/1"]


def test_only_in_place_of_the_version_that_was_seen(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY, over=""))
    scene.refused(deployments.save(NIGHTLY, over=""), DeploymentChanged)
    seen = scene.run(deployments.read("nightly"))
    scene.run(deployments.save(replace(seen, description="theirs")))
    scene.refused(deployments.save(replace(seen, description="mine"), over=seen.version), DeploymentChanged)
    assert scene.run(deployments.read("nightly")).description == "theirs"
    again = scene.run(deployments.read("nightly"))
    scene.run(deployments.save(replace(again, description="mine"), over=again.version))
    assert scene.run(deployments.read("nightly")).description == "mine"


def test_who_reads_and_who_writes_at_once_is_told_by_the_script(scene: Scene) -> None:
    """Another one stored it after this flow had looked at the version."""
    scene.run(deployments.save(NIGHTLY))
    seen = scene.run(deployments.read("nightly"))
    flow = deployments.save(replace(seen, description="mine"), over=seen.version)
    call = stopped_before("deployment_save", scene.run, flow)
    scene.run(deployments.save(replace(seen, description="theirs")))
    scene.refused(call, DeploymentChanged)
    assert scene.run(deployments.read("nightly")).description == "theirs"


def test_each_change_has_a_version_of_its_own(scene: Scene) -> None:
    versions = set()
    for _ in range(3):
        scene.run(deployments.save(NIGHTLY))
        versions.add(scene.run(deployments.read("nightly")).version)
    assert len(versions) == 3


def test_changes_of_eight_at_once_are_all_kept(scene: Scene, redis_url: str, clock: Clock) -> None:
    scene.run(deployments.save(NIGHTLY))
    together = Barrier(8)

    def add(number: int) -> None:
        with Client(redis_url, now_ms=clock) as client:
            together.wait()
            client.run(deployments.add_schedule("nightly", every(10 + number)))
            client.run(deployments.change("nightly", lambda found: replace(found, description=found.description + "x")))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))
    seen = scene.run(deployments.read("nightly"))
    assert {one.interval_s for one in seen.schedules} == {60 * (10 + number) for number in range(8)}
    assert seen.description == NIGHTLY.description + "x" * 8


def test_deployed_by_eight_at_once_it_is_there_once(scene: Scene, redis_url: str, clock: Clock) -> None:
    together = Barrier(8)

    def deploy(_: int) -> int:
        with Client(redis_url, now_ms=clock) as client:
            together.wait()
            return client.run(deployments.save(replace(NIGHTLY, schedules=(every(10),)))).scheduled

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(deploy, range(8)))
    assert sum(made) == 6
    kept = scene.run(runs.list_pool(POOL, deployment=NIGHTLY.name))
    assert len({run.due_at_ms for run in kept}) == len(kept) == 6


def test_what_a_change_raises_is_raised(scene: Scene) -> None:
    scene.run(deployments.save(replace(NIGHTLY, schedules=(every(10),))))
    scene.refused(deployments.add_schedule("nightly", every(10)), ScheduleExists)
    scene.refused(deployments.delete_schedule("nightly", "f00"), ScheduleNotFound)
    scene.refused(deployments.set_schedule("nightly", "", is_active=False), ScheduleNotFound)
    scene.refused(deployments.set_paused("gone", True), DeploymentNotFound)


def test_too_many_schedules_or_one_twice(scene: Scene) -> None:
    scene.refused(deployments.save(replace(NIGHTLY, schedules=(every(10), every(10)))), BadValue, "twice")
    many = tuple(every(10 + number) for number in range(21))
    scene.refused(deployments.save(replace(NIGHTLY, schedules=many)), BadValue, "20")
    scene.run(deployments.save(replace(NIGHTLY, schedules=many[:20])))


def test_schedules_are_kept_as_they_are(scene: Scene) -> None:
    given = (
        Schedule(cron="0 4 * * 1-5", timezone="Europe/Berlin", catchup="all", overlap="skip", is_active=False),
        every(10, jitter_s=1.5, expires_s=60.0, parameters={"day": [1, None]}),
        Schedule(rrule="FREQ=DAILY;COUNT=3", anchor="2027-02-01"),
    )
    scene.run(deployments.save(replace(NIGHTLY, schedules=given)))
    assert scene.run(deployments.read("nightly")).schedules == given


def test_a_directory_that_was_lost_is_made_again(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY))
    scene.server.delete(keyspace.deployments())
    scene.refused(deployments.read("load/nightly"), DeploymentNotFound)
    scene.run(deployments.save(NIGHTLY))
    assert scene.run(deployments.read("load/nightly")) == NIGHTLY

"""Deployments: kept with their pool, found by full or plain name, replaced, moved, deleted."""

from dataclasses import replace

import pytest

from dispatcher.errors import AmbiguousName, BadName, DeploymentNotFound, PoolNotFound
from dispatcher.models import Deployment, RunInput
from dispatcher.ops import deployments, pools, runs
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


def test_a_pool_that_is_not_there(scene: Scene) -> None:
    scene.refused(deployments.save(replace(NIGHTLY, pool="nope")), PoolNotFound)


def test_a_plain_name_that_two_flows_have(scene: Scene) -> None:
    scene.run(deployments.save(NIGHTLY))
    scene.run(deployments.save(replace(NIGHTLY, name="clean/nightly")))
    scene.refused(deployments.read("nightly"), AmbiguousName, "clean/nightly, load/nightly")
    assert scene.run(deployments.full_name("gone/nightly")) == "gone/nightly", "what has the form is not looked up"
    scene.refused(deployments.full_name("weekly"), DeploymentNotFound)


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

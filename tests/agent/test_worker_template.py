"""`worker start --base-job-template`: for a pool that has to be made, and for no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dispatcher.errors import PoolNotFound
from dispatcher.ops import pools
from tests.agent.words import words
from tests.consumers import POOL, Scene

OWN: dict[str, Any] = {
    "job_configuration": {"command": "echo {{ word }}"},
    "variables": {"properties": {"word": {"type": "string", "default": "templated"}}},
}
WARNING = "so the base job template that was given is not used"


@pytest.fixture
def template(scene: Scene) -> str:
    (scene.folder / "own.json").write_text(json.dumps(OWN))
    return "own.json"


def test_a_pool_that_is_made_gets_it(scene: Scene, template: str) -> None:
    start = ("worker", "start", "-p", "fresh", "-t", "process", "--run-once", "--base-job-template", template)
    done = words(scene, *start)
    assert done.returncode == 0, done.stderr
    assert "Work pool fresh did not exist and was made, type process, with the base job template that was given" in (
        done.stderr
    )
    assert scene.client.run(pools.read("fresh")).template == OWN
    again = words(scene, *start)
    assert again.returncode == 0
    assert "was made" not in again.stderr
    assert WARNING not in again.stderr, "the pool has that very template"


def test_without_one_it_is_the_types_default(scene: Scene) -> None:
    done = words(scene, "worker", "start", "-p", "fresh", "-t", "process", "--run-once")
    assert "with its type's default template" in done.stderr
    assert scene.client.run(pools.read("fresh")).template == {}


def test_a_pool_that_exists_is_left_as_it_is(scene: Scene, template: str) -> None:
    for options in ((), ("-t", "process")):
        done = words(scene, "worker", "start", "-p", POOL, "--run-once", "--base-job-template", template, *options)
        assert done.returncode == 0
        assert WARNING in done.stderr
        assert f"dispatcher work-pool update {POOL} --base-job-template FILE" in done.stderr
    assert scene.client.run(pools.read(POOL)).template == {}


def test_a_faulty_one_is_refused_before_anything_is_made(scene: Scene, template: str) -> None:
    (scene.folder / "bad.json").write_text(json.dumps(OWN | {"variables": {}}))
    for file, said in (("bad.json", "{{ word }} is not declared"), ("none.json", "none.json")):
        done = words(scene, "worker", "start", "-p", "fresh", "-t", "process", "--base-job-template", file)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    done = words(scene, "worker", "start", "-p", "fresh", "--base-job-template", template)
    assert (done.returncode, "no type was given" in done.stderr) == (1, True), done.stderr
    with pytest.raises(PoolNotFound):
        scene.client.run(pools.read("fresh"))


def test_ten_workers_make_it_once(scene: Scene, template: str) -> None:
    start = ("--run-once", "-p", "fresh", "-t", "process", "--base-job-template", template)
    workers = [scene.begin("worker", *start) for _ in range(10)]
    assert [worker.exit_code(60) for worker in workers] == 10 * [0]
    assert sum("did not exist and was made" in worker.log for worker in workers) == 1
    assert scene.client.run(pools.read("fresh")).template == OWN
    assert not any(WARNING in worker.log for worker in workers)

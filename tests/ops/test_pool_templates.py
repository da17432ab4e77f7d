"""A pool's base job template: kept with an id of its own, which every claim tells, so that consumers read it once."""

import pytest

from dispatcher.errors import PoolNotFound, TemplateInvalid
from dispatcher.models import Document
from dispatcher.ops import pools, templates, views
from dispatcher.pool_types import default_template
from tests.scene import POOL, Scene

OWN: Document = {
    "job_configuration": {"env": "{{ env }}"},
    "variables": {"properties": {"env": {"type": "object", "default": {"A": "ü"}}}},
}


def claimed_id(scene: Scene) -> str:
    scene.submit()
    return scene.claim(scene.join(), 1).template_id


def test_a_pool_without_its_own_has_that_of_its_type(scene: Scene) -> None:
    found = scene.run(templates.read(POOL))
    assert (found.id, found.own) == ("", {})
    assert found.document("process") == default_template("process")
    assert scene.pool().template == {}
    assert claimed_id(scene) == ""


def test_it_is_kept_as_it_was_given(scene: Scene) -> None:
    scene.run(pools.create("own", template=OWN))
    found = scene.run(templates.read("own"))
    assert found.own == OWN
    assert found.id
    assert scene.run(pools.read("own")).template == OWN


def test_each_change_has_an_id_of_its_own_which_claims_tell(scene: Scene) -> None:
    ids = []
    for _ in range(3):
        scene.run(pools.update(POOL, template=OWN))
        ids.append(claimed_id(scene))
        assert ids[-1] == scene.run(templates.read(POOL)).id
    assert len(set(ids)) == 3


def test_the_same_request_tells_the_template_of_now(scene: Scene) -> None:
    consumer = scene.join()
    scene.submit()
    assert scene.claim(consumer, request="R").template_id == ""
    scene.run(pools.update(POOL, template=OWN))
    assert scene.claim(consumer, request="R").template_id == scene.run(templates.read(POOL)).id


def test_an_empty_one_is_that_of_its_type_again(scene: Scene) -> None:
    scene.run(pools.update(POOL, template=OWN))
    scene.run(pools.update(POOL, template={}))
    assert claimed_id(scene) == ""
    assert scene.run(templates.read(POOL)).own == {}


def test_other_changes_leave_it_alone(scene: Scene) -> None:
    scene.run(pools.update(POOL, template=OWN))
    before = claimed_id(scene)
    scene.run(pools.update(POOL, description="new", limit=3))
    assert claimed_id(scene) == before


def test_the_event_tells_which_but_not_the_whole_of_it(scene: Scene) -> None:
    scene.run(pools.update(POOL, template=OWN))
    told = [event.fields for event in scene.run(views.events(POOL)) if event.event == "pool-set"]
    assert [(of["name"], of["value"]) for of in told] == [("template_id", scene.run(templates.read(POOL)).id)]


def test_what_is_no_template_is_refused(scene: Scene) -> None:
    with pytest.raises(TemplateInvalid):
        pools.update(POOL, template={"job_configuration": 1})
    scene.refused(pools.create("new", template={"variables": []}), TemplateInvalid)
    scene.refused(templates.read("nope"), PoolNotFound)

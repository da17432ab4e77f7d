"""The types of pools and their default templates."""

import pytest

from dispatcher import models, pool_types, templates
from dispatcher.errors import BadValue


@pytest.mark.parametrize("type", pool_types.POOL_TYPES)
def test_a_default_template_is_a_good_one(type: str) -> None:
    template = pool_types.default_template(type)
    assert templates.checked(template) == template
    assert templates.warnings(template) == []


def test_a_default_template_is_a_fresh_copy() -> None:
    pool_types.default_template("process")["variables"]["properties"]["env"]["default"]["LEAKED"] = "1"
    assert pool_types.default_template("process")["variables"]["properties"]["env"]["default"] == {}


def test_an_agent_pool_has_no_template_of_its_own() -> None:
    assert pool_types.default_template("agent") == {}


def test_every_variable_of_a_process_is_described_and_placed() -> None:
    template = pool_types.default_template("process")
    for name, variable in template["variables"]["properties"].items():
        assert variable["title"]
        assert variable["description"].endswith(".")
        assert template["job_configuration"][name] == f"{{{{ {name} }}}}"


def test_the_common_job_stays_small() -> None:
    job = templates.rendered(pool_types.default_template("process"), {}, environ={}, allowed_env=()).job
    assert job == {"env": {}, "labels": {}, "stream_output": True}


def test_the_types_are_defined_once() -> None:
    assert models.POOL_TYPES == pool_types.POOL_TYPES == ("agent", *pool_types.WORKER_TYPES)
    assert not set(pool_types.LATER) & set(pool_types.POOL_TYPES)


@pytest.mark.parametrize("type", pool_types.LATER)
def test_a_type_that_comes_later(type: str) -> None:
    for refused in (pool_types.checked, pool_types.default_template):
        with pytest.raises(BadValue, match=f"'{type}' comes later: this version has agent, process"):
            refused(type)


def test_an_unknown_type() -> None:
    with pytest.raises(BadValue, match="work pool type 'proces' is not known: choose one of agent, process"):
        pool_types.checked("proces")

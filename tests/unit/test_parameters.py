"""Parameters against a flow's signature: every fault at once, with what would be right."""

from typing import Any

import pytest

from dispatcher import parameters
from dispatcher.errors import ParametersInvalid

SCHEMA = {
    "properties": {"day": {"title": "day"}, "source": {"title": "source"}, "retries": {"default": 3}},
    "required": ["day", "source"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "given",
    [
        {"day": "today", "source": "a"},
        {"day": "today", "source": None, "retries": 0},
    ],
)
def test_what_fits(given: dict[str, Any]) -> None:
    parameters.check(SCHEMA, given, flow="load")


def test_all_faults_at_once() -> None:
    with pytest.raises(ParametersInvalid) as caught:
        parameters.check(SCHEMA, {"dya": 1, "zzz": 2, "source": 3}, flow="the flow 'load'")
    text = str(caught.value)
    assert "the flow 'load'" in text
    assert "'dya' is not known (did you mean 'day'?)" in text
    assert "'zzz' is not known;" in text, "nothing is near it"
    assert "'day' is missing" in text
    assert "day (required), source (required), retries." in text


def test_a_deployment_may_leave_the_rest_to_its_runs() -> None:
    parameters.check(SCHEMA, {"source": "a"}, flow="load", is_complete=False)
    with pytest.raises(ParametersInvalid, match="'soruce' is not known"):
        parameters.check(SCHEMA, {"soruce": "a"}, flow="load", is_complete=False)


def test_without_a_schema_nothing_is_refused() -> None:
    parameters.check(None, {"anything": 1}, flow="./load.sh")


def test_a_flow_without_parameters() -> None:
    empty: dict[str, Any] = {"properties": {}, "required": [], "additionalProperties": False}
    with pytest.raises(ParametersInvalid, match="It takes no parameters"):
        parameters.check(empty, {"day": 1}, flow="load")


def test_a_flow_with_any_keyword() -> None:
    schema = {"properties": {"day": {}}, "required": ["day"], "additionalProperties": True}
    parameters.check(schema, {"day": 1, "other": 2}, flow="load")
    with pytest.raises(ParametersInvalid, match=r"'day' is missing\. It knows: day \(required\), and any other"):
        parameters.check(schema, {"other": 2}, flow="load")

"""Parameters against a flow's signature: every fault at once, with what would be right."""

import json
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

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


TYPED: dict[str, Any] = {
    "properties": {
        "day": {"title": "Day", "type": "string", "format": "date"},
        "count": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "place": {"$ref": "#/$defs/Place"},
    },
    "required": ["day"],
    "additionalProperties": False,
    "$defs": {"Place": {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]}},
}


def test_types_are_checked() -> None:
    parameters.check(TYPED, {"day": "2026-01-01", "count": 3, "place": {"street": "a", "more": 1}}, flow="load")
    with pytest.raises(ParametersInvalid) as caught:
        parameters.check(TYPED, {"day": 5, "count": "3", "place": {"street": 1}}, flow="load")
    assert str(caught.value) == (
        "The parameters do not fit load: day: 5 is not of type 'string'; count: '3' is not of type 'integer', 'null'; "
        "place.street: 1 is not of type 'string'. It knows: day (required), count, place."
    )


def test_the_types_of_what_a_deployment_has_are_checked_too() -> None:
    with pytest.raises(ParametersInvalid, match="count: '3' is not of type"):
        parameters.check(TYPED, {"count": "3"}, flow="load", is_complete=False)


@pytest.mark.parametrize("text", ["2026-11-22", "2026-11-22T00:00:00", "1795305600"])
def test_a_date_may_be_spelt_as_pydantic_reads_it(text: str) -> None:
    parameters.check(TYPED, {"day": text}, flow="load")


@pytest.mark.parametrize("text", ["today", "2026-02-30", ""])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ParametersInvalid, match=f"day: '{text}' is not a 'date'"):
        parameters.check(TYPED, {"day": text}, flow="load")


SPELT = st.one_of(
    st.text(max_size=12),
    st.text("0123456789-:T.+Z PDWMHS", max_size=24),
    *(kind.map(str) for kind in (st.dates(), st.datetimes(), st.times(), st.timedeltas(), st.uuids())),
    st.datetimes().map(datetime.isoformat),
)


@pytest.mark.parametrize("kind", [date, datetime, time, timedelta, UUID])
@given(text=SPELT)
def test_a_text_is_taken_just_when_the_flow_will_take_it(kind: type, text: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    schema = {"properties": {"x": adapter.json_schema()}}
    try:
        adapter.validate_json(json.dumps(text))
    except ValidationError:
        assert parameters.faults(schema, {"x": text})
    else:
        assert parameters.faults(schema, {"x": text}) == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("day", "20260101", "20260101"),
        ("count", "3", 3),
        ("count", "null", None),
        ("count", "x", "x"),
        ("place", '{"street": "a"}', {"street": "a"}),
        ("unheard", "3", 3),
        ("unheard", "x", "x"),
    ],
)
def test_what_a_text_means(name: str, text: str, value: object) -> None:
    assert parameters.typed(TYPED, name, text) == value


def test_what_a_text_means_without_a_schema() -> None:
    assert [parameters.typed(None, "day", text) for text in ("3", "x", "[1]")] == [3, "x", [1]]

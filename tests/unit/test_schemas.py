"""Values against JSON schemas: every fault with its path, and no harm done by any schema or value."""

import json
import socket
import sys
from subprocess import run
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from dispatcher import json_schema, schema_guard, schemas

NESTED: dict[str, Any] = {
    "properties": {
        "day": {"type": "string"},
        "size": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
        "where": {"$ref": "#/$defs/Place"},
        "many": {"type": "array", "items": {"$ref": "#/$defs/Place"}, "uniqueItems": True},
        "either": {"anyOf": [{"type": "integer"}, {"type": "boolean"}, {"type": "array", "maxItems": 1}]},
        "code": {"type": "string", "pattern": "^[a-z]{2}$"},
    },
    "required": ["day"],
    "$defs": {
        "Place": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
            "required": ["street"],
            "additionalProperties": False,
        }
    },
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"day": "x", "size": None, "where": {"street": "a"}, "many": [], "either": True, "code": "ab"}, []),
        ({}, ["'day' is missing"]),
        ({"day": 5}, ["day: 5 is not of type 'string'"]),
        ({"day": "x", "dya": 1}, ["'dya' is not known (did you mean 'day'?)"]),
        ({"day": "x", "size": 1}, ["size: 1 is less than the minimum of 3"]),
        ({"day": "x", "size": "1"}, ["size: '1' is not of type 'integer', 'null'"]),
        ({"day": "x", "either": "1"}, ["either: '1' is not of type 'integer', 'boolean', 'array'"]),
        (
            {"day": "x", "where": {"streat": 1}},
            ["where: 'street' is missing", "where: 'streat' is not known (did you mean 'street'?)"],
        ),
        (
            {"day": "x", "many": [{"street": "a"}, {"street": 2, "number": "b"}]},
            ["many[1].street: 2 is not of type 'string'", "many[1].number: 'b' is not of type 'integer'"],
        ),
        ({"day": "x", "code": "abc"}, ["code: 'abc' does not match '^[a-z]{2}$'"]),
    ],
)
def test_faults_have_their_paths(values: dict[str, Any], expected: list[str]) -> None:
    assert sorted(schemas.faults(NESTED, values)) == sorted(expected)


def test_all_faults_are_found_at_once() -> None:
    found = schemas.faults(NESTED, {"size": 1, "where": [], "code": "A", "unheard of": 1})
    assert len(found) == 5
    assert {fault.partition(":")[0] for fault in found} == {
        "'unheard of' is not known",
        "'day' is missing",
        "size",
        "where",
        "code",
    }


def test_what_is_not_complete_may_leave_something_out_and_nothing_else() -> None:
    whole = {**NESTED, "minProperties": 3, "dependentRequired": {"size": ["code"]}}
    assert schemas.faults(whole, {"size": 5}, is_complete=False) == []
    assert schemas.faults(whole, {"size": 1, "x": 1}, is_complete=False) == [
        "'x' is not known",
        "size: 1 is less than the minimum of 3",
    ]
    assert len(schemas.faults(whole, {"size": 5})) == 3


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({}, ["'b' is not known"]),
        ({"additionalProperties": False}, ["'b' is not known"]),
        ({"additionalProperties": True}, []),
        ({"additionalProperties": {}}, []),
        ({"additionalProperties": {"type": "string"}}, ["b: 1 is not of type 'string'"]),
        ({"patternProperties": {"^b": {"type": "integer"}}}, []),
        ({"patternProperties": {"^b": {"type": "string"}}}, ["b: 1 is not of type 'string'"]),
    ],
)
def test_who_may_be_called_what(others: dict[str, Any], expected: list[str]) -> None:
    assert schemas.faults({"properties": {"a": {}}, **others}, {"a": 0, "b": 1}) == expected


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (float("nan"), "x: nan is not a number that JSON has"),
        (float("-inf"), "x: -inf is not a number that JSON has"),
        ({"a": {1, 2}}, "x.a: a set is not a value that JSON has"),
        ([b""], "x[0]: a bytes is not a value that JSON has"),
        ({1: 2}, "x: the key 1 is not text"),
    ],
)
def test_only_json_is_a_value(value: object, fault: str) -> None:
    assert schemas.faults({"properties": {"x": {}}}, {"x": value}) == [fault]


def test_a_tuple_is_a_list() -> None:
    assert schemas.faults({"properties": {"x": {"type": "array", "maxItems": 2}}}, {"x": (1, 2)}) == []
    assert schemas.faults({"properties": {"x": {"type": "array", "maxItems": 1}}}, {"x": (1, 2)}) != []


def test_a_value_nested_too_deeply() -> None:
    value: Any = 1
    for _ in range(10_000):
        value = [value]
    (fault,) = schemas.faults({"properties": {"x": {}}}, {"x": value})
    assert "nested more than" in fault


def test_many_faults_are_not_all_told() -> None:
    found = schemas.faults({"properties": {"x": {"items": {"type": "string"}}}}, {"x": list(range(1000))})
    assert len(found) == json_schema.MOST_FAULTS + 1
    assert found[-1] == "and more"


def test_a_long_value_is_cut() -> None:
    (fault,) = schemas.faults({"properties": {"x": {"type": "integer"}}}, {"x": "y" * 100_000})
    assert len(fault) < 400
    assert fault.endswith("is not of type 'integer'")


HOSTILE: list[tuple[dict[str, Any], Any, str]] = [
    ({"$ref": "http://127.0.0.1:9/schema.json"}, 1, "Unresolvable"),
    ({"$ref": "file:///etc/passwd"}, 1, "Unresolvable"),
    ({"$ref": "#/nowhere"}, 1, "PointerToNowhere"),
    ({"$ref": "#/properties/x"}, 1, "refers to itself without end"),
    ({"$ref": 5}, 1, "broken"),
    ({"type": "strin"}, 1, "broken"),
    ({"properties": 5}, {"a": 1}, "broken"),
    ({"multipleOf": 0}, 1, "broken"),
    ({"items": {"items": "no"}}, [[1]], "broken"),
    ({"maximum": "a"}, 1, "broken"),
]


@pytest.mark.parametrize(("rule", "value", "words"), HOSTILE)
def test_a_broken_schema_is_a_fault_and_no_traceback(rule: dict[str, Any], value: object, words: str) -> None:
    (fault,) = schemas.faults({"properties": {"x": rule}}, {"x": value})
    assert words in fault


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for rule in ({"$ref": url}, {"$id": url, "$ref": "other.json"}, {"$schema": url}, {"$dynamicRef": url}):
            schemas.faults({"properties": {"x": rule}}, {"x": 1})
            schema_guard.judged({"properties": {"x": rule}}, "variables")[0]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_alternatives_of_alternatives_do_not_run_for_long() -> None:
    again = {"$ref": "#/$defs/Node"}
    node = {
        "anyOf": [{"properties": {"a": again}, "minProperties": 2}, {"properties": {"a": again}, "maxProperties": 0}]
    }
    value: dict[str, Any] = {}
    for _ in range(30):
        value = {"a": value}
    (fault,) = schemas.faults({"properties": {"x": again}, "$defs": {"Node": node}}, {"x": value})
    assert "steps to check" in fault


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)*$", "^(.*)*$", "(a*)*b", "^([a-z]+)*[0-9]$"])
@pytest.mark.timeout(20)
def test_a_pattern_takes_no_time(pattern: str) -> None:
    text = "a" * 5000 + "!\n"
    whole = {"properties": {"x": {"pattern": pattern}}, "patternProperties": {pattern: {}}}
    schemas.faults(whole, {"x": text, text: 1})
    schemas.faults(
        {"properties": {"x": {"type": "object", **whole, "additionalProperties": False}}}, {"x": {text: text}}
    )


def test_a_pattern_that_cannot_be_used_is_no_rule_for_a_value() -> None:
    # pydantic describes a Decimal with a look-ahead; the flow checks it anyway.
    assert schemas.faults({"properties": {"x": {"pattern": "^(?!0)"}}}, {"x": "0"}) == []


def test_a_template_spells_formats_as_the_standard_says() -> None:
    schema = {"properties": {"x": {"type": "string", "format": "date"}}}
    assert schemas.faults(schema, {"x": "2026-02-28T00:00"}) == []
    assert schemas.faults(schema, {"x": "2026-02-28T00:00"}, formats="template") == [
        "x: '2026-02-28T00:00' is not a 'date'"
    ]
    assert schemas.faults(schema, {"x": "2026-02-28"}, formats="template") == []


def test_an_unknown_format_is_no_rule() -> None:
    rules: list[object] = ["color", ["date"], {}]
    for rule in rules:
        schema = {"properties": {"x": {"type": "string", "format": rule}}}
        assert schemas.faults(schema, {"x": "soon"}) == schemas.faults(schema, {"x": "soon"}, formats="template") == []


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, '"a"', '"a"'),
        ({"$ref": "#/$defs/Text"}, "true", "true"),
        ({"allOf": [{"$ref": "#/$defs/Text"}]}, "true", "true"),
        ({"anyOf": [{"type": "string", "minLength": 1}, {"type": "string"}]}, "5", "5"),
        ({"type": "integer"}, "5", 5),
        ({"type": "number"}, "5.5", 5.5),
        ({"type": "boolean"}, "false", False),
        ({"type": "array"}, "[1]", [1]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": "null"}, "null", None),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "5", "5"),
        ({"type": ["string", "integer"]}, "5", 5),
        ({"type": ["string", "integer"]}, '"5"', "5"),
        ({"type": ["string", "integer"]}, "5.5", "5.5"),
        ({"enum": ["5", "6"]}, "5", "5"),
        ({"enum": [5, 6]}, "5", 5),
        ({}, "5", 5),
        ({}, "five", "five"),
        ({}, "NaN", "NaN"),
        (True, "[1", "[1"),
    ],
)
def test_what_a_text_means(rule: Any, text: str, value: object) -> None:
    found, wrong = schemas.typed(rule, text, root={"$defs": {"Text": {"type": "string"}}}, path="x")
    assert (found, type(found), wrong) == (value, type(value), [])


@pytest.mark.parametrize(
    ("rule", "text", "fault"),
    [
        ({"type": "integer"}, "five", "x: 'five' is not of type 'integer'"),
        ({"type": "integer"}, "5.5", "x: 5.5 is not of type 'integer'"),
        ({"type": "boolean"}, "False", "x: 'False' is not of type 'boolean'"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, '{"A": 1}', "x.A: 1 is not of type 'string'"),
        ({"type": "array"}, "[" * 100_000, "is not of type 'array'"),
        ({"type": "array"}, "[" * 100 + "]" * 100, "nested more than"),
        ({"type": "integer"}, "9" * 10_000, "is not of type 'integer'"),
    ],
)
def test_a_text_that_does_not_fit(rule: Any, text: str, fault: str) -> None:
    _, (wrong,) = schemas.typed(rule, text, root={}, path="x")
    assert fault in wrong


def test_what_is_plain_needs_no_library() -> None:
    code = (
        "import sys\n"
        "from dispatcher import schemas\n"
        "simple = {'properties': {'a': {'type': 'string'}, 'b': {'anyOf': [{'type': 'integer'}, {'type': 'null'}]}}}\n"
        "assert schemas.faults(simple, {'a': 'x', 'b': None}) == []\n"
        "assert 'jsonschema' not in sys.modules and 'pydantic_core' not in sys.modules\n"
        "assert schemas.faults(simple, {'a': 1}) != []\n"
        "assert 'jsonschema' in sys.modules\n"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.5, -2.0, "", "a", "ab"])
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below)
)
types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
rules = st.recursive(
    st.fixed_dictionaries(
        {},
        optional={
            "type": types | st.lists(types, min_size=1, unique=True),
            "minimum": st.integers(-2, 2),
            "exclusiveMinimum": st.sampled_from([0, 1.5]),
            "minLength": st.integers(0, 2),
            "minItems": st.integers(0, 2),
            "enum": st.lists(scalars, min_size=1),
            "const": scalars,
            "title": st.just("A"),
        },
    ),
    lambda below: st.fixed_dictionaries(
        {}, optional={"anyOf": st.lists(below, min_size=1, max_size=2), "items": below, "additionalProperties": below}
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules, values)
def test_the_short_way_says_what_the_library_says(rule: dict[str, Any], value: Any) -> None:
    is_valid = Draft202012Validator(rule).is_valid(value)
    if schemas.fits_plainly(rule, value):
        assert is_valid
    assert (schemas.value_faults(rule, value, root={}, path="x") == []) == is_valid


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(Draft202012Validator.VALIDATORS)), values), values)
def test_no_schema_raises_anything(rule: dict[str, Any], value: Any) -> None:
    schemas.faults({"properties": {"x": rule}}, {"x": value})
    schemas.faults(rule, {"x": value})
    schema_guard.judged(rule, "variables")[0]


# The schema itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"$ref": "http://a/b"}, "$ref 'http://a/b' leads outside the document: nothing is fetched"),
        ({"$ref": "other.json#/a"}, "leads outside the document"),
        ({"$ref": "#/$defs/Nothing"}, "$ref '#/$defs/Nothing' leads to no schema in this document"),
        ({"default": {"type": 5}, "$ref": "#/properties/x/default"}, "leads to no schema"),
        ({"$ref": "#/properties/x"}, "leads back to itself without end"),
        ({"anyOf": [{"allOf": [{"$ref": "#/properties/x"}]}]}, "leads back to itself without end"),
        ({"if": {"not": {"$ref": "#/properties/x"}}}, "leads back to itself without end"),
        ({"pattern": "(?=a)"}, "the pattern '(?=a)' cannot be used: look-around"),
        ({"pattern": "(a)\\1"}, "cannot be used: backreferences are not supported"),
        ({"pattern": "["}, "cannot be used: unclosed character class"),
        ({"pattern": "(a{1000}){1000}"}, "cannot be used: Compiled regex exceeds size limit"),
        ({"pattern": "a" * 2000}, "it is longer than 1000 characters"),
        ({"patternProperties": {"(?<!a)": {}}}, "cannot be used: look-around"),
        ({"unevaluatedProperties": False}, "'unevaluatedProperties' cannot be used here: say additionalProperties"),
        ({"$dynamicRef": "#a"}, "'$dynamicRef' cannot be used here: refer with $ref"),
        ({"$id": "http://a/b"}, "'$id' cannot be used here"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "'$schema' must be"),
        ({"type": "strin"}, "variables.properties.x.type: 'strin' is not one of ['array', "),
        ({"pattern": 5}, "variables.properties.x.pattern: 5 is not of type 'string'"),
        ({"items": {"items": {"minLength": -1}}}, "variables.properties.x.items.items.minLength: -1 is less than"),
        ({"default": float("nan")}, "variables.properties.x.default: nan is not a number"),
    ],
)
def test_a_schema_that_cannot_be_relied_on(rule: dict[str, Any], fault: str) -> None:
    found = schema_guard.judged({"properties": {"x": rule}}, "variables")[0]
    assert any(fault in one for one in found), found
    assert all(one.startswith("variables") for one in found)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        NESTED,
        {"definitions": {"A": {"type": "string"}}, "properties": {"a": {"$ref": "#/definitions/A"}}},
        {"properties": {"a": {"items": {"$ref": "#/properties/a"}}}},
        {"properties": {"a": {"properties": {"b": {"$ref": "#"}}}}},
        {"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}}},
        {"properties": {"a": {"default": {"$ref": "http://a/b"}, "enum": [{"pattern": "["}]}}},
        {"properties": {"a/b~c": {}, "x": {"$ref": "#/properties/a~1b~0c"}}},
        {"$schema": schema_guard.DIALECT, "$id": "template", "properties": {"x": True}},
    ],
    ids=json.dumps,
)
def test_a_schema_that_can_be_relied_on(schema: dict[str, Any]) -> None:
    assert schema_guard.judged(schema, "variables")[0] == []


def test_a_schema_that_is_too_large() -> None:
    (fault,) = schema_guard.judged({"properties": {f"p{n}": {} for n in range(10_000)}}, "variables")[0]
    assert "too large" in fault


@pytest.mark.parametrize("levels", [10, 19])
def test_a_deep_schema(levels: int) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}, "additionalProperties": False}
    assert schema_guard.judged(schema, "variables")[0] == []
    value: Any = "y"
    for _ in range(levels):
        value = {"x": value}
    assert schemas.faults(schema, value) == []

"""Base job templates: what is refused and in which words, what fits them, and the job that comes of it."""

import copy
from typing import Any

import pytest

from dispatcher import templates
from dispatcher.errors import TemplateInvalid, VariablesInvalid
from dispatcher.pool_types import default_template

PROCESS = default_template("process")


def template(job: dict[str, Any], **variables: Any) -> dict[str, Any]:
    """A template with this job configuration; the keywords are its variables."""
    return {"job_configuration": job, "variables": {"type": "object", "properties": variables}}


def job(
    of: dict[str, Any], values: dict[str, Any] | None = None, environ: dict[str, str] | None = None
) -> dict[str, Any]:
    """The job that comes of the values, with all of `environ` allowed."""
    return templates.rendered(of, values or {}, environ=environ or {}, allowed_env=environ or ()).job


def refusal(of: object) -> str:
    with pytest.raises(TemplateInvalid) as caught:
        templates.checked(of)
    return str(caught.value)


# What a template may be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "good",
    [
        {},
        template({}),
        template({"a": "{{ a }}", "b": ["x {{a}} {{ a }} y", {"c": "{{ $HOME }}"}], "n": 5}, a={"type": "string"}),
        template({"a": "{{ a }}"}, a=True),
        template({"a": "}} {single} { {"}),
        template({"a": "{{ ünïcode-1.x }}"}, **{"ünïcode-1.x": {}}),
        {
            "job_configuration": {"where": "{{ where }}"},
            "variables": {
                "properties": {"where": {"$ref": "#/definitions/Place", "default": {"street": "a"}}},
                "required": ["where"],
                "definitions": {"Place": {"type": "object", "required": ["street"]}},
            },
        },
    ],
)
def test_a_good_template(good: dict[str, Any]) -> None:
    before = copy.deepcopy(good)
    found = templates.checked(good)
    assert found == good == before
    assert found is not good


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], ["it must be an object", "not a list"]),
        ("text", ["not text"]),
        (None, ["not null"]),
        ({"variables": {}}, ["'job_configuration' is missing: it needs both"]),
        ({"job_configuration": {}}, ["'variables' is missing: it needs both"]),
        ({"job_configuration": {}, "variable": {}}, ["'variable' is not known (did you mean 'variables'?)"]),
        ({"job_configuration": [], "variables": 5}, ["job_configuration: it must be", "a list", "variables: it must"]),
        ({"job_configuration": {}, "variables": {"type": "array"}}, ["variables.type: it must be 'object'"]),
        ({"job_configuration": {}, "variables": {"properties": []}}, ["variables.properties: [] is not of type"]),
        ({"job_configuration": {}, "variables": {"propertes": {}}}, ["variables: 'propertes'", "'properties'?"]),
        ({"job_configuration": {}, "variables": {"required": ["a"]}}, ["variables.required: 'a' is not declared"]),
        (template({"a": float("inf")}), ["job_configuration.a: inf is not a number that JSON has"]),
        (template({True: 1}), ["job_configuration: the key True is not text"]),  # type: ignore[dict-item]
        (template({"a": "{{ nam }}"}, name={}), ["a: {{ nam }} is not declared in variables (did you mean 'name'?)"]),
        (template({"a": [{"b": "x {{ b }}"}]}), ["job_configuration.a[0].b: {{ b }} is not declared"]),
        (template({"{{ a }}": 1}, a={}), ["the key '{{ a }}' cannot hold a placeholder"]),
        (template({"a": "{{ a"}, a={}), ["job_configuration.a: '{{' begins no placeholder"]),
        (template({"a": "{{ a b }}"}, a={}), ["'{{' begins no placeholder"]),
        (template({"a": "{{ $1 }}"}), ["'{{' begins no placeholder"]),
        (template({"a": "{{ a }}{{{{ a }}}}"}, a={}), ["'{{' begins no placeholder"]),
        (template({"a": "{{ a.__class__ }}"}, a={}), ["{{ a.__class__ }} is not declared"]),
        (template({}, a={"type": "integer", "default": "1"}), ["variables.properties.a.default: '1' is not of type"]),
        (template({}, a={"$ref": "http://a/b"}), ["variables.properties.a: $ref 'http://a/b' leads outside"]),
        (template({}, a={"type": "strin"}), ["variables.properties.a.type: 'strin' is not one of"]),
        (template({}, **{"a b": {"type": 5}}), ["variables.properties['a b'].type"]),
    ],
)
def test_a_bad_template(bad: object, words: list[str]) -> None:
    told = refusal(bad)
    assert told.startswith("The base job template cannot be used: ")
    assert [word for word in words if word not in told] == [], told


def test_every_fault_is_told_at_once() -> None:
    bad = {
        "job_configuration": {"a": "{{ x }}", "b": {"c": ["{{ y }}"]}, "d": "{{ image }}"},
        "variables": {
            "properties": {"image": {"type": "string", "default": 1}, "size": {"type": "number", "default": "x"}},
            "required": ["imaeg"],
        },
        "extra": 1,
    }
    told = refusal(bad)
    for fault in (
        "'extra' is not known",
        "job_configuration.a: {{ x }}",
        "job_configuration.b.c[0]: {{ y }}",
        "variables.properties.image.default: 1 is not of type 'string'",
        "variables.properties.size.default: 'x' is not of type 'number'",
        "variables.required: 'imaeg' is not declared (did you mean 'image'?)",
    ):
        assert fault in told


def test_a_broken_schema_hides_no_other_fault() -> None:
    bad = {
        "job_configuration": {"a": "{{ nope }}"},
        "variables": {
            "$defs": {"Fine": {"type": "integer"}, "Broken": {"type": "strin"}},
            "properties": {
                "command": {"type": "string", "default": 3},
                "y": {"type": "wrong", "default": 1},
                "count": {"$ref": "#/$defs/Fine", "default": "x"},
                "through": {"items": {"$ref": "#/$defs/Broken"}, "default": [5]},
                "lost": {"$ref": "#/$defs/Lost", "default": 4},
            },
            "required": ["comand"],
        },
    }
    told = refusal(bad)
    for fault in (
        "job_configuration.a: {{ nope }} is not declared",
        "variables.properties.y.type: 'wrong' is not one of",
        "variables.properties.command.default: 3 is not of type 'string'",
        "variables.properties.count.default: 'x' is not of type 'integer'",
        "$ref '#/$defs/Lost' leads to no schema",
        "variables.required: 'comand' is not declared (did you mean 'command'?)",
    ):
        assert fault in told
    for name in ("y", "through", "lost"):  # by what cannot be relied on nothing is judged
        assert f"{name}.default" not in told


def test_without_variables_what_can_be_told_is_told() -> None:
    told = refusal({"job_configuration": {"a": "{{ a b }}", "{{ c }}": 1, "d": "{{ d }}"}})
    assert "'variables' is missing" in told
    assert "job_configuration.a: '{{' begins no placeholder" in told
    assert "the key '{{ c }}' cannot hold a placeholder" in told
    assert "not declared" not in told


def test_a_variable_that_is_used_nowhere_is_a_warning() -> None:
    of = template({"a": ["x {{ used }}"], "env": {"A": "1"}}, used={}, lost={}, env={"type": "object"})
    assert templates.checked(of)
    assert templates.warnings(of) == ["Variable 'lost' is used nowhere in job_configuration."]
    assert templates.warnings({}) == []


# What fits it -------------------------------------------------------------------------------------------------------


def faults(of: dict[str, Any], values: Any, *, is_complete: bool = True) -> str:
    with pytest.raises(VariablesInvalid) as caught:
        templates.check_variables(of, values, target="work pool 'p'", is_complete=is_complete)
    return str(caught.value)


def test_variables_that_fit() -> None:
    values = {"env": {"A": "1"}, "command": ["./run", "x"], "timeout_seconds": 0.5, "grace_seconds": 0, "name": None}
    templates.check_variables(PROCESS, values, target="p")


def test_every_fault_of_the_variables_is_told_at_once() -> None:
    told = faults(
        PROCESS, {"env": {"PORT": 5}, "stream_outptu": False, "timeout_seconds": 0, "command": [1], "name": True}
    )
    assert told == (
        "The job variables do not fit work pool 'p': 'stream_outptu' is not known (did you mean 'stream_output'?); "
        "env.PORT: 5 is not of type 'string'; timeout_seconds: 0 is less than or equal to the minimum of 0; "
        "command[0]: 1 is not of type 'string'; name: true is not of type 'string', 'null'. Known are: name, env, "
        "labels, command, working_dir, stream_output, timeout_seconds, grace_seconds."
    )


def test_required_variables() -> None:
    of = template({"a": "{{ a }}"}, a={"type": "string"}, b={"type": "string", "default": "x"})
    of["variables"]["required"] = ["a", "b"]
    assert "'a' is missing. Known are: a (required), b (required)." in faults(of, {})
    templates.check_variables(of, {}, target="p", is_complete=False)
    templates.check_variables(of, {"a": "x"}, target="p")
    assert "a: 5 is not of type 'string'" in faults(of, {"a": 5}, is_complete=False)


def test_variables_that_the_template_leaves_open() -> None:
    of = template({})
    assert "'a' is not known. There are no variables." in faults(of, {"a": 1})
    of["variables"]["additionalProperties"] = True
    templates.check_variables(of, {"a": 1}, target="p")


def test_an_empty_template_has_no_variables() -> None:
    templates.check_variables({}, {}, target="p")
    assert "'a' is not known" in faults({}, {"a": 1})


@pytest.mark.parametrize("values", [[], "text", None, 5])
def test_variables_that_are_no_object(values: object) -> None:
    assert "must be an object" in faults(PROCESS, values)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "5", "5"),
        ("name", "null", None),
        ("stream_output", "false", False),
        ("timeout_seconds", "90", 90),
        ("command", "./run --full", "./run --full"),
        ("command", '["./run", "5"]', ["./run", "5"]),
        ("env", '{"A": "1"}', {"A": "1"}),
        ("env", "{}", {}),
    ],
)
def test_what_a_text_on_the_command_line_means(name: str, text: str, value: object) -> None:
    found = templates.typed(PROCESS, name, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("steam_output", "false", "'steam_output' is not known (did you mean 'stream_output'?). Known are: name, env"),
        ("stream_output", "True", "stream_output: 'True' is not of type 'boolean'. Write true or false."),
        ("timeout_seconds", "-1", "timeout_seconds: -1 is less than or equal to the minimum of 0"),
        ("env", '{"A": 1}', "env.A: 1 is not of type 'string'"),
        ("env", "A=1", "env: 'A=1' is not of type 'object'"),
    ],
)
def test_a_text_that_means_nothing(name: str, text: str, words: str) -> None:
    with pytest.raises(VariablesInvalid) as caught:
        templates.typed(PROCESS, name, text)
    assert words in str(caught.value)


def test_a_text_for_a_variable_that_the_template_leaves_open() -> None:
    of = template({})
    of["variables"]["additionalProperties"] = True
    assert [templates.typed(of, "a", text) for text in ("5", "five")] == [5, "five"]


# Merging ------------------------------------------------------------------------------------------------------------


def test_later_levels_go_first_and_env_key_by_key() -> None:
    levels: list[dict[str, Any]] = [
        {"env": {"A": "1", "B": "1"}, "labels": {"x": "1"}, "n": 1},
        {"env": {"B": "2"}, "labels": {"y": "2"}},
        {"env": {"C": "3"}, "n": None},
    ]
    before = copy.deepcopy(levels)
    found = templates.merged(*levels)
    assert found == {"env": {"A": "1", "B": "2", "C": "3"}, "labels": {"y": "2"}, "n": None}
    found["env"]["D"], found["labels"]["z"] = "4", "4"
    assert levels == before


def test_env_that_is_no_object_at_a_level_is_a_whole_value() -> None:
    assert templates.merged({"env": {"A": "1"}}, {"env": None}) == {"env": None}
    assert templates.merged({"env": None}, {"env": {"A": "1"}}) == {"env": {"A": "1"}}
    assert templates.merged() == {}


# Rendering ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [5, 1.5, True, False, None, "", "x", [], [1, "2"], {}, {"a": [None]}])
def test_a_placeholder_alone_takes_the_value_with_its_type(value: object) -> None:
    found = job(template({"a": "{{ a }}", "b": ["{{a}}"]}, a={}), {"a": value})
    assert found == {"a": value, "b": [value]}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "<5>"),
        (1.5, "<1.5>"),
        (True, "<true>"),
        (None, "<>"),
        ("x y", "<x y>"),
        ("ü", "<ü>"),
        ([1, None, "ü"], '<[1, null, "ü"]>'),
        ({"a": True}, '<{"a": true}>'),
    ],
)
def test_a_placeholder_within_a_text_is_text(value: object, text: str) -> None:
    assert job(template({"a": "<{{ a }}>"}, a={}), {"a": value}) == {"a": text}


def test_braces_around_a_placeholder_are_text() -> None:
    assert job(template({"a": "{{{ a }}}", "b": "{{ a }} "}, a={}), {"a": 1}) == {"a": "{1}", "b": "1 "}


def test_what_has_no_value_is_dropped() -> None:
    of = template(
        {"a": "{{ a }}", "b": ["x", "{{ a }}", {"c": "{{ a }}"}], "d": "<{{ a }}>", "e": {"f": "{{ a }}"}}, a={}
    )
    assert job(of) == {"b": ["x", {}], "d": "<>", "e": {}}


def test_a_value_goes_before_the_default() -> None:
    of = template({"a": "{{ a }}", "b": "{{ b }}"}, a={"default": 1}, b={"default": {"x": 1}})
    assert job(of) == {"a": 1, "b": {"x": 1}}
    assert job(of, {"a": None, "b": {"y": 2}}) == {"a": None, "b": {"y": 2}}


@pytest.mark.parametrize(
    "value", ["{{ b }}", "{{ $SECRET }}", "{{", "}}", "{{ a }}", "{0.__class__}", "%(b)s", "\\1", "\x00"]
)
def test_what_was_filled_in_is_never_expanded(value: str) -> None:
    of = template({"a": "{{ a }}", "t": "<{{ a }}>", "d": "{{ d }}"}, a={}, b={"default": "B"}, d={"default": value})
    found = templates.rendered(of, {"a": value}, environ={"SECRET": "s3cret"}, allowed_env=("SECRET",))
    assert found.job == found.shown == {"a": value, "t": f"<{value}>", "d": value}


def test_a_default_template_takes_what_prefects_took() -> None:
    found = job(PROCESS, {"name": "etl", "env": {"A": "1"}, "command": "./run", "stream_output": False})
    assert found == {"name": "etl", "env": {"A": "1"}, "labels": {}, "command": "./run", "stream_output": False}


def test_the_environment_of_the_consumer_where_it_is_allowed() -> None:
    of = template({"a": "{{ $TOKEN }}", "b": "x{{$TOKEN}}-{{ n }}", "c": ["{{ $UNSET }}"], "d": "<{{ $UNSET }}>"}, n={})
    found = templates.rendered(of, {"n": 1}, environ={"TOKEN": "s3cret"}, allowed_env=("TOKEN", "UNSET"))
    assert found.job == {"a": "s3cret", "b": "xs3cret-1", "c": [], "d": "<>"}
    assert found.shown == {"a": "{{ $TOKEN }}", "b": "x{{$TOKEN}}-1", "c": ["{{ $UNSET }}"], "d": "<{{ $UNSET }}>"}
    assert "s3cret" not in str(found.shown)


def test_the_environment_where_it_is_not_allowed() -> None:
    of = template({"a": "{{ $TOKEN }}", "b": ["{{ $OTHER }}", "{{ $HOME }}"]})
    with pytest.raises(TemplateInvalid) as caught:
        templates.rendered(of, {}, environ={"TOKEN": "s3cret", "OTHER": "x", "HOME": "/"}, allowed_env={"HOME"})
    assert "OTHER, TOKEN" in str(caught.value)
    assert "DISPATCHER_ALLOW_ENV" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_is_read_from_the_environment_is_not_expanded() -> None:
    of = template({"a": "{{ $A }}", "b": "<{{ $A }}>"}, n={"default": 1})
    assert job(of, environ={"A": "{{ n }}"}) == {"a": "{{ n }}", "b": "<{{ n }}>"}


# env ----------------------------------------------------------------------------------------------------------------

ENV = {"type": "object", "default": {"A": "default", "B": "default"}}


def test_env_is_merged_over_all_levels() -> None:
    values = templates.merged({"env": {"B": "deployment", "C": "deployment"}}, {"env": {"C": "run", "D": "run"}})
    found = job(template({"env": "{{ env }}"}, env=ENV), values)
    assert found == {"env": {"A": "default", "B": "deployment", "C": "run", "D": "run"}}


def test_a_hard_coded_env_is_merged_and_wins() -> None:
    of = template({"env": {"A": "fixed", "X": "{{ x }}", "T": "{{ $T }}"}}, env=ENV, x={"default": "1"})
    found = templates.rendered(
        of, {"env": {"A": "mine", "T": "mine", "Z": "mine"}}, environ={"T": "t"}, allowed_env=("T",)
    )
    assert found.job == {"env": {"A": "fixed", "B": "default", "X": "1", "T": "t", "Z": "mine"}}
    assert found.shown["env"] == {**found.job["env"], "T": "{{ $T }}"}


def test_a_hard_coded_key_stays_the_templates_even_without_a_value() -> None:
    of = template({"env": {"TOKEN": "{{ $TOKEN }}", "X": "{{ x }}"}}, env=ENV, x={})
    found = templates.rendered(of, {"env": {"TOKEN": "mine", "X": "mine"}}, environ={}, allowed_env=("TOKEN",))
    assert found.job == {"env": {"A": "default", "B": "default"}}


def test_env_that_the_template_does_not_declare_reaches_nothing() -> None:
    of = template({"env": {"A": "fixed"}})
    of["variables"]["additionalProperties"] = True
    assert job(of, {"env": {"B": "mine"}}) == {"env": {"A": "fixed"}}


def test_a_hard_coded_value_cannot_be_changed() -> None:
    of = template({"privileged": False, "name": "{{ name }}"}, name={})
    assert job(of, {"name": "x", "privileged": True}) == {"privileged": False, "name": "x"}


# Copies -------------------------------------------------------------------------------------------------------------


def test_nothing_is_shared() -> None:
    of = template(
        {"env": "{{ env }}", "a": "{{ a }}", "b": "{{ a }}", "c": {"d": []}}, env=ENV, a={"default": {"x": []}}
    )
    values = {"env": {"K": "1"}}
    before = copy.deepcopy((of, values))
    found = templates.rendered(of, values, environ={}, allowed_env=())
    found.job["env"]["LEAK"] = "1"
    found.job["a"]["x"].append(1)
    found.job["c"]["d"].append(1)
    assert found.job["b"] == {"x": []}
    assert found.shown["a"] == {"x": []}
    assert (of, values) == before
    assert "LEAK" not in job(of)["env"]
    assert "K" not in job(of)["env"], "the values of one run are not in the next"


@pytest.mark.parametrize("unchecked", [{"job_configuration": 5}, {"variables": [1]}, {"variables": {"properties": 5}}])
def test_a_template_that_nobody_checked_is_refused(unchecked: dict[str, Any]) -> None:
    with pytest.raises(TemplateInvalid, match="cannot be filled in"):
        templates.rendered(unchecked, {"a": 1}, environ={}, allowed_env=())


def test_a_template_that_never_ends_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep}
    with pytest.raises(TemplateInvalid, match="cannot be filled in"):
        templates.rendered(template(deep), {}, environ={}, allowed_env=())


def test_an_empty_template_is_an_empty_job() -> None:
    assert job({}, {"a": 1}) == {}

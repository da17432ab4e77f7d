"""For any template and any values: types survive, nothing leaks, no value changes the structure, only we refuse."""

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatcher import templates
from dispatcher.errors import DispatcherError
from dispatcher.rendering import Rendered

NAMES = ["a", "b", "c", "env", "x-1", "ü"]
HOSTILE = [
    "{{",
    "}}",
    "{{ a }}",
    "{{ $SECRET }}",
    "{{$X}}",
    "{a.__class__}",
    "__class__",
    "${a}",
    "%(a)s",
    "\\g<0>",
    "ß\u2028",
]
SECRET = "s3cret-of-the-consumer"

texts = st.sampled_from(HOSTILE) | st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3), max_leaves=5
)
environments = st.dictionaries(st.sampled_from("Aij"), texts, max_size=3)
given_variables = st.dictionaries(st.sampled_from([name for name in NAMES if name != "env"]), values, max_size=5)

placeholders = st.sampled_from([f"{{{{ {name} }}}}" for name in NAMES] + ["{{a}}", "{{   b }}"])
literals = st.sampled_from(["", " ", "x", "{", "}", "}}", "a}", "-ü"])
mixed = st.lists(placeholders | literals, min_size=2, max_size=4).map("".join)
configurations = st.dictionaries(
    st.sampled_from(["k", "l", "m", "env"]),
    st.recursive(
        placeholders | mixed | st.integers() | st.none() | st.just("{{ $SECRET }}"),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ijk"), below, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@st.composite
def built(draw: st.DrawFn) -> dict[str, Any]:
    """A template in which every variable may be anything, some with a default."""
    known: dict[str, Any] = {name: {} for name in NAMES if name != "env"}
    for name, default in draw(given_variables).items():
        known[name]["default"] = default
    known["env"] = {"type": "object", "default": draw(environments)}
    return {"job_configuration": draw(configurations), "variables": {"properties": known}}


def is_good(template: dict[str, Any]) -> bool:
    try:
        templates.checked(template)
    except DispatcherError as error:
        # Literals beside placeholders may make braces that begin nothing; nothing else is wrong with these.
        wrong = [fault for fault in str(error).split("; ") if "begins no placeholder" not in fault]
    else:
        return True
    assert wrong == []
    return False


def rendered(template: dict[str, Any], variables: dict[str, Any]) -> Rendered:
    return templates.rendered(template, variables, environ={"SECRET": SECRET}, allowed_env=("SECRET",))


def expected(part: Any, known: dict[str, Any]) -> Any:
    """The same by other means: a scanner instead of a regular expression; `...` for what has no value."""
    if isinstance(part, dict):
        return {key: done for key, member in part.items() if (done := expected(member, known)) is not ...}
    if isinstance(part, list):
        return [done for item in part if (done := expected(item, known)) is not ...]
    if not isinstance(part, str):
        return part
    pieces: list[Any] = []
    rest = part
    while rest:
        start = rest.find("{{")
        end = rest.find("}}", start)
        if start < 0 or end < 0:
            break
        inner = rest[start + 2 : end]
        if "{" in inner:  # as in "{{{ a }}": the last two braces begin it
            start = rest.rfind("{{", 0, end)
            inner = rest[start + 2 : end]
        pieces += [rest[:start], (inner.strip(),)]
        rest = rest[end + 2 :]
    pieces = [piece for piece in [*pieces, rest] if piece != ""]
    filled = [known.get(piece[0], ...) if isinstance(piece, tuple) else piece for piece in pieces]
    if len(pieces) == 1 and isinstance(pieces[0], tuple):
        return filled[0]
    words = [
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in filled
        if value is not ... and value is not None
    ]
    return "".join(words)


def same(one: object, other: object) -> bool:
    """Equal with equal types all the way down: 1, 1.0 and true are three values."""
    return json.dumps(one) == json.dumps(other) and one == other


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(built(), given_variables, environments)
def test_the_job_is_what_the_template_says(
    template: dict[str, Any], variables: dict[str, Any], env: dict[str, str]
) -> None:
    if not is_good(template):
        return
    known = {name: rule["default"] for name, rule in template["variables"]["properties"].items() if "default" in rule}
    known = {**known, **variables, "env": {**known["env"], **env}, "$SECRET": SECRET}
    wanted = expected(template["job_configuration"], known)
    own = template["job_configuration"].get("env")
    if isinstance(own, dict):
        wanted["env"] = {**{key: value for key, value in known["env"].items() if key not in own}, **wanted["env"]}
    found = rendered(template, {**variables, "env": env})
    assert same(found.job, wanted)
    assert same(found.shown, json.loads(json.dumps(found.job).replace(SECRET, "{{ $SECRET }}")))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(built(), given_variables, environments, environments)
def test_nothing_leaks_from_run_to_run(
    template: dict[str, Any], variables: dict[str, Any], first: dict[str, str], second: dict[str, str]
) -> None:
    one, two = {**variables, "env": first}, {**variables, "env": second}
    before = copy.deepcopy((template, one, two))
    alone = rendered(template, two)
    spoilt = rendered(template, one)
    held = [*containers(spoilt.job), *containers(spoilt.shown)]
    assert len(held) == len({id(one) for one in held}), "no two parts are one and the same"
    spoil(spoilt.job)
    spoil(spoilt.shown)
    assert same(alone.job, rendered(template, two).job)
    assert (template, one, two) == before


def containers(part: Any) -> list[Any]:
    """The part and everything in it that can be changed."""
    below = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
    return [] if below is None else [part, *(found for one in below for found in containers(one))]


def spoil(part: Any) -> None:
    for below in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        spoil(below)
    if isinstance(part, dict):
        part["spoilt"] = True
    elif isinstance(part, list):
        part.append("spoilt")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(built(), given_variables, given_variables)
def test_no_value_changes_the_structure(
    template: dict[str, Any], variables: dict[str, Any], others: dict[str, Any]
) -> None:
    # given: the same variables are there, with other values
    others = {name: others.get(name, "{{ $SECRET }}") for name in variables}
    one, other = rendered(template, variables).job, rendered(template, others).job
    # then: everything that is no placeholder is where it was, and as it was
    assert same(outline(template["job_configuration"], one), outline(template["job_configuration"], other))


def outline(part: Any, job: Any) -> Any:
    """The job without what was filled in. What a list has dropped cannot be told from outside: its length can."""
    if isinstance(part, dict):
        return {key: outline(part[key], job[key]) for key in job if key in part}
    if isinstance(part, list):
        return [type(job).__name__, len(job)]
    return part if not isinstance(part, str) else None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(
        values | configurations,
        lambda below: st.fixed_dictionaries(
            {},
            optional={
                "job_configuration": below,
                "variables": below
                | st.fixed_dictionaries({}, optional={"properties": below, "required": below, "$defs": below}),
            },
        ),
    ),
    values,
    texts,
)
def test_nothing_but_our_refusals_is_raised(template: Any, variables: Any, text: str) -> None:
    try:
        good = templates.checked(template)
        templates.warnings(good)
        templates.typed(good, "a", text)
        templates.check_variables(good, variables, target="it")
    except DispatcherError:
        pass
    if isinstance(template, dict) and isinstance(variables, dict):
        try:
            rendered(template, variables)
        except DispatcherError:
            pass


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(built(), given_variables, environments)
def test_what_fits_can_be_kept_and_read_again(
    template: dict[str, Any], variables: dict[str, Any], env: dict[str, str]
) -> None:
    values = {**variables, "env": env}
    templates.check_variables(template, values, target="it")
    found = rendered(json.loads(json.dumps(template)), json.loads(json.dumps(values)))
    assert same(found.job, rendered(template, values).job)
    assert json.loads(json.dumps(found.shown)) == found.shown

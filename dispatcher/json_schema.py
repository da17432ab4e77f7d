"""The `jsonschema` library behind bounds: one value against one schema, Draft 2020-12, faults in our words. Pure.

The library costs 70 ms to load, so it is loaded by the first call and `schemas.py` calls only when it must. Schemas
and values may be hostile:

- a `$ref` leads inside its document only: the registry knows no other and can fetch nothing;
- patterns are matched by the engine that pydantic brings, whose time grows with the text only. One that it does not
  know (look-around, back-references) is no rule here; `schema_guard.py` refuses it where a template is written;
- one check evaluates at most `MOST_STEPS` keywords, so neither cycles nor alternatives of alternatives run for long.

`unevaluatedProperties` and `unevaluatedItems` are no rules here either, and refused there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

from dispatcher.fault_words import at, unknown, worded

if TYPE_CHECKING:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator
    from pydantic import TypeAdapter

    Keyword = Callable[[Validator, Any, Any, Any], Iterator[ValidationError] | None]

MOST_FAULTS = 50
MOST_STEPS = 100_000  # about a second, measured with jsonschema 4.26 on Python 3.11
LONGEST_PATTERN, LONGEST_MATCHED = 1_000, 10_000
# How a text must be spelt for a `format`: in a template as the standard says, for a flow as it will read it itself.
Formats = Literal["template", "flow"]
FORMATS: Mapping[Formats, frozenset[str]] = {
    "template": frozenset({"date", "email", "ipv4", "ipv6", "uuid"}),  # those that the library checks by itself
    "flow": frozenset({"date", "date-time", "duration", "time", "uuid"}),
}
_JSON_WORDS = {"None": "null", "True": "true", "False": "false"}
_steps_left: ContextVar[list[int]] = ContextVar("_steps_left")


class _TooCostly(Exception):
    """The budget of a check is used up."""


def bounded(found: Iterator[str]) -> list[str]:
    """The first faults of one check; whatever goes wrong while they are looked for is one more of them."""
    _steps_left.set([MOST_STEPS])
    told: list[str] = []
    try:
        for fault in found:
            if len(told) == MOST_FAULTS:
                told.append("and more")
                break
            told.append(fault)
    except _TooCostly:
        told.append(f"this takes more than {MOST_STEPS} steps to check: simplify the schema, or give less")
    except RecursionError:
        told.append("this cannot be checked: the schema refers to itself without end, or is nested too deeply")
    except Exception as error:  # noqa: BLE001 - the schema may be anything, and the library says so in many ways
        told.append(worded("", f"this cannot be checked, the schema is broken: {type(error).__name__}: {error}"))
    return told


def faults(schema: Any, value: Any, *, root: Mapping[str, Any], path: str, formats: Formats) -> Iterator[str]:
    """What is wrong, in words; `schema` is a part of `root`, in which references are looked up. Only in `bounded`."""
    from referencing import Registry

    checker: Any = _checker()(root, registry=Registry())  # Any: the stubs do not know `evolve`
    checker = checker.evolve(schema=schema, format_checker=_formats(formats))
    for error in checker.iter_errors(value):
        yield from told(error, path)


def dialect_faults(schema: Any, path: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the schema itself by Draft 2020-12, each with its place. Only in `bounded`."""
    from jsonschema import Draft202012Validator
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # the drafts, as files

    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=REGISTRY).iter_errors(schema):
        for words in told(error, path):
            yield tuple(error.absolute_path), words


def told(error: ValidationError, path: str) -> Iterator[str]:
    """The library's error in words, each alternative of an `anyOf` by what is wrong with it."""
    here = at(path, *error.absolute_path)
    if error.validator not in ("anyOf", "oneOf") or not error.context:
        yield worded(here, _as_json(error.message))
        return
    ways: dict[Any, list[ValidationError]] = {}
    for child in error.context:
        ways.setdefault(child.schema_path[0], []).append(child)
    of_that_type = [
        way for way in ways.values() if any(one.validator != "type" or one.relative_path for one in way)
    ]  # the others say only that another type would do
    if not of_that_type:
        types = dict.fromkeys(repr(name) for way in ways.values() for name in _listed(way[0].validator_value))
        yield worded(here, _as_json(f"{error.instance!r} is not of type {', '.join(types)}"))
    elif len(of_that_type) == 1:
        for child in of_that_type[0]:
            yield from told(child, path)
    else:
        each = [worded("", "; ".join(fault for child in way for fault in told(child, path))) for way in of_that_type]
        yield worded(here, f"none of the alternatives fits ({' | '.join(each)})")


def _as_json(message: str) -> str:
    """The library's message, which begins with the value as Python writes it: nobody has written `None`."""
    value, space, rest = message.partition(" ")
    return f"{_JSON_WORDS.get(value, value)}{space}{rest}"


@lru_cache(maxsize=16)  # one compiled pattern may hold 10 MB
def pattern_of(pattern: object) -> Callable[[str], bool] | str:
    """A test whether the pattern is found in a text; or, in words, why it cannot be used."""
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    if not isinstance(pattern, str):
        return "it is not text"
    if len(pattern) > LONGEST_PATTERN:
        return f"it is longer than {LONGEST_PATTERN} characters"
    try:
        compiled = SchemaValidator(core_schema.str_schema(pattern=pattern))
    except (SchemaError, ValueError) as error:
        said = str(error).strip().rpartition("\n")[2].strip()
        return said.removeprefix("SchemaError: ").removeprefix("error: ").rstrip(".")
    return compiled.isinstance_python


def is_found(pattern: object, text: str) -> bool:
    """Whether the pattern is found in the text; True as well when that cannot be told."""
    test = pattern_of(pattern)
    return isinstance(test, str) or len(text) > LONGEST_MATCHED or test(text)


@cache
def _formats(of: Formats) -> FormatChecker:
    from jsonschema import FormatChecker

    if of == "template":
        return FormatChecker(FORMATS[of])
    from datetime import date, datetime, time, timedelta
    from uuid import UUID

    from pydantic import TypeAdapter, ValidationError

    kinds = {"date": date, "date-time": datetime, "duration": timedelta, "time": time, "uuid": UUID}
    checker = FormatChecker(())
    for name in FORMATS[of]:
        checker.checks(name, raises=ValidationError)(partial(_is_read, TypeAdapter(kinds[name])))
    return checker


def _is_read(adapter: TypeAdapter[Any], value: object) -> bool:
    if isinstance(value, str):
        adapter.validate_json(json.dumps(value))  # as the flow's process does; raises
    return True


@cache
def _checker() -> type[Validator]:
    from jsonschema import Draft202012Validator, validators

    extend: Any = validators.extend  # without type information
    own: dict[str, Keyword | None] = {
        "required": _required,
        "additionalProperties": _additional_properties,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "unevaluatedProperties": _no_rule,
        "unevaluatedItems": _no_rule,
    }
    all_of_them: dict[str, Any] = {**Draft202012Validator.VALIDATORS, **own}
    types = Draft202012Validator.TYPE_CHECKER.redefine(
        "array",
        lambda _, value: isinstance(value, list | tuple),  # Python callers give both
    )
    counted = {word: _counted(keyword) for word, keyword in all_of_them.items()}
    checker: type[Validator] = extend(Draft202012Validator, counted, type_checker=types)
    return checker


def _counted(keyword: Keyword) -> Keyword:
    def evaluated(validator: Validator, rule: Any, value: Any, schema: Any) -> Iterator[ValidationError] | None:
        left = _steps_left.get()
        left[0] -= 1
        if left[0] < 0:
            raise _TooCostly
        return keyword(validator, rule, value, schema)

    return evaluated


def _no_rule(validator: Validator, rule: Any, value: Any, schema: Any) -> None:
    return None


def _required(validator: Validator, names: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(value, dict):
        for name in names:
            if name not in value:
                yield ValidationError(f"{name!r} is missing")


def _additional_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in value if isinstance(value, dict) else ():
        if name in known or any(is_found(pattern, name) for pattern in patterns):
            continue
        if rule is False:
            yield ValidationError(unknown(name, known))
        else:
            yield from validator.descend(value[name], rule, path=name)


def _pattern(validator: Validator, pattern: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not is_found(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    for pattern, rule in patterns.items() if isinstance(value, dict) else ():
        for name in value:
            if is_found(pattern, name):
                yield from validator.descend(value[name], rule, path=name, schema_path=pattern)


def _listed(names: Any) -> list[Any]:
    return names if isinstance(names, list) else [names]

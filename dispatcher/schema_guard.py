"""Whether a JSON schema that somebody wrote can be relied on: valid, bounded, closed in itself. Pure, no I/O.

Asked where a template is written, so that later checks of values against it can only be about the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any
from urllib.parse import unquote

from dispatcher import json_schema, schemas
from dispatcher.fault_words import at, kind, worded

MOST_PARTS = 5_000
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ONE = ("additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else")
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
# What these hold judges the same value, so a way round through them alone never ends.
_SAME_VALUE = frozenset({"not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas"})
_REFUSED = {
    "$dynamicRef": "refer with $ref",
    "$dynamicAnchor": "refer with $ref to '#/$defs/...'",
    "$anchor": "refer with $ref to '#/$defs/...'",
    "unevaluatedProperties": "say additionalProperties",
    "unevaluatedItems": "say items",
}
Steps = tuple[str | int, ...]


def faults(schema: Any, path: str) -> list[str]:
    """What is wrong with the schema itself, in words with their paths; empty when nothing is."""
    if not isinstance(schema, Mapping):
        return [f"{path}: a JSON schema is an object, not {kind(schema)}"]
    broken = schemas.json_faults(schema, path)
    return broken or json_schema.bounded(_faults(schema, path))


def _faults(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    parts: dict[Steps, Any] = {}
    for steps, part in _parts(schema, ()):
        parts[steps] = part
        if len(parts) > MOST_PARTS:
            yield f"{path}: a schema of more than {MOST_PARTS} parts is too large"
            return
    for steps, part in parts.items():
        if isinstance(part, Mapping):
            yield from _keyword_faults(part, at(path, *steps), is_root=not steps)
    yield from _reference_faults(parts, path)
    yield from json_schema.dialect_faults(schema, path)


def _parts(schema: Any, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    """Every place in the document that is a schema. What a `default` or an `enum` holds is data."""
    yield steps, schema
    if not isinstance(schema, Mapping):
        return
    for word, held in schema.items():
        if word in _ONE:
            yield from _parts(held, (*steps, word))
        elif word in _MANY and isinstance(held, list):
            for index, one in enumerate(held):
                yield from _parts(one, (*steps, word, index))
        elif word in _NAMED and isinstance(held, Mapping):
            for name, one in held.items():
                yield from _parts(one, (*steps, word, name))


def _keyword_faults(part: Mapping[str, Any], here: str, *, is_root: bool) -> Iterator[str]:
    for word, advice in _REFUSED.items():
        if word in part:
            yield worded(here, f"{word!r} cannot be used here: {advice}")
    if "$id" in part and not is_root:
        yield worded(here, "'$id' cannot be used here: the schema is one document")
    if str(part.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        yield worded(here, f"'$schema' must be {DIALECT}, or be left out")
    patterns = [part["pattern"]] if "pattern" in part else []
    held = part.get("patternProperties")
    for pattern in [*patterns, *(held if isinstance(held, Mapping) else ())]:
        why = json_schema.pattern_of(pattern) if isinstance(pattern, str) else ""  # the dialect tells what is no text
        if isinstance(why, str) and why:
            yield worded(here, f"the pattern {pattern!r} cannot be used: {why}")


def _reference_faults(parts: Mapping[Steps, Any], path: str) -> Iterator[str]:
    places = {_pointer(steps): steps for steps in parts}
    judged_next: dict[Steps, set[Steps]] = {}
    for steps, part in parts.items():
        following = judged_next.setdefault(steps, set())
        following.update(below for below in _of_same_value(steps, part) if below in parts)
        if not isinstance(part, Mapping) or not isinstance(target := part.get("$ref"), str):
            continue
        here = at(path, *steps)
        if not target.startswith("#"):
            yield worded(here, f"$ref {target!r} leads outside the document: nothing is fetched, put it under '$defs'")
        elif unquote(target.removeprefix("#")) not in places:
            yield worded(here, f"$ref {target!r} leads to no schema in this document")
        else:
            following.add(places[unquote(target.removeprefix("#"))])
    try:
        TopologicalSorter(judged_next).prepare()
    except CycleError as error:
        around = [at(path, *steps) for steps in error.args[1]]
        yield worded(around[0], "$ref leads back to itself without end")


def _of_same_value(steps: Steps, part: Any) -> Iterator[Steps]:
    for word in _SAME_VALUE & (part.keys() if isinstance(part, Mapping) else set()):
        held = part[word]
        if isinstance(held, list):
            yield from ((*steps, word, index) for index in range(len(held)))
        elif word == "dependentSchemas" and isinstance(held, Mapping):
            yield from ((*steps, word, name) for name in held)
        else:
            yield (*steps, word)


def _pointer(steps: Steps) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)

"""Whether a JSON schema that somebody wrote can be relied on: valid, bounded, closed in itself. Pure, no I/O.

Asked where a template is written, so that later checks of values against it can only be about the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def judged(schema: Any, path: str) -> tuple[list[str], set[Steps]]:
    """What is wrong with the schema itself, in words with their paths, empty when nothing is; and its sound parts.

    A part is sound when neither it nor anything it holds or refers to is at fault, so values can be judged by it.
    """
    if not isinstance(schema, Mapping):
        return [f"{path}: a JSON schema is an object, not {kind(schema)}"], set()
    if broken := schemas.json_faults(schema, path):
        return broken, set()
    parts: dict[Steps, Any] = {}
    faulty: list[Steps] = []

    def told() -> Iterator[str]:
        for steps, words in _faults(schema, path, parts):
            faulty.append(steps)
            yield words

    found = json_schema.bounded(told())
    # Else there were more than are told, or the search broke off, and not every place at fault is known.
    is_whole = len(found) == len(faulty) <= json_schema.MOST_FAULTS and len(parts) <= MOST_PARTS
    return found, parts.keys() - _leading_to(faulty, parts) if is_whole else set()


def _faults(schema: Mapping[str, Any], path: str, parts: dict[Steps, Any]) -> Iterator[tuple[Steps, str]]:
    """Each fault with its place; fills `parts`."""
    for steps, part in _parts(schema, ()):
        parts[steps] = part
        if len(parts) > MOST_PARTS:
            yield (), f"{path}: a schema of more than {MOST_PARTS} parts is too large"
            return
    for steps, part in parts.items():
        if isinstance(part, Mapping):
            for words in _keyword_faults(part, at(path, *steps), is_root=not steps):
                yield steps, words
    yield from _reference_faults(parts, path)
    yield from json_schema.dialect_faults(schema, path)


def _leading_to(faulty: Iterable[Steps], parts: Mapping[Steps, Any]) -> set[Steps]:
    """The parts at fault, and all that hold one or refer to one."""
    places = {_pointer(steps): steps for steps in parts}
    users: dict[Steps, set[Steps]] = {}
    for steps, part in parts.items():
        around = next((steps[:end] for end in range(len(steps) - 1, -1, -1) if steps[:end] in parts), None)
        if around is not None:
            users.setdefault(steps, set()).add(around)
        if isinstance(part, Mapping) and (to := places.get(_target(part))) is not None:
            users.setdefault(to, set()).add(steps)
    found: set[Steps] = set()
    left = [next(steps[:end] for end in range(len(steps), -1, -1) if steps[:end] in parts) for steps in faulty]
    while left:
        if (steps := left.pop()) not in found:
            found.add(steps)
            left += users.get(steps, ())
    return found


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


def _reference_faults(parts: Mapping[Steps, Any], path: str) -> Iterator[tuple[Steps, str]]:
    places = {_pointer(steps): steps for steps in parts}
    judged_next: dict[Steps, set[Steps]] = {}
    for steps, part in parts.items():
        following = judged_next.setdefault(steps, set())
        following.update(below for below in _of_same_value(steps, part) if below in parts)
        if not isinstance(part, Mapping) or not isinstance(target := part.get("$ref"), str):
            continue
        here = at(path, *steps)
        if not target.startswith("#"):
            advice = "nothing is fetched, put it under '$defs'"
            yield steps, worded(here, f"$ref {target!r} leads outside the document: {advice}")
        elif _target(part) not in places:
            yield steps, worded(here, f"$ref {target!r} leads to no schema in this document")
        else:
            following.add(places[_target(part)])
    try:
        TopologicalSorter(judged_next).prepare()
    except CycleError as error:
        first = error.args[1][0]
        yield first, worded(at(path, *first), "$ref leads back to itself without end")


def _target(part: Mapping[str, Any]) -> str:
    """Where the part's `$ref` leads in its document; `-` when nowhere."""
    target = part.get("$ref")
    return unquote(target.removeprefix("#")) if isinstance(target, str) and target.startswith("#") else "-"


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

"""Values against JSON schemas: every fault at once, each with its path, and the value that a text means. Pure.

What `templates.py` and `parameters.py` share. What a few plain rules can settle is settled here; only the rest loads
the library behind `json_schema.py`. Names of a schema's own object are typed by people, so one that it does not
declare is a fault unless it says `additionalProperties` otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from dispatcher import json_schema
from dispatcher.fault_words import at, unknown, worded
from dispatcher.json_schema import Formats

MOST_DEPTH = 40  # deeper, and the library meets Python's recursion limit
_TEXTS = frozenset({"title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"})
ANNOTATIONS = _TEXTS | {"$schema", "$id", "$defs", "definitions"}  # they allow and refuse nothing by themselves
_BY_HAND = ANNOTATIONS | {"properties", "patternProperties", "additionalProperties", "required"}
_PLAIN_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


def faults(
    schema: Mapping[str, Any], values: Mapping[str, Any], *, is_complete: bool = True, formats: Formats = "flow"
) -> list[str]:
    """What is wrong with the named values, in words; empty when nothing is.

    `is_complete` False: more will come, so nothing is missing yet, and only the single values are judged.
    """
    return json_schema.bounded(_object_faults(schema, values, is_complete, formats))


def value_faults(
    schema: Any, value: Any, *, root: Mapping[str, Any], path: str, formats: Formats = "flow"
) -> list[str]:
    """What is wrong with one value; `schema` is a part of `root`, in which references are looked up."""
    return json_schema.bounded(_value_faults(schema, value, root, path, formats))


def json_faults(value: Any, path: str = "") -> list[str]:
    """Where the value is not JSON, or is nested too deeply."""
    return list(islice(_json_faults(value, path, 0), json_schema.MOST_FAULTS))


def typed(
    schema: Any, text: str, *, root: Mapping[str, Any], path: str, formats: Formats = "flow"
) -> tuple[Any, list[str]]:
    """The value that a text of the command line means by the schema's type, and what is wrong with it.

    Where nothing but text fits it stays text, even if it looks like a number. Else it is JSON if that fits, else text.
    """

    def wrong(value: Any) -> list[str]:
        found = json_faults(value, path)
        return found or value_faults(schema, value, root=root, path=path, formats=formats)

    wrong_text = wrong(text)
    if _types(schema, root) == {"string"}:
        return text, wrong_text
    try:
        value = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return text, wrong_text
    wrong_value = wrong(value)
    return (text, []) if wrong_value and not wrong_text else (value, wrong_value)


def resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """What a `$ref` to a place in the document leads to, as long as it does; anything else is returned as it is."""
    seen: set[str] = set()
    while isinstance(schema, Mapping) and isinstance(pointer := schema.get("$ref"), str) and pointer not in seen:
        seen.add(pointer)
        target: Any = root
        for step in pointer.removeprefix("#").split("/")[1:]:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        schema = target
    return schema


def _object_faults(
    schema: Mapping[str, Any], values: Mapping[str, Any], is_complete: bool, formats: Formats
) -> Iterator[str]:
    if broken := json_faults(values):
        yield from broken
        return
    known: Mapping[str, Any] = schema.get("properties") or {}
    patterns: Mapping[str, Any] = schema.get("patternProperties") or {}
    others = schema.get("additionalProperties", False)
    rules: list[tuple[str, Any]] = []
    for name in values:
        own = [known[name]] if name in known else []
        own += [rule for pattern, rule in patterns.items() if json_schema.is_found(pattern, name)]
        if own or others is not False:
            rules += [(name, rule) for rule in own or [others]]
        else:
            yield worded("", unknown(name, known))
    if is_complete:
        yield from (f"{name!r} is missing" for name in schema.get("required") or () if name not in values)
    for name, rule in rules:
        yield from _value_faults(rule, values[name], schema, at("", name), formats)
    if is_complete:
        whole = {word: rule for word, rule in schema.items() if word not in _BY_HAND}
        yield from _value_faults(whole, values, schema, "", formats)


def _value_faults(schema: Any, value: Any, root: Mapping[str, Any], path: str, formats: Formats) -> Iterator[str]:
    if not fits_plainly(schema, value, formats=formats):
        yield from json_schema.faults(schema, value, root=root, path=path, formats=formats)


def fits_plainly(schema: Any, value: Any, *, formats: Formats = "flow") -> bool:
    """True: it certainly fits, by the few rules that most schemas have. False says nothing: the library decides."""
    if not isinstance(schema, Mapping):
        return schema is True
    for word, rule in schema.items():
        if word in ANNOTATIONS:
            continue
        if word == "format":
            fits = not isinstance(value, str) or not isinstance(rule, str) or rule not in json_schema.FORMATS[formats]
        elif word == "type":
            fits = any(_is_plainly(value, name) for name in (rule if isinstance(rule, list) else [rule]))
        elif word in ("enum", "const"):
            fits = isinstance(value, str) and value in (rule if isinstance(rule, list) else [rule])
        elif word == "anyOf" and isinstance(rule, list):
            fits = any(fits_plainly(one, value, formats=formats) for one in rule)
        elif word == "items" and "prefixItems" not in schema:
            parts = value if isinstance(value, list | tuple) else ()
            fits = all(fits_plainly(rule, part, formats=formats) for part in parts)
        elif word == "additionalProperties" and not {"properties", "patternProperties"} & schema.keys():
            members = value.values() if isinstance(value, dict) else ()
            fits = all(fits_plainly(rule, member, formats=formats) for member in members)
        elif word in ("minimum", "exclusiveMinimum") and type(rule) in (int, float):
            is_number = _is_plainly(value, "number")
            fits = not is_number or value > rule or (value == rule and word == "minimum")
        elif word in ("minLength", "minItems") and type(rule) is int:
            fits = not isinstance(value, str if word == "minLength" else (list, tuple)) or len(value) >= rule
        else:
            fits = False
        if not fits:
            return False
    return True


def _is_plainly(value: Any, name: object) -> bool:
    kinds = _PLAIN_TYPES.get(name, ()) if isinstance(name, str) else ()
    return isinstance(value, kinds) and (name == "boolean" or not isinstance(value, bool))


def _types(schema: Any, root: Mapping[str, Any], depth: int = 0) -> set[str]:
    """The names of the types that may fit, as far as the schema says them plainly; else all of them."""
    schema = resolved(schema, root)
    if isinstance(schema, Mapping) and depth < MOST_DEPTH:
        names = schema.get("type")
        if isinstance(names, str):
            return {names}
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return set(names)
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return {name for one in schema[word] for name in _types(one, root, depth + 1)}
        if isinstance(schema.get("allOf"), list):
            return set(_PLAIN_TYPES).intersection(*(_types(one, root, depth + 1) for one in schema["allOf"]))
    return set(_PLAIN_TYPES)


def _json_faults(value: Any, path: str, depth: int) -> Iterator[str]:
    if depth > MOST_DEPTH:
        yield worded(path, f"this is nested more than {MOST_DEPTH} levels deep")
    elif isinstance(value, dict):
        for name, member in value.items():
            if isinstance(name, str):
                yield from _json_faults(member, at(path, name), depth + 1)
            else:
                yield worded(path, f"the key {name!r} is not text")
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _json_faults(member, at(path, index), depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield worded(path, f"{value!r} is not a number that JSON has")
    elif not isinstance(value, str | int | float | None):
        yield worded(path, f"a {type(value).__name__} is not a value that JSON has")


def _refused(constant: str) -> None:
    raise ValueError(constant)

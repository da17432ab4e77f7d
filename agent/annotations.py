"""What a flow's annotations ask for: which of them plain JSON satisfies; the schema and the conversion of the rest.

Loaded by its path into the process of a flow, by `agent/child.py` and `agent/inspection.py`, and only when there is
something to look at; nothing of ours is imported. pydantic knows the types; where it is not to be had, or does not
know one, an annotation is no more than a remark, as everywhere in Python: the schema allows anything and the value is
passed as it came.
"""

from __future__ import annotations

import json
import sys
import typing
from functools import partial
from importlib.machinery import PathFinder
from types import NoneType, SimpleNamespace, UnionType

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_PLAIN = (int, str, float, bool, list, dict, object, None, NoneType, typing.Any)
_JSON_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", list: "array", dict: "object"}
# By name: what is called so in `sys.path` may be the user's.
_SPELT = {("datetime", name) for name in ("date", "datetime", "time", "timedelta")} | {("uuid", "UUID")}
_FOUND_LIMIT = 60  # characters of a value in a message


def function_of(flow: Any) -> Any:
    """The function that is behind a decorated one, a method, a partial, a class or an object that can be called."""
    for _ in range(100):
        if hasattr(flow, "__wrapped__"):
            flow = flow.__wrapped__
        elif hasattr(flow, "__globals__"):
            break
        elif isinstance(flow, partial):
            flow = flow.func
        else:
            flow = flow.__init__ if isinstance(flow, type) else type(flow).__call__  # type: ignore[misc]
    return flow


def resolved(flow: Callable[..., Any], annotations: Mapping[str, object]) -> dict[str, object]:
    """The annotations with names in place of text (`from __future__ import annotations`), as far as they are known."""
    known = getattr(function_of(flow), "__globals__", {})
    found: dict[str, object] = {}
    for name, annotation in annotations.items():
        one = SimpleNamespace(__annotations__={name: annotation})
        try:
            found[name] = typing.get_type_hints(one, globalns=known, include_extras=True)[name]
        except Exception:  # noqa: BLE001 - imported for type checkers only, or no type at all
            found[name] = typing.Any
    return found


def is_plain(hint: Any) -> bool:
    """Whether a JSON value that fits is what is wanted already: `int`, `list[str] | None`, `dict[str, Any]`."""
    return _is_made_of(lambda part: any(part is plain for plain in _PLAIN), hint)


def _is_made_of(is_part: Callable[[Any], bool], hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType, list):
        return all(_is_made_of(is_part, arg) for arg in args)
    if origin is dict:
        return not args or (args[0] in (str, typing.Any) and _is_made_of(is_part, args[1]))
    if origin is typing.Literal:
        return all(type(arg) in (int, str, bool, NoneType) for arg in args)
    return is_part(hint)


def fitted(
    flow: Callable[..., Any], parameters: dict[str, Any], path: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The parameters as the annotations want them, and what is wrong with them in words.

    `path` is where pydantic is looked for: `sys.path` without the user's folders.
    """
    annotations = _annotations(flow)
    hints = resolved(flow, {name: annotations[name] for name in parameters if name in annotations})
    converted: dict[str, Any] = {}
    faults: list[str] = []
    for name, hint in hints.items():
        adapter = None if is_plain(hint) else adapter_of(hint, path)
        if adapter is None:
            continue
        from pydantic import ValidationError

        try:
            converted[name] = adapter.validate_json(json.dumps(parameters[name]))
        except ValidationError as error:
            faults += [_fault(name, fault) for fault in error.errors(include_url=False)]
    return parameters | converted, faults


def _annotations(flow: Any) -> Mapping[str, object]:
    if hasattr(flow, "__code__"):
        return typing.cast("Mapping[str, object]", flow.__annotations__)
    import inspect

    try:
        found = inspect.signature(flow).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {one.name: one.annotation for one in found if one.annotation is not one.empty}


def _fault(name: str, fault: Any) -> str:
    place = ".".join([name, *(str(step) for step in fault["loc"])])
    found = json.dumps(fault["input"], ensure_ascii=False, default=repr)
    found = found if len(found) <= _FOUND_LIMIT else found[:_FOUND_LIMIT] + "…"
    return f"{place}: {fault['msg'][:1].lower()}{fault['msg'][1:]}, found {found}"


def adapter_of(hint: Any, path: Sequence[str]) -> Any:
    """pydantic's adapter of the type; None without pydantic, and for what it does not know."""
    if not _has_pydantic(path):
        return None
    from pydantic import TypeAdapter

    try:
        adapter: Any = TypeAdapter(_supported(hint))
    except Exception:  # noqa: BLE001 - an annotation may be anything, also code of the user that fails
        return None
    return adapter if adapter.pydantic_complete else None


def _has_pydantic(path: Sequence[str]) -> bool:
    """Imports it as if the user's folders were not there: a `decimal.py` of theirs is not what it asks for. A user's
    own module named `pydantic` is left alone; then there is none."""
    before = sys.path
    folders = [folder for folder in before if folder not in path]
    if "pydantic" not in sys.modules and PathFinder.find_spec("pydantic", folders) is not None:
        return False
    sys.path = list(path)
    try:
        from pydantic import TypeAdapter, ValidationError
    except Exception:  # noqa: BLE001 - not installed, too old, or not what its name says
        return False
    finally:
        sys.path = before
    return hasattr(TypeAdapter, "json_schemas") and isinstance(ValidationError, type)


def _supported(hint: Any) -> Any:
    """Before Python 3.12 pydantic takes the TypedDict of typing_extensions only: the same one is made of that."""
    if sys.version_info >= (3, 12) or not typing.is_typeddict(hint) or type(hint).__module__ != "typing":
        return hint
    import typing_extensions

    make: Any = typing_extensions.TypedDict
    fields = {}
    for name, kind in typing.get_type_hints(hint, include_extras=True).items():
        inner = typing.get_args(kind)[0] if typing.get_origin(kind) in (typing.Required, typing.NotRequired) else kind
        fields[name] = inner if name in hint.__required_keys__ else typing.NotRequired[inner]
    return make(hint.__name__, fields)


def schemas(hints: Mapping[str, object], path: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The JSON schema of each type, `{}` for anything, and what they refer to (`$defs`)."""
    found = {name: _simple(hint) for name, hint in hints.items()}
    adapters = {name: adapter_of(hint, path) for name, hint in hints.items() if not _is_simple(hint)}
    usable = [(name, "validation", adapter) for name, adapter in adapters.items() if _has_schema(adapter)]
    if not usable:
        return found, {}
    from pydantic import TypeAdapter

    known, shared = TypeAdapter.json_schemas(usable)  # type: ignore[arg-type]
    for (name, _), schema in known.items():
        found[name] = schema if _is_made_of(_is_read_as_it_says, hints[name]) else _any_spelling(schema)
    return found, _any_spelling(shared.get("$defs", {}))


def _is_read_as_it_says(hint: Any) -> bool:
    """Whether pydantic takes the texts that its schema's `format` stands for, and no others."""
    return is_plain(hint) or (getattr(hint, "__module__", ""), getattr(hint, "__qualname__", "")) in _SPELT


def _any_spelling(schema: Any) -> Any:
    """Without `format`: a type with code of the user may read `today` as a date."""
    if isinstance(schema, list):
        return [_any_spelling(part) for part in schema]
    if isinstance(schema, dict):
        return {
            word: rule if word in ("default", "const", "enum", "examples") else _any_spelling(rule)
            for word, rule in schema.items()
            if not (word == "format" and isinstance(rule, str))  # else it is the name of a property
        }
    return schema


def _is_simple(hint: Any) -> bool:
    return any(hint is simple for simple in (*_JSON_TYPES, None, NoneType, object, typing.Any))


def _simple(hint: Any) -> dict[str, Any]:
    """What can be said without pydantic: of `list[int]` that it is a list."""
    if hint is None or hint is NoneType:
        return {"type": "null"}
    if typing.is_typeddict(hint):
        return {"type": "object"}
    kind = next((word for json_type, word in _JSON_TYPES.items() if json_type is (typing.get_origin(hint) or hint)), "")
    return {"type": kind} if kind else {}


def _has_schema(adapter: Any) -> bool:
    if adapter is None:
        return False
    try:
        adapter.json_schema()
    except Exception:  # noqa: BLE001 - a type that JSON cannot have, such as Callable
        return False
    return True

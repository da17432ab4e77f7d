"""Placeholders of a base job template, and the job that comes of filling them in. Pure, no I/O.

One pass over the template and never over what was filled in, so a value is data, whatever it looks like:

- `"{{ name }}"` alone is replaced by the value with its type; without a value its key or list item is dropped;
- `"a {{ name }} b"` takes the value as text: null or none is empty, booleans, numbers, lists and objects are JSON;
- `{{ $NAME }}` is the consumer's environment variable, if the consumer allows it; one that is not set is no value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
_PLACEHOLDER = re.compile(r"\{\{\s*(?:\$(?P<env>[A-Za-z_][A-Za-z0-9_]*)|(?P<name>[^\s{}$][^\s{}]*))\s*\}\}")
_NOTHING: Any = object()
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Rendered:
    """`shown` is `job` with `{{ $NAME }}` as written: what may be kept and seen by others. `secrets`: what stands
    in `job` instead, by name."""

    job: Document
    shown: Document
    secrets: Mapping[str, str]

    def veiled(self, text: str) -> str:
        """The text, a message about the job, with `{{ $NAME }}` where it quotes what was filled in. Values too short to
        be secrets stay: they would be found in the middle of words."""
        for name, value in sorted(self.secrets.items(), key=lambda item: -len(item[1])):
            if len(value) >= _SHORTEST_SECRET:
                for quoted in (value, repr(value)[1:-1]):
                    text = text.replace(quoted, f"{{{{ ${name} }}}}")
        return text


def placeholders(part: Any) -> Iterator[tuple[str, str]]:
    """Every placeholder at any depth: `("name", "image")` for a variable, `("env", "HOME")` of the environment."""
    if isinstance(part, str):
        for match in _PLACEHOLDER.finditer(part) if "{{" in part else ():
            yield str(match.lastgroup), match[str(match.lastgroup)]
    elif isinstance(part, dict | list | tuple):
        for below in part.values() if isinstance(part, dict) else part:
            yield from placeholders(below)


def is_malformed(text: str) -> bool:
    """Whether braces are left over that begin no placeholder."""
    return "{{" in text and "{{" in _PLACEHOLDER.sub(" ", text)


def filled_in(
    configuration: Mapping[str, Any], values: Mapping[str, Any], environ: Mapping[str, str], *, asked: Collection[str]
) -> Rendered:
    """The job of one run. `env` of `values` is merged under a hard-coded one; leave it out where it must not be.

    `asked`: the variables of the environment that the configuration reads.
    """
    job = _job(configuration, values, environ)
    shown = _job(configuration, values, None) if asked else copied(job)
    return Rendered(job, shown, {name: environ[name] for name in asked if name in environ})


def copied(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        return {name: copied(member) for name, member in value.items()}
    return [copied(member) for member in value] if isinstance(value, list | tuple) else value


def _job(configuration: Mapping[str, Any], values: Mapping[str, Any], environ: Mapping[str, str] | None) -> Document:
    job: Document = _filled(configuration, values, environ)
    own, added = configuration.get("env"), values.get("env")
    if isinstance(own, dict) and isinstance(added, dict):
        # A key that the template names is the template's, even when it was dropped for want of a value.
        job["env"] = {name: copied(value) for name, value in added.items() if name not in own} | job["env"]
    return job


def _filled(part: Any, values: Mapping[str, Any], environ: Mapping[str, str] | None) -> Any:
    """A copy with its placeholders filled in; `_NOTHING` for one that has no value. `environ` None: left as written."""
    if isinstance(part, str):
        return _filled_text(part, values, environ) if "{{" in part else part
    if isinstance(part, dict):
        filled = {key: _filled(member, values, environ) for key, member in part.items()}
        return {key: member for key, member in filled.items() if member is not _NOTHING}
    if isinstance(part, list | tuple):
        items = [_filled(item, values, environ) for item in part]
        return [item for item in items if item is not _NOTHING]
    return part


def _filled_text(text: str, values: Mapping[str, Any], environ: Mapping[str, str] | None) -> Any:
    if whole := _PLACEHOLDER.fullmatch(text):
        return _value_of(whole, values, environ)
    return _PLACEHOLDER.sub(lambda match: _text_of(_value_of(match, values, environ)), text)


def _value_of(match: re.Match[str], values: Mapping[str, Any], environ: Mapping[str, str] | None) -> Any:
    if match["name"] is not None:
        return copied(values.get(match["name"], _NOTHING))
    return match[0] if environ is None else environ.get(match["env"], _NOTHING)


def _text_of(value: Any) -> str:
    if value is _NOTHING or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

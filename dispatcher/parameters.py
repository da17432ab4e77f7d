"""Parameters of a run against the schema that was read off the flow's signature: pure, no I/O.

The schema is the part of JSON schema that a signature can say: `properties`, `required`,
`additionalProperties`. A deployment without one (a command, or deployed with --no-check) takes
anything. All faults are found before anything is raised, so that nobody has to fix them one by one.
Types are not looked at here; a new kind of fault is one more line in `faults`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from dispatcher.errors import ParametersInvalid


def check(
    schema: Mapping[str, Any] | None,
    parameters: Mapping[str, Any],
    *,
    flow: str,
    is_complete: bool = True,
) -> None:
    """Raises `ParametersInvalid`, which names every fault and lists what the flow knows.

    `is_complete`: these are all the parameters there will be, so none that is required may be missing. A
    deployment's own parameters are not complete: the rest comes with each run.
    """
    found = faults(schema, parameters, is_complete=is_complete)
    if found:
        told = "; ".join(found)
        raise ParametersInvalid(f"The parameters do not fit {flow}: {told}. {_known(schema or {})}")


def faults(schema: Mapping[str, Any] | None, parameters: Mapping[str, Any], *, is_complete: bool = True) -> list[str]:
    """What is wrong, in words; empty when nothing is."""
    if schema is None:
        return []
    known: Mapping[str, Any] = schema.get("properties") or {}
    found = []
    if not schema.get("additionalProperties", False):
        found += [f"{name!r} is not known{nearest(name, known)}" for name in parameters if name not in known]
    if is_complete:
        found += [f"{name!r} is missing" for name in schema.get("required") or () if name not in parameters]
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'day'?)` for a slip of the finger, else nothing."""
    close = get_close_matches(name.lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _known(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required") or ())
    names = [f"{name} (required)" if name in required else name for name in schema.get("properties") or {}]
    if not names:
        return "It takes no parameters." if not schema.get("additionalProperties") else "It takes any."
    more = ", and any other" if schema.get("additionalProperties") else ""
    return f"It knows: {', '.join(names)}{more}."

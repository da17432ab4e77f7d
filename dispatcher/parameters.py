"""Parameters of a run against the schema that was read off the flow's signature: pure, no I/O.

The schema is a JSON schema with `properties`, `required`, `additionalProperties` and `$defs`, as a signature can say.
A deployment without one (a command, or deployed with --no-check) takes anything. All faults are found before anything
is raised, so that nobody has to fix them one by one. A date, a time, a length or a UUID may be spelt in every way that
the flow's process reads; where code of the user reads it, the schema says nothing of it. How a value is judged is in
`schemas.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatcher import schemas
from dispatcher.errors import ParametersInvalid
from dispatcher.fault_words import nearest

__all__ = ["check", "faults", "nearest", "typed"]


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


def typed(schema: Mapping[str, Any] | None, name: str, text: str) -> Any:
    """The value that `name=text` on a command line means: text where only text fits, else JSON if it is, else text.

    Whether it fits is left to `check`, which knows the others too.
    """
    known = (schema or {}).get("properties") or {}
    return schemas.typed(known.get(name, True), text, root=schema or {}, path=name)[0]


def faults(schema: Mapping[str, Any] | None, parameters: Mapping[str, Any], *, is_complete: bool = True) -> list[str]:
    """What is wrong, in words; empty when nothing is."""
    return [] if schema is None else schemas.faults(schema, parameters, is_complete=is_complete)


def _known(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required") or ())
    names = [f"{name} (required)" if name in required else name for name in schema.get("properties") or {}]
    if not names:
        return "It takes no parameters." if not schema.get("additionalProperties") else "It takes any."
    more = ", and any other" if schema.get("additionalProperties") else ""
    return f"It knows: {', '.join(names)}{more}."

"""The types of work pools: which there are, which come later, and the default base job template of each. Pure.

A type says how the runs of a pool are executed. `agent` is for agents, which execute each deployment with the
deployment's own infrastructure; every other type is the type of the workers that may join the pool. A new type is an
entry in `_DEFAULTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatcher.errors import BadValue

LATER = ("prefork", "rq", "docker", "kubernetes")  # known by name, so that the refusal can say so


def default_template(type: str) -> dict[str, Any]:
    """The default base job template of a type, a fresh copy; `{}` for `agent`. Raises `BadValue` as `checked`."""
    return _DEFAULTS[checked(type)]()


def checked(type: str, noun: str = "work pool type") -> str:
    """Raises `BadValue` for a type that this version does not have."""
    return _among(POOL_TYPES, type, noun)


def checked_infrastructure(type: str, noun: str = "infrastructure") -> str:
    """Raises `BadValue` for what cannot execute a run in this version; `agent` is not an infrastructure."""
    return _among(WORKER_TYPES, type, noun)


def _among(types: tuple[str, ...], type: str, noun: str) -> str:
    if type in LATER:
        raise BadValue(f"{noun} {type!r} comes later: this version has {', '.join(types)}.")
    if type not in types:
        raise BadValue(f"{noun} {type!r} is not known: choose one of {', '.join(types)}.")
    return type


def _agent() -> dict[str, Any]:
    return {}


def _process() -> dict[str, Any]:
    """The variables are Prefect's own for this type (2.10), and `timeout_seconds` and `grace_seconds`."""
    variables: dict[str, Any] = {
        "name": {
            "title": "Name",
            "description": "What the process is called in logs; the name of the run when it is not given.",
            "type": ["string", "null"],
        },
        "env": {
            "title": "Environment Variables",
            "description": "Set in the process on top of the environment of the worker.",
            "type": "object",
            "additionalProperties": {"type": "string"},
            "default": {},
        },
        "labels": {
            "title": "Labels",
            "description": "Kept with the run, for people and for tools that watch processes.",
            "type": "object",
            "additionalProperties": {"type": "string"},
            "default": {},
        },
        "command": {
            "title": "Command",
            "description": "Run instead of the flow: words as a list, or one text that is split as a shell would.",
            "type": ["string", "array"],
            "items": {"type": "string"},
            "minLength": 1,
            "minItems": 1,
        },
        "working_dir": {
            "title": "Working Directory",
            "description": "Where the process starts; the deployment's path when it is not given.",
            "type": ["string", "null"],
        },
        "stream_output": {
            "title": "Stream Output",
            "description": "Whether the worker prints what the process prints. It is kept with the run anyway.",
            "type": "boolean",
            "default": True,
        },
        "timeout_seconds": {
            "title": "Timeout (Seconds)",
            "description": "How long a run may take before it is stopped as failed.",
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
        },
        "grace_seconds": {
            "title": "Grace Period (Seconds)",
            "description": "How long a process that was told to stop may take before it is killed.",
            "type": ["number", "null"],
            "minimum": 0,
        },
    }
    return {
        "job_configuration": {name: f"{{{{ {name} }}}}" for name in variables},
        "variables": {"type": "object", "properties": variables},
    }


_DEFAULTS: dict[str, Callable[[], dict[str, Any]]] = {"agent": _agent, "process": _process}
POOL_TYPES = tuple(_DEFAULTS)
WORKER_TYPES = tuple(name for name in POOL_TYPES if name != "agent")

"""What can be asked of a run that is to be submitted, in Python's own types, and the `NewRun` that comes of it.

A `Request` says what to execute and how; whether it fits a deployment or a pool is found by `submitting.py`. Lengths
are seconds or timedeltas, instants are datetimes or ISO 8601 text, one without a zone is in the local zone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from dispatcher import schemas, templates
from dispatcher.durations import time_of
from dispatcher.errors import BadValue
from dispatcher.ids import new_id
from dispatcher.models import DEFAULT_PRIORITY, Deployment, NewRun, RunInput
from dispatcher.names import new_name

Target = str | Sequence[str] | Callable[..., Any]
Length = float | timedelta
MAX_NAME = 200
MAX_KEY = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """One run to submit. `what`: a deployment (`flow/name`, or the name alone), an entrypoint
    (`path/to/file.py:function`, `package.module:function`), a function, or the words of a command.

    `pool`, `path` and `check` are for what is no deployment: where its runs go (`default-agent-pool`, which is made
    when it is missing), where its code is (the current folder), and whether to import it here first. What a deployment
    says itself (parameters, tags, job variables, retries) is the base, and what is said here comes on top.
    """

    what: Target
    parameters: Mapping[str, Any] = field(default_factory=dict)
    _: KW_ONLY
    pool: str | None = None
    queue: str | None = None
    start_at: datetime | str | None = None
    start_in: Length | None = None
    priority: int | None = None
    tags: Sequence[str] = ()
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    name: str | None = None
    path: str | None = None
    retries: int | None = None
    retry_delay: Length | None = None
    timeout: Length | None = None
    check: bool = True

    def __post_init__(self) -> None:
        what: object = self.what
        is_words = isinstance(what, Sequence) and all(isinstance(word, str) for word in what)
        if not callable(what) and not (is_words and what):
            raise BadValue(
                f"what is to run is {what!r}: give a deployment, an entrypoint, a function or a command's words."
            )

    @property
    def deployment(self) -> str | None:
        """The name of the deployment, if `what` is one."""
        return self.what if isinstance(self.what, str) and ":" not in self.what else None

    def over(self, base: RunInput) -> RunInput:
        """What to execute: the base with what is asked here on top. Raises `BadValue`."""
        told = execution(self.retries, self.retry_delay, self.timeout)
        if self.parameters:
            told["parameters"] = base.parameters | json_object("parameters", self.parameters)
        if self.tags:
            told["tags"] = tuple(dict.fromkeys((*base.tags, *texts("tags", self.tags))))
        if self.job_variables:
            own = json_object("job_variables", self.job_variables)
            told["job_variables"] = templates.merged(base.job_variables, own)
        return replace(base, **told) if told else base

    def new_run(self, queue: str, wanted: RunInput, deployment: Deployment | None) -> NewRun:
        """The run to submit; `queue` is where it goes unless one is named. Raises `BadValue`."""
        if self.start_at is not None and self.start_in is not None:
            raise BadValue("start_at and start_in exclude each other: give one of them.")
        for option, most in (("name", MAX_NAME), ("idempotency_key", MAX_KEY)):
            text = getattr(self, option)
            if text is not None and not (isinstance(text, str) and 1 <= len(text) <= most):
                raise BadValue(f"{option} is {text!r}: give a text of 1 to {most} characters, or leave it out.")
        if self.name and "\0" in self.name:  # a process is told its run's name, and cannot be told this one
            raise BadValue(f"name is {self.name!r}: give a text without NUL.")
        priority = DEFAULT_PRIORITY if self.priority is None else whole("priority", self.priority)
        return NewRun(
            id=new_id(),
            name=self.name or new_name(),
            queue=self.queue or queue,
            input=wanted,
            deployment=deployment.name if deployment else "",
            deployment_version=deployment.version if deployment else "",
            priority=priority,
            start_at_ms=None if self.start_at is None else instant_ms("start_at", self.start_at),
            delay_ms=0 if self.start_in is None else round(1000 * seconds("start_in", self.start_in)),
            idempotency_key=self.idempotency_key or "",
        )


def execution(retries: int | None, retry_delay: Length | None, timeout: Length | None) -> dict[str, Any]:
    """The fields of a `RunInput` that these say; what is None is not there. Raises `BadValue`."""
    told: dict[str, Any] = {}
    if retries is not None:
        told["retries"] = whole("retries", retries)
    if retry_delay is not None:
        told["retry_delay_s"] = seconds("retry_delay", retry_delay)
    if timeout is not None:
        told["timeout_s"] = seconds("timeout", timeout)
        if not told["timeout_s"]:
            raise BadValue("timeout is 0: give more than 0, or leave it out for a run without an end.")
    return told


def whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadValue(f"{name} is {value!r}: give a whole number, 0 or more.")
    return value


def seconds(name: str, length: object) -> float:
    found = length.total_seconds() if isinstance(length, timedelta) else length
    if not isinstance(found, int | float) or isinstance(found, bool) or not (math.isfinite(found) and found >= 0):
        raise BadValue(f"{name} is {length!r}: give seconds or a timedelta, 0 or more.")
    return float(found)


def instant_ms(name: str, at: object) -> int:
    if isinstance(at, str):
        try:
            at = time_of(at)
        except ValueError as error:
            raise BadValue(f"{name}: {error}.") from None
    if not isinstance(at, datetime):
        raise BadValue(f"{name} is {at!r}: give a datetime, or ISO 8601 text.")
    try:
        return round(1000 * at.timestamp())
    except (OverflowError, OSError, ValueError):
        raise BadValue(f"{name} is {at!r}: give a time between 1970 and 2100.") from None


def texts(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(one, str) for one in values):
        raise BadValue(f"{name} is {values!r}: give a list of texts.")
    return tuple(values)


def mapping(name: str, values: object) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise BadValue(f"{name} is {values!r}: give a dict of names and values.")
    return values


def json_object(name: str, values: object) -> dict[str, Any]:
    found = dict(mapping(name, values))
    if faults := schemas.json_faults(found):
        raise BadValue(f"{name} cannot be sent as JSON: {'; '.join(faults)}. Give a date as text, an object as a dict.")
    return found

"""What may stand in a deployment file: its keys, their types, and the words for what does not fit.

A new key is a field here. Whether a schedule's times make sense is said here too, since that follows from its own words
alone; whether parameters and job variables fit is known only when flow and pool are, in `deployment_plan.py`. Reading
the file, and on which line a thing stands, is `deployment_file.py`'s. Imported only by commands that read a file,
because pydantic costs 100 ms.
"""

from __future__ import annotations

import json
from dataclasses import replace
from textwrap import shorten
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from dispatcher import pool_types, schedules
from dispatcher.durations import duration_of
from dispatcher.errors import BadRequest
from dispatcher.models import Schedule
from dispatcher.parameters import nearest


def _seconds(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return duration_of(value).total_seconds()
    except ValueError as error:
        raise ValueError(f"{info.field_name}: {error}") from None


Word = Annotated[str, Field(min_length=1)]
# A number of seconds, or a text such as 15m, 1h30m, PT15M.
Length = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]
KINDS = ("cron", "interval", "rrule")  # a schedule says its times in one of these ways


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WorkPool(_Part):
    name: Word | None = None
    work_queue_name: Word | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)


class ScheduleEntry(_Part):
    """One schedule as the file has it."""

    cron: str | None = None
    interval: Length | None = None
    rrule: str | None = None
    timezone: Word = "UTC"
    anchor_date: str | None = None
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)
    catchup: str = "latest"
    overlap: str = "allow"
    jitter_seconds: Length = 0.0
    expires_seconds: Length | None = None

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            cron=self.cron,
            interval_s=self.interval,
            rrule=self.rrule,
            timezone=self.timezone,
            anchor=self.anchor_date,
            parameters=self.parameters,
            is_active=self.active,
            catchup=self.catchup,
            overlap=self.overlap,
            jitter_s=self.jitter_seconds,
            expires_s=self.expires_seconds,
        )

    @property
    def says_active(self) -> bool:
        """Whether the file itself says if it is paused."""
        return "active" in self.model_fields_set

    @model_validator(mode="wrap")
    @classmethod
    def _tells_every_fault(cls, data: Any, form: ModelWrapValidatorHandler[Self]) -> Self:
        """What has the wrong type hides nothing that is wrong with the rest."""
        try:
            entry = form(data)
        except ValidationError as error:
            wrong = {str(fault["loc"][0]) for fault in error.errors() if fault["loc"]}
            if not isinstance(data, dict) or not wrong:
                raise
            entry = form({key: value for key, value in data.items() if key not in wrong})
            if found := entry._faults(wrong):
                raise _both(error, "; ".join(found)) from None
            raise
        if len(entry._kinds) == 1:
            try:
                schedules.checked(entry.schedule)
            except BadRequest as error:
                raise ValueError(str(error)) from None
        elif found := entry._faults(set()):
            raise ValueError("; ".join(found))
        return entry

    @property
    def _kinds(self) -> list[str]:
        return [kind for kind in KINDS if getattr(self, kind) is not None]

    def _faults(self, wrong: set[str]) -> list[str]:
        """Of what was said besides `wrong`, which is told already."""
        said, schedule, found = self._kinds, self.schedule, []
        if len(said) != 1:
            schedule = replace(schedule, cron=None, interval_s=60.0, rrule=None)  # in place of the times that are not
            if len(said) > 1 or not wrong.intersection(KINDS):
                told = " and ".join(said) or "none of them"
                found = [f"a schedule has exactly one of cron, interval and rrule, found {told}"]
        return found + schedules.faults(schedule)


def _both(error: ValidationError, words: str) -> ValidationError:
    """What pydantic found, and one fault of ours."""
    lines = [
        InitErrorDetails(type=one["type"], loc=one["loc"], input=one["input"], ctx=one.get("ctx", {}))
        for one in error.errors(include_url=False)
    ]
    ours = InitErrorDetails(type="value_error", input=None, ctx={"error": ValueError(words)})
    return ValidationError.from_exception_data(error.title, [*lines, ours])


class Entry(_Part):
    """One deployment as the file has it; what is not said is None or empty. `schedules` None: those it has stay."""

    name: Word = "default"
    entrypoint: str | None = None
    command: list[str] | None = Field(default=None, min_length=1)
    path: Word | None = None
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: list[Word] = Field(default_factory=list)
    work_pool: WorkPool = Field(default_factory=WorkPool)
    infrastructure: str = "process"
    schedules: list[ScheduleEntry] | None = None
    retries: int = Field(default=0, ge=0)
    retry_delay_seconds: Length = Field(default=0.0, ge=0)
    timeout_seconds: Length | None = Field(default=None, gt=0)

    @field_validator("infrastructure")
    @classmethod
    def _known_infrastructure(cls, value: str) -> str:
        if value not in pool_types.WORKER_TYPES:
            fact = "comes later" if value in pool_types.LATER else "is not known"
            raise ValueError(f"infrastructure {value!r} {fact}: this version has {', '.join(pool_types.WORKER_TYPES)}")
        return value

    @field_validator("schedules", mode="before")
    @classmethod
    def _a_list(cls, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("schedules: a list is wanted, such as [{cron: '0 4 * * *'}]; [] for none")
        return value

    @model_validator(mode="after")
    def _one_thing_to_run(self) -> Self:
        if (self.entrypoint is None) == (self.command is None):
            raise ValueError("give either an entrypoint or a command")
        return self


_WANTED = {  # pydantic's word for a fault -> ours
    "dict_type": "a mapping is wanted",
    "model_type": "a mapping is wanted",
    "list_type": "a list is wanted",
    "string_type": "text is wanted",
    "bool_type": "true or false is wanted",
    "int_type": "a whole number is wanted",
    "float_type": "a number is wanted",
    "greater_than": "more than {gt:g} is wanted",
    "greater_than_equal": "at least {ge:g} is wanted",
    "too_short": "at least one item is wanted",
    "string_too_short": "a text that is not empty is wanted",
}
_PARTS: dict[str, type[BaseModel]] = {"": Entry, "work_pool": WorkPool, "schedules": ScheduleEntry}
_UNDER_POOL = "it belongs under work_pool"
_MEANT = {  # keys of a deployment that people know from elsewhere -> what to write
    "schedule": "write a list: 'schedules: [{cron: \"0 4 * * *\"}]'",
    "pool": "write 'work_pool: {name: NAME}'",
    "work_queue": "write 'work_pool: {work_queue_name: NAME}'",
    "work_queue_name": _UNDER_POOL,
    "job_variables": _UNDER_POOL,
    "infra_overrides": "write 'work_pool: {job_variables: {...}}'",
}


def words(fault: Any) -> str:
    """What pydantic found, in the file's own words."""
    path = [str(step) for step in fault["loc"]]
    name = path[-1] if path else "the deployment"
    if fault["type"] == "extra_forbidden":
        part = next((step for step in reversed(fault["loc"][:-1]) if isinstance(step, str)), "")
        known = list(_PARTS.get(part, Entry).model_fields)
        meant = f": {_MEANT[name]}" if not part and name in _MEANT else nearest(name, known)
        return f"{name!r} is not known here{meant}; known are: {', '.join(known)}"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    wanted = _WANTED.get(fault["type"], fault["msg"].lower()).format_map(fault.get("ctx", {}))
    found = "nothing" if fault["input"] is None else shorten(json.dumps(fault["input"], ensure_ascii=False), 60)
    quotes = ": put it in quotes" if fault["type"] == "string_type" and fault["input"] is not None else ""
    return f"{'.'.join(path) or name}: {wanted}, found {found}{quotes}"

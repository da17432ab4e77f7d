"""A flow run: what is submitted, what is kept, what it printed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dispatcher.models.consumers import Consumer
from dispatcher.models.instants import iso
from dispatcher.states import HELD, TERMINAL, State

LATE_AFTER_MS = 15_000  # Prefect's own threshold, so that "late" means to its users what they know
DEFAULT_PRIORITY = 100  # of a run, 1 first; from 1 to 1000
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunInput:
    """What to execute; written once at submit. Scripts look at tags and infrastructure, for filters.

    `entrypoint` is `folder/file.py:function` or `package.module:function`; `command` is an argv instead. `path` is
    the code folder on the consumer's host, None: a temporary folder. `infrastructure` is where an agent executes it.

    `own_job_variables` are those among the job variables that a run of a deployment said itself, so that the others
    can be made anew in another pool. None: it is no such run, or not known.
    """

    entrypoint: str | None = None
    command: tuple[str, ...] | None = None
    path: str | None = None
    parameters: Document = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    job_variables: Document = field(default_factory=dict)
    retries: int = 0
    retry_delay_s: float = 0.0
    timeout_s: float | None = None
    infrastructure: str = "process"
    own_job_variables: Document | None = None

    def owning(self, own: Document) -> RunInput:
        """With what the run said itself of its job variables. Without any at all there is nothing to tell apart."""
        return replace(self, own_job_variables=own) if self.job_variables else self

    def document(self) -> Document:
        return {
            "entrypoint": self.entrypoint,
            "command": None if self.command is None else list(self.command),
            "path": self.path,
            "parameters": self.parameters,
            "tags": list(self.tags),
            "job_variables": self.job_variables,
            "retries": self.retries,
            "retry_delay_seconds": self.retry_delay_s,
            "timeout_seconds": self.timeout_s,
            "infrastructure": self.infrastructure,
        }

    def compact(self) -> Document:
        """What is stored: the document without the values that are the defaults, since each waiting run keeps one."""
        default = RunInput().document()
        found = {name: value for name, value in self.document().items() if value != default[name]}
        return found if self.own_job_variables is None else {**found, "own_job_variables": self.own_job_variables}

    @staticmethod
    def read(document: Document) -> RunInput:
        command = document.get("command")
        return RunInput(
            entrypoint=document.get("entrypoint"),
            command=None if command is None else tuple(command),
            path=document.get("path"),
            parameters=document.get("parameters") or {},
            tags=tuple(document.get("tags") or ()),
            job_variables=document.get("job_variables") or {},
            retries=document.get("retries", 0),
            retry_delay_s=document.get("retry_delay_seconds", 0.0),
            timeout_s=document.get("timeout_seconds"),
            infrastructure=document.get("infrastructure", "process"),
            own_job_variables=document.get("own_job_variables"),
        )


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to submit. `start_at_ms` (an instant) or `delay_ms` (from the server's now); neither: at once.

    `deployment_version`: the version of its deployment that it was made from; empty: whatever is there.

    Of a scheduled run: the id of its schedule, what becomes of it when an earlier one is not finished, and how long
    after its start it is not worth starting any more.
    """

    id: str
    name: str
    queue: str
    input: RunInput
    deployment: str = ""
    deployment_version: str = ""
    priority: int = DEFAULT_PRIORITY
    start_at_ms: int | None = None
    delay_ms: int = 0
    idempotency_key: str = ""
    schedule: str = ""
    overlap: str = "allow"
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """`is_new` is False when the idempotency key, or the id itself, was known: then `id` is the earlier run's."""

    id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    name: str
    pool: str
    queue: str
    deployment: str
    state: State
    message: str
    priority: int
    due_at_ms: int
    created_at_ms: int
    claimed_at_ms: int | None
    started_at_ms: int | None
    ended_at_ms: int | None
    epoch: int
    attempts: int
    lost: int
    releases: int
    consumer: Consumer | None
    infrastructure_pid: int | None
    exit_code: int | None
    result: Any
    idempotency_key: str
    input: RunInput
    read_at_ms: int
    schedule: str = ""
    expires_at_ms: int | None = None
    job: Document | None = None

    def __repr__(self) -> str:
        return f"FlowRun(id={self.id!r}, name={self.name!r}, state={self.state.value!r})"

    @property
    def expected_start_time(self) -> datetime:
        """When it is due; this and the next ones are called as in JSON, and every time is in UTC."""
        return datetime.fromtimestamp(self.due_at_ms / 1000, UTC)

    @property
    def start_time(self) -> datetime | None:
        """None: it has not started."""
        return None if self.started_at_ms is None else datetime.fromtimestamp(self.started_at_ms / 1000, UTC)

    @property
    def end_time(self) -> datetime | None:
        """None: it is not finished."""
        return None if self.ended_at_ms is None else datetime.fromtimestamp(self.ended_at_ms / 1000, UTC)

    @property
    def created(self) -> datetime:
        return datetime.fromtimestamp(self.created_at_ms / 1000, UTC)

    @property
    def work_pool_name(self) -> str:
        return self.pool

    @property
    def work_queue_name(self) -> str:
        return self.queue

    @property
    def parameters(self) -> Document:
        return self.input.parameters

    @property
    def tags(self) -> tuple[str, ...]:
        return self.input.tags

    @property
    def job_variables(self) -> Document:
        return self.input.job_variables

    @property
    def lateness_ms(self) -> int:
        """How long after its due time it started, or has been waiting; 0 when not due yet."""
        end_ms = self.started_at_ms or self.ended_at_ms or self.read_at_ms
        return max(0, end_ms - self.due_at_ms)

    @property
    def state_name(self) -> str:
        """The state as people say it; adds `Late` and `AwaitingRetry` to waiting runs."""
        if self.state is State.SCHEDULED:
            if self.read_at_ms - self.due_at_ms > LATE_AFTER_MS:
                return "Late"
            if self.attempts and self.due_at_ms > self.read_at_ms:
                return "AwaitingRetry"
        return self.state.value.capitalize()

    @property
    def is_finished(self) -> bool:
        return self.state in TERMINAL

    @property
    def is_held(self) -> bool:
        return self.state in HELD

    def document(self) -> Document:
        holder = self.consumer
        return {
            "id": self.id,
            "name": self.name,
            "deployment": self.deployment or None,
            "entrypoint": self.input.entrypoint,
            "command": None if self.input.command is None else list(self.input.command),
            "path": self.input.path,
            "state": self.state.value,
            "state_name": self.state_name,
            "message": self.message or None,
            "work_pool_name": self.pool,
            "work_queue_name": self.queue,
            "priority": self.priority,
            "expected_start_time": iso(self.due_at_ms),
            "start_time": iso(self.started_at_ms),
            "end_time": iso(self.ended_at_ms),
            "lateness_seconds": self.lateness_ms / 1000,
            "attempts": self.attempts,
            "lost": self.lost,
            "epoch": self.epoch,
            "parameters": self.input.parameters,
            "tags": list(self.input.tags),
            "job_variables": self.input.job_variables,
            "consumer": holder and {"name": holder.name, "kind": holder.kind, "host": holder.host, "pid": holder.pid},
            "infrastructure_pid": self.infrastructure_pid,
            "exit_code": self.exit_code,
            "result": self.result,
            "idempotency_key": self.idempotency_key or None,
            "schedule_id": self.schedule or None,
            "expires": iso(self.expires_at_ms),
            "job": self.job,
            "created": iso(self.created_at_ms),
        }


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a run has printed. `number`: its place among all of them, from 1 over all attempts; where one is
    left out, lines are gone: a log keeps its newest 2 MiB."""

    number: int
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a pool's event stream."""

    id: str
    at_ms: int
    event: str
    fields: dict[str, str]

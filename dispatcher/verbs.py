"""What people do with runs every day, as methods of `Client` and `AsyncClient`: submit, wait, result, cancel, deploy.

Each is one operation, written once (`binding.py`). A run is named by itself, its id, the beginning of it, or its name
while only one has it. This file is loaded with every client, so what it needs is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, cast

from dispatcher.binding import Trust, verb
from dispatcher.current import refuse_while_loading

if TYPE_CHECKING:
    from dispatcher.call import Flow
    from dispatcher.models import Deployment, LogLine, Run, Schedule, Why
    from dispatcher.nouns import Deployments, Pools, Queues
    from dispatcher.requests import Length, Request, Target

    Which = Run | str
    States = str | Iterable[str]


def _submit(
    what: Target | Request,
    parameters: Mapping[str, Any] | None = None,
    *,
    pool: str | None = None,
    queue: str | None = None,
    start_at: datetime | str | None = None,
    start_in: Length | None = None,
    priority: int | None = None,
    tags: Sequence[str] = (),
    job_variables: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    name: str | None = None,
    path: str | None = None,
    retries: int | None = None,
    retry_delay: Length | None = None,
    timeout: Length | None = None,
    check: bool = True,
) -> Flow[Run]:
    """Submits one run and returns it as it is then; the same idempotency key again gives the first run.

    What each argument means is said in `Request`, which can be given instead of all of them. Raises `NotFound`,
    `ParametersInvalid`, `VariablesInvalid`, `EntrypointInvalid`, `FlowUnnamed`, `BadValue`; `FlowBeingLoaded` at the
    top level of a file in which a run looks for its flow.
    """
    refuse_while_loading("submits")
    from dispatcher.requests import Request
    from dispatcher.submitting import submit

    if not isinstance(what, Request):
        what = Request(
            what,
            parameters or {},
            pool=pool,
            queue=queue,
            start_at=start_at,
            start_in=start_in,
            priority=priority,
            tags=tags,
            job_variables=job_variables or {},
            idempotency_key=idempotency_key,
            name=name,
            path=path,
            retries=retries,
            retry_delay=retry_delay,
            timeout=timeout,
            check=check,
        )
    return (yield from submit([what]))[0].run


def _submit_many(
    what: Target | Request | Iterable[Request], each: Iterable[Mapping[str, Any]] | None = None
) -> Flow[list[Run]]:
    """Submits many runs, a hundred at a time, and returns them in order: requests, or one thing to run with each of
    these parameters.

    All of them are checked before the first is sent. Raises as `submit`; a note on the error says which one it was.
    """
    refuse_while_loading("submits")
    from dataclasses import replace

    from dispatcher.errors import BadValue
    from dispatcher.requests import Request, mapping
    from dispatcher.submitting import submit

    if each is not None:
        base: Any = what if isinstance(what, Request) else Request(cast("Target", what))
        wanted = [replace(base, parameters={**base.parameters, **mapping("each", one)}) for one in each]
    else:
        wanted = list(what) if isinstance(what, Iterable) and not isinstance(what, str) else [what]
        if not all(isinstance(one, Request) for one in wanted):
            raise BadValue(
                "give requests, as in submit_many([Request(...), ...]), or parameters for each run beside it."
            )
    return [receipt.run for receipt in (yield from submit(wanted))]


def _get(run: Which) -> Flow[Run]:
    """The run as it is now. Raises `RunNotFound`, `AmbiguousName`."""
    from dispatcher.ops import finding

    return (yield from finding.run(run))


def _wait(run: Which, timeout: Length | None = None) -> Flow[Run]:
    """Waits until the run is finished, and returns it as it is then, whatever became of it.

    Nothing is polled. Raises `WaitTimedOut` (a `TimeoutError`) after `timeout`; `RunNotFound`, `AmbiguousName`.
    """
    from dispatcher.ops import endings
    from dispatcher.requests import seconds

    longest_s = None if timeout is None else seconds("timeout", timeout)
    return (yield from endings.ended(run, longest_s=longest_s))


def _result(run: Which, timeout: Length | None = None) -> Flow[Any]:
    """Waits until the run is finished and returns what its flow returned, as JSON has it.

    None also when it is not kept, because it is too large or no JSON: then the run's message says so. Raises
    `RunFailed` unless the run is COMPLETED; and as `wait`.
    """
    from dispatcher.errors import RunFailed
    from dispatcher.states import State

    ended = yield from _wait(run, timeout)
    if ended.state is not State.COMPLETED:
        message = ended.message.rstrip(".") or "no reason is kept"
        raise RunFailed(name=ended.name, run=ended.id, state=ended.state.value, message=message)
    return ended.result


def _cancel(run: Which, *, force: bool = False) -> Flow[Run]:
    """Cancels: a waiting run at once, a running one by having its process stopped (`wait` waits for that). `force` ends
    it here and now. Raises `RunFinished`, `RunNotFound`, `AmbiguousName`."""
    from dispatcher.ops import finding, runs

    found = yield from finding.run(run)
    yield from runs.cancel(found.pool, found.id, force=force)
    return (yield from runs.read(found.pool, found.id))


def _retry(run: Which) -> Flow[Run]:
    """Puts a finished run back into its queue, under the same id. Raises `RunUnfinished`, `RunNotFound`,
    `AmbiguousName`."""
    from dispatcher.ops import finding, runs

    found = yield from finding.run(run)
    yield from runs.retry(found.pool, found.id)
    return (yield from runs.read(found.pool, found.id))


def _delete(run: Which) -> Flow[None]:
    """Deletes a finished run with its result and log. Raises `RunUnfinished`, `RunNotFound`, `AmbiguousName`."""
    from dispatcher.ops import finding, runs

    found = yield from finding.run(run)
    yield from runs.delete(found.pool, found.id)


def _why(run: Which) -> Flow[Why]:
    """Why the run is not running: reasons, the most decisive first, with advice and who holds the slots."""
    from dispatcher.ops import finding, views

    found = yield from finding.run(run)
    return (yield from views.why(found.pool, found.id))


def _logs(run: Which, *, last: int | None = None) -> Flow[list[LogLine]]:
    """What is kept of what the run has printed, oldest line first; `last`: only so many lines of the end."""
    from dispatcher.ops import finding, runs
    from dispatcher.requests import whole

    found = yield from finding.run(run)
    if last is None:
        return (yield from runs.log(found.pool, found.id))
    most = whole("last", last)
    return (yield from runs.log_end(found.pool, found.id, most=most)) if most else []


def _runs(
    *,
    state: States = (),
    deployment: str | None = None,
    pool: str | None = None,
    queue: str = "",
    before: datetime | None = None,
    after: datetime | None = None,
    limit: int = 50,
) -> Flow[list[Run]]:
    """Runs, the latest expected start first. `state`: one or several, Late and AwaitingRetry too; `before` and `after`
    are expected starts.

    Raises `PoolNotFound`, `QueueNotFound`, `DeploymentNotFound`, `BadValue`.
    """
    from dispatcher.errors import BadValue
    from dispatcher.ops import finding
    from dispatcher.requests import instant_ms, whole
    from dispatcher.states import PARTS, State

    words = [str(word).upper() for word in ((state,) if isinstance(state, str) else state)]
    parts = {part.upper(): part for part in PARTS}
    if unknown := [word for word in words if word not in State.__members__ and word not in parts]:
        raise BadValue(f"state {unknown[0]!r} is not known: give one of {', '.join((*State, *PARTS))}.")
    return (
        yield from finding.listed(
            states=frozenset(State(word) for word in words if word not in parts),
            state_names=frozenset(parts[word] for word in words if word in parts),
            deployment=deployment,
            pool=pool,
            queue=queue,
            due_before_ms=None if before is None else instant_ms("before", before),
            due_after_ms=None if after is None else instant_ms("after", after),
            most=whole("limit", limit),
        )
    )


def _deploy(
    what: Target,
    name: str = "default",
    *,
    pool: str | None = None,
    queue: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    schedules: Iterable[Schedule] | None = None,
    job_variables: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    description: str | None = None,
    path: str | None = None,
    retries: int | None = None,
    retry_delay: Length | None = None,
    timeout: Length | None = None,
    infrastructure: str = "process",
    check: bool = True,
) -> Flow[Deployment]:
    """Stores a deployment, in place of the one of that name, and returns it; its full name is `flow/name`.

    `what`: an entrypoint, a function, or the words of a command. The pool has to exist, but for the default one; the
    queue is made. `schedules` None: those that are stored stay. What was paused stays paused. Raises as `submit`;
    `PoolNotFound`, `BadName`, `ScheduleInvalid`.
    """
    refuse_while_loading("deploys")
    from dispatcher.requests import Request
    from dispatcher.submitting import deploy

    request = Request(
        what,
        parameters or {},
        pool=pool,
        queue=queue,
        tags=tags,
        job_variables=job_variables or {},
        path=path,
        retries=retries,
        retry_delay=retry_delay,
        timeout=timeout,
        check=check,
    )
    return (
        yield from deploy(request, name, schedules=schedules, description=description, infrastructure=infrastructure)
    )


class Verbs:
    """The methods that both clients have."""

    trust: Trust

    submit = verb(_submit)
    submit_many = verb(_submit_many)
    get = verb(_get)
    wait = verb(_wait)
    result = verb(_result)
    cancel = verb(_cancel)
    retry = verb(_retry)
    delete = verb(_delete)
    why = verb(_why)
    logs = verb(_logs)
    runs = verb(_runs)
    deploy = verb(_deploy)

    @property
    def pools(self) -> Pools[Self]:
        """Work pools: create, get, list, update, set_limit, pause, resume, delete."""
        from dispatcher.nouns import Pools

        return Pools(self)

    @property
    def queues(self) -> Queues[Self]:
        """Work queues: create, get, list, update, set_limit, set_priorities, pause, resume, delete."""
        from dispatcher.nouns import Queues

        return Queues(self)

    @property
    def deployments(self) -> Deployments[Self]:
        """Deployments: get, list, pause, resume, delete, and their schedules."""
        from dispatcher.nouns import Deployments

        return Deployments(self)

    def _told(self, url: str | None) -> str:
        """The URL to connect to, and with it how far the Redis there is trusted. Raises `BadValue`,
        `BrokerUnavailable`."""
        self.trust = Trust()
        if url is not None:
            return url
        from dispatcher import address

        settings = address.settings()
        self.trust = Trust(is_given=not settings.redis_url, allows_unsafe=settings.allow_unsafe_broker)
        return address.of(settings)

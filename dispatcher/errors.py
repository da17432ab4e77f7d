"""Every exception of the project, under one root, split by whose fault it is.

A class's docstring is its message, with the fields it is raised with filled in: it says what was asked, what was
found and what to do. Scripts answer a refusal with a reason word; `REASONS` maps each word to its class, and a word
that is not there is a bug of ours, never swallowed. Nothing here prints or exits: the table from class to exit code
is in `cli/main.py`. A new refusal needs a class and, when a script gives it, a line in `REASONS`.
"""

from __future__ import annotations


class DispatcherError(Exception):
    """{detail}"""

    def __init__(self, detail: object = "", **facts: object) -> None:
        self.facts: dict[str, object] = {"detail": detail, **facts}
        template = type(self).__doc__ or "{detail}"
        super().__init__(template.format_map(_Facts(self.facts)))

    def __reduce__(self) -> tuple[object, ...]:
        """Raised in another process, it says the same here."""
        return _again, (type(self), self.facts)


class _Facts(dict[str, object]):
    """Leaves a placeholder that was given no fact readable instead of failing while an error is being reported."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


def _again(kind: type[DispatcherError], facts: dict[str, object]) -> DispatcherError:
    return kind(**facts)


class BadRequest(DispatcherError):
    """{detail}"""


class NotFound(BadRequest):
    """{detail}"""


class LostRace(DispatcherError):
    """{detail}"""


class BrokerUnavailable(DispatcherError):
    """{detail}"""


class BrokerDown(BrokerUnavailable):
    """{detail}"""


class BrokerLoading(BrokerUnavailable):
    """{detail}"""


class BrokerRefused(DispatcherError):
    """The broker refused the command: {detail}"""


class BrokerForeign(BrokerRefused):
    """{detail}"""


class BrokerFull(BrokerRefused):
    """Redis at {place} is full: it has reached its memory limit (maxmemory), and what was asked needs more. Runs go \
on and can end. Free memory (`dispatcher work-pool update NAME --retention 1h`, `dispatcher flow-run delete RUN`), or \
raise the limit (`redis-cli CONFIG SET maxmemory`, and in its configuration)."""


class BrokerReadOnly(BrokerRefused):
    """Redis at {place} is a replica, which takes no writes. Name the primary with --redis-url."""


class BugFound(DispatcherError):
    """This should not happen, please report it: {detail}"""


# The caller's fault -------------------------------------------------------------------------------------------------


class BadName(BadRequest):
    """{noun} name {name!r} is not valid: it must start with a letter or digit and may hold only letters (a to z, A to \
Z), digits, '.', '_' and '-', 100 characters at most."""


class BadValue(BadRequest):
    """{detail}"""


class PoolNotFound(NotFound):
    """Work pool {pool!r} was not found. `dispatcher work-pool ls` lists the pools; make it with \
`dispatcher work-pool create {pool}`."""


class PoolExists(BadRequest):
    """Work pool {pool!r} exists already. Choose another name, or change it: \
`dispatcher work-pool update {pool}`."""


class PoolHasRuns(BadRequest):
    """Work pool {pool!r} has {found} unfinished runs. Wait for them, or give --cancel-runs to cancel them."""


class PoolRunsStopping(BadRequest):
    """Work pool {pool!r} is being deleted and takes no more work, but {found} of its runs are still being stopped by \
their consumers. Call it again in a moment: `dispatcher work-pool delete {pool} --cancel-runs --yes`."""


class PoolBeingDeleted(BadRequest):
    """Work pool {pool!r} is being deleted. Finish that: \
`dispatcher work-pool delete {pool} --cancel-runs --yes`."""


class PoolTypeDiffers(BadRequest):
    """Work pool {pool!r} is of type {found!r}, not {wanted!r}. Start `dispatcher {command} --pool {pool}`, or choose \
another pool."""


class QueueNotFound(NotFound):
    """Work queue {queue!r} was not found in work pool {pool!r}. `dispatcher work-queue ls --pool {pool}` lists its \
queues; make it with `dispatcher work-queue create {queue} --pool {pool}`."""


class QueueNowhere(QueueNotFound):
    """Work queue {queue!r} was not found in any work pool. `dispatcher work-queue ls --pool NAME` lists the queues of \
one, `dispatcher work-pool ls` the pools."""


class QueueExists(BadRequest):
    """Work queue {queue!r} exists already in work pool {pool!r}. Choose another name, or change it with \
`dispatcher work-queue update {queue} --pool {pool}`."""


class QueueHasRuns(BadRequest):
    """Work queue {queue!r} of work pool {pool!r} has waiting runs: {found}. Say what is to become of them: \
--move-to QUEUE or --cancel-runs."""


class DefaultQueueProtected(BadRequest):
    """The queue 'default' of work pool {pool!r} cannot be deleted: every pool keeps one. It can be paused or limited \
instead; `dispatcher work-pool delete {pool}` deletes the whole pool."""


class PrioritiesCollide(BadRequest):
    """Two queues cannot be given the same priority in one change. Give each its own number."""


class DeploymentNotFound(NotFound):
    """Deployment {deployment!r} was not found. `dispatcher deployment ls` lists them; make one with \
`dispatcher deploy`."""


class DeploymentMisnamed(DeploymentNotFound):
    """Deployment {deployment!r} was not found. Did you mean {near}? `dispatcher deployment ls` lists them all."""


class RunNotFound(NotFound):
    """Flow run {run!r} was not found. `dispatcher flow-run ls` lists the runs."""


class RunIdShort(RunNotFound):
    """Flow run {run!r} was not found: no run has that name. To mean one by its id, give at least {least} characters \
of it; `dispatcher flow-run ls` lists the runs."""


class AmbiguousName(BadRequest):
    """{noun} {name!r} is ambiguous: {found}. Give more of it."""


class RunFinished(BadRequest):
    """Flow run {run!r} is finished already ({found}): there is nothing to cancel."""


class RunUnfinished(BadRequest):
    """Flow run {run!r} is not finished ({found}). {advice}"""


class EntrypointInvalid(BadRequest):
    """Entrypoint {entrypoint!r} cannot be used: {detail}"""


class ParametersInvalid(BadRequest):
    """{detail}"""


class NoCurrentRun(BadRequest):
    """There is no current run here: {detail}. `current_run()` can be asked in a flow or command that an agent or \
worker runs; elsewhere call the function without it, or inside `dispatcher.testing`."""


class ClientClosed(BadRequest):
    """This client is closed: its `with` block has ended, or `close` was called. Make a new one, or close it later."""


class ClientMisplaced(BadRequest):
    """This AsyncClient belongs to another event loop, the one in which it was used first. Make one in each loop, or \
use a Client, which may be shared."""


class FlowUnnamed(BadRequest):
    """{function} cannot be submitted or deployed: {detail}. A consumer finds a flow by its name in a file or module: \
give a function that stands at the top level of one, or its name as text, path/to/file.py:function."""


class FlowUnfit(FlowUnnamed):
    """{function} cannot be submitted or deployed: {detail}."""


class FlowBeingLoaded(BadRequest):
    """{file} is being loaded to find its flow, and {does} at the same time, which every run would do again: put that \
under `if __name__ == '__main__':`."""


class TemplateInvalid(BadRequest):
    """The base job template cannot be used: {detail}"""


class VariablesInvalid(BadRequest):
    """The job variables do not fit {target}: {detail}"""


class ScheduleInvalid(BadRequest):
    """Schedule {schedule!r} is not valid: {detail}"""


class ScheduleNotFound(NotFound):
    """Deployment {deployment!r} has no schedule {schedule!r}. `dispatcher deployment schedule ls {deployment}` lists \
those it has."""


class ScheduleExists(BadRequest):
    """Deployment {deployment!r} has that schedule already ({schedule}). Change it by deploying again, or give another \
time."""


class FilterMisplaced(BadRequest):
    """A queue with a filter is the legacy kind, made without --pool: it is always in work pool 'default-agent-pool'. \
The new way: deployments name their queue, `dispatcher deploy --pool {pool} --work-queue {queue}`."""


class QueueIsFilter(BadRequest):
    """Work queue {queue!r} of work pool {pool!r} has a filter: it shows runs of other queues, and none is sent to it. \
Name another queue, or none: then it is 'default'."""


class TooManyFilters(BadRequest):
    """Work pool {pool!r} has {found} queues with filters, which is the most. Delete one first: \
`dispatcher work-queue ls --pool {pool}` lists them."""


# What became of a run that somebody waited for ------------------------------------------------------------------------


class RunFailed(DispatcherError):
    """Flow run {name!r} ({run}) is {state}: {message}. What it printed: `dispatcher flow-run logs {run}`."""

    @property
    def state(self) -> str:
        """FAILED, CRASHED or CANCELLED."""
        return str(self.facts.get("state"))

    @property
    def message(self) -> str:
        """Why, as it is kept with the run."""
        return str(self.facts.get("message"))


class WaitTimedOut(DispatcherError, TimeoutError):
    """Flow run {name!r} ({run}) is not finished after {waited_s:.1f} s: it is {state}. It goes on; wait again, or ask \
why: `dispatcher flow-run why {run}`."""


class DrainEndless(DispatcherError):
    """drain() has executed {most} runs and more are due: does a flow submit itself again? If that is right, give a \
larger `most`."""


# A lost race: expected, never an error in a log ---------------------------------------------------------------------


class LeaseLost(LostRace):
    """The lease of flow run {run!r} is not held at epoch {epoch}: it was given to another or has ended."""


class ConsumerUnknown(LostRace):
    """Consumer {consumer!r} is not registered with work pool {pool!r}: it must register again."""


class ConsumerNameTaken(BadRequest):
    """A live consumer named {name!r} (process {pid}) serves work pool {pool!r} from this host already. Give this one \
another --name, or stop that one."""


class DeploymentChanged(LostRace):
    """Deployment {deployment!r} was changed by somebody else at the same moment. Look at it, and do it again."""


class RunMoving(LostRace):
    """Flow run {run!r} is on its way to another work pool: ask again in a moment."""


# Reason word of a script -> class. Facts that a word brings along fill `found` (the first one) in the message.
REASONS: dict[str, type[DispatcherError]] = {
    "NOPOOL": PoolNotFound,
    "POOLEXISTS": PoolExists,
    "POOLBUSY": PoolHasRuns,
    "DELETING": PoolBeingDeleted,
    "POOLTYPE": PoolTypeDiffers,
    "NOQUEUE": QueueNotFound,
    "QUEUEEXISTS": QueueExists,
    "QUEUEBUSY": QueueHasRuns,
    "DEFAULTQUEUE": DefaultQueueProtected,
    "COLLIDE": PrioritiesCollide,
    "FILTERQUEUE": QueueIsFilter,
    "FILTERSFULL": TooManyFilters,
    "NORUN": RunNotFound,
    "FINISHED": RunFinished,
    "UNFINISHED": RunUnfinished,
    "CHANGED": DeploymentChanged,
    "MOVING": RunMoving,
    "FENCED": LeaseLost,
    "UNKNOWN": ConsumerUnknown,
}
BRINGS = {"NOQUEUE": "queue", "FILTERQUEUE": "queue", "CHANGED": "deployment"}


def refusal(word: str, found: object = "", **facts: object) -> DispatcherError:
    """The error for a script's reason word; an unknown word gives `BugFound`.

    `found` is what the word brought along: of some words it is what only the script knows when there are many.
    """
    kind = REASONS.get(word)
    if kind is None:
        return BugFound(f"a script answered {word!r}, which no table knows")
    if word in BRINGS and found:
        facts[BRINGS[word]] = found
    return kind(found=found, **facts)

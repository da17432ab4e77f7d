"""Every key the project keeps in Redis: one function each, whose docstring is its type, content and lifetime.

All keys of a pool share the hash tag `{POOL}`, so that a script never leaves one cluster slot; only the two
directories stand outside, and no decision is ever taken on them. `docs/keys.md` tells the same to dashboards and a
test holds this file, that page and the keys which a whole test run leaves behind against each other. `KEYS` at the
end lists the functions: a new key is one function and its name there.
"""

from __future__ import annotations

from dispatcher.errors import BadName

PREFIX = "dispatcher"
_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_LETTERS = _ALPHANUMERIC | set("._-")


def checked_name(noun: str, name: str) -> str:
    """`name`, if it may name a pool or queue; raises `BadName`. The rule keeps hash tags and patterns unambiguous."""
    # Without `re`, whose import takes longer than everything else that a run of a marked flow imports of ours.
    given: object = name
    if not isinstance(given, str):
        raise BadName(noun=noun, name=given)
    if not (name[:1] in _ALPHANUMERIC and len(name) <= 100 and _LETTERS.issuperset(name)):
        raise BadName(noun=noun, name=name if len(name) <= 110 else name[:110] + "…")
    return name


def pools() -> str:
    """Set of pool names: a directory, written when a pool is made or asked for, never used for a decision."""
    return f"{PREFIX}:pools"


def deployments() -> str:
    """Hash `flow/name` -> pool name: a directory of deployments. While one moves, it says which pool's entry counts."""
    return f"{PREFIX}:deployments"


def _of(pool: str, part: str) -> str:
    return f"{PREFIX}:{{{pool}}}:{part}"


def pool(pool: str) -> str:
    """Hash: id, type, description, limit (absent: none), paused (0|1), note, deleting, lease_ms, keep_ms and keep_runs
    (of each final state), template (JSON) and template_id (absent: the type's own), filters (JSON: queue -> its filter,
    of all that have one), created_ms, updated_ms."""
    return _of(pool, "pool")


def state(pool: str) -> str:
    """Hash: last_ms (when a script last looked at the clock), hold_ms (no lease is reaped before), filling (how far
    new filters have picked up the kept runs: start and id of the last one)."""
    return _of(pool, "state")


def queues(pool: str) -> str:
    """Sorted set: queue; score = priority, unique, 1 first."""
    return _of(pool, "queues")


def queue(pool: str, queue: str) -> str:
    """Hash: id, limit (absent: none), paused (0|1), note, description, filter (JSON, of the legacy kind of queue that
    shows runs of others), filling (1: the filter is new, and closed until it shows all), created_ms, updated_ms."""
    return _of(pool, f"queue:{queue}")


def ready(pool: str, queue: str) -> str:
    """Sorted set: waiting run whose time has come; score = run priority * 2^42 + due ms."""
    return _of(pool, f"queue:{queue}:ready")


def due(pool: str, queue: str) -> str:
    """Sorted set: waiting run of the future; score = due ms."""
    return _of(pool, f"queue:{queue}:due")


def retry(pool: str, queue: str) -> str:
    """Sorted set: waiting run of the future that is never prefetched: it failed and is tried again, or must not overlap
    with an earlier run of its schedule; score = when it is looked at, ms."""
    return _of(pool, f"queue:{queue}:retry")


def slots(pool: str, queue: str) -> str:
    """Sorted set: run that holds a slot of the queue; score = claim ms. Outlives a deleted queue until it is empty."""
    return _of(pool, f"queue:{queue}:slots")


def lane_ready(pool: str, queue: str, filter: str) -> str:
    """Sorted set: those members of the queue's `ready` that the filter queue shows; same score."""
    return _of(pool, f"queue:{queue}/{filter}:ready")


def lane_due(pool: str, queue: str, filter: str) -> str:
    """Sorted set: those members of the queue's `due` that the filter queue shows; same score."""
    return _of(pool, f"queue:{queue}/{filter}:due")


def lane_retry(pool: str, queue: str, filter: str) -> str:
    """Sorted set: those members of the queue's `retry` that the filter queue shows; same score."""
    return _of(pool, f"queue:{queue}/{filter}:retry")


def filter_slots(pool: str, filter: str) -> str:
    """Sorted set: run that holds a slot of any queue and that the filter queue matches; score = claim ms."""
    return _of(pool, f"queue:/{filter}:slots")


def admissible(pool: str) -> str:
    """Sorted set: queue that is not paused, is below its limit and has a ready run; score = priority."""
    return _of(pool, "admissible")


def next(pool: str) -> str:  # noqa: A001 - the key's own name
    """Sorted set: queue with runs of the future; score = its earliest due ms. What promotion looks at."""
    return _of(pool, "next")


def early(pool: str) -> str:
    """Sorted set: the queues of `next` that are open (not paused, below their limit); same score. What prefetch
    looks at."""
    return _of(pool, "early")


def leases(pool: str) -> str:
    """Sorted set: run that holds a slot of the pool; score = lease expiry ms."""
    return _of(pool, "leases")


def consumers(pool: str) -> str:
    """Sorted set: consumer; score = seen-until ms, after which it counts as offline."""
    return _of(pool, "consumers")


def consumer(pool: str, consumer: str) -> str:
    """Hash: name, kind, type, host, boot, pid, born_ms, version, group, limit, seen_ms, request and claimed (the
    last claim's reply). Expires, once the consumer has left or was taken off the list a day after its last sign: a week
    later."""
    return _of(pool, f"consumer:{consumer}")


def consumer_runs(pool: str, consumer: str) -> str:
    """Set of runs that the consumer holds."""
    return _of(pool, f"consumer:{consumer}:runs")


def groups(pool: str) -> str:
    """Set of groups that have a parked or woken consumer. A group is `<prefetch ms>/<selector>`; a selector is `*`
    (whole pool), `=a,b` (these queues) or `^dev-,test-` (queues with one of these prefixes)."""
    return _of(pool, "groups")


def parked(pool: str, group: str) -> str:
    """Sorted set: idle consumer of the group that waits for a wake; score = runs it holds, so least loaded first."""
    return _of(pool, f"parked:{group}")


def woken(pool: str, group: str) -> str:
    """Sorted set: consumer of the group with an unanswered wake; score = until when an answer is waited for, ms."""
    return _of(pool, f"woken:{group}")


def timers(pool: str) -> str:
    """Sorted set: parked consumer that will look at the pool by itself; score = when, ms. The first is the timer
    keeper, the second its deputy."""
    return _of(pool, "timers")


def wake(pool: str, consumer: str) -> str:
    """List, at most one token (work, timer or control): the consumer's doorbell. Expires after a minute."""
    return _of(pool, f"wake:{consumer}")


def run(pool: str, run: str) -> str:
    """Hash: state, queue, deployment, name, due_ms, created_ms, and (once they differ from 0 or empty) priority, epoch,
    attempts, lost, releases, consumer, claimed_ms, started_ms, cancelling_ms, ended_ms, ended_epoch, pid,
    message, exit_code, idempotency, crash_at, schedule, overlap, expires_ms (until it is started), log_bytes (kept),
    log_lines (ever written), moves (to another pool); and while it moves moving_to, nominal_ms and is_retry. Lives
    until the run is deleted or trimmed."""
    return _of(pool, f"run:{run}")


def run_input(pool: str, run: str) -> str:
    """String, JSON: what to execute (entrypoint or command, path, parameters, tags, ...), as submitted. Scripts look
    only at tags and infrastructure, and only where there are filters."""
    return _of(pool, f"run:{run}:input")


def run_job(pool: str, run: str) -> str:
    """String, JSON: the job that its last start was made of: the base job template with the values of the run."""
    return _of(pool, f"run:{run}:job")


def run_result(pool: str, run: str) -> str:
    """String, JSON: the value that the flow returned. Only when there is one."""
    return _of(pool, f"run:{run}:result")


def run_log(pool: str, run: str) -> str:
    """Stream: captured output, fields ms, line; an entry's id is the line's number, from 1 over all attempts, and -0.
    The oldest lines go beyond 2 MiB. Lives as long as the run."""
    return _of(pool, f"run:{run}:log")


def runs_by_start(pool: str) -> str:
    """Sorted set: every kept run; score = expected start ms."""
    return _of(pool, "runs:by-start")


def runs_of(pool: str, deployment: str) -> str:
    """Sorted set: every kept run of the deployment; score = expected start ms."""
    return _of(pool, f"runs:of:{deployment}")


def runs_finished(pool: str, state: str) -> str:
    """Sorted set: kept runs that ended in this state; score = end ms."""
    return _of(pool, f"runs:finished:{state}")


def idempotency(pool: str, scope: str, key: str) -> str:
    """String: the id of the run submitted with this key; scope is the deployment, or empty. Expires after 7 days, or
    with the run."""
    return _of(pool, f"idempotency:{scope}:{key}")


def events(pool: str) -> str:
    """Stream: every transition and every change of a pool or queue; fields event, ms, run, queue, state, consumer,
    epoch, name, value (of what was set), priority, limit, type, silent_ms, back_ms. Bounded to about 20,000 entries."""
    return _of(pool, "events")


def schedule(pool: str, deployment: str, schedule: str) -> str:
    """Hash: digest (of what its runs are made of; absent while its deployment moves), cursor_ms (the last time that was
    decided), and after a failure fault and fault_ms. Lives as long as the schedule is active."""
    return _of(pool, f"schedule:{deployment}:{schedule}")


def schedule_runs(pool: str, deployment: str, schedule: str) -> str:
    """Sorted set: unfinished run that the schedule made; score = its nominal time, ms."""
    return _of(pool, f"schedule:{deployment}:{schedule}:runs")


def duties(pool: str) -> str:
    """Sorted set: what whoever looks next does for the pool; score = when, ms. `schedule:<deployment>:<id>` makes the
    runs that come next, `move:<deployment>` takes waiting runs after a deployment that went to another pool, and
    `requeue:<deployment>:<queue>` after one that left this queue."""
    return _of(pool, "duties")


def expiring(pool: str) -> str:
    """Sorted set: run that is cancelled unless it was started by then; score = when, ms."""
    return _of(pool, "expiring")


def moving(pool: str) -> str:
    """Sorted set: waiting run on its way to another pool; score = since when, ms. Nobody can claim it."""
    return _of(pool, "moving")


def moved(pool: str, run: str) -> str:
    """String: how often a run that was here had moved when it went on or was removed; `refused`: it was to come, and is
    not taken in any more by that move. Expires after a day."""
    return _of(pool, f"moved:{run}")


def deployment_set(pool: str) -> str:
    """Hash: `flow/name` -> the deployment as JSON, with its schedules, its `version`, and whether it is `leaving` for
    another pool."""
    return _of(pool, "deployments")


KEYS = {
    function.__name__: function
    for function in (
        pools, deployments, pool, state, queues, queue, ready, due, retry, slots, lane_ready, lane_due, lane_retry,
        filter_slots, admissible, next, early, leases, consumers, consumer, consumer_runs, groups, parked, woken,
        timers, wake, run, run_input, run_job, run_result, run_log, runs_by_start, runs_of, runs_finished, idempotency,
        events, schedule, schedule_runs, duties, expiring, moving, moved, deployment_set,
    )
}  # fmt: skip

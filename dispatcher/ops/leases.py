"""What a consumer does with the runs that it holds: claim, start, log, finish, release, renew.

Each is one script that checks (consumer, epoch, state) before it writes; a stale caller is FENCED and changes
nothing. All take several runs at a time, so that a warm worker can finish and claim in batches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Arg, Call, expect
from dispatcher.models import Claim, Claimed, Document, Heartbeat, Outcome, RunInput
from dispatcher.ops.reading import optional
from dispatcher.states import State, known

MAX_CLAIM = 64
LOG_BYTES = 2 * 1024 * 1024  # kept per run, the newest lines; a line counts 64 more than it holds
Held = tuple[str, int]  # run id, epoch


def claim(pool: str, consumer: str, *, request: str, want: int, load: int) -> Call[Claim]:
    """Takes up to `want` (at most 64) runs for the consumer, or parks it until it is woken.

    `request` is new for each claim; the same one again gives the same answer. `load`: runs held now, so that the
    least loaded is woken first. Raises `PoolNotFound`, `ConsumerUnknown`.
    """

    def answer(reply: list[Any]) -> Claim:
        if reply[0] == "parked":
            _, lease_ms, duties, block_ms, reason, is_timer = reply
            return Claim((), int(lease_ms), int(block_ms), str(reason), bool(is_timer), duties=tuple(duties))
        lease_ms, template_id, duties, *rows = expect("claimed", pool=pool, consumer=consumer)(reply)
        runs = tuple(_claimed(row) for row in rows)
        return Claim(runs, int(lease_ms), template_id=str(template_id), duties=tuple(duties))

    return Call("lease_claim", (keyspace.pool(pool),), (consumer, request, want, load), answer)


def _claimed(row: list[Any]) -> Claimed:
    run, epoch, queue, wait_ms, attempts, lost, name, deployment, due_ms, run_input = row
    return Claimed(
        id=run,
        epoch=int(epoch),
        queue=queue,
        wait_ms=int(wait_ms),
        attempts=int(attempts),
        lost=int(lost),
        name=name,
        deployment=deployment,
        due_at_ms=int(due_ms),
        input=RunInput.read(json.loads(run_input)),
    )


def start(pool: str, consumer: str, run: str, epoch: int, *, pid: int, job: Document | None = None) -> Call[State]:
    """PENDING -> RUNNING; `pid` is the process's, `job` what it executes, kept with the run. Answers CANCELLING when a
    cancel was quicker, and PENDING, as which it stays, when its pool or queue was paused since it was claimed.

    Raises `LeaseLost`.
    """
    decode = expect("started", pool=pool, run=run, epoch=epoch)
    text = "" if job is None else json.dumps(job, separators=(",", ":"))
    return Call(
        "lease_start", (keyspace.pool(pool),), (consumer, run, epoch, pid, text), lambda reply: known(decode(reply)[0])
    )


def log(pool: str, consumer: str, run: str, epoch: int, lines: Sequence[str]) -> Call[None]:
    """Appends lines to the run's log; the oldest go beyond 2 MiB. Not to be sent twice: it would repeat them.

    Raises `LeaseLost`.
    """
    decode = expect("logged", pool=pool, run=run, epoch=epoch)
    return Call(
        "lease_log",
        (keyspace.pool(pool),),
        (consumer, run, epoch, LOG_BYTES, *lines),
        lambda reply: optional(decode(reply)),
        resend=False,
    )


def finish(pool: str, consumer: str, outcomes: Sequence[Outcome]) -> Call[list[str]]:
    """Ends attempts. One word for each: the run's new state; `already` (this was sent before); or `FENCED`."""
    args: list[Arg] = [consumer]
    for outcome in outcomes:
        retry = "" if outcome.retry_in_ms is None else outcome.retry_in_ms
        code = "" if outcome.exit_code is None else outcome.exit_code
        args += [outcome.id, outcome.epoch, outcome.state.value, retry, outcome.message, code, outcome.result_json]
    return Call("lease_finish", (keyspace.pool(pool),), tuple(args), expect("finished", pool=pool))


def release(pool: str, consumer: str, held: Sequence[Held]) -> Call[list[str]]:
    """Gives runs back without charging an attempt. One word for each: the run's new state, or `FENCED`."""
    args = [consumer, *_flat(held)]
    return Call("lease_release", (keyspace.pool(pool),), tuple(args), expect("released", pool=pool))


def renew(pool: str, consumer: str, held: Sequence[Held]) -> Call[Heartbeat]:
    """The heartbeat: renews the leases of `held`, keeps the consumer online, and brings lost and cancelled runs back.

    Raises `ConsumerUnknown`, `PoolNotFound`.
    """

    def answer(reply: list[Any]) -> Heartbeat:
        lease_ms, lost, cancelling, duties = expect("renewed", pool=pool, consumer=consumer)(reply)
        return Heartbeat(int(lease_ms), _pairs(lost), _pairs(cancelling), tuple(duties))

    return Call("lease_renew", (keyspace.pool(pool),), (consumer, *_flat(held)), answer)


def _pairs(rows: list[list[Any]]) -> tuple[Held, ...]:
    return tuple((run, int(epoch)) for run, epoch in rows)


def _flat(held: Sequence[Held]) -> list[Arg]:
    return [word for run, epoch in held for word in (run, epoch)]

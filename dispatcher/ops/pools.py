"""Work pools: make, read, change, delete, tick.

Functions return a `Call` or a `Flow`; a driver sends it. The directory `dispatcher:pools` lies in another cluster
slot than the pool, so it is written by a second call: it may lag behind a crash, and nothing is decided by it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from dispatcher import keyspace, pool_types, templates
from dispatcher.call import Arg, Call, Flow, as_json, checked_text, expect
from dispatcher.errors import BadValue, BrokerRefused, PoolExists, PoolNotFound, PoolRunsStopping
from dispatcher.ids import new_id
from dispatcher.models import Document, Pool
from dispatcher.models.pools import (
    DEFAULT_KEEP_MS,
    DEFAULT_KEEP_RUNS,
    DEFAULT_LEASE_MS,
    MAX_KEEP_RUNS,
    MAX_LEASE_MS,
    MAX_LIMIT,
    MIN_KEEP_MS,
    MIN_KEEP_RUNS,
    MIN_LEASE_MS,
)
from dispatcher.ops.reading import optional, pool_from


def is_whole(value: object) -> bool:
    """Whether it is a number that scripts can take for a count; what is none would be in the way of every reader."""
    return isinstance(value, int) and not isinstance(value, bool)


def limit_text(limit: int | None) -> str:
    """A concurrency limit as scripts take it: None, no limit, is empty; 0 admits nothing. Raises `BadValue` for a
    negative one, and for one of more than nine digits."""
    if limit is None:
        return ""
    if not (is_whole(limit) and 0 <= limit <= MAX_LIMIT):
        raise BadValue(
            f"a concurrency limit of {limit!r} is not possible: give 0 or more, {MAX_LIMIT} at most, or clear the "
            "limit."
        )
    return str(limit)


def checked_lease_ms(lease_ms: int) -> int:
    """Raises `BadValue` for a lease outside 5 s to 1 h."""
    if not is_whole(lease_ms):
        raise BadValue(f"a lease of {lease_ms!r} ms is not possible: give a whole number.")
    if not MIN_LEASE_MS <= lease_ms <= MAX_LEASE_MS:
        raise BadValue(f"a lease of {lease_ms / 1000:g} s is not possible: give 5 s to 1 h.")
    return lease_ms


def checked_keep_ms(keep_ms: int) -> int:
    """Raises `BadValue` for finished runs that are to be kept for less than a minute."""
    if not is_whole(keep_ms):
        raise BadValue(f"finished runs cannot be kept for {keep_ms!r} ms: give a whole number.")
    if keep_ms < MIN_KEEP_MS:
        raise BadValue(f"finished runs cannot be kept for {keep_ms / 1000:g} s only: give a minute or more.")
    return keep_ms


def checked_keep_runs(keep_runs: int) -> int:
    """Raises `BadValue` for a number of finished runs outside 100 to 10 million."""
    if not (is_whole(keep_runs) and MIN_KEEP_RUNS <= keep_runs <= MAX_KEEP_RUNS):
        raise BadValue(f"{keep_runs!r} finished runs cannot be kept: give {MIN_KEEP_RUNS} to {MAX_KEEP_RUNS}.")
    return keep_runs


def template_text(template: Document | None) -> str:
    """A base job template as it is kept; empty: none of its own. Raises `TemplateInvalid`."""
    return as_json(templates.checked(template)) if template else ""


def checked_type(type: str) -> str:
    """Raises `BadValue` for a pool type that this version does not have."""
    return pool_types.checked(type)


def create(
    name: str,
    *,
    type: str = "agent",
    description: str = "",
    limit: int | None = None,
    is_paused: bool = False,
    lease_ms: int = DEFAULT_LEASE_MS,
    template: Document | None = None,
    keep_ms: int = DEFAULT_KEEP_MS,
    keep_runs: int = DEFAULT_KEEP_RUNS,
) -> Flow[Pool]:
    """Makes a pool with its queue `default`. `template` None or empty: its type's own. Raises `PoolExists`, `BadName`,
    `BadValue`, `TemplateInvalid`."""
    text = template_text(template)
    making = Call(
        "pool_create",
        (keyspace.pool(keyspace.checked_name("Work pool", name)),),
        (
            new_id(),
            new_id(),
            checked_type(type),
            checked_text(description),
            limit_text(limit),
            int(is_paused),
            checked_lease_ms(lease_ms),
            text,
            new_id() if text else "",
            checked_keep_ms(keep_ms),
            checked_keep_runs(keep_runs),
        ),
        expect("created", pool=name),
    )
    yield from _list_in_directory(name)  # before: what a full Redis refuses here has left nothing behind
    yield from making
    yield from _list_in_directory(name)  # and after: a deletion that was about to end may have taken it out
    return (yield from read(name))


def ensure(name: str, *, type: str = "agent", template: Document | None = None) -> Flow[bool]:
    """Makes the pool unless it exists; True: it was made now."""
    try:
        yield from read(name)
    except PoolNotFound:
        pass
    else:
        with suppress(BrokerRefused):  # when it is full, say: it is there, which was asked
            yield from _list_in_directory(name)  # a deletion of its predecessor may have taken it out
        return False
    try:
        yield from create(name, type=type, template=template)
    except PoolExists:  # another was quicker
        return False
    return True


def read(name: str) -> Call[Pool]:
    """The pool with its queues and counts, as of one instant. Raises `PoolNotFound`. Cost: O(queues + held runs)."""
    decode = expect("pool", pool=name)
    return Call(
        "pool_read",
        (keyspace.pool(keyspace.checked_name("Work pool", name)),),
        (),
        lambda reply: pool_from(name, decode(reply)),
    )


def find(name_or_id: str) -> Flow[Pool]:
    """The pool of that name, else that of that id. Raises `PoolNotFound`."""
    try:
        return (yield from read(name_or_id))
    except PoolNotFound:
        for pool in (yield from list_all()):
            if pool.id == name_or_id:
                return pool
        raise


def names() -> Call[list[str]]:
    """Names of all pools, sorted."""
    return Call("SMEMBERS", (keyspace.pools(),), (), lambda reply: sorted(str(name) for name in reply))


def list_all() -> Flow[list[Pool]]:
    """Every pool, by name. One that a crash left in the directory alone is passed over."""
    found = []
    for name in (yield from names()):
        try:
            found.append((yield from read(name)))
        except PoolNotFound:
            continue
    return found


def update(
    name: str,
    *,
    description: str | None = None,
    limit: int | None = None,
    lease_ms: int | None = None,
    template: Document | None = None,
    keep_ms: int | None = None,
    keep_runs: int | None = None,
) -> Call[None]:
    """Changes what is given and nothing else; a limit of 0 is a value, an empty template the type's own.

    Raises `PoolNotFound`, `BadValue`, `TemplateInvalid`.
    """
    changes: list[Arg] = []
    if description is not None:
        changes += ["description", description]
    if limit is not None:
        changes += ["limit", limit_text(limit)]
    if lease_ms is not None:
        changes += ["lease_ms", checked_lease_ms(lease_ms)]
    if template is not None:
        text = template_text(template)
        changes += ["template", text, "template_id", new_id() if text else ""]
    if keep_ms is not None:
        changes += ["keep_ms", checked_keep_ms(keep_ms)]
    if keep_runs is not None:
        changes += ["keep_runs", checked_keep_runs(keep_runs)]
    return _set(name, *changes)


def set_limit(name: str, limit: int | None) -> Call[None]:
    """Sets or (None) clears the limit. Lowering it preempts nothing: it stops admission until below."""
    return _set(name, "limit", limit_text(limit))


def pause(name: str, note: str | None = None) -> Call[None]:
    """From now on the pool hands nothing out; running runs go on. No note given: one that is there stays."""
    return _set(name, "paused", 1, *(() if note is None else ("note", note)))


def resume(name: str) -> Call[None]:
    """The pool hands out runs again; its note is gone. Raises `PoolNotFound`."""
    return _set(name, "paused", 0, "note", "")


def _set(name: str, *changes: Arg) -> Call[None]:
    decode = expect("set", pool=name)
    key = keyspace.pool(keyspace.checked_name("Work pool", name))
    return Call("pool_set", (key,), changes, lambda reply: optional(decode(reply)))


def tick(name: str) -> Call[bool]:
    """Promotes due runs and reaps expired leases, as every other script does on its way; True: there is more to do.

    Consumers never need it. A reader calls it first, so that it tells the truth in a pool where nobody is left.
    """
    decode = expect("ticked", pool=name)
    return Call(
        "pool_tick",
        (keyspace.pool(keyspace.checked_name("Work pool", name)),),
        (),
        lambda reply: bool(decode(reply)[0]),
    )


def duties(name: str) -> Call[tuple[list[str], int]]:
    """Duties to do now (`upkeep/`), and in how many ms the next one comes, a minute at most. For a scheduler, which
    takes no runs; consumers get theirs with claims and heartbeats. Raises `PoolNotFound`."""
    decode = expect("duties", pool=name)

    def found(reply: list[Any]) -> tuple[list[str], int]:
        next_ms, *taken = decode(reply)
        return taken, int(next_ms)

    return Call("pool_duties", (keyspace.pool(keyspace.checked_name("Work pool", name)),), (), found)


def delete(name: str, *, cancel_runs: bool = False, longest_wait_s: float = 0) -> Flow[int]:
    """Deletes the pool with all that is kept of it; returns how many unfinished runs were cancelled.

    Held runs are asked to stop, and waited for at most so long. Raises `PoolNotFound`; `PoolHasRuns` when there are
    unfinished runs and `cancel_runs` is not set; `PoolRunsStopping` when the wait was too short: the pool takes no more
    work, and `delete` has to be called again.
    """
    key = keyspace.pool(keyspace.checked_name("Work pool", name))
    cancelled, is_begun, end_s = 0, False, time.monotonic() + longest_wait_s

    def step(reply: list[Any]) -> tuple[int, int, int]:
        if reply[0] == "stopping":
            return int(reply[1]), 0, int(reply[2])
        more, left = expect("deleted", pool=name)(reply)
        return int(more), int(left), 0

    while True:
        try:
            more, left, held = yield from Call("pool_delete", (key,), (int(cancel_runs),), step)
        except PoolNotFound:  # a crash or a lost reply may have left it in the directories
            yield from _forget(name)
            if is_begun:  # the last step was taken, and its reply lost
                return cancelled
            raise
        is_begun, cancelled = True, cancelled + more
        if held:
            if time.monotonic() >= end_s:
                raise PoolRunsStopping(pool=name, found=held)
            yield from _next_event(name)
        elif not left:
            break
    yield from _forget(name)
    return cancelled


def _next_event(name: str) -> Call[None]:
    """Waits until something happens in the pool, at most a second."""
    args = ("COUNT", 1, "BLOCK", 1000, "STREAMS", keyspace.events(name), "$")
    return Call("XREAD", (), args, optional, waits_ms=1000)


def _forget(name: str) -> Flow[None]:
    """Takes the pool and its deployments out of the directories."""
    yield from Call("SREM", (keyspace.pools(),), (name,), optional)
    directory = yield from Call("HGETALL", (keyspace.deployments(),), (), list)
    stale = [field for field, pool in zip(directory[::2], directory[1::2], strict=True) if pool == name]
    if stale:
        yield from Call("HDEL", (keyspace.deployments(),), tuple(stale), optional)
    with suppress(PoolNotFound, BrokerRefused):
        yield from read(name)  # made again meanwhile: its successor stays listed, with what was deployed to it
        yield from _list_in_directory(name)
        for deployment in (yield from Call("HKEYS", (keyspace.deployment_set(name),), (), list)):
            yield from Call("HSETNX", (keyspace.deployments(),), (deployment, name), optional)


def _list_in_directory(name: str) -> Call[None]:
    return Call("SADD", (keyspace.pools(),), (name,), optional)

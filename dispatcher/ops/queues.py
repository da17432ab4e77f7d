"""Work queues: make, read, change, rank, delete. Every pool keeps the queue `default`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispatcher import keyspace
from dispatcher.call import Arg, Call, Flow, expect
from dispatcher.errors import (
    AmbiguousName,
    BadValue,
    BrokerFull,
    FilterMisplaced,
    QueueExists,
    QueueHasRuns,
    QueueNotFound,
    QueueNowhere,
)
from dispatcher.ids import new_id
from dispatcher.models import DEFAULT_POOL, Pool, Queue, QueueFilter
from dispatcher.ops import filters, pools
from dispatcher.ops.reading import optional

MAX_PRIORITY = 999_999_999
BATCH = 100  # waiting runs that one script call moves or cancels


def create(
    pool: str,
    name: str,
    *,
    limit: int | None = None,
    priority: int | None = None,
    description: str = "",
    is_paused: bool = False,
    filter: QueueFilter | None = None,
) -> Call[int]:
    """Makes a queue; returns its priority. No priority given: the lowest free number; given and taken: the newcomer
    keeps it, the others move up as far as needed. One with a filter hands out nothing before it has picked up all that
    was there: `fill` waits for that, else the next scripts do it on their way.

    Raises `QueueExists`, `PoolNotFound`, `BadName`, `BadValue`, `FilterMisplaced`, `TooManyFilters`.
    """
    if priority is not None:
        checked_priority(priority)
    return _make(pool, name, "create", pools.limit_text(limit), priority, description, is_paused, filter)


def ensure(pool: str, name: str, *, for_runs: bool = False, filter: QueueFilter | None = None) -> Flow[bool]:
    """Makes the queue unless it exists; True: it was made now. `for_runs`: runs are to be sent to it.

    Raises `PoolNotFound`, `BadName`; `QueueIsFilter` when it is for runs and shows those of others.
    """
    call = _make(pool, name, "home" if for_runs else "ensure", "", None, "", False, filter)
    decode = expect("created", pool=pool, queue=name)
    ensuring = Call(call.command, call.keys, call.args, lambda reply: bool(decode(reply)[1]))
    return _unless_there(ensuring, pool, name)


def _unless_there(ensuring: Call[bool], pool: str, name: str) -> Flow[bool]:
    """A full Redis refuses the script whatever it would do, but a consumer of a queue that is there may start.
    Runs that are sent to it are refused after this."""
    try:
        return (yield from ensuring)
    except BrokerFull:
        if all(queue.name != name for queue in (yield from list_all(pool))):
            raise
        return False


def _make(
    pool: str,
    name: str,
    mode: str,
    limit: str,
    priority: int | None,
    description: str,
    is_paused: bool,
    filter: QueueFilter | None,
) -> Call[int]:
    if filter is not None and pool != DEFAULT_POOL:
        raise FilterMisplaced(pool=pool, queue=name)
    decode = expect("created", pool=pool, queue=name)
    return Call(
        "queue_create",
        (keyspace.pool(keyspace.checked_name("Work pool", pool)),),
        (
            mode,
            keyspace.checked_name("Work queue", name),
            new_id(),
            limit,
            "" if priority is None else priority,
            description,
            int(is_paused),
            "" if filter is None else filters.text(filter),
        ),
        lambda reply: int(decode(reply)[0]),
    )


def checked_priority(priority: int) -> int:
    """Raises `BadValue` unless a positive number of at most nine digits."""
    if not (pools.is_whole(priority) and 1 <= priority <= MAX_PRIORITY):
        raise BadValue(f"a priority of {priority!r} is not possible: give a positive number, 1 goes first.")
    return priority


def fill(pool: str) -> Flow[None]:
    """Lets new filter queues pick up all that they are to show, and count what is held of that; returns when they have.
    Raises `PoolNotFound`."""
    while (yield from pools.tick(pool)):
        pass


def ensure_tagged(tags: Sequence[str]) -> Flow[Queue]:
    """The filter queue for runs with all these tags, made in the default pool unless it is there; so is the pool.

    Its name is `agent-queue-a-b`, where that is free or is that queue. Raises `BadValue`.
    """
    if not tags:
        raise BadValue("a queue for no tags is not possible: give at least one tag.")
    wanted = filters.checked(QueueFilter(tags=tuple(sorted(tags))))
    yield from pools.ensure(DEFAULT_POOL)
    for name in filters.names(wanted.tags):
        yield from ensure(DEFAULT_POOL, name, filter=wanted)
        yield from fill(DEFAULT_POOL)
        found = yield from read(DEFAULT_POOL, name)
        if found.filter == wanted:
            return found
    raise QueueExists(queue=name, pool=DEFAULT_POOL)


def list_all(pool: str, prefix: str = "") -> Flow[list[Queue]]:
    """The queues whose name starts with `prefix`, by priority. Raises `PoolNotFound`."""
    found = yield from pools.read(pool)
    return [queue for queue in found.queues if queue.name.startswith(prefix)]


def read(pool: str, name_or_id: str) -> Flow[Queue]:
    """The queue of that name or id. Raises `PoolNotFound`, `QueueNotFound`."""
    for queue in (yield from list_all(pool)):
        if name_or_id in (queue.name, queue.id):
            return queue
    raise QueueNotFound(queue=name_or_id, pool=pool)


def with_id(queue_id: str) -> Flow[Queue | None]:
    """The queue of that id, in any pool."""
    found = [queue for pool in (yield from pools.list_all()) for queue in pool.queues if queue.id == queue_id]
    return found[0] if found else None


def find(name_or_id: str) -> Flow[tuple[Pool, Queue]]:
    """The queue of that id or name in any pool, with its pool; of several of that name the one in the default pool.

    Raises `QueueNowhere`, `AmbiguousName`.
    """
    found = [(pool, queue) for pool in (yield from pools.list_all()) for queue in pool.queues]
    named = [pair for pair in found if pair[1].name == name_or_id]
    of_default = [pair for pair in named if pair[0].name == DEFAULT_POOL]
    fitting = [pair for pair in found if pair[1].id == name_or_id] or of_default or named
    if not fitting:
        raise QueueNowhere(queue=name_or_id)
    if len(fitting) > 1:
        raise AmbiguousName(noun="Work queue", name=name_or_id, found=", ".join(pool.name for pool, _ in fitting))
    return fitting[0]


def update(pool: str, name: str, *, description: str | None = None, limit: int | None = None) -> Call[None]:
    """Changes what is given and nothing else; a limit of 0 is a value."""
    changes: list[Arg] = []
    if description is not None:
        changes += ["description", description]
    if limit is not None:
        changes += ["limit", pools.limit_text(limit)]
    return _set(pool, name, *changes)


def set_limit(pool: str, name: str, limit: int | None) -> Call[None]:
    """Sets or (None) clears the limit; see `pools.set_limit`."""
    return _set(pool, name, "limit", pools.limit_text(limit))


def pause(pool: str, name: str, note: str | None = None) -> Call[None]:
    """From now on the queue hands nothing out; running runs go on. No note given: one that is there stays."""
    return _set(pool, name, "paused", 1, *(() if note is None else ("note", note)))


def resume(pool: str, name: str) -> Call[None]:
    """The queue hands out runs again; its note is gone. Raises `PoolNotFound`, `QueueNotFound`."""
    return _set(pool, name, "paused", 0, "note", "")


def _set(pool: str, name: str, *changes: Arg) -> Call[None]:
    decode = expect("set", pool=pool, queue=name)
    key = keyspace.pool(keyspace.checked_name("Work pool", pool))
    return Call(
        "queue_set",
        (key,),
        (keyspace.checked_name("Work queue", name), *changes),
        lambda reply: optional(decode(reply)),
    )


def set_priorities(pool: str, priorities: Mapping[str, int]) -> Call[None]:
    """Gives each queue its number; whoever holds one of them moves up as far as needed, gaps stay.

    Raises `PrioritiesCollide` when two are given one number, `QueueNotFound`, `BadValue`; then nothing changes.
    """
    pairs: list[Arg] = []
    for name, priority in priorities.items():
        pairs += [keyspace.checked_name("Work queue", name), checked_priority(priority)]
    decode = expect("ranked", pool=pool)
    key = keyspace.pool(keyspace.checked_name("Work pool", pool))
    return Call("queue_rank", (key,), tuple(pairs), lambda reply: optional(decode(reply)))


def delete(pool: str, name: str, *, move_to: str | None = None, cancel_runs: bool = False) -> Flow[int]:
    """Deletes the queue; returns how many waiting runs were moved or cancelled. Running ones keep their slots. Of a
    queue with a filter only the view goes, and no run is touched.

    Raises `QueueHasRuns` when runs wait and neither was asked for, `DefaultQueueProtected`, `QueueNotFound`.
    """
    key = keyspace.pool(keyspace.checked_name("Work pool", pool))
    moved = 0
    if move_to is not None and move_to == name:
        raise BadValue(f"the runs of work queue {name!r} cannot be moved to itself: name another queue.")
    while True:
        try:
            decode = expect("deleted", pool=pool, queue=name)
            yield from Call("queue_delete", (key,), (name,), decode)
        except QueueHasRuns:
            if move_to is None and not cancel_runs:
                raise
        else:
            return moved
        decode = expect("drained", pool=pool)
        target = "" if move_to is None else keyspace.checked_name("Work queue", move_to)
        moved += int((yield from Call("queue_drain", (key,), (name, target, BATCH), decode))[0])

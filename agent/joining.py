"""How a consumer joins its pool: it is introduced, then registered (`consumer.py`), then settled.

What can be refused is refused before anything is made; the pool alone may have to be made first, because the other
names of its consumers stand in it. Two that start at the same moment both see their name free. So whoever is
registered looks again: of the living with one name the first that joined keeps it, in the order of the pool's events,
which the server gives. Whoever comes later sees the earlier one, since it looks after it has joined.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from agent import identity, succession
from agent.options import Options
from agent.patience import Patience
from dispatcher import __version__
from dispatcher.call import Call, Flow
from dispatcher.errors import ConsumerNameTaken, PoolNotFound
from dispatcher.ids import new_id
from dispatcher.models import Consumer, Event, Pool
from dispatcher.ops import broker_facts, consumers, pools, queues, views

_EVENTS = 5000  # read at once
_log = logging.getLogger("dispatcher.consumer")


@dataclass(frozen=True, slots=True)
class Kind:
    """What tells an agent from a worker. `opened` finds or makes the pool, or raises why it cannot be served;
    `told` says what is served."""

    name: str
    opened: Callable[[Patience, Options], Awaitable[Pool]]
    told: Callable[[Options, Consumer], None]


async def introduced(kind: Kind, options: Options, patience: Patience) -> tuple[Consumer, Sequence[str]]:
    """This process as the pool will know it, and the ids of its dead predecessors."""
    # A server that refuses (a wrong password) or must not be used is told at once; one that is away is waited for.
    await patience.run(lambda: _entrusted(options), until_accepted=False)
    pool = await kind.opened(patience, options)
    pid, host = os.getpid(), identity.host()
    me = Consumer(
        id=new_id(),
        name=options.name or identity.default_name(kind.name),
        pool=pool.name,
        kind=kind.name,
        type=pool.type,
        host=host,
        boot=identity.boot(),
        pid=pid,
        born_at_ms=identity.born_at_ms(pid),
        version=__version__,
        selector=options.selector,
        prefetch_ms=0 if options.is_run_once else round(options.prefetch_s * 1000),
        limit=options.limit,
    )
    rows = await _listed(patience, pool.name)
    me = succession.named(me, rows, is_chosen=options.name is not None)
    return me, succession.predecessors(me, rows)


def _entrusted(options: Options) -> Flow[None]:
    yield from broker_facts.check(allow_unsafe=options.allows_unsafe_broker)
    yield from pools.names()


async def settled(kind: Kind, options: Options, patience: Patience, me: Consumer) -> Consumer:
    """Called once `me` is registered: sees to its name, makes the queues that were named, says what is served and
    whether all of it is paused. Returns `me`, which may have the next number in its name; raises `ConsumerNameTaken`,
    then the caller has to leave."""
    try:
        me = await under_own_name(patience, me, is_chosen=options.name is not None)
        for queue in options.queues:
            if await patience.run(lambda queue=queue: queues.ensure(me.pool, queue)):  # type: ignore[misc]
                _log.warning("Work queue %s of work pool %s did not exist and was made.", queue, me.pool)
        kind.told(options, me)
        _warn_of_pauses(await patience.run(lambda: pools.read(me.pool)), options, me)
    except PoolNotFound:  # it is looked for, as when it is deleted later
        pass
    return me


def _warn_of_pauses(pool: Pool, options: Options, me: Consumer) -> None:
    served = [
        queue
        for queue in pool.queues
        if (not options.queues or queue.name in options.queues)
        and (not options.prefixes or queue.name.startswith(options.prefixes))
    ]
    if pool.is_paused:
        _log.warning("Work pool %s is paused: nothing is handed out until it is resumed.", pool.name)
    elif served and all(queue.is_paused for queue in served):
        _log.warning("Every queue that this %s serves is paused: nothing is handed out until one is resumed.", me.kind)


async def under_own_name(patience: Patience, me: Consumer, *, is_chosen: bool) -> Consumer:
    """`me`, registered, under a name that no other living consumer of this host keeps in the pool."""
    while True:
        rows = await _listed(patience, me.pool)
        found = await _keeper(patience, me, succession.rivals(me, rows))
        if found is None:
            return me
        if is_chosen:
            raise ConsumerNameTaken(name=me.name, pid=found.pid, pool=me.pool)
        me = succession.named(replace(me, name=identity.default_name(me.kind)), rows, is_chosen=False)
        await _join_anew(patience, me)


async def _listed(patience: Patience, pool: str) -> list[Consumer]:
    return await patience.run(lambda: consumers.list_all(pool))


async def _keeper(patience: Patience, me: Consumer, rivals: Sequence[Consumer]) -> Consumer | None:
    """The rival that joined first, if that was before `me`."""
    if not rivals:
        return None
    joined = await _joined(patience, me.pool)
    places = {consumer: place for place, consumer in enumerate(joined)}  # of each its latest
    first = min(rivals, key=lambda row: places.get(row.id, -1))  # events are kept for a while only: it was long ago
    return first if places.get(first.id, -1) < places.get(me.id, math.inf) else None


async def _joined(patience: Patience, pool: str) -> list[str]:
    """The consumers as they joined, one after the other."""
    joined: list[str] = []
    last = "-"

    def more() -> Call[list[Event]]:
        return views.events(pool, after=last, most=_EVENTS)

    while found := await patience.run(more):
        last = found[-1].id
        joined += [event.fields["consumer"] for event in found if event.event == "joined"]
    return joined


async def _join_anew(patience: Patience, me: Consumer) -> None:
    """Leaves and joins under the name that `me` has now: its place among those who joined is the last then."""
    await patience.run(lambda: consumers.leave(me.pool, me.id))
    await patience.run(lambda: consumers.register(me))

"""Consumers: join a pool, leave it, list them, and wait at one's own doorbell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Arg, Call, expect
from dispatcher.models import Consumer
from dispatcher.ops.reading import consumer_from


def register(consumer: Consumer, predecessors: Sequence[str] = ()) -> Call[tuple[int, int]]:
    """Joins the pool; returns (lease ms, runs given back).

    `predecessors`: ids of earlier starts whose processes the caller has seen to be dead; what they held waits again
    at once, counted as lost. Raises `PoolNotFound`, `PoolTypeDiffers`.
    """
    row: dict[str, Arg] = {
        "name": consumer.name,
        "kind": consumer.kind,
        "type": consumer.type,
        "host": consumer.host,
        "boot": consumer.boot,
        "pid": consumer.pid,
        "born_ms": consumer.born_at_ms,
        "version": consumer.version,
        "group": f"{consumer.prefetch_ms}/{consumer.selector}",
        "limit": "" if consumer.limit is None else consumer.limit,
    }
    args: list[Arg] = [consumer.id, len(row)]
    for name, value in row.items():
        args += [name, value]
    command = "agent start" if consumer.kind == "worker" else "worker start"
    decode = expect("registered", pool=consumer.pool, wanted=consumer.type, command=command)
    return Call(
        "consumer_register",
        (keyspace.pool(keyspace.checked_name("Work pool", consumer.pool)),),
        (*args, *predecessors),
        lambda reply: _two(decode(reply)),
    )


def _two(reply: list[Any]) -> tuple[int, int]:
    return int(reply[0]), int(reply[1])


def leave(pool: str, consumer: str) -> Call[int]:
    """Leaves the pool and removes its row; returns how many runs it still held (they wait again, counted as lost)."""
    decode = expect("left", pool=pool)
    return Call("consumer_leave", (keyspace.pool(pool),), (consumer,), lambda reply: int(decode(reply)[0]))


def list_all(pool: str) -> Call[list[Consumer]]:
    """Every consumer of the pool seen within a day, by name. Raises `PoolNotFound`."""
    decode = expect("consumers", pool=pool)

    def found(reply: list[Any]) -> list[Consumer]:
        now, *rows = decode(reply)
        consumers = [consumer_from(pool, row[0], row[1], int(now)) for row in rows]
        return sorted(consumers, key=lambda consumer: (consumer.name, consumer.id))

    return Call("consumer_read", (keyspace.pool(keyspace.checked_name("Work pool", pool)),), (), found)


def listen(pool: str, consumer: str, *, waits_ms: int) -> Call[str | None]:
    """Waits at the consumer's doorbell: `work`, `timer` or `control`, or None after `waits_ms`.

    Less than 1 ms is 1 ms: to Redis 0 is for ever. The token carries nothing. `control`: renew at once, something about
    a held run changed. A token lost with its reply costs a second at most, so it may be sent again.
    """
    return Call(
        "BLPOP",
        (keyspace.wake(pool, consumer),),
        (f"{max(1, waits_ms) / 1000:.3f}",),
        lambda reply: str(reply[1]) if reply else None,
        waits_ms=max(1, waits_ms),
    )

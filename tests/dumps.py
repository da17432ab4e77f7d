"""The whole content of a server: to see that nothing changed, that two ways end alike, and to go back to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Dump = dict[str, tuple[bytes, int]]
Content = dict[str, Any]


def dump(server: Any) -> Dump:
    """Every key as Redis would save it, and when it expires (-1: never)."""
    keys = sorted(server.scan_iter(count=1000))
    pipe = server.pipeline(transaction=False)
    for key in keys:
        pipe.dump(key)
        pipe.execute_command("PEXPIRETIME", key)
    replies = pipe.execute()
    return dict(zip(keys, zip(replies[::2], replies[1::2], strict=True), strict=True))


def restore(server: Any, saved: Dump) -> None:
    """Puts the server back to where `dump` was taken. Scripts stay loaded."""
    server.flushall()
    for key, (value, expires_ms) in saved.items():
        server.restore(key, max(0, expires_ms), value, absttl=expires_ms > 0)


@contextmanager
def unchanged(server: Any) -> Iterator[None]:
    """Fails when the block changed anything in the server."""
    before = dump(server)
    yield
    after = dump(server)
    different = {key for key in before | after if before.get(key) != after.get(key)}
    assert different == set(), f"changed: {sorted(different)}"


def content(server: Any) -> Content:
    """Every key as a value that can be compared and read; stream entries without their ids, which are the time."""
    found: Content = {}
    for key in sorted(server.scan_iter(count=1000)):
        kind = server.type(key)
        if kind == "hash":
            found[key] = server.hgetall(key)
        elif kind == "zset":
            found[key] = server.zrange(key, 0, -1, withscores=True)
        elif kind == "set":
            found[key] = sorted(server.smembers(key))
        elif kind == "list":
            found[key] = server.lrange(key, 0, -1)
        elif kind == "stream":
            found[key] = [entry for _, entry in server.xrange(key)]
        else:
            found[key] = server.get(key)
    return found

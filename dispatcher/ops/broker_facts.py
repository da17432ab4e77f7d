"""What kind of Redis answers, and whether work may be entrusted to it. Reads only.

INFO without a section is used, because it is all that least-privilege users are usually allowed and holds the
eviction policy too; CONFIG GET is often forbidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dispatcher.call import Call, Flow
from dispatcher.errors import BadRequest, BrokerForeign, BrokerRefused

OLDEST = (7, 0)  # the scripts use what came with Redis 7.0: flags in the shebang, EVAL with `#!lua`


@dataclass(frozen=True, slots=True)
class BrokerFacts:
    version: str
    eviction: str  # empty when the server does not tell


def read() -> Call[BrokerFacts]:
    """Version and eviction policy."""

    def decode(reply: object) -> BrokerFacts:
        if not isinstance(reply, str) or "redis_version:" not in reply:
            raise BrokerForeign("what answers there is not Redis: INFO tells no version. Check the URL.")
        of = dict(line.split(":", 1) for line in reply.splitlines() if ":" in line)
        return BrokerFacts(of.get("redis_version", ""), of.get("maxmemory_policy", ""))

    return Call("INFO", (), (), decode)


def now_ms() -> Call[int]:
    """The server's own clock, for what no script writes; a test's clock does not set it."""

    def decode(reply: Any) -> int:
        seconds, microseconds = reply
        return int(seconds) * 1000 + int(microseconds) // 1000

    return Call("TIME", (), (), decode)


def check(*, allow_unsafe: bool = False) -> Flow[None]:
    """Raises `BadRequest` for a server below 7.0, and for one that may evict keys unless `allow_unsafe`.

    A server that refuses INFO to this user is passed: whatever else is wrong, the next call tells.
    """
    try:
        facts = yield from read()
    except BrokerForeign:
        raise
    except BrokerRefused:
        return
    numbers = tuple(int(part) for part in facts.version.split(".")[:2] if part.isdecimal())
    if numbers and numbers < OLDEST:
        raise BadRequest(
            f"the Redis server is version {facts.version}; 7.0 or newer is needed. Upgrade it (any Valkey serves too), "
            "or leave the URL away to use the embedded broker."
        )
    if facts.eviction not in ("", "noeviction") and not allow_unsafe:
        raise BadRequest(
            f"the Redis server has maxmemory-policy {facts.eviction}: it deletes keys, and with them runs, when its "
            "memory is full. Set it to noeviction (`redis-cli CONFIG SET maxmemory-policy noeviction`, and in its "
            "configuration), or give --allow-unsafe-broker."
        )

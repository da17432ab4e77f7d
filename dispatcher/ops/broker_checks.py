"""Whether the broker is fit for the work: what `doctor` asks of the server itself. Fills its script cache, no more.

Each judgement is a function of what the server told, so that those servers can be tested that are not at hand. What a
user of few rights may not ask is a warning, not a finding.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dispatcher.call import Call, Flow, script, script_names
from dispatcher.errors import BrokerRefused
from dispatcher.models.checks import FINDING, OK, WARNING, Check
from dispatcher.ops.broker_facts import OLDEST, now_ms
from dispatcher.ops.reading import fields, optional

Told = Mapping[str, str]
SKEW_WARNING_MS, SKEW_FINDING_MS = 1_000, 30_000
LATENCY_WARNING_MS, LATENCY_FINDING_MS = 20.0, 250.0  # of the middle one of the pings
FULL_WARNING, FULL_FINDING = 0.75, 0.9  # of memory, and of the clients that are allowed
PINGS = 20
_CONFIG = ("save", "appendfsync", "min-replicas-to-write")


def broker(*, is_embedded: bool, allow_unsafe: bool) -> Flow[list[Check]]:
    """Everything about the server. Raises `BrokerUnavailable` when it is away."""
    found = []
    try:
        info = yield from Call("INFO", (), (), _sections)
    except BrokerRefused as error:
        found.append(Check("version", WARNING, f"INFO is refused: {error}", "allow this user INFO, to learn more"))
    else:
        config = yield from _config()
        found += [
            version(info),
            eviction(info, allow_unsafe=allow_unsafe),
            persistence(info, config, is_embedded=is_embedded),
            replicas(info, config),
            memory(info),
            clients(info),
        ]
    found.append(clock((yield from _skew_ms())))
    found.append(latency((yield from _pings_ms())))
    found.append((yield from _scripts()))
    return found


def _sections(reply: Any) -> dict[str, str]:
    return dict(line.split(":", 1) for line in str(reply).splitlines() if ":" in line)


def _config() -> Flow[dict[str, str]]:
    """What few users may ask; empty when this one may not."""
    try:
        return (yield from Call("CONFIG", (), ("GET", *_CONFIG), fields))
    except BrokerRefused:
        return {}


def version(info: Told) -> Check:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    shown = info.get("valkey_version") or info.get("redis_version", "")
    if not shown:
        return Check("version", FINDING, "what answers there tells no version", "check the URL")
    numbers = tuple(int(part) for part in info.get("redis_version", "").split(".")[:2] if part.isdecimal())
    if numbers and numbers < OLDEST:
        return Check("version", FINDING, f"{name} {shown}: too old", "upgrade to Redis 7.0 or newer, or any Valkey")
    if info.get("cluster_enabled") == "1":
        return Check("version", FINDING, f"{name} {shown} in cluster mode, which comes later", "use a single server")
    return Check("version", OK, f"{name} {shown}")


def eviction(info: Told, *, allow_unsafe: bool) -> Check:
    policy = info.get("maxmemory_policy", "")
    if not policy:
        return Check("eviction", WARNING, "the server does not tell its policy", "see to it that it is noeviction")
    if policy == "noeviction":
        return Check("eviction", OK, policy)
    allowed = "; it is used because --allow-unsafe-broker says so" if allow_unsafe else ""
    return Check(
        "eviction",
        FINDING,
        f"{policy}: keys, and with them runs, are deleted when memory is full{allowed}",
        "redis-cli CONFIG SET maxmemory-policy noeviction, and in its configuration",
    )


def persistence(info: Told, config: Told, *, is_embedded: bool) -> Check:
    """What is lost when the server dies."""
    statuses = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    if failed := [name for name in statuses if info.get(name, "ok") != "ok"]:
        return Check("persistence", FINDING, f"{failed[0]} is {info[failed[0]]}", "look at its disk and its log")
    if info.get("aof_enabled") == "1":
        often = config.get("appendfsync", "everysec")
        if often == "no":
            text = "append-only file, written when the system likes: seconds of work may be lost with the machine"
            return Check("persistence", WARNING, text, "redis-cli CONFIG SET appendfsync everysec")
        lost = "nothing that was acknowledged" if often == "always" else "up to two seconds of work"
        return Check("persistence", OK, f"append-only file ({often}): {lost} may be lost with the machine")
    advice = "redis-cli CONFIG SET appendonly yes, and in its configuration"
    if config.get("save"):
        text = f"snapshots only ({config['save']}): what came since the last one is lost with the server"
        return Check("persistence", WARNING, text, advice)
    if "save" not in config:
        return Check("persistence", WARNING, "no append-only file; whether there are snapshots is not told", advice)
    status = WARNING if is_embedded else FINDING
    return Check("persistence", status, "none: everything is lost when the server ends", advice)


def replicas(info: Told, config: Told) -> Check:
    if info.get("role", "master") != "master":
        text = f"this server is a replica of {info.get('master_host', 'another')}: it takes no writes"
        return Check("replicas", FINDING, text, "name the primary with --redis-url")
    count = int(info.get("connected_slaves", 0))
    if count == 0:
        return Check("replicas", OK, "none: while this server is away nothing new is taken, running runs go on")
    if int(config.get("min-replicas-to-write") or 0) >= count:
        text = f"{count}, and each is needed for writes: when one is lost, heartbeats are refused too"
        return Check("replicas", WARNING, text, "have one more replica than min-replicas-to-write")
    return Check("replicas", OK, f"{count}; they follow a moment later, which a failover may lose")


def memory(info: Told) -> Check:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    shown = f"{used / 2**20:.1f} MiB used"
    if not limit:
        total = int(info.get("total_system_memory", 0))
        if total and used > FULL_FINDING * total:
            text = f"{shown} of {total / 2**20:.0f} MiB of the machine"
            return Check("memory", WARNING, text, "keep fewer runs: dispatcher work-pool update NAME --retention")
        return Check("memory", OK, f"{shown}, no limit")
    return _full("memory", used / limit, f"{shown} of {limit / 2**20:.1f} MiB", "raise maxmemory, or keep fewer runs")


def clients(info: Told) -> Check:
    used, limit = int(info.get("connected_clients", 0)), int(info.get("maxclients", 0))
    if not limit:
        return Check("clients", OK, f"{used} connected")
    return _full("clients", used / limit, f"{used} of {limit} connected", "raise maxclients; each consumer takes three")


def _full(name: str, share: float, detail: str, advice: str) -> Check:
    if share < FULL_WARNING:
        return Check(name, OK, detail)
    return Check(name, FINDING if share >= FULL_FINDING else WARNING, detail, advice)


def clock(skew_ms: int) -> Check:
    """Everything is decided on the server's clock; this host only shows times and says when a run is to start."""
    if abs(skew_ms) < SKEW_WARNING_MS:
        return Check("clock", OK, "server and this host agree to a second")
    way = "ahead of" if skew_ms > 0 else "behind"
    return Check(
        "clock",
        FINDING if abs(skew_ms) >= SKEW_FINDING_MS else WARNING,
        f"the server is {abs(skew_ms) / 1000:.1f} s {way} this host",
        "set both by NTP; runs and schedules follow the server's clock",
    )


def _skew_ms() -> Flow[int]:
    """Of five looks the quickest, taken as halfway between question and answer."""
    looks = []
    for _ in range(5):
        asked_s = time.time()
        server_ms = yield from now_ms()
        took_s = time.time() - asked_s
        looks.append((took_s, round(server_ms - (asked_s + took_s / 2) * 1000)))
    return min(looks)[1]


def latency(pings_ms: Sequence[float]) -> Check:
    middle, worst = statistics.median(pings_ms), max(pings_ms)
    detail = f"{middle:.1f} ms for a round trip, {worst:.1f} ms at worst"
    if middle < LATENCY_WARNING_MS:
        return Check("latency", OK, detail)
    advice = "run consumers nearer to the server, or relieve it"
    return Check("latency", FINDING if middle >= LATENCY_FINDING_MS else WARNING, detail, advice)


def _pings_ms() -> Flow[list[float]]:
    found = []
    for _ in range(PINGS):
        asked_s = time.perf_counter()
        yield from Call("PING", (), (), optional)
        found.append((time.perf_counter() - asked_s) * 1000)
    return found


def _scripts() -> Flow[Check]:
    """Loads every script: one that the server cannot run would fail in the middle of work."""
    names = script_names()
    for name in names:
        found = script(name)
        try:
            sha = yield from Call("SCRIPT", (), ("LOAD", found.text), str)
        except BrokerRefused as error:
            if "permission" in str(error).lower():
                return Check("scripts", WARNING, f"may not be loaded by this user: {error}", "allow SCRIPT LOAD")
            return Check("scripts", FINDING, f"{name}: {error}", "use Redis 7.0 or newer, or any Valkey")
        if sha != found.sha:
            return Check("scripts", FINDING, f"{name} is kept under another digest", "use Redis 7.0 or newer")
    return Check("scripts", OK, f"{len(names)} loaded")

"""What `doctor` says of servers that are not at hand: from what they would tell, and how quick and exact they are."""

from __future__ import annotations

import pytest

from dispatcher.models.checks import FINDING, OK, WARNING, Check
from dispatcher.ops import broker_checks as checks

Told = dict[str, str]
MIB = 2**20


def fits(check: Check, status: str, said: str) -> bool:
    assert check.status == status, check
    assert said in check.detail, check
    assert (check.advice == "") is (status == OK), check
    return True


@pytest.mark.parametrize(
    ("info", "status", "said"),
    [
        ({"redis_version": "7.0.15"}, OK, "Redis 7.0.15"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.0"}, OK, "Valkey 9.1.0"),
        ({"redis_version": "6.2.14"}, FINDING, "too old"),
        ({"redis_version": "8.0.0", "cluster_enabled": "1"}, FINDING, "cluster mode, which comes later"),
        ({}, FINDING, "no version"),
    ],
)
def test_version(info: Told, status: str, said: str) -> None:
    assert fits(checks.version(info), status, said)


@pytest.mark.parametrize(
    ("info", "status", "said"),
    [
        ({"maxmemory_policy": "noeviction"}, OK, "noeviction"),
        ({"maxmemory_policy": "allkeys-lru"}, FINDING, "allkeys-lru: keys, and with them runs, are deleted"),
        ({}, WARNING, "does not tell"),
    ],
)
def test_eviction(info: Told, status: str, said: str) -> None:
    assert fits(checks.eviction(info, allow_unsafe=False), status, said)
    if status == FINDING:
        assert fits(checks.eviction(info, allow_unsafe=True), FINDING, "--allow-unsafe-broker")


AOF = {"aof_enabled": "1"}


@pytest.mark.parametrize(
    ("info", "config", "status", "said"),
    [
        (AOF, {"appendfsync": "everysec"}, OK, "up to two seconds"),
        (AOF, {"appendfsync": "always"}, OK, "nothing that was acknowledged"),
        (AOF, {"appendfsync": "no"}, WARNING, "when the system likes"),
        (AOF, {}, OK, "up to two seconds"),
        (AOF | {"aof_last_write_status": "err"}, {}, FINDING, "aof_last_write_status is err"),
        ({"rdb_last_bgsave_status": "err"}, {"save": "60 1"}, FINDING, "rdb_last_bgsave_status is err"),
        ({"aof_enabled": "0"}, {"save": "3600 1"}, WARNING, "snapshots only (3600 1)"),
        ({"aof_enabled": "0"}, {"save": ""}, FINDING, "everything is lost"),
        ({"aof_enabled": "0"}, {}, WARNING, "is not told"),
    ],
)
def test_persistence(info: Told, config: Told, status: str, said: str) -> None:
    assert fits(checks.persistence(info, config, is_embedded=False), status, said)


def test_the_embedded_broker_may_be_told_not_to_keep_anything() -> None:
    assert fits(checks.persistence({}, {"save": ""}, is_embedded=True), WARNING, "everything is lost")


@pytest.mark.parametrize(
    ("info", "config", "status", "said"),
    [
        ({"role": "master", "connected_slaves": "0"}, {}, OK, "none"),
        ({"role": "master", "connected_slaves": "2"}, {"min-replicas-to-write": "1"}, OK, "2; they follow"),
        (
            {"role": "master", "connected_slaves": "1"},
            {"min-replicas-to-write": "1"},
            WARNING,
            "heartbeats are refused",
        ),
        ({"role": "slave", "master_host": "main"}, {}, FINDING, "a replica of main"),
    ],
)
def test_replicas(info: Told, config: Told, status: str, said: str) -> None:
    assert fits(checks.replicas(info, config), status, said)


@pytest.mark.parametrize(
    ("used", "limit", "total", "status"),
    [
        (5, 0, 0, OK),
        (5, 0, 100, OK),
        (95, 0, 100, WARNING),
        (70, 100, 0, OK),
        (80, 100, 0, WARNING),
        (91, 100, 0, FINDING),
    ],
)
def test_memory(used: int, limit: int, total: int, status: str) -> None:
    info = {"used_memory": used * MIB, "maxmemory": limit * MIB, "total_system_memory": total * MIB}
    assert fits(checks.memory({name: str(value) for name, value in info.items()}), status, f"{used}.0 MiB used")


@pytest.mark.parametrize(("used", "limit", "status"), [(5, 0, OK), (5, 10, OK), (8, 10, WARNING), (10, 10, FINDING)])
def test_clients(used: int, limit: int, status: str) -> None:
    assert fits(checks.clients({"connected_clients": str(used), "maxclients": str(limit)}), status, f"{used} ")


@pytest.mark.parametrize(
    ("skew_ms", "status", "said"),
    [
        (999, OK, "agree"),
        (-999, OK, "agree"),
        (1_500, WARNING, "1.5 s ahead of this host"),
        (-3_600_000, FINDING, "3600.0 s behind this host"),
    ],
)
def test_clock(skew_ms: int, status: str, said: str) -> None:
    assert fits(checks.clock(skew_ms), status, said)


@pytest.mark.parametrize(
    ("pings", "status", "said"),
    [
        ([0.1, 0.2, 300.0], OK, "0.2 ms for a round trip, 300.0 ms at worst"),
        ([30.0, 30.0, 31.0], WARNING, "30.0 ms"),
        ([300.0, 301.0, 302.0], FINDING, "301.0 ms"),
    ],
)
def test_latency(pings: list[float], status: str, said: str) -> None:
    assert fits(checks.latency(pings), status, said)

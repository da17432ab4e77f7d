"""Audit and repair: whether everything in Redis that follows from a pool's runs and queues is as it follows.

The truth is what each run and each queue says of itself. `audit` compares, `repair` makes the rest anew from it, with
the same four scripts: what they find is what they mend. The keys are looked through by SCAN, which sees all that is
there the whole time, and handed to the scripts a page at a time; each script looks again by itself, so neither a pool
at work nor a page that has grown old makes a fault where there is none, and no single call takes long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Call, Flow, expect
from dispatcher.errors import PoolNotFound
from dispatcher.ids import new_id
from dispatcher.models.audits import Fault
from dispatcher.ops import missing_duties
from dispatcher.ops.reading import fields, optional

PAGE = 100  # runs or keys that one script call looks at
_SCAN = 1000
_RUN = re.compile(r"run:([^:]+)(?::(?:input|job|result|log))?")
_INDEX = re.compile(
    r"queue:[^:]+:(?:ready|due|retry|slots)|leases|moving|expiring|runs:(?:by-start|of:.+|finished:[^:]+)"
    r"|consumer:[^:]+:runs|schedule:.+:runs"
)
_SINGLE = re.compile(r"queue:[^:]+|consumer:[^:]+|parked:.+|woken:.+|idempotency:.+")

Words = tuple[Callable[[str, str, str, str], str], str]
# code -> (the problem, what mends it); the words are of subject, place, found, wanted
_WORDS: dict[str, Words] = {
    "type": (lambda _s, p, f, w: f"{p} is of type {f}, not {w}", "removed, and made anew of what is known elsewhere"),
    "field": (lambda s, _p, f, _w: f"the record of run {s} is damaged: {f!r}", "the field is set to {wanted}"),
    "stray": (
        lambda s, p, f, _w: (
            f"{s} stands in {p}, " + (f"where a run that is {f} does not belong" if f else "and is no run")
        ),
        "taken out",
    ),
    "missing": (lambda s, p, f, _w: f"run {s}, which is {f}, does not stand in {p}", "put there"),
    "score": (lambda s, p, f, w: f"run {s} stands in {p} with {f}, not {w}", "set to {wanted}"),
    "gone": (lambda s, p, _f, _w: f"run {s} waits in {p}, and there is no such queue", "moved to the queue default"),
    "orphan": (lambda s, p, _f, _w: f"{p} has parts, and there is no run {s}", "removed"),
    "unlisted": (lambda s, p, _f, _w: f"{s} is not listed in {p}", "listed; a queue gets the lowest free priority"),
    "priority": (lambda s, _p, f, w: f"queue {s} has priority {f}, as queue {w} has", "gets the lowest free priority"),
    "queue": (lambda s, _p, _f, _w: f"queue {s} has lost its fields", "made again, paused, because its limit is lost"),
    "filter": (lambda s, p, _f, _w: f"the filter of queue {s} is not as {p} says", "entered as the queue has it"),
    "leftover": (lambda s, p, _f, _w: f"{p} is kept for ever, and consumer {s} is gone", "goes in a week"),
    "nobody": (lambda s, p, _f, _w: f"{p} stands for run {s}, which is gone", "removed"),
    "nothing": (lambda s, _p, _f, _w: f"the duty {s} is for a schedule that is gone", "taken out"),
    "undone": (lambda s, _p, _f, _w: f"nobody has the duty {s}", "given to whoever looks next"),
    "row": (lambda s, _p, _f, _w: f"consumer {s} is listed, and has lost its fields", "taken off the list"),
    "twice": (lambda s, p, _f, _w: f"consumer {s} waits in {p}, and elsewhere too", "taken out"),
    "stranger": (lambda s, p, _f, _w: f"consumer {s} waits in {p}, where it does not belong", "taken out"),
    "awake": (lambda s, _p, _f, _w: f"consumer {s} is to look by itself, and does not wait", "taken out"),
    "index": (
        lambda s, p, f, w: (
            f"queue {s} stands in {p} {f'with {f}' if f else 'not at all'}, not {f'with {w}' if w else 'at all'}"
        ),
        "computed anew",
    ),
    "asleep": (lambda s, _p, _f, _w: f"consumers of the group {s} sleep beside work", "woken"),
    "directory": (lambda s, p, _f, _w: f"{s} is missing in {p}", "entered"),
    "entry": (lambda s, p, _f, _w: f"{p} names {s}, which is not in the pool", "taken out"),
    "pool": (
        lambda _s, _p, f, w: f"what the pool is, is lost: its key is of type {f}, not {w}",
        "",
    ),
}


def audit(pool: str) -> Flow[list[Fault]]:
    """Every fault of the pool, none when all is well. Changes nothing. Raises `PoolNotFound`.

    Cost: O(keys) round trips of a page each, for all keys of the server and those of the pool. Of one call's faults at
    most 1,000 are told.
    """
    return _examined(pool, mends=False)


def repair(pool: str) -> Flow[list[Fault]]:
    """Mends the faults of the pool, and returns those it found. A healthy pool is left as it is, to the byte.

    Raises `PoolNotFound`. Cost: as `audit`.
    """
    return _examined(pool, mends=True)


@dataclass(slots=True)
class _Keys:
    """The keys of a pool, without the pool's part, by what they are."""

    runs: set[str] = field(default_factory=set)
    indexes: list[str] = field(default_factory=list)
    singles: list[str] = field(default_factory=list)


def _examined(pool: str, *, mends: bool) -> Flow[list[Fault]]:
    key = keyspace.pool(keyspace.checked_name("Work pool", pool))
    kind = yield from Call("TYPE", (key,), (), str)
    if kind == "none":
        raise PoolNotFound(pool=pool)
    if kind != "hash":
        return [_fault(["pool", "", "pool", kind, "hash"])]
    keys = yield from _keys(key.removesuffix("pool"))
    found: dict[Fault, None] = {}  # a run is looked at once for each of its places, a fault is told once
    for page in _pages(keys.singles) or [()]:
        found |= dict.fromkeys((yield from _pool(pool, mends, page)))
    broken = set()
    for index in keys.indexes:
        faults = yield from _runs(pool, mends, index, ())
        found |= dict.fromkeys(faults)
        if faults and not mends:
            broken.add(index)
    for page in _pages(sorted(keys.runs)):
        found |= dict.fromkeys((yield from _runs(pool, mends, "", page)))
    for index in keys.indexes:
        if index not in broken:
            found |= dict.fromkeys((yield from _strays(pool, mends, index, key)))
    if mends or not any(fault.code == "type" for fault in found):  # else more could not be read as what it is
        found |= dict.fromkeys((yield from _consumers(pool, mends)))
        found |= dict.fromkeys((yield from _undone(pool, mends)))
        found |= dict.fromkeys((yield from _queues(pool, mends, bool(found))))
        found |= dict.fromkeys((yield from _directories(pool, mends)))
    return sorted(found)


def _keys(prefix: str) -> Flow[_Keys]:
    found, cursor = _Keys(), "0"
    while True:
        args = (cursor, "MATCH", f"{prefix}*", "COUNT", _SCAN)
        cursor, names = yield from Call("SCAN", (), args, _page)
        for name in names:
            part = name.removeprefix(prefix)
            if run := _RUN.fullmatch(part):
                found.runs.add(run[1])
            elif _INDEX.fullmatch(part):
                found.indexes.append(part)
            elif _SINGLE.fullmatch(part):
                found.singles.append(part)
        if cursor == "0":
            found.indexes, found.singles = sorted(set(found.indexes)), sorted(set(found.singles))
            return found


def _page(reply: list[Any]) -> tuple[str, list[str]]:
    return str(reply[0]), list(reply[1])


def _pages(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + PAGE]) for start in range(0, len(names), PAGE)]


def _strays(pool: str, mends: bool, index: str, pool_key: str) -> Flow[list[Fault]]:
    found, cursor, is_set = [], "0", index.startswith("consumer:")
    while True:
        args = (cursor, "COUNT", PAGE)
        scan = Call("SSCAN" if is_set else "ZSCAN", (pool_key.removesuffix("pool") + index,), args, _page)
        cursor, flat = yield from scan
        for page in _pages(flat if is_set else flat[::2]):
            found += yield from _runs(pool, mends, index, page)
        if cursor == "0":
            return found


def _pool(pool: str, mends: bool, keys: tuple[str, ...]) -> Call[list[Fault]]:
    return Call("pool_audit", (keyspace.pool(pool),), (int(mends), new_id(), *keys), _told(pool))


def _runs(pool: str, mends: bool, index: str, runs: tuple[str, ...]) -> Call[list[Fault]]:
    """Of an index: who does not belong there. Of none: where the runs are missing."""
    return Call("run_audit", (keyspace.pool(pool),), (int(mends), index, *runs), _told(pool))


def _consumers(pool: str, mends: bool) -> Call[list[Fault]]:
    return Call("consumer_audit", (keyspace.pool(pool),), (int(mends),), _told(pool))


def _queues(pool: str, mends: bool, is_mended: bool) -> Call[list[Fault]]:
    return Call("queue_audit", (keyspace.pool(pool),), (int(mends), int(is_mended)), _told(pool))


def _undone(pool: str, mends: bool) -> Flow[list[Fault]]:
    missing = yield from missing_duties.found(pool)
    if mends:
        yield from missing_duties.give(pool, missing)
    return [_fault(["undone", duty, "duties", "", ""]) for duty in missing]


def _told(pool: str) -> Callable[[Any], list[Fault]]:
    decode = expect("audited", pool=pool)
    return lambda reply: [_fault(row) for row in decode(reply)]


def _fault(row: list[str]) -> Fault:
    code, subject, place, found, wanted = row
    problem, repair = _WORDS[code]
    return Fault(code, subject, place, problem(subject, place, found, wanted), repair.format(wanted=wanted))


def _directories(pool: str, mends: bool) -> Flow[list[Fault]]:
    """What lies outside the pool's slot: the directory of pools, and that of deployments."""
    found = []
    if not (yield from Call("SISMEMBER", (keyspace.pools(),), (pool,), bool)):
        found.append(_fault(["directory", f"work pool {pool}", keyspace.pools(), "", ""]))
        if mends:
            yield from Call("SADD", (keyspace.pools(),), (pool,), optional)
    kept = yield from Call("HKEYS", (keyspace.deployment_set(pool),), (), list)
    listed = yield from Call("HGETALL", (keyspace.deployments(),), (), fields)
    for name in sorted(kept):
        if name not in listed:
            found.append(_fault(["directory", f"deployment {name}", keyspace.deployments(), "", ""]))
            if mends:
                yield from Call("HSETNX", (keyspace.deployments(),), (name, pool), optional)
    for name in sorted(name for name, place in listed.items() if place == pool and name not in kept):
        found.append(_fault(["entry", f"deployment {name}", keyspace.deployments(), "", ""]))
        if mends:
            yield from Call("HDEL", (keyspace.deployments(),), (name,), optional)
    return found

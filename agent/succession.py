"""What a starting consumer does about earlier ones of its host: whose name is taken, and who is dead.

A consumer that was killed leaves its row and its runs behind. Whoever starts next on the same host can look: the
process is gone, no child of it lives, so its runs may wait again at once instead of after their lease. This holds for
every dead consumer of the host, whatever its name. Rows of another boot, pid namespace or user cannot be judged and
are left to their leases.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import psutil

from agent import identity
from dispatcher.errors import ConsumerNameTaken
from dispatcher.models import Consumer

VARIABLE = "DISPATCHER_CONSUMER_ID"  # every child has its consumer's id in its environment
_GUARDIAN_S = 2.0  # how long the guardian of a dead consumer is given to kill what is left
_log = logging.getLogger("dispatcher.consumer")


def named(me: Consumer, rows: Iterable[Consumer], *, is_chosen: bool) -> Consumer:
    """`me` with a name that no live consumer of this host has in the pool: the first of name, name-2, name-3...

    `is_chosen`: the user asked for this name; then `ConsumerNameTaken` is raised instead.
    """
    taken = {row.name: row.pid for row in rows if _is_neighbour(me, row) and _lives(row)}
    if is_chosen and me.name in taken:
        raise ConsumerNameTaken(name=me.name, pid=taken[me.name], pool=me.pool)
    name, number = me.name, 1
    while name in taken:
        number += 1
        name = f"{me.name}-{number}"
    return replace(me, name=name)


def rivals(me: Consumer, rows: Iterable[Consumer]) -> list[Consumer]:
    """The other live consumers of this host that have the name of `me`."""
    return [row for row in rows if row.name == me.name and _is_neighbour(me, row) and _lives(row)]


def predecessors(me: Consumer, rows: Iterable[Consumer]) -> list[str]:
    """The ids of dead consumers of this host, after seeing to it that no child of theirs lives. May take 2 s."""
    dead = [row.id for row in rows if _is_neighbour(me, row) and not _lives(row)]
    if dead:
        _clear_away(dead)
    return dead


def _is_neighbour(me: Consumer, row: Consumer) -> bool:
    return row.id != me.id and (row.host, row.boot) == (me.host, me.boot)


def _lives(row: Consumer) -> bool:
    return identity.is_alive(row.pid, row.born_at_ms)


def _clear_away(consumers: Sequence[str]) -> None:
    end_s = time.monotonic() + _GUARDIAN_S
    left = _children(consumers)
    while left and time.monotonic() < end_s:
        psutil.wait_procs(left, timeout=0.1)
        left = _children(consumers)
    for process in left:
        _log.warning("Process %d is left over from a dead consumer and is killed.", process.pid)
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    psutil.wait_procs(left, timeout=_GUARDIAN_S)


def _children(consumers: Sequence[str]) -> list[psutil.Process]:
    """The processes of this user that a run of one of these consumers has started, itself included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.pid != os.getpid() and process.environ().get(VARIABLE) in consumers:
                found.append(process)
        except psutil.Error:  # it ended meanwhile, or may not be looked into
            continue
    return found

"""Who this process is, to the pool and to other processes of its host.

A consumer's id is new at each start: it is the session that fences its writes. The name is for people and can be used
again. `boot` names the space in which a process id means something: this start of the machine, this pid namespace
(so two containers of one image are told apart) and this user, whose processes alone can be looked into.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from dispatcher.keyspace import checked_name

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 90  # leaves room for "-2" within the hundred characters of a name
_SAME_START_MS = 2000  # psutil derives a start time from the boot time, which the kernel may correct by a second


def check_names(pool: str | None, queues: Iterable[str], name: str | None) -> None:
    """Raises `BadName` for a pool, queue (or a prefix of one) or consumer that cannot have the name it was given."""
    if pool is not None:
        checked_name("Work pool", pool)
    for queue in queues:
        checked_name("Work queue", queue)
    if name is not None:
        checked_name("Consumer", name)


def host() -> str:
    return socket.gethostname() or "localhost"


def default_name(kind: str) -> str:
    """`worker-myhost`, made of the characters that a name may have."""
    return f"{kind}-{_UNSAFE.sub('-', host()).strip('.-_') or 'localhost'}"[:_NAME_LENGTH]


def boot() -> str:
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        space = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:  # not Linux; whole minutes, because the clock may be corrected meanwhile
        start, space = str(round(psutil.boot_time() / 60)), "0"
    return f"{start}:{space}:{os.getuid()}"


def born_at_ms(pid: int) -> int:
    """When the process started. Raises `psutil.NoSuchProcess`."""
    return int(psutil.Process(pid).create_time() * 1000)


def is_alive(pid: int, born_ms: int) -> bool:
    """Whether the process that had this number when it was born then still runs."""
    try:
        process = psutil.Process(pid)
        return abs(born_at_ms(pid) - born_ms) < _SAME_START_MS and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

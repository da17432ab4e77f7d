"""Where a benchmark part plays: an embedded server of its own, as in production (AOF), and what the server counted.

The server's own counters (INFO commandstats) are the measure of server time and of traffic: client and machine noise
are not in them. A script's time counts once, under EVALSHA; what it called is counted again under each command's own
name, which tells how many commands a script makes.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import redis

import dispatcher
from dispatcher import broker
from dispatcher.client import Client

SCRIPTS = ("evalsha", "eval")
OURS = ("info", "config|resetstat", "config", "memory|usage")  # what the benchmark itself asks the server


@dataclass(frozen=True, slots=True)
class Counted:
    """What the server did since `Stage.reset`: script calls, their time, commands within and beside them."""

    script_calls: int
    script_us: int
    commands: dict[str, int]

    @property
    def us_per_call(self) -> float:
        return self.script_us / max(1, self.script_calls)

    @property
    def commands_per_call(self) -> float:
        return sum(self.commands.values()) / max(1, self.script_calls)


class Stage:
    """A running server, a client of the product, and a bare connection that looks past it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client(url)
        self.bare: Any = redis.Redis.from_url(url, decode_responses=True)

    def reset(self) -> None:
        self.bare.execute_command("CONFIG", "RESETSTAT")

    def counted(self) -> Counted:
        stats = {name.removeprefix("cmdstat_"): of for name, of in self.bare.info("commandstats").items()}
        scripts = [stats[name] for name in SCRIPTS if name in stats]
        return Counted(
            sum(of["calls"] for of in scripts),
            sum(of["usec"] for of in scripts),
            {name: of["calls"] for name, of in stats.items() if name not in SCRIPTS + OURS},
        )

    def settle(self, timeout_s: float = 120) -> None:
        """Waits until no rewrite of the AOF runs beside: it would fork and copy pages in the middle of a figure."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            found = self.bare.info("persistence")
            if not (found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"]):
                return
            time.sleep(0.05)

    def used_memory(self) -> int:
        return int(self.bare.info("memory")["used_memory"])

    def close(self) -> None:
        self.client.close()
        self.bare.close()


@contextmanager
def stage() -> Iterator[Stage]:
    """An empty server in a folder of its own; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))  # short: a unix socket's path holds a hundred bytes
    try:
        opened = Stage(broker.ensure(folder))
        try:
            yield opened
        finally:
            opened.close()
    finally:
        broker.stop(folder)
        shutil.rmtree(folder)


def machine() -> dict[str, str]:
    """What the figures depend on."""
    with stage() as opened:
        info = opened.bare.info("server")
    engine = "valkey" if "valkey_version" in info else "redis"
    return {
        "dispatcher": dispatcher.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "redis-py": f"{version('redis')}, hiredis {version('hiredis')}",
        "server": f"{engine} {info[f'{engine}_version']}, AOF everysec, unix socket",
        "platform": platform.platform(),
        "cores": str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }

"""What idle consumers cost: script calls and commands per second of 100 parked ones, with all that they do by
themselves: the product's own consumer loop, a hundred times in one process beside this one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace

from agent.consumer import ConsumerLoop
from agent.options import Options
from agent.patience import Patience
from dispatcher import keyspace
from dispatcher.aio import AsyncClient
from dispatcher.client import Client
from dispatcher.ops import pools
from tests.bench.figures import Cell, Table, within
from tests.bench.server_time import new_consumer
from tests.bench.stage import Counted, Stage, stage

POOL = "idle"
SCRIPTS_AIM_SHARE = 1 / 4  # of the number of consumers, a second
START_S = 60.0


async def consume(url: str, count: int) -> None:
    """`count` consumers with connections of their own; ends when it is killed."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            me = replace(new_consumer(POOL), name=f"idle-{number}")
            client = AsyncClient(url)
            loop = ConsumerLoop(me, Options(url, POOL, limit=4), client, Patience(client), Client(url))
            group.create_task(loop.run([]))


def _counted(opened: Stage, count: int, window_s: float) -> tuple[Counted, float]:
    argv = [sys.executable, "-m", "tests.bench.idle", opened.url, str(count)]
    with subprocess.Popen(argv) as consumers:
        try:
            end_s = time.monotonic() + START_S
            while opened.bare.zcard(keyspace.parked(POOL, "10000/*")) < count:
                if time.monotonic() > end_s or consumers.poll() is not None:
                    raise RuntimeError(f"{count} consumers did not park within {START_S:g} s")
                time.sleep(0.1)
            time.sleep(window_s / 3)  # the first looks come together; they spread with time
            opened.reset()
            before_s = _cpu_s(opened)
            time.sleep(window_s)
            counted = opened.counted()
            return counted, _cpu_s(opened) - before_s
        finally:
            consumers.kill()


def _cpu_s(opened: Stage) -> float:
    found = opened.bare.info("cpu")
    return float(found["used_cpu_sys"] + found["used_cpu_user"])


def measure(count: int, window_s: float) -> Table:
    with stage() as opened:
        opened.client.run(pools.create(POOL))
        counted, cpu_s = _counted(opened, count, window_s)
    calls = counted.script_calls / window_s
    listens = counted.commands.get("blpop", 0) / window_s
    rows: list[dict[str, Cell]] = [
        {"what": "script calls", "per second": calls, "aim": within(calls, count * SCRIPTS_AIM_SHARE)},
        {"what": "doorbell calls", "per second": listens},
        {"what": "commands, those in scripts too", "per second": sum(counted.commands.values()) / window_s},
        {"what": "server CPU, ms", "per second": cpu_s * 1000 / window_s},
        {"what": "of it in scripts, ms", "per second": counted.script_us / 1000 / window_s},
    ]
    return Table(f"{count} idle consumers", rows, (f"over {window_s:g} s; lease 30 s, nothing to do",))


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], int(sys.argv[2])))

"""From submit to claimed: how soon an idle consumer in another process holds a run.

The consumer does what the product's does (claim or park, listen at its doorbell, claim) through `AsyncClient`, and
prints when each claim's reply was read; the submitter notes the time before it submits. The clock is the machine's
monotonic one, which both processes share. Each sample begins when Redis says that the consumer is parked.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from dispatcher import keyspace
from dispatcher.aio import AsyncClient
from dispatcher.ids import new_id
from dispatcher.ops import consumers, leases, pools, runs
from tests.bench.figures import Cell, Table, percentile, within
from tests.bench.server_time import new_consumer, new_run, outcome
from tests.bench.stage import Stage, stage

POOL = "doorbell"
WARM_UP = 20
AIM_P50_MS, AIM_P99_MS = 1.0, 3.0


async def consume(url: str, pool: str) -> None:
    """The idle consumer; ends when its standard output is closed or it is killed."""
    async with AsyncClient(url) as client:
        me = new_consumer(pool)
        await client.run(consumers.register(me))
        while True:
            claim = await client.run(leases.claim(pool, me.id, request=new_id(), want=1, load=0))
            at_ns = time.monotonic_ns()
            for run in claim.runs:
                print(run.id, at_ns, flush=True)
                await client.run(leases.start(pool, me.id, run.id, run.epoch, pid=1))
                await client.run(leases.finish(pool, me.id, [outcome(run)]))
            if not claim.runs:
                await client.run(consumers.listen(pool, me.id, waits_ms=claim.block_ms))


def measure(samples: int) -> Table:
    with stage() as opened:
        opened.client.run(pools.create(POOL))
        argv = [sys.executable, "-m", "tests.bench.doorbell", opened.url, POOL]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as consumer:
            try:
                found = [_sample(opened, consumer) for _ in range(WARM_UP + samples)][WARM_UP:]
            finally:
                consumer.kill()
    p50, p99 = percentile(found, 0.5), percentile(found, 0.99)
    rows: list[dict[str, Cell]] = [
        {"what": "p50", "ms": p50, "aim": within(p50, AIM_P50_MS)},
        {"what": "p99", "ms": p99, "aim": within(p99, AIM_P99_MS)},
        {"what": "worst", "ms": max(found), "aim": None},
    ]
    return Table("From submit to claimed, idle consumer", rows, (f"{samples} samples; two processes, one machine",))


def _sample(opened: Stage, consumer: subprocess.Popen[str]) -> float:
    parked = keyspace.parked(POOL, "10000/*")
    end_s = time.monotonic() + 10
    while not opened.bare.zcard(parked):
        if time.monotonic() > end_s:
            raise RuntimeError("the consumer does not park")
    run = new_run()
    before_ns = time.monotonic_ns()
    opened.client.run(runs.submit(POOL, [run]))
    assert consumer.stdout is not None
    claimed, at_ns = consumer.stdout.readline().split()
    assert claimed == run.id
    return (int(at_ns) - before_ns) / 1e6


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:3]))

"""Dispatcher as a peer of a benchmark that gives the same noop work to several task queues.

A program, run by the benchmark's runner, not by `python -m tests.bench`: the runner's module `benchlib` (recorder,
payload, command line of an adapter) is found in the folder that BENCH_LIB names. A job is a run of
`peer_flows.py:noop` in the infrastructure `process`: a fresh interpreter each, which is what this product offers today.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, os.environ.get("BENCH_LIB", ""))
import benchlib  # type: ignore[import-not-found,unused-ignore]

POOL = "bench"
PRIORITIES = (1, 100, 1000)


class Dispatcher(benchlib.Peer):  # type: ignore[misc,unused-ignore]
    packages = ("dispatcher", "redis", "hiredis")
    bulk_chunk = 1000
    variants = {  # noqa: RUF012 - the base class has it so
        "process": {"note": "worker, no limit, a process per run", "consume_n": 300},
        "limit4": {"note": "worker --limit 4, a process per run", "consume_n": 300},
        "prio": {"note": "worker --limit 1, a process per run", "consume_n": 300},
    }

    def open(self) -> None:
        from dispatcher.client import Client
        from dispatcher.ops import pools

        self.client = Client(benchlib.REDIS_URL)
        self.client.run(pools.ensure(POOL, type="process"))

    def close(self) -> None:
        self.client.close()

    def _new(self, payload: dict[str, Any], flow: str = "noop", **more: Any) -> Any:
        from dispatcher.ids import new_id
        from dispatcher.models import NewRun, RunInput

        here = str(Path(__file__).resolve().parent)
        run_input = RunInput(entrypoint=f"peer_flows.py:{flow}", path=here, parameters=payload)
        return NewRun(new_id(), flow, "default", run_input, **more)

    def _submit(self, fresh: list[Any]) -> None:
        from dispatcher.ops import runs

        size = runs.SUBMIT_BATCH
        self.client.run_many([runs.submit(POOL, fresh[start : start + size]) for start in range(0, len(fresh), size)])

    def put(self, payload: dict[str, Any]) -> None:
        self._submit([self._new(payload)])

    def put_many(self, payloads: list[dict[str, Any]]) -> None:
        self._submit([self._new(payload) for payload in payloads])

    def put_at(self, payload: dict[str, Any], when: float) -> None:
        self._submit([self._new(payload, start_at_ms=round(when * 1000))])

    def put_prio(self, payload: dict[str, Any], priority: int) -> None:
        self._submit([self._new(payload, priority=PRIORITIES[priority])])

    def put_nap(self, payload: dict[str, Any]) -> None:
        self._submit([self._new(payload, "nap")])

    def worker_argv(self, variant: str) -> list[str]:
        argv = [sys.executable, "-m", "dispatcher", "--redis-url", benchlib.REDIS_URL, "worker", "start"]
        argv += ["--pool", POOL, "--type", "process", "--hide-welcome", "--no-stream-output"]
        return argv + {"limit4": ["--limit", "4"], "prio": ["--limit", "1"]}.get(variant, [])


if __name__ == "__main__":
    benchlib.main(Dispatcher())

"""Bytes that a waiting run costs Redis, and where they go: used_memory before and after 20,000 submits."""

from __future__ import annotations

from dispatcher import keyspace
from dispatcher.ids import new_id
from dispatcher.models import Deployment, NewRun, RunInput
from dispatcher.names import new_name
from dispatcher.ops import deployments, pools, runs
from tests.bench.figures import Cell, Table, within
from tests.bench.stage import Stage, stage

POOL = "memory"
DEPLOYMENT = "load-orders/nightly"
AIM_BYTES = 1024


def _payload(number: int) -> RunInput:
    """About 100 bytes as stored."""
    parameters = {"customer": number, "day": "2026-11-21"}
    return RunInput(entrypoint="flows/etl.py:load", path="/srv/flows", parameters=parameters)


def measure(count: int) -> Table:
    with stage() as opened:
        client = opened.client
        client.run(pools.create(POOL))
        client.run(deployments.save(Deployment(DEPLOYMENT, new_id(), POOL, "default", _payload(0))))
        _submit(opened, 0, runs.SUBMIT_BATCH)  # loads the script, makes the indexes
        before = opened.used_memory()
        stream_before = _usage(opened, keyspace.events(POOL))
        last = _submit(opened, 1, count)
        used = opened.used_memory() - before
        stream = _usage(opened, keyspace.events(POOL)) - stream_before
        indexes = {
            "ready": keyspace.ready(POOL, "default"),
            "runs:by-start": keyspace.runs_by_start(POOL),
            "runs:of:DEPLOYMENT": keyspace.runs_of(POOL, DEPLOYMENT),
        }
        each = {f"index {name}": _usage(opened, key) / (count + runs.SUBMIT_BATCH) for name, key in indexes.items()}
        each = {
            "hash run:ID": _usage(opened, keyspace.run(POOL, last)),
            "string run:ID:input": _usage(opened, keyspace.run_input(POOL, last)),
            **each,
        }
        payload = len(opened.bare.get(keyspace.run_input(POOL, last)))
    whole = (used - stream) / count
    rows: list[dict[str, Cell]] = [
        {"what": "a waiting run", "bytes": whole, "aim": within(whole, AIM_BYTES + payload)},
        {"what": "  of it its payload", "bytes": payload, "aim": None},
        *({"what": f"  {name}", "bytes": found, "aim": None} for name, found in each.items()),
        {"what": "  main dictionary and the rest", "bytes": whole - sum(each.values()), "aim": None},
        {"what": "beside it: its event, bounded to 20,000 a pool", "bytes": stream / count, "aim": None},
    ]
    return Table("Memory of a waiting run", rows, (f"{count:,} runs of a deployment, 100 a call; MEMORY USAGE",))


def _submit(opened: Stage, first: int, count: int) -> str:
    last, fresh = "", list[NewRun]()
    for number in range(first, first + count):
        fresh.append(NewRun(new_id(), new_name(), "default", _payload(number), deployment=DEPLOYMENT))
        if len(fresh) == runs.SUBMIT_BATCH or number == first + count - 1:
            opened.client.run(runs.submit(POOL, fresh))
            last = fresh[-1].id
            fresh = []
    return last


def _usage(opened: Stage, key: str) -> int:
    return int(opened.bare.memory_usage(key, samples=0) or 0)

"""How late a run begins that was claimed early: the flow function's own clock at its first line against its start time.

A worker process as people start it, idle when the runs are submitted: random start times within a window, all in one
go. Those due within the prefetch are claimed together and have their processes prepared while the first of them are
already due; the others follow one by one.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from dispatcher.ids import new_id
from dispatcher.models import NewRun, RunInput
from dispatcher.ops import pools, runs
from dispatcher.states import TERMINAL
from tests.bench.figures import Cell, Table, percentile, within
from tests.bench.process_runs import POOL, worker
from tests.bench.stage import Stage, stage

WINDOW_S, PREFETCH_S = 15.0, 10.0
AIM_P99_MS = 20.0
PATIENCE_S = 60.0
FLOW = "import json, time\n\n\ndef note():\n    return time.time_ns() / 1e6\n"


def measure(samples: int) -> Table:
    with stage() as opened, tempfile.TemporaryDirectory(prefix="dsp-") as folder:
        Path(folder, "flow.py").write_text(FLOW)
        opened.client.run(pools.create(POOL, type="process"))
        with worker(opened, "--prefetch-seconds", f"{PREFETCH_S:g}"):
            flow = RunInput(entrypoint="flow.py:note", path=folder)
            begin_ms = time.time() * 1000
            given = [
                NewRun(
                    new_id(), f"run-{n}", "default", flow, start_at_ms=int(begin_ms + random.uniform(0, WINDOW_S) * 1e3)
                )
                for n in range(samples)
            ]
            opened.client.run(runs.submit(POOL, given))
            found = _lateness(opened, [run.id for run in given])
    late = sorted(found)
    rows: list[dict[str, Cell]] = [
        {"what": "p50", "ms": percentile(late, 0.5), "aim": None},
        {"what": "p99", "ms": percentile(late, 0.99), "aim": within(percentile(late, 0.99), AIM_P99_MS)},
        {"what": "worst", "ms": late[-1], "aim": None},
        {"what": "earliest", "ms": late[0], "aim": ">= 0 yes" if late[0] >= 0 else ">= 0 NO"},
    ]
    notes = (f"{samples} runs, start times random within {WINDOW_S:g} s, prefetch {PREFETCH_S:g} s, one worker",)
    return Table("From expected start to the flow's first line", rows, notes)


def _lateness(opened: Stage, given: list[str]) -> list[float]:
    """Of each run, when all have ended."""
    end_s = time.monotonic() + PATIENCE_S
    late = []
    time.sleep(WINDOW_S)  # asking meanwhile would take the cores that are measured
    for run in given:
        while (found := opened.client.run(runs.read(POOL, run))).state not in TERMINAL:
            if time.monotonic() > end_s:
                raise RuntimeError(f"a run did not finish; it is {found.state}")
            time.sleep(0.1)
        if not isinstance(found.result, float):
            raise RuntimeError(f"a trivial run ended as {found.state}: {found.message}")
        late.append(found.result - found.due_at_ms)
    return late

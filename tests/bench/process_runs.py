"""What the infrastructure `process` adds to a run: a trivial flow through a real worker, beside a bare interpreter.

One run at a time through one worker process, and after each a bare `python -c pass` of the same interpreter, so that
both meet the same machine. From claim to finish is read from the pool's event stream, the server's clock in ms.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dispatcher.ids import new_id
from dispatcher.models import NewRun, RunInput
from dispatcher.ops import pools, runs, views
from tests.bench.figures import Cell, Table, median, percentile, within
from tests.bench.stage import Stage, stage

POOL = "processes"
FLOW = "def nothing():\n    pass\n"
WARM_UP = 2
AIM_TIMES, AIM_MORE_MS = 1.5, 20.0
PATIENCE_S = 30.0


def measure(samples: int) -> Table:
    with stage() as opened, tempfile.TemporaryDirectory(prefix="dsp-") as folder:
        Path(folder, "flow.py").write_text(FLOW)
        opened.client.run(pools.create(POOL, type="process"))
        flow = RunInput(entrypoint="flow.py:nothing", path=folder)
        command = RunInput(command=("true",), path=folder)
        found: dict[str, list[float]] = {}
        with worker(opened, "--limit", "1"):
            for number in range(WARM_UP + samples):
                one: dict[str, float] = {"python -c pass": bare_ms()}
                one |= {f"flow: {name}": ms for name, ms in _run(opened, flow).items()}
                one |= {f"command `true`: {name}": ms for name, ms in _run(opened, command).items()}
                if number >= WARM_UP:
                    for name, ms in one.items():
                        found.setdefault(name, []).append(ms)
    bare = median(found["python -c pass"])
    aim_ms = AIM_TIMES * bare + AIM_MORE_MS
    rows: list[dict[str, Cell]] = []
    for name, taken in found.items():
        aim = within(median(taken), aim_ms) if name == "flow: claimed to finished" else None
        rows.append({"what": name, "median ms": median(taken), "p90": percentile(taken, 0.9), "aim": aim})
    return Table(
        "A run in the infrastructure `process`",
        rows,
        (f"{samples} of each, interleaved; aim: {AIM_TIMES} x python -c pass + {AIM_MORE_MS:g} ms",),
    )


@contextmanager
def worker(opened: Stage, *options: str) -> Iterator[None]:
    """A worker process as people start it."""
    argv = [sys.executable, "-m", "dispatcher", "worker", "start", "--pool", POOL, *options]
    environment = {**os.environ, "DISPATCHER_REDIS_URL": opened.url}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end_s = time.monotonic() + PATIENCE_S
            while not opened.client.run(pools.read(POOL)).is_served:
                if time.monotonic() > end_s or process.poll() is not None:
                    raise RuntimeError("the worker does not come up")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def bare_ms() -> float:
    start_s = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter() - start_s) * 1000


def _run(opened: Stage, payload: RunInput) -> dict[str, float]:
    """Submits a run and follows it to its end; the lengths of its parts."""
    run = new_id()
    last = opened.client.run(views.latest_event(POOL))
    at_ms: dict[str, int] = {}
    opened.client.run(runs.submit(POOL, [NewRun(run, "trivial", "default", payload)]))
    end_s = time.monotonic() + PATIENCE_S
    while "finished" not in at_ms:
        if time.monotonic() > end_s:
            raise RuntimeError(f"a run did not finish; it had {at_ms}")
        events, _ = opened.client.run(views.follow(POOL, run, events_after=last, log_after=0, waits_ms=1000))
        for event in events:
            last = event.id
            if event.fields.get("run") == run:
                at_ms[event.event] = event.at_ms
                if event.event == "finished" and event.fields["state"] != "COMPLETED":
                    raise RuntimeError(f"a trivial run ended as {event.fields['state']}")
    return {
        "claimed to finished": at_ms["finished"] - at_ms["claimed"],
        "of it until started": at_ms["started"] - at_ms["claimed"],
    }

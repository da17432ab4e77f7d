"""How long whole commands take: `dispatcher --help` and `dispatcher work-pool ls`, beside a bare interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from dispatcher.ops import pools
from tests.bench.figures import Cell, Table, median, percentile, within
from tests.bench.stage import stage

WARM_UP = 2
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "dispatcher --help": (["--help"], 150.0),
    "dispatcher work-pool ls": (["work-pool", "ls"], 250.0),
    "dispatcher work-pool ls -o json": (["work-pool", "ls", "-o", "json"], 250.0),
}


def measure(samples: int) -> Table:
    installed = Path(sys.executable).parent / "dispatcher"
    program = [str(installed)] if installed.exists() else [sys.executable, "-m", "dispatcher"]
    lines: dict[str, tuple[list[str], float | None]] = {"python -c pass": ([sys.executable, "-c", "pass"], None)}
    lines |= {name: ([*program, *words], aim) for name, (words, aim) in COMMANDS.items()}
    found: dict[str, list[float]] = {name: [] for name in lines}
    with stage() as opened:
        for number in range(5):
            opened.client.run(pools.create(f"pool-{number}", type="process", limit=number))
        environment = {**os.environ, "DISPATCHER_REDIS_URL": opened.url}
        for number in range(WARM_UP + samples):
            for name, (argv, _) in lines.items():
                start_s = time.perf_counter()
                subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
                if number >= WARM_UP:
                    found[name].append((time.perf_counter() - start_s) * 1000)
    rows: list[dict[str, Cell]] = [
        {
            "command": name,
            "median ms": median(found[name]),
            "p90": percentile(found[name], 0.9),
            "aim": None if aim is None else within(median(found[name]), aim),
        }
        for name, (_, aim) in lines.items()
    ]
    return Table("Whole processes", rows, (f"{samples} of each, interleaved, warm; five pools to list",))

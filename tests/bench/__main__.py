"""`make bench`, or `python -m tests.bench [PART...]`: measures the product and prints tables with versions, and JSON.

Figures compare only within one run: the machine is named, not normalised. Every part starts a server of its own. A new
part is a module with `measure(...) -> Table` and a line in `PARTS`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import doorbell, idle, memory, prefetch, process_runs, server_time, start_up
from tests.bench.figures import Table
from tests.bench.stage import machine


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], Table]]] = {
    "server-time": (
        "server time of each script, by queues and waiting runs",
        lambda of: server_time.measure(of.queues, of.waiting, of.rounds, _say),
    ),
    "doorbell": ("submit to claimed, idle consumer", lambda of: doorbell.measure(of.samples)),
    "idle": ("calls of idle consumers", lambda of: idle.measure(of.consumers, of.window)),
    "memory": ("bytes of a waiting run", lambda of: memory.measure(20_000)),
    "process": ("a run in a process of its own", lambda of: process_runs.measure(of.runs)),
    "prefetch": ("lateness of runs that were claimed early", lambda of: prefetch.measure(of.early)),
    "start-up": ("whole commands", lambda of: start_up.measure(of.starts)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"one or more of: {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--queues", type=_numbers, default=[1, 1000], metavar="N,N")
    parser.add_argument("--waiting", type=_numbers, default=[1000, 500_000], metavar="N,N", help="waiting runs")
    parser.add_argument("--rounds", type=int, default=21, help="of server-time")
    parser.add_argument("--samples", type=int, default=500, help="of doorbell")
    parser.add_argument("--consumers", type=int, default=100, help="of idle")
    parser.add_argument("--window", type=float, default=30.0, metavar="SECONDS", help="of idle")
    parser.add_argument("--runs", type=int, default=40, help="of process")
    parser.add_argument("--early", type=int, default=100, help="runs of prefetch")
    parser.add_argument("--starts", type=int, default=20, help="of start-up")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    unknown = set(chosen.part) - PARTS.keys()
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    random.seed(chosen.seed)
    facts = {**machine(), "seed": str(chosen.seed)}
    for name, fact in facts.items():
        print(f"{name:11} {fact}")
    document: dict[str, object] = {"machine": facts}
    for name, (title, measured) in PARTS.items():
        if chosen.part and name not in chosen.part:
            continue
        _say(title)
        table = measured(chosen)
        print(table, flush=True)
        document[name] = table.document()
        if chosen.json:
            chosen.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()

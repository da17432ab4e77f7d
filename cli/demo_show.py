"""What the demo shows while it plays: one live table on a terminal, one line per end of a run elsewhere.

A run is one sign in the row of its queue, so that thirty of them fit on any screen. Both kinds of show draw only from
the replay of the event stream, as it comes in.
"""

from __future__ import annotations

from collections import Counter
from statistics import median
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli import render
from cli.demo_replay import POOL, Course, Lane, Replay
from cli.demo_stage import PARTS, POOL_LIMIT, QUEUES, Part
from dispatcher.states import TERMINAL, State

# sign on a terminal, sign where the encoding has no such thing, style, word for the legend
SIGNS: dict[State, tuple[str, str, str, str]] = {
    State.SCHEDULED: ("·", ".", "dim", "waiting"),
    State.PENDING: ("○", "o", "cyan", "claimed"),
    State.RUNNING: ("▶", ">", "bold cyan", "running"),
    State.CANCELLING: ("◌", "-", "yellow", "stopping"),
    State.COMPLETED: ("●", "*", "green", "completed"),
    State.FAILED: ("✗", "x", "red", "failed"),
    State.CRASHED: ("!", "!", "bold red", "crashed"),
    State.CANCELLED: ("⊘", "/", "yellow", "cancelled"),
}


class Show:
    """Draws the replay. `parts` is filled by the demo when the runs are submitted."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.parts: dict[str, Part] = {}
        self._told: set[str] = set()
        self._live: Live | None = None
        self._plain = 0 if (console.encoding or "").lower().startswith("utf") else 1

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=False)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def update(self, replay: Replay) -> None:
        """Call it after every feed of the replay."""
        if self._live is not None:
            self._live.update(self._table(replay), refresh=True)
            return
        for run, course in replay.runs.items():
            if course.state in TERMINAL and run not in self._told:
                self._told.add(run)
                self.console.print(self._line(run, course, len(self._told)), highlight=False)

    def _line(self, run: str, course: Course, number: int) -> str:
        part = self.parts.get(run)
        took = f" in {(course.ended_at_ms or 0) - course.started_at_ms:>5} ms" if course.started_at_ms else ""
        name = part.deployment if part else run
        return f"{number:>3}/{len(PARTS)}  {course.queue:<9} {name:<22} {course.state.value.lower()}{took}"

    def _table(self, replay: Replay) -> Group:
        table = Table(title=f"Work pool 'demo', limit {POOL_LIMIT}", title_justify="left")
        for title in ("Queue", "Priority", "Slots"):
            table.add_column(title, justify="left" if title == "Queue" else "right", no_wrap=True)
        table.add_column("Runs", no_wrap=True)
        for name, priority, _ in QUEUES:
            signs = Text()
            for run, part in self.parts.items():
                if part.queue == name:
                    state = replay.runs[run].state if run in replay.runs else State.SCHEDULED
                    signs.append(SIGNS[state][self._plain] + " ", style=SIGNS[state][2])
            table.add_row(name, str(priority), slots(replay.lanes.get(name, Lane())), signs)
        table.add_section()
        table.add_row("", "", slots(replay.lanes[POOL]), "the whole pool")
        legend = Text(" ").join(Text(f"{sign[self._plain]} {sign[3]}", style=sign[2]) for sign in SIGNS.values())
        return Group(table, legend)


def slots(lane: Lane) -> str:
    """`2/3`: held now, of the limit."""
    return f"{len(lane.holders)}/{'-' if lane.limit is None else lane.limit}"


def summarize(
    console: Console, replay: Replay, parts: dict[str, Part], findings: list[tuple[bool, str]], took_s: float
) -> None:
    """What ran where, how long it waited, and which promises were kept."""
    rows = []
    for name, priority, limit in QUEUES:
        courses = [replay.runs[run] for run, part in parts.items() if part.queue == name and run in replay.runs]
        waits_ms = [course.wait_ms for course in courses if course.wait_ms is not None]
        waits = (median(waits_ms), max(waits_ms)) if waits_ms else (0, 0)
        counts = Counter(course.state.value.lower() for course in courses)
        peak = replay.lanes[name].most if name in replay.lanes else 0
        ends = ", ".join(f"{count} {state}" for state, count in counts.items())
        rows.append((name, priority, f"{peak}/{render.limit(limit)}", ends, *(f"{wait / 1000:.2f}s" for wait in waits)))
    console.print(
        "\nWhat ran on demo-worker (peak/limit of slots; median and longest wait for a start):", highlight=False
    )
    columns = ("Queue", "Priority", "Peak", "Runs", "Wait", "Longest")
    render.table(columns, rows, empty="Nothing ran.")
    for kept, text in findings:
        console.print(f"  {'ok  ' if kept else 'FAIL'}  {text}", style="" if kept else "bold red", highlight=False)
    gone = "The worker and the broker are stopped, their folder is removed."
    console.print(f"Took {took_s:.1f} s. {gone}", highlight=False, soft_wrap=True)

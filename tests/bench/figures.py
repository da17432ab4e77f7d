"""What a benchmark part hands back: a table of rows, and how it is shown as text and as JSON.

A part measures and says what it aimed at; it never fails. Whoever reads the figures judges them beside the versions
and the machine that `stage.machine` names: they compare only within one run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

Cell = str | float | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one part; every row has the columns of the first. `notes` say how it was measured."""

    title: str
    rows: list[dict[str, Cell]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        return {"title": self.title, "rows": self.rows, "notes": list(self.notes)}

    def __str__(self) -> str:
        columns = list(self.rows[0]) if self.rows else []
        lines = [columns, *([_shown(row.get(column)) for column in columns] for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
        lines.insert(1, ["-" * width for width in widths])
        shown = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([f"\n{self.title}", *shown, *(f"  {note}" for note in self.notes)])


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.2f}" if abs(cell) < 10 else f"{cell:,.1f}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def within(value: float, aim: float) -> str:
    """The aim and whether it was met."""
    return f"<= {_shown(float(aim))} {'yes' if value <= aim else 'NO'}"


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of them do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(samples: Sequence[float]) -> float:
    return statistics.median(samples)

"""How results look: tables and details for people, one JSON document for programs.

On a terminal a table is drawn by rich (imported then, not before), which breaks cells between words
to fit. Into a pipe or file, and on a terminal that is too narrow even so, go plain aligned columns, as
wide as their content: an id or a name is never cut or folded, so that it can be copied.
What others wrote (names, messages, logs) passes through `clean` first, so that it cannot steer the
reader's terminal. Rules of the product have no place here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click

NONE = "-"
MARK = "(**)"
PAUSED_LEGEND = "(**) paused"
# Control characters, C1 included, would be obeyed by a terminal; a line break would break the table.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {9: " ", 10: " ", 13: " "}


def clean(value: object) -> str:
    """`value` as one line that is safe on a terminal; None and the empty text are `-`."""
    text = NONE if value is None or value == "" else str(value)
    return text if text.isprintable() else text.translate(_CONTROLS)


def marked(name: str, is_marked: bool) -> str:
    """`name`, with `(**)` when it is paused (or late)."""
    return f"{name} {MARK}" if is_marked else name


def document(value: Any) -> None:
    """Prints one JSON document, the whole of stdout."""
    click.echo(json.dumps(value, indent=2))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, legend: str = "") -> None:
    """Prints rows under their columns; `empty` instead when there are none, `legend` below when a cell is marked."""
    cells = [[clean(value) for value in row] for row in rows]
    if not cells:
        click.echo(empty)
        return
    if not sys.stdout.isatty() or not _drawn(columns, cells):
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for row in ([name.upper() for name in columns], *cells):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if legend and any(MARK in cell for row in cells for cell in row):
        click.echo(legend)


def _drawn(columns: Sequence[str], cells: list[list[str]]) -> bool:
    """Draws the table if the terminal is wide enough for its longest words; tells whether it was."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    stacks = list(zip(columns, *cells, strict=True))
    widths = [max(cell_len(word) for cell in stack for word in cell.split()) for stack in stacks]
    spare = console.width - sum(widths) - 3 * len(columns) - 1  # a border and two spaces for each, and the last border
    if spare < 0:
        return False
    wished = [max(map(cell_len, stack)) for stack in stacks]
    while spare and widths != wished:
        place = min((place for place, width in enumerate(widths) if width < wished[place]), key=widths.__getitem__)
        widths[place] += 1
        spare -= 1
    drawn = Table(box=box.ROUNDED, header_style="bold")
    for name, width in zip(columns, widths, strict=True):
        drawn.add_column(name, width=width, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))  # Text: brackets in a name are not markup
    console.print(drawn)
    return True


def details(pairs: Iterable[tuple[str, object]]) -> None:
    """Prints one thing, a line for each of its facts."""
    lines = [(f"{title}:", clean(value)) for title, value in pairs]
    width = max(len(title) for title, _ in lines)
    for title, value in lines:
        click.echo(f"{title.ljust(width)} {value}")


def limit(value: int | None) -> str:
    """A concurrency limit: 0 is a value, none is `-`."""
    return NONE if value is None else str(value)


def moment(at_ms: int | None) -> str:
    """An instant in the local zone, to the second: `2026-11-21 23:52:01`."""
    return NONE if at_ms is None else datetime.fromtimestamp(at_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


def duration(length_ms: int) -> str:
    """A length in at most two units: `0.4s`, `12s`, `3m 5s`, `2h 10m`, `4d 1h`."""
    if length_ms < 10_000:
        return f"{length_ms / 1000:.1f}s"
    seconds = length_ms // 1000
    for large, small, large_s, small_s in (("d", "h", 86_400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if seconds >= large_s:
            rest = seconds % large_s // small_s
            return f"{seconds // large_s}{large}" + (f" {rest}{small}" if rest else "")
    return f"{seconds}s"


def outcome(output: str, sentence: str, result: Callable[[], Any]) -> None:
    """Tells what a command changed: `sentence` to people; `result()`, the thing as it is now, as JSON."""
    if output == "json":
        document(result())
    else:
        click.echo(sentence)

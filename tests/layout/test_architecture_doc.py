"""`docs/architecture.md` against the code: its picture of states is drawn from `TRANSITIONS`, its fragments are all.

After a change of `dispatcher/states.py` the failing test prints what has to stand between the two markers.
"""

from __future__ import annotations

import re
from pathlib import Path

from dispatcher.call import FRAGMENTS
from dispatcher.states import HELD, TERMINAL, TRANSITIONS, State

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text("utf-8")
BEGIN, END = "<!-- drawn from TRANSITIONS: begin -->\n", "<!-- drawn from TRANSITIONS: end -->"


def drawn() -> str:
    """The states in their order, each with the moves that leave it; moves with the same target share an arrow."""
    lines = ["```text"]
    for before in State:
        kind = "holds slots and a lease" if before in HELD else "finished" if before in TERMINAL else "waits"
        lines.append(f"{before:<11} {kind}")
        for after in State:
            names = sorted(move.name for move in TRANSITIONS if (move.before, move.after) == (before, after))
            if names:
                lines.append(f"   |-- {', '.join(names) + ' ':-<34}> {after}")
    return "\n".join([*lines, "```", ""])


def test_the_picture_of_states_is_drawn_from_the_table() -> None:
    found = PAGE.partition(BEGIN)[2].partition(END)[0]
    assert found == drawn(), f"docs/architecture.md: between the markers must stand\n{drawn()}"


def test_every_fragment_is_told() -> None:
    assert re.findall(r"^\| `(_\w+)` \|", PAGE, re.MULTILINE) == list(FRAGMENTS)


def test_it_is_one_page() -> None:
    assert len(PAGE.splitlines()) < 250

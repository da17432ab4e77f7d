"""Who may prepare a process now: runs that were claimed early take turns, the one that is due soonest first.

Starting an interpreter and importing a flow takes a whole core for a while. When many runs are claimed early at once
(a restart, a schedule with a hundred deployments) all of them together would keep the machine from starting the ones
that are due (measured 2026-11, two cores, a hundred runs: the worst began 623 ms late without turns, 20 ms with them).
One core is left for those; who is due within a turn's length waits for none. A turn ends when the flow is loaded, and
soon in any case, so that imports which wait for something else (a disk, a network) do not hold the others up.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from itertools import count
from types import TracebackType
from typing import Self

LONGEST_TURN_S = 0.25  # several times what a bare interpreter with a small flow takes


class Turns:
    """`with turns.ask(due_s) as turn:` stands in line; `await turn.granted.wait()` waits for the turn."""

    def __init__(self, most: int | None = None) -> None:
        self._free = max(1, (os.cpu_count() or 1) - 1) if most is None else most
        self._line: list[tuple[float, int, Turn]] = []
        self._numbers = count()

    def ask(self, due_s: float) -> Turn:
        turn = Turn(self)
        heapq.heappush(self._line, (due_s, next(self._numbers), turn))
        self._grant()
        return turn

    def end(self, turn: Turn) -> None:
        """The turn is over, or is not wanted any more."""
        if turn.is_over:
            return
        turn.is_over = True
        if turn.granted.is_set():
            self._free += 1
            self._grant()

    def _grant(self) -> None:
        while self._free and self._line:
            *_, turn = heapq.heappop(self._line)
            if not turn.is_over:
                self._free -= 1
                turn.granted.set()


class Turn:
    """A place in the line, left at the end of the `with` block at the latest."""

    def __init__(self, turns: Turns) -> None:
        self.granted = asyncio.Event()
        self.is_over = False
        self._turns = turns

    def end(self) -> None:
        self._turns.end(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

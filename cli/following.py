"""What a run has printed, and following it until it is finished: its log lines and its changes, as they come.

Nothing is polled: the process sleeps in one read of the run's log and the pool's event stream, and the run itself is
read again when an event speaks of it. Every `LOOK_MS` without news it is read anyway, after a tick of the pool: where
no consumer lives nobody else would notice an expired lease, and events can be missed beyond the stream's bound.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dispatcher.models import LogLine, Run
from dispatcher.ops import pools, runs, views
from dispatcher.states import State

if TYPE_CHECKING:
    from dispatcher import Client

LOOK_MS = 5_000


@dataclass(frozen=True, slots=True)
class Gap:
    """So many lines came here and are not kept: a log keeps its newest 2 MiB."""

    lines: int


Said = Generator[LogLine | Gap, None, int]  # returns the number of the last line


def so_far(client: Client, run: Run, *, last: int | None = None) -> Said:
    """The log as it is, or the last so many lines of it; what is gone before those is not told."""
    if last is None:
        return (yield from _with_gaps(client.run(runs.log(run.pool, run.id)), after=0))
    lines = client.run(runs.log_end(run.pool, run.id, most=last))
    return (yield from _with_gaps(lines, after=lines[0].number - 1 if lines else 0))


def _with_gaps(lines: list[LogLine], *, after: int) -> Said:
    for line in lines:
        if line.number > after + 1:
            yield Gap(line.number - after - 1)
        yield line
        after = line.number
    return after


def follow(client: Client, run: Run, *, old_lines: int | None = None) -> Iterator[Run | LogLine | Gap]:
    """The run as it is, its log so far (the last `old_lines` of it), then each new line and each change.

    Ends when the run is finished: all of its log that is kept has come by then, and the finished run comes last.
    Raises `RunNotFound` when it is deleted meanwhile.
    """
    seen_event = client.run(views.latest_event(run.pool))
    known = client.run(runs.read(run.pool, run.id))
    if not known.is_finished:
        yield known
    seen_line = yield from so_far(client, run, last=old_lines)
    while not known.is_finished:
        events, lines = client.run(
            views.follow(run.pool, run.id, events_after=seen_event, log_after=seen_line, waits_ms=LOOK_MS)
        )
        seen_line = yield from _with_gaps(lines, after=seen_line)
        is_quiet = not events and not lines
        if is_quiet:
            client.run(pools.tick(run.pool))
        if events:
            seen_event = events[-1].id
        if is_quiet or any(event.fields.get("run") == run.id for event in events):
            before, known = known, client.run(runs.read(run.pool, run.id))
            if not known.is_finished and _stage(before) != _stage(known):
                yield known
    yield from _with_gaps(client.run(runs.log(run.pool, run.id, after=seen_line)), after=seen_line)
    yield known


def _stage(run: Run) -> tuple[State, int, int]:
    return run.state, run.epoch, run.attempts

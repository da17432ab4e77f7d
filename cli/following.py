"""Following a run until it is finished: its log lines and its changes, as they come.

Nothing is polled: the process sleeps in one read of the run's log and the pool's event stream, and the run itself is
read again when an event speaks of it. Every `LOOK_MS` without news it is read anyway, after a tick of the pool: where
no consumer lives nobody else would notice an expired lease, and events can be missed beyond the stream's bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dispatcher.models import LogLine, Run
from dispatcher.ops import pools, runs, views
from dispatcher.states import State

if TYPE_CHECKING:
    from dispatcher import Client

LOOK_MS = 5_000


def follow(client: Client, run: Run, *, old_lines: int | None = None) -> Iterator[Run | LogLine]:
    """The run as it is, its log so far (the last `old_lines` of it), then each new line and each change.

    Ends when the run is finished: all of its log has come by then, and the finished run comes last.
    Raises `RunNotFound` when it is deleted meanwhile.
    """
    seen_event = client.run(views.latest_event(run.pool))
    known = client.run(runs.read(run.pool, run.id))
    if not known.is_finished:
        yield known
    seen_line = "0-0"
    if old_lines is None:
        old_log = client.run(runs.log(run.pool, run.id))
    else:
        old_log = client.run(runs.log_end(run.pool, run.id, most=old_lines))
    for entry, line in old_log:
        seen_line = entry
        yield line
    while not known.is_finished:
        events, lines = client.run(
            views.follow(run.pool, run.id, events_after=seen_event, log_after=seen_line, waits_ms=LOOK_MS)
        )
        for entry, line in lines:
            seen_line = entry
            yield line
        is_quiet = not events and not lines
        if is_quiet:
            client.run(pools.tick(run.pool))
        if events:
            seen_event = events[-1].id
        if is_quiet or any(event.fields.get("run") == run.id for event in events):
            before, known = known, client.run(runs.read(run.pool, run.id))
            if not known.is_finished and _stage(before) != _stage(known):
                yield known
    for _, line in client.run(runs.log(run.pool, run.id, after=seen_line)):
        yield line
    yield known


def _stage(run: Run) -> tuple[State, int, int]:
    return run.state, run.epoch, run.attempts

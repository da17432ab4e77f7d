"""Waiting until a run is finished, on the pool's event stream: nothing is polled.

Every `LOOK_MS` without news the run is read anyway, after a tick of the pool: where no consumer lives nobody else would
notice an expired lease, and events can be missed beyond the stream's bound.
"""

from __future__ import annotations

import math
import time

from dispatcher.call import Flow
from dispatcher.errors import PoolNotFound, RunNotFound, WaitTimedOut
from dispatcher.models import Run
from dispatcher.ops import finding, runs, views

LOOK_MS = 5_000


def ended(which: Run | str, *, longest_s: float | None = None) -> Flow[Run]:
    """The finished run. Raises `WaitTimedOut` when it is not finished after so long; `RunNotFound`, also when it is
    deleted meanwhile; `AmbiguousName`."""
    since_s = time.monotonic()
    end_s = math.inf if longest_s is None else since_s + longest_s
    run = yield from finding.run(which)
    seen, pool = "", ""
    while not run.is_finished:
        if run.pool != pool:  # at first, and when it went to another with its deployment
            pool = run.pool
            seen = yield from views.latest_event(pool)
            run = yield from finding.run(run)  # what happened before that is not told any more
            continue
        left_ms = min(LOOK_MS, 1000 * (end_s - time.monotonic()))
        if left_ms <= 0:
            waited_s = time.monotonic() - since_s
            raise WaitTimedOut(name=run.name, run=run.id, state=run.state_name, waited_s=waited_s)
        events = yield from views.next_events(pool, after=seen, waits_ms=max(1, math.ceil(left_ms)))
        if not events:
            run = yield from finding.run(run)
            continue
        seen = events[-1].id
        if any(event.fields.get("run") == run.id for event in events):
            try:
                run = yield from runs.read(pool, run.id)
            except (PoolNotFound, RunNotFound):
                run = yield from finding.run(run)
    return run

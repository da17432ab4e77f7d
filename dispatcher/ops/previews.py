"""The waiting runs that are expected soon. Reads only; whether a limit or a pause holds them back is not asked.

Only the heads of the queues' own sets are read, so a preview costs the same beside half a million other runs. A filter
queue has such sets for each queue whose runs it shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.models import Run
from dispatcher.ops import broker_facts, runs
from dispatcher.states import State

Keys = tuple[str, str, str]  # of runs that are ready, due, and to be tried again


def waiting(pool: str, queues: Sequence[str], *, within_ms: int, most: int) -> Flow[list[Run]]:
    """Runs of these queues that are due already or within `within_ms`, by expected start, at most `most`.

    When there are more: of those that are due, the ones that go first; of the others, the earliest. A run that several
    of the queues show comes once.
    """
    now_ms = yield from broker_facts.now_ms()
    ids: list[str] = []
    for ready, *future in (yield from _sets(pool, queues)):
        ids += yield from Call("ZRANGE", (ready,), (0, most - 1), list)
        window = ("-inf", now_ms + within_ms, "BYSCORE", "LIMIT", 0, most)
        for key in future:
            ids += yield from Call("ZRANGE", (key,), window, list)
    ids = list(dict.fromkeys(ids))
    found: list[Run] = []
    for start in range(0, len(ids), runs.PAGE):
        found += yield from runs.read_many(pool, ids[start : start + runs.PAGE])
    expected = [run for run in found if run.state is State.SCHEDULED]
    return sorted(expected, key=lambda run: (run.due_at_ms, run.id))[:most]


def _sets(pool: str, queues: Sequence[str]) -> Flow[list[Keys]]:
    """Where the runs of these queues wait."""
    filters = set(
        (yield from Call("HGET", (keyspace.pool(pool),), ("filters",), lambda text: json.loads(text or "{}")))
    )
    found: list[Keys] = []
    homes: list[str] | None = None
    for queue in queues:
        if queue not in filters:
            found.append((keyspace.ready(pool, queue), keyspace.due(pool, queue), keyspace.retry(pool, queue)))
            continue
        if homes is None:
            homes = yield from Call("ZRANGE", (keyspace.queues(pool),), (0, -1), list)
        for home in homes:
            lane = (pool, home, queue)
            found.append((keyspace.lane_ready(*lane), keyspace.lane_due(*lane), keyspace.lane_retry(*lane)))
    return found

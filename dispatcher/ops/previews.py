"""The waiting runs that are expected soon. Reads only; whether a limit or a pause holds them back is not asked.

Only the heads of the queues' own sets are read, so a preview costs the same beside half a million other runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Call, Flow
from dispatcher.models import Run
from dispatcher.ops import runs
from dispatcher.states import State


def waiting(pool: str, queues: Sequence[str], *, within_ms: int, most: int) -> Flow[list[Run]]:
    """Runs of these queues that are due already or within `within_ms`, by expected start, at most `most`.

    When there are more: of those that are due, the ones that go first; of the others, the earliest.
    """
    now_ms = yield from Call("TIME", (), (), _milliseconds)
    ids: list[str] = []
    for queue in queues:
        ids += yield from Call("ZRANGE", (keyspace.ready(pool, queue),), (0, most - 1), list)
        window = ("-inf", now_ms + within_ms, "BYSCORE", "LIMIT", 0, most)
        for key in (keyspace.due(pool, queue), keyspace.retry(pool, queue)):
            ids += yield from Call("ZRANGE", (key,), window, list)
    found: list[Run] = []
    for start in range(0, len(ids), runs.PAGE):
        found += yield from runs.read_many(pool, ids[start : start + runs.PAGE])
    expected = [run for run in found if run.state is State.SCHEDULED]
    return sorted(expected, key=lambda run: (run.due_at_ms, run.id))[:most]


def _milliseconds(reply: Any) -> int:
    seconds, microseconds = reply
    return int(seconds) * 1000 + int(microseconds) // 1000

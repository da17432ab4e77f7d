"""Flow runs seen from outside: submit, read, find, list, cancel, retry, delete, and their logs.

What a consumer does with the runs that it holds stands in `leases.py`. A run is found by its pool and id; `find`
gives both for what a person types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Arg, Call, Flow, as_json, expect
from dispatcher.errors import AmbiguousName, BadValue, RunIdShort, RunNotFound
from dispatcher.models import LogLine, NewRun, Run, RunInput, Submitted
from dispatcher.ops import pools
from dispatcher.ops.reading import fields, optional, run_from
from dispatcher.states import HELD, TERMINAL, State, known

SUBMIT_BATCH = 100  # runs in one call, so that one script never holds the server for long
PAGE = 100
WHOLE_PAGE = 10  # runs read at once with input and result, some hundred KB each at most
SHORTEST_ID = 4
MAX_INPUT_DEPTH = 100  # json reads far less deep than it writes
MAX_INPUT_BYTES = 512 * 1024
END_OF_TIME_MS = 2**42  # in the year 2109: a ready run's score holds its time in so many bits


def input_text(input: RunInput) -> str:
    """The input of a run as it is kept. Raises `BadValue` for one that is too large."""
    document = input.compact()
    if _depth(document) > MAX_INPUT_DEPTH:
        raise BadValue(f"the input of a run is nested more than {MAX_INPUT_DEPTH} deep: pass a flatter value.")
    text = as_json(document)
    if (size_bytes := len(text.encode())) > MAX_INPUT_BYTES:
        raise BadValue(
            f"the input of a run has {size_bytes} bytes, {MAX_INPUT_BYTES} are allowed: pass a reference to the data "
            "instead."
        )
    return text


def submit(pool: str, runs: Sequence[NewRun]) -> Call[list[Submitted]]:
    """Puts at most 100 runs into their queues, all or none; the answers come in order. Sending it twice, or again
    with a known idempotency key, gives the first run's id and changes nothing.

    Raises `PoolNotFound`, `QueueNotFound`, `QueueIsFilter`, `PoolBeingDeleted`, `DeploymentChanged` (it is not there as
    it was read), `BadValue` (input too large, priority or start out of range, an id that is not letters and digits).
    """
    if len(runs) > SUBMIT_BATCH:
        raise BadValue(f"{len(runs)} runs in one submit: give at most {SUBMIT_BATCH} a call.")
    args: list[Arg] = []
    for run in runs:
        text = input_text(run.input)
        if not 1 <= run.priority <= 1000:
            raise BadValue(f"a run priority of {run.priority} is not possible: give 1 (first) to 1000.")
        if not (run.id.isascii() and run.id.isalnum()):
            raise BadValue(f"a run id of {run.id!r} is not possible: give letters and digits.")
        start_ms = run.delay_ms if run.start_at_ms is None else run.start_at_ms
        if not 0 <= start_ms < END_OF_TIME_MS // (2 if run.start_at_ms is None else 1):
            raise BadValue(f"a start at {start_ms} ms is not possible: give one between 1970 and 2100.")
        start = f"+{start_ms}" if run.start_at_ms is None else str(start_ms)
        args += [run.id, run.name, keyspace.checked_name("Work queue", run.queue), run.priority, start]
        args += [run.deployment, run.deployment_version, run.idempotency_key, text]
    decode = expect("submitted", pool=pool)
    return Call(
        "run_submit",
        (keyspace.pool(keyspace.checked_name("Work pool", pool)),),
        tuple(args),
        lambda reply: _submitted(decode(reply)),
    )


def _depth(value: object) -> int:
    """How deep lists and dicts are nested; a plain value has none. Level by level, so that depth cannot hurt it."""
    depth, level = 0, [value]
    while level := [
        inner
        for found in level
        if isinstance(found, list | tuple | dict)
        for inner in (found.values() if isinstance(found, dict) else found)
    ]:
        depth += 1
    return depth


def _submitted(flat: list[str | int]) -> list[Submitted]:
    return [Submitted(str(run), bool(new)) for run, new in zip(flat[::2], flat[1::2], strict=True)]


def read_many(pool: str, ids: Sequence[str], *, is_whole: bool = True) -> Call[list[Run]]:
    """The runs with these ids (at most 100); ones that do not exist are left out. Not whole: without input and
    result, which can be large."""
    decode = expect("runs", pool=pool)

    def runs(reply: list[object]) -> list[Run]:
        now, *rows = decode(reply)
        return [run_from(pool, row, int(now)) for row in rows if row[1]]

    return Call("run_read", (keyspace.pool(pool),), (int(is_whole), *ids), runs)


def read(pool: str, run: str) -> Flow[Run]:
    """Raises `RunNotFound`."""
    found = yield from read_many(pool, [run])
    if not found:
        raise RunNotFound(run=run)
    return found[0]


def find(text: str) -> Flow[Run]:
    """The run that a person means: its id, the beginning of it (four characters or more), or its name, in any pool.

    Raises `RunNotFound`, `AmbiguousName`. Cost: one look per pool for a whole id; else O(kept runs), a page at a time.
    """
    matches: list[Run] = []
    names = yield from pools.names()
    for pool in names:
        matches += yield from read_many(pool, [text.upper()])
    if matches:
        return matches[0]
    for pool in names:
        matches += yield from _matching(pool, text)
    if not matches:
        raise RunNotFound(run=text) if len(text) >= SHORTEST_ID else RunIdShort(run=text, least=SHORTEST_ID)
    if len(matches) > 1:
        shown = ", ".join(f"{run.id} ({run.name})" for run in matches[:5])
        raise AmbiguousName(noun="Flow run", name=text, found=f"{len(matches)} runs match: {shown}")
    return (yield from read(matches[0].pool, matches[0].id))


def _matching(pool: str, text: str) -> Flow[list[Run]]:
    found: list[Run] = []
    start = 0
    while True:
        ids = yield from _page(keyspace.runs_by_start(pool), start)
        if not ids:
            return found
        runs = yield from read_many(pool, ids, is_whole=False)
        # A stray "" or "0" must not mean the only run there is.
        begins = text.upper() if len(text) >= SHORTEST_ID else "no id begins so"
        found += [run for run in runs if run.name == text or run.id.startswith(begins)]
        start += PAGE


def _page(key: str, start: int) -> Call[list[str]]:
    return Call("ZRANGE", (key,), (start, start + PAGE - 1, "REV"), list)


def list_pool(
    pool: str,
    *,
    states: frozenset[State] = frozenset(),
    state_names: frozenset[str] = frozenset(),
    deployment: str = "",
    queue: str = "",
    due_before_ms: int | None = None,
    due_after_ms: int | None = None,
    most: int = 50,
) -> Flow[list[Run]]:
    """Runs of the pool by expected start, latest first, at most `most`. Empty filters match everything; `states` and
    `state_names` are one filter: a run fits that has one of either.

    When there are more, and only finished states are asked for: those that ended last.
    """
    is_any = not states and not state_names
    keys = [keyspace.runs_of(pool, deployment)] if deployment else [keyspace.runs_by_start(pool)]
    is_indexed = bool(states) and not state_names and not deployment
    if is_indexed and states <= TERMINAL:
        keys = [keyspace.runs_finished(pool, state) for state in sorted(states)]
    elif is_indexed and states <= HELD:
        keys = [keyspace.leases(pool)]
    found: list[Run] = []
    for key in keys:
        start, wanted = 0, most
        while wanted > 0:
            ids = yield from _page(key, start)
            if not ids:
                break
            for run in (yield from read_many(pool, ids, is_whole=False)):
                if (
                    (is_any or run.state in states or run.state_name in state_names)
                    and (not queue or run.queue == queue)
                    and (due_before_ms is None or run.due_at_ms < due_before_ms)
                    and (due_after_ms is None or run.due_at_ms >= due_after_ms)
                ):
                    found.append(run)
                    wanted -= 1
            start += PAGE
    chosen = sorted(found, key=lambda run: (run.due_at_ms, run.id), reverse=True)[:most]
    whole: list[Run] = []
    for place in range(0, len(chosen), WHOLE_PAGE):
        whole += yield from read_many(pool, [run.id for run in chosen[place : place + WHOLE_PAGE]])
    return whole


def cancel(pool: str, run: str, *, force: bool = False) -> Call[State]:
    """Cancels: a waiting run at once, a held one by asking its holder (CANCELLING); `force` ends a held one here and
    now, its holder is fenced and kills the process when it hears of it.

    Raises `RunNotFound`, `RunFinished`.
    """
    return _changed("run_cancel", pool, run, int(force))


def retry(pool: str, run: str) -> Call[State]:
    """Puts a finished run back into its queue, under the same id. Raises `RunNotFound`, `RunUnfinished`."""
    return _changed("run_retry", pool, run, advice=f"It runs by itself: `dispatcher flow-run why {run}` says when.")


def _changed(command: str, pool: str, run: str, *args: Arg, **facts: object) -> Call[State]:
    decode = expect("changed", pool=pool, run=run, **facts)
    return Call(command, (keyspace.pool(pool),), (run, *args), lambda reply: known(decode(reply)[0]))


def delete(pool: str, run: str) -> Call[None]:
    """Removes a finished run with its input, result and log. Raises `RunNotFound`, `RunUnfinished`."""
    advice = f"Cancel it first with `dispatcher flow-run cancel {run}`."
    decode = expect("removed", pool=pool, run=run, advice=advice)
    return Call("run_delete", (keyspace.pool(pool),), (run,), lambda reply: optional(decode(reply)))


def logs(pool: str, run: str, *, after: int = 0, most: int = 1000) -> Call[list[LogLine]]:
    """Log lines after the one of this number, oldest first."""
    return Call("XRANGE", (keyspace.run_log(pool, run),), (f"({after}-0", "+", "COUNT", most), log_lines)


def log(pool: str, run: str, *, after: int = 0) -> Flow[list[LogLine]]:
    """As `logs`, all of it, a page at a time; what is kept of a log is bounded by its bytes."""
    found: list[LogLine] = []
    while page := (yield from logs(pool, run, after=after)):
        found += page
        after = page[-1].number
    return found


def log_end(pool: str, run: str, *, most: int) -> Call[list[LogLine]]:
    """The last `most` log lines, oldest first."""
    args = ("+", "-", "COUNT", most)
    return Call("XREVRANGE", (keyspace.run_log(pool, run),), args, lambda reply: log_lines(reply)[::-1])


def log_lines(reply: list[Any]) -> list[LogLine]:
    """Entries of a run's log, however they were asked for."""
    return [
        LogLine(int(entry.partition("-")[0]), int(of["ms"]), of["line"])
        for entry, of in ((entry, fields(flat)) for entry, flat in reply)
    ]

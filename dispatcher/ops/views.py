"""Looking: why a run is not running, and the stream of events. Reads only.

The codes of reasons: `moving`, `overlapping`, `not-due`, `pool-paused`, `queue-paused`, `pool-limit`, `queue-limit`,
`filter-paused`, `filter-limit`, `no-consumer`, `behind`, `next`, `starting`, `running`, `cancelling`, `finished`.
`run_why` finds them with the same fragments that the claim decides with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dispatcher import keyspace
from dispatcher.call import Call, Flow, expect
from dispatcher.models import Event, Holder, LogLine, Reason, Why
from dispatcher.ops import runs
from dispatcher.ops.reading import fields


def why(pool: str, run: str) -> Flow[Why]:
    """The reasons, most decisive first. Raises `RunNotFound`."""
    found = yield from runs.read(pool, run)
    rows = yield from Call("run_why", (keyspace.pool(pool),), (run,), expect("why", pool=pool, run=run))
    return Why(found, tuple(_reason(pool, found.queue, run, row) for row in rows))


def _seconds(ms: int | str) -> str:
    seconds = int(ms) / 1000
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


# code -> (text, advice); the fields come from the script
_WORDS: dict[str, tuple[Callable[[dict[str, str]], str], str]] = {
    "moving": (
        lambda of: f"it is on its way to work pool {of['goal']}, where its deployment went",
        "wait; the consumers of work pool {pool} finish it, or dispatcher scheduler start does",
    ),
    "overlapping": (
        lambda of: "an earlier run of its schedule has to end before it, and was asked to stop",
        "wait",
    ),
    "not-due": (
        lambda of: (
            f"it is not due yet: it starts in {_seconds(of['in_ms'])}"
            if of["attempts"] == "0"
            else f"it waits for its retry: attempt {int(of['attempts']) + 1} starts in {_seconds(of['in_ms'])}"
        ),
        "wait",
    ),
    "pool-paused": (
        lambda of: f"work pool {of['pool']} is paused" + (f" ({of['note']})" if of["note"] else ""),
        "dispatcher work-pool resume {pool}",
    ),
    "queue-paused": (
        lambda of: f"work queue {of['queue']} is paused" + (f" ({of['note']})" if of["note"] else ""),
        "dispatcher work-queue resume {queue} --pool {pool}",
    ),
    "pool-limit": (
        lambda of: (
            f"work pool {of['pool']} has reached its concurrency limit: {of['used']} of {of['limit']} slots used"
        ),
        "wait for a holder, or dispatcher work-pool set-concurrency-limit {pool} N",
    ),
    "queue-limit": (
        lambda of: (
            f"work queue {of['queue']} has reached its concurrency limit: {of['used']} of {of['limit']} slots used"
        ),
        "wait for a holder, or dispatcher work-queue set-concurrency-limit {queue} N --pool {pool}",
    ),
    "filter-paused": (
        lambda of: (
            f"its consumers take it through work queue {of['gate']}, which is paused"
            + (f" ({of['note']})" if of["note"] else "")
        ),
        "dispatcher work-queue resume {gate} --pool {pool}",
    ),
    "filter-limit": (
        lambda of: (
            f"its consumers take it through work queue {of['gate']}, which has reached its concurrency limit: "
            f"{of['used']} of {of['limit']} slots used"
        ),
        "wait for a holder, or dispatcher work-queue set-concurrency-limit {gate} N --pool {pool}",
    ),
    "no-consumer": (
        lambda of: (
            "no live consumer serves its queue"
            + (f"; the last one was seen {_seconds(of['seen_ago_ms'])} ago: {of['seen']}" if of["seen"] else "")
        ),
        "dispatcher {command} --pool {pool}",
    ),
    "behind": (
        lambda of: f"{of['ahead']} ready runs go before it",
        "wait; more consumers or higher limits make it sooner",
    ),
    "starting": (lambda of: f"{of['consumer']} has claimed it {_seconds(of['since_ms'])} ago and prepares it", "wait"),
    "next": (lambda of: "nothing holds it back: it is next", "wait; consumers may all be busy"),
    "running": (lambda of: f"it is running on {of['consumer']} since {_seconds(of['since_ms'])}", "nothing to do"),
    "cancelling": (
        lambda of: f"it is being stopped by {of['consumer']}, asked {_seconds(of['since_ms'])} ago",
        "wait, or dispatcher flow-run cancel --force {run}",
    ),
    "finished": (lambda of: f"it is finished: {of['state']}", "dispatcher flow-run retry {run}"),
}


def _reason(pool: str, queue: str, run: str, row: list[Any]) -> Reason:
    code, flat, *holders = row
    of = {"pool": pool, "queue": queue, "run": run, **fields(flat)}
    text, advice = _WORDS[code]
    return Reason(
        code,
        text(of),
        advice.format(**of),
        tuple(Holder(entry[0], entry[1], entry[2], int(entry[3])) for entry in holders),
    )


def events(pool: str, *, after: str = "-", most: int = 1000) -> Call[list[Event]]:
    """Entries of the pool's event stream after the id `after`, oldest first."""
    start = after if after == "-" else f"({after}"

    return Call("XRANGE", (keyspace.events(pool),), (start, "+", "COUNT", most), _events)


def just_before(at_ms: int) -> str:
    """An id for `after`: what came at that moment or later is read then."""
    return f"{at_ms - 1}-{2**64 - 1}" if at_ms > 0 else "-"


def last_events(pool: str, *, most: int) -> Call[list[Event]]:
    """The newest entries, oldest first."""
    args = ("+", "-", "COUNT", most)
    return Call("XREVRANGE", (keyspace.events(pool),), args, lambda reply: _events(reply)[::-1])


def latest_event(pool: str) -> Call[str]:
    """The id of the newest event: what comes later can be followed from it. `0-0` when there is none."""
    return Call(
        "XREVRANGE",
        (keyspace.events(pool),),
        ("+", "-", "COUNT", 1),
        lambda reply: str(reply[0][0]) if reply else "0-0",
    )


def follow(
    pool: str, run: str, *, events_after: str, log_after: int, waits_ms: int
) -> Call[tuple[list[Event], list[LogLine]]]:
    """Waits for the pool's next events after this entry id, or the run's next log lines after this number; both empty
    after `waits_ms`.

    The events are those of the whole pool. One stream bounds what is kept of them, so a follower that was away for
    20,000 of them misses some: it reads the run itself when nothing comes.
    """
    streams = {keyspace.events(pool): events_after, keyspace.run_log(pool, run): f"{log_after}-0"}

    def decode(reply: list[tuple[str, list[Any]]] | None) -> tuple[list[Event], list[LogLine]]:
        found = dict(reply or ())
        events, lines = (found.get(stream, []) for stream in streams)
        return _events(events), runs.log_lines(lines)

    args: tuple[str | int, ...] = ("COUNT", 1000, "BLOCK", waits_ms, "STREAMS", *streams, *streams.values())
    return Call("XREAD", (), args, decode, waits_ms=waits_ms)


def next_events(pool: str, *, after: str, waits_ms: int) -> Call[list[Event]]:
    """Waits for the pool's next events after this id; none after `waits_ms`."""
    args: tuple[str | int, ...] = ("COUNT", 1000, "BLOCK", waits_ms, "STREAMS", keyspace.events(pool), after)
    return Call("XREAD", (), args, lambda reply: _events(reply[0][1]) if reply else [], waits_ms=waits_ms)


def next_events_of(after: Mapping[str, str], *, waits_ms: int) -> Call[dict[str, list[Event]]]:
    """Waits for the next events of several pools, each after its own id; empty after `waits_ms`."""
    pools = {keyspace.events(pool): pool for pool in after}
    args: tuple[str | int, ...] = ("COUNT", 1000, "BLOCK", waits_ms, "STREAMS", *pools, *after.values())

    def decode(reply: list[tuple[str, list[Any]]] | None) -> dict[str, list[Event]]:
        return {pools[key]: _events(entries) for key, entries in reply or ()}

    return Call("XREAD", (), args, decode, waits_ms=waits_ms)


def _events(reply: list[Any]) -> list[Event]:
    found = []
    for entry, flat in reply:
        of = fields(flat)
        found.append(Event(entry, int(of.pop("ms")), of.pop("event"), of))
    return found

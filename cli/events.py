"""`dispatcher events`: what happens in the pools, as it happens.

Nothing is polled: the process sleeps in one read of all the pools' streams. Every `LOOK_S` it looks for pools that were
made meanwhile, and lets time pass in each, since where no consumer lives nobody else would notice an ended lease.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cli import render
from cli.context import connected, output_option
from cli.types import MOST, Whole
from dispatcher.durations import duration_of, time_of
from dispatcher.errors import PoolNotFound

if TYPE_CHECKING:
    from dispatcher import Client
    from dispatcher.models import Event

    Base = click.ParamType["Since"]
else:
    Base = click.ParamType  # not generic in the older versions of click that we allow

LOOK_S = 5.0
PAGE = 1000
LINES = 10
NAMED_AT_ONCE = 100
NUMBERS = {"epoch", "priority", "limit"}


class Since(NamedTuple):
    """Milliseconds: an instant, or how long ago by the server's clock."""

    ms: int
    is_ago: bool


class SinceType(Base):
    """`10m`, or `2026-11-21T18:30`."""

    name = "time or duration"

    def convert(self, value: str | Since, param: click.Parameter | None, ctx: click.Context | None) -> Since:
        if isinstance(value, Since):
            return value
        try:
            return Since(round(duration_of(value).total_seconds() * 1000), True)
        except ValueError:
            pass
        try:
            return Since(round(time_of(value).timestamp() * 1000), False)
        except ValueError:
            self.fail(
                f"{value[:50]!r} is neither a duration, such as 10m, nor a time, such as 2026-11-21T18:30", param, ctx
            )


class Entry(NamedTuple):
    """An event and its pool; of a run that is still kept, its name and its deployment's."""

    pool: str
    event: Event
    run_name: str = ""
    deployment: str = ""


@click.group()
def events() -> None:
    """Follow what happens in the work pools.

    \b
    Example:
      dispatcher events tail --pool above-ground
    """


@events.command()
@click.option("-p", "--pool", metavar="NAME", help="Only this work pool.  [default: all, those made meanwhile too]")
@click.option("--since", type=SinceType(), metavar="TIME", help="What came since: a duration (10m) or a time.")
@click.option(
    "-n",
    "--lines",
    type=Whole(0, MOST),
    metavar="N",
    help=f"Only the last N of what came before.  [default: {LINES}; all with --since]",
)
@click.option("-f/-F", "--follow/--no-follow", default=True, show_default=True, help="Go on with what comes.")
@output_option
def tail(pool: str | None, since: Since | None, lines: int | None, follow: bool, output: str) -> None:
    """Show the latest events, then each new one until Ctrl-C.

    A run is named while it is kept. With JSON output each event is a line of its own; with --no-follow too, they are
    one array. About 20,000 events of each pool are kept.

    \b
    Example:
      dispatcher events tail --since 1h
      dispatcher events tail --pool above-ground -n 100 --no-follow -o json
    """
    with connected() as client:
        tailing = Tail(client, pool)
        found = tailing.latest(since, lines)
        if not follow and output == "json":
            render.document([_document(entry) for entry in tailing.named(found)])
            return
        _show(tailing.named(found), output)
        if follow:
            for page in tailing.news():
                _show(tailing.named(page), output)


class Tail:
    """Of each pool, how far its events were read."""

    def __init__(self, client: Client, pool: str | None) -> None:
        from dispatcher.ops import pools

        self._client = client
        self._only = pool
        names = [pool] if pool else client.run(pools.names())
        self._after = dict.fromkeys(names, "0-0")
        self._let_time_pass()

    def latest(self, since: Since | None, most: int | None) -> list[Entry]:
        """What came before, of all pools in the order of time."""
        from dispatcher.ops import broker_facts, views

        most = LINES if most is None and since is None else most
        start_ms = since and (self._client.run(broker_facts.now_ms()) - since.ms if since.is_ago else since.ms)
        found: list[Entry] = []
        for pool in self._after:
            if start_ms is not None:
                events = list(self._from(pool, views.just_before(start_ms)))
            else:
                events = self._client.run(views.last_events(pool, most=max(1, most or 0)))
            self._after[pool] = events[-1].id if events else self._client.run(views.latest_event(pool))
            found += [Entry(pool, event) for event in events]
        found.sort(key=_order)
        return found if most is None else found[len(found) - most :] if most < len(found) else found

    def _from(self, pool: str, after: str) -> Iterator[Event]:
        from dispatcher.ops import views

        while page := self._client.run(views.events(pool, after=after, most=PAGE)):
            yield from page
            after = page[-1].id

    def named(self, entries: list[Entry]) -> list[Entry]:
        """The entries with the names of their runs. A run that is gone, or went to another pool, stays an id."""
        from dispatcher.ops import runs

        names: dict[str, tuple[str, str]] = {}
        for pool in {entry.pool for entry in entries}:
            ids = list({entry.event.fields.get("run", ""): None for entry in entries if entry.pool == pool})
            ids = [run for run in ids if run]
            for start in range(0, len(ids), NAMED_AT_ONCE):
                try:
                    found = self._client.run(runs.read_many(pool, ids[start : start + NAMED_AT_ONCE], is_whole=False))
                except PoolNotFound:  # deleted meanwhile
                    break
                names |= {run.id: (run.name, run.deployment) for run in found}
        return [Entry(one.pool, one.event, *names.get(one.event.fields.get("run", ""), ())) for one in entries]

    def news(self) -> Iterator[list[Entry]]:
        """What comes, as it comes; never ends. Raises `PoolNotFound` when the only pool is deleted."""
        from dispatcher.ops import views

        next_look_s = time.monotonic() + LOOK_S
        while True:
            wait_s = max(0.001, next_look_s - time.monotonic())
            if self._after:
                found = self._client.run(views.next_events_of(self._after, waits_ms=round(wait_s * 1000) or 1))
                self._after |= {pool: events[-1].id for pool, events in found.items()}
                page = [Entry(pool, event) for pool, events in found.items() for event in events]
                if page:
                    yield sorted(page, key=_order)
            else:
                time.sleep(wait_s)
            if time.monotonic() >= next_look_s:
                self._look()
                next_look_s = time.monotonic() + LOOK_S

    def _look(self) -> None:
        from dispatcher.ops import pools

        if not self._only:
            names = self._client.run(pools.names())
            self._after = dict.fromkeys(names, "0-0") | self._after
        self._let_time_pass()

    def _let_time_pass(self) -> None:
        from dispatcher.ops import pools

        for pool in list(self._after):
            try:
                self._client.run(pools.tick(pool))
            except PoolNotFound:
                if self._only:
                    raise
                del self._after[pool]


def _order(entry: Entry) -> tuple[int, str, tuple[int, ...]]:
    return entry.event.at_ms, entry.pool, tuple(map(int, entry.event.id.split("-")))


def _show(entries: list[Entry], output: str) -> None:
    for entry in entries:
        click.echo(json.dumps(_document(entry)) if output == "json" else _line(entry))


def _line(entry: Entry) -> str:
    at = datetime.fromtimestamp(entry.event.at_ms / 1000).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{at}  {entry.pool}  {entry.event.event:<13}  {render.clean(_words(entry))}".rstrip()


def _words(entry: Entry) -> str:
    of = entry.event.fields
    if "run" not in of:
        return " ".join(f"{name}={value}" for name, value in of.items())
    words = [of["run"], entry.run_name, f"of {entry.deployment}" if entry.deployment else "", of.get("state", "")]
    words += [f"in {of['queue']}"] if of.get("queue") else []
    words += [f"by {of['consumer']}"] if of.get("consumer") else []
    words += [f"epoch {of['epoch']}"] if of.get("epoch", "0") != "0" else []
    return " ".join(filter(None, words))


def _document(entry: Entry) -> dict[str, Any]:
    from dispatcher.models import iso

    event = entry.event
    found: dict[str, Any] = {
        "id": event.id,
        "time": iso(event.at_ms),
        "work_pool_name": entry.pool,
        "event": event.event,
    }
    for name, value in event.fields.items():
        if name.endswith("_ms"):
            found[name.removesuffix("_ms") + "_seconds"] = int(value) / 1000
        else:
            found[name] = (int(value) if value else None) if name in NUMBERS else value
    if entry.run_name:
        found |= {"run_name": entry.run_name, "deployment": entry.deployment or None}
    return found

"""What `agent` and `worker` share on the command line: the options of `start`, its first words, and `ls`.

The consumers themselves are in `agent/`, which only `cli/agent.py` and `cli/worker.py` import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from cli import render
from cli.context import connected, session
from cli.types import DURATION, MOST, Whole

Command = TypeVar("Command", bound=Callable[..., Any])
BANNER = """\
     .--> o
  o--+--> o   dispatcher {kind} {version}
     '--> o
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """The values of the options that both kinds of `start` have."""

    pool: str | None
    queues: tuple[str, ...]
    name: str | None
    limit: int | None
    prefetch_ms: int | None
    run_once: bool
    hide_welcome: bool
    drain_timeout_ms: int | None
    grace_ms: int | None
    stream_output: bool | None


def _use(_context: click.Context, _option: click.Parameter, url: str | None) -> None:
    if url is not None:
        session().redis_url = url


_OPTIONS = (
    click.option("-p", "--pool", metavar="NAME", help="The work pool to serve."),
    click.option(
        "-q", "--work-queue", "queues", metavar="NAME", multiple=True, help="Serve only this queue; repeatable."
    ),
    click.option("-n", "--name", metavar="NAME", help="The name it is listed by.  [default: kind and host name]"),
    click.option("-l", "--limit", type=Whole(1, MOST), metavar="N", help="At most N runs at once."),
    click.option(
        "--prefetch-seconds",
        "prefetch_ms",
        type=DURATION,
        metavar="DURATION",
        help="Claim runs this long before their start and have them ready (a setting of the same name).",
    ),
    click.option("--run-once", is_flag=True, help="Take what is there now, run it, and end."),
    click.option("--hide-welcome", is_flag=True, help="No banner."),
    click.option(
        "--drain-timeout",
        "drain_timeout_ms",
        type=DURATION,
        metavar="DURATION",
        help="How long the first signal waits for running runs; then they are stopped and given back.  [default: "
        "until they end]",
    ),
    click.option(
        "--grace-seconds",
        "grace_ms",
        type=DURATION,
        metavar="DURATION",
        help="From SIGTERM to SIGKILL when a run is stopped (a setting of the same name).",
    ),
    click.option(
        "--stream-output/--no-stream-output",
        default=None,
        help="Show the output of runs here, besides keeping it (a setting of the same name).",
    ),
    click.option(
        "--api",
        metavar="URL",
        is_eager=True,  # before anything reads a setting
        expose_value=False,
        callback=_use,
        help="The Redis to work on, as --redis-url.",
    ),
)


def start_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `Asked` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def words(kind: str, asked: Asked) -> dict[str, Any]:
    """What both kinds of `agent.options.Options` say, by name; settings fill in what was not given."""
    settings = session().settings
    prefetch_s = settings.agent_prefetch_seconds if kind == "agent" else settings.worker_prefetch_seconds
    return {
        "pool": asked.pool,
        "queues": asked.queues,
        "name": asked.name,
        "limit": asked.limit,
        "prefetch_s": prefetch_s if asked.prefetch_ms is None else asked.prefetch_ms / 1000,
        "query_s": settings.agent_query_seconds if kind == "agent" else settings.worker_query_seconds,
        "grace_s": settings.grace_seconds if asked.grace_ms is None else asked.grace_ms / 1000,
        "drain_timeout_s": None if asked.drain_timeout_ms is None else asked.drain_timeout_ms / 1000,
        "allows_unsafe_broker": settings.allow_unsafe_broker,
        "is_run_once": asked.run_once,
        "allowed_env": settings.allow_env,
        "is_output_shown": settings.stream_output if asked.stream_output is None else asked.stream_output,
    }


def greet(kind: str, asked: Asked) -> str:
    """Says which broker is used, then the banner. Returns the broker's URL."""
    from dispatcher import __version__

    url = session().url
    click.echo(f"Using {session().broker_words}", err=True)
    if not asked.hide_welcome:
        click.echo(BANNER.format(kind=kind, version=__version__), err=True)
    return url


def list_consumers(kind: str, pool: str | None, output: str) -> None:
    """Prints the consumers of a kind, of one pool or of all."""
    from dispatcher.errors import PoolNotFound
    from dispatcher.ops import consumers, pools

    with connected() as client:
        found = []
        for name in [pool] if pool is not None else client.run(pools.names()):
            try:
                found += [row for row in client.run(consumers.list_all(name)) if row.kind == kind]
            except PoolNotFound:
                if pool is not None:
                    raise
    if output == "json":
        render.document([row.document() for row in found])
        return
    render.table(
        ("Name", "Type", "Pool", "Host", "PID", "Status", "Serves", "Running", "Last seen"),
        [
            (
                row.name,
                row.type,
                row.pool,
                row.host,
                row.pid,
                "online" if row.is_online else "offline",
                row.serves,
                f"{row.running}/{'-' if row.limit is None else row.limit}",
                render.moment(row.seen_at_ms),
            )
            for row in found
        ],
        empty=f"No {kind} has been seen{f' in work pool {pool}' if pool else ''} within a day.",
    )

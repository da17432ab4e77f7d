"""How a followed run looks: its changes and its log lines, one line each, as they come.

What comes and when is decided in `following.py`; here it becomes text. With JSON output the lines go to stderr, and
stdout gets the finished run alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from cli import render
from dispatcher.states import State

if TYPE_CHECKING:
    from cli.following import Gap
    from dispatcher import Client
    from dispatcher.models import LogLine, Run

TOLD_AT_ONCE = ("no-consumer", "pool-paused", "queue-paused", "pool-limit", "queue-limit", "not-due")


def watch(client: Client, run: Run, *, output: str) -> None:
    """Shows the run until it is finished. Raises `Exit(1)` unless it is COMPLETED then."""
    from cli.following import Gap, follow
    from dispatcher.models import LogLine
    from dispatcher.ops import views

    to_stderr = output == "json"
    last = run
    for news in follow(client, run):
        if isinstance(news, LogLine):
            click.echo(f"{clock(news.at_ms)}  {logged(news)}", err=to_stderr)
            continue
        if isinstance(news, Gap):
            click.echo(f"{' ' * 12}  {gone(news)}", err=to_stderr)
            continue
        last = news
        click.echo(f"{clock(_since_ms(news))}  {_state(news)}", err=to_stderr)
        if news.state is State.SCHEDULED:
            for reason in client.run(views.why(news.pool, news.id)).reasons[:1]:
                if reason.code in TOLD_AT_ONCE:
                    click.echo(f"{' ' * 12}  {reason.text}: {reason.advice}", err=to_stderr)
    if output == "json":
        render.document(last.document())
    if last.state is not State.COMPLETED:
        raise click.exceptions.Exit(1)


def clock(at_ms: int) -> str:
    """Time of day in the local zone, with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000).strftime("%H:%M:%S.%f")[:-3]


def logged(line: LogLine) -> str:
    """The text of a log line, safe on a terminal; an empty line stays empty."""
    return render.clean(line.text) if line.text else ""


def gone(gap: Gap) -> str:
    """What stands where lines are gone."""
    return f"[{gap.lines} {'line is' if gap.lines == 1 else 'lines are'} gone here: a log keeps its newest 2 MiB]"


def _since_ms(run: Run) -> int:
    """Since when the run is in its state, where that is kept; else when it was seen in it."""
    if run.is_finished:
        return run.ended_at_ms or run.read_at_ms
    since_ms = {State.PENDING: run.claimed_at_ms, State.RUNNING: run.started_at_ms}.get(run.state)
    return since_ms or run.read_at_ms


def _state(run: Run) -> str:
    text = run.state_name
    if run.is_held and run.consumer is not None:
        text += f" on {render.clean(run.consumer.name)} ({render.clean(run.consumer.host)})"
    if run.is_held and run.attempts:  # an attempt is counted when it has ended
        text += f", attempt {run.attempts + 1}"
    elif run.due_at_ms > run.read_at_ms:
        text += f", starts at {clock(run.due_at_ms)}"
    return f"{text}: {render.clean(run.message)}" if run.message and not run.is_held else text

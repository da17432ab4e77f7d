"""`dispatcher flow-run`: look at runs, follow, cancel, retry, delete and explain them.

A run is named by its id, by the beginning of it, or by its name where only one has it. How it is found, and what is
done with it, stands in the core (`ops/finding.py`, `verbs.py`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cli import render, watched
from cli.context import confirm, connected, output_option, yes_option
from cli.types import MOST, TIME, Whole
from dispatcher.states import PARTS, State

if TYPE_CHECKING:
    from dispatcher.models import LogLine, Run

_which = click.argument("run", metavar="RUN")


@click.group(name="flow-run")
def flow_run() -> None:
    """Look at runs, follow, cancel, retry, delete and explain them.

    RUN is an id, the beginning of one, or a name, while only one run fits.

    \b
    Example:
      dispatcher flow-run ls --state RUNNING
      dispatcher flow-run why swift-otter
    """


@flow_run.command()
@click.option(
    "--state",
    "states",
    metavar="STATE",
    multiple=True,
    type=click.Choice([*State, *PARTS], case_sensitive=False),
    help=f"{', '.join(State)}, or a part of SCHEDULED: {' or '.join(PARTS)}; repeatable.",
)
@click.option("--deployment", metavar="NAME", help="Only its runs.")
@click.option("--pool", metavar="NAME", help="Only this work pool.")
@click.option("--queue", metavar="NAME", default="", help="Only work queues of this name.")
@click.option("--limit", type=Whole(1, MOST), default=50, show_default=True, help="How many at most.")
@click.option("--before", type=TIME, help="Expected to start before then.")
@click.option("--after", type=TIME, help="Expected to start then or later.")
@output_option
def ls(
    states: tuple[str, ...],
    deployment: str | None,
    pool: str | None,
    queue: str,
    limit: int,
    before: int | None,
    after: int | None,
    output: str,
) -> None:
    """List runs, the latest expected start first.

    \b
    Example:
      dispatcher flow-run ls --pool above-ground --state FAILED --state CRASHED --limit 10
    """
    from dispatcher.ops import finding

    with connected() as client:
        found = client.run(
            finding.listed(
                states=frozenset(State(state) for state in states if state not in PARTS),
                state_names=frozenset(state for state in states if state in PARTS),
                deployment=deployment,
                pool=pool,
                queue=queue,
                due_before_ms=before,
                due_after_ms=after,
                most=limit,
            )
        )
    if output == "json":
        render.document([run.document() for run in found])
        return
    rows = [
        (
            run.name,
            run.id,
            run.deployment,
            run.state_name,
            f"{run.pool}/{run.queue}",
            render.moment(run.due_at_ms),
            _took(run),
        )
        for run in found
    ]
    columns = ("Name", "ID", "Deployment", "State", "Queue", "Expected start", "Run time")
    render.table(columns, rows, empty="No runs.")


def _took(run: Run) -> str | None:
    if run.started_at_ms is None or run.state is State.SCHEDULED:
        return None
    return render.duration((run.ended_at_ms or run.read_at_ms) - run.started_at_ms)


@flow_run.command()
@_which
@output_option
def inspect(run: str, output: str) -> None:
    """Show everything that is kept of a run.

    \b
    Example:
      dispatcher flow-run inspect swift-otter -o json
    """
    with connected() as client:
        found = client.get(run)
    if output == "json":
        render.document(found.document())
        return
    shown: dict[str, Any] = found.document()
    render.details((name, _text(value)) for name, value in shown.items())


def _text(value: Any) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


@flow_run.command()
@_which
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines until the run is finished.")
@click.option("-n", "--lines", type=Whole(1, MOST), help="Only the last so many lines (and new ones).")
@output_option
def logs(run: str, follow: bool, lines: int | None, output: str) -> None:
    """Print what a run has printed.

    The newest 2 MiB are kept; how many lines are gone is told on stderr. With JSON output the lines, each with its
    number, are one array; with --follow each is a document on a line of its own, as it comes.

    \b
    Example:
      dispatcher flow-run logs swift-otter -f -n 20
    """
    from cli import following
    from dispatcher.models import LogLine

    with connected() as client:
        found = client.get(run)
        if output == "json" and not follow:
            render.document([_logged(line) for line in client.logs(found, last=lines)])
            return
        so_far = following.so_far(client, found, last=lines)
        for news in following.follow(client, found, old_lines=lines) if follow else so_far:
            if isinstance(news, LogLine):
                said = f"{watched.clock(news.at_ms)}  {watched.logged(news)}"
                click.echo(json.dumps(_logged(news)) if output == "json" else said)
            elif isinstance(news, following.Gap) and output != "json":
                click.echo(watched.gone(news), err=True)


def _logged(line: LogLine) -> dict[str, int | str | None]:
    from dispatcher.models import iso

    return {"number": line.number, "time": iso(line.at_ms), "line": line.text}


@flow_run.command()
@_which
@output_option
def watch(run: str, output: str) -> None:
    """Show a run's states and log live, until it is finished. Exit code 1 unless it is COMPLETED.

    With JSON output the lines go to stderr, and the finished run to stdout.

    \b
    Example:
      dispatcher flow-run watch swift-otter
    """
    with connected() as client:
        watched.watch(client, client.get(run), output=output)


@flow_run.command()
@_which
@click.option("--force", is_flag=True, help="End it here and now; its holder stops the process when it hears of it.")
@output_option
def cancel(run: str, force: bool, output: str) -> None:
    """Cancel a run: a waiting one at once, a running one by stopping its process.

    \b
    Example:
      dispatcher flow-run cancel swift-otter
    """
    with connected() as client:
        found = client.cancel(run, force=force)
    _tell(found, output)
    if output != "json" and not found.is_finished:
        click.echo(f"Its process is being stopped. See the end: dispatcher flow-run watch {found.id}")


@flow_run.command()
@_which
@output_option
def retry(run: str, output: str) -> None:
    """Put a finished run back into its queue, under the same id.

    \b
    Example:
      dispatcher flow-run retry swift-otter
    """
    with connected() as client:
        found = client.retry(run)
    _tell(found, output)


@flow_run.command()
@_which
@yes_option
@output_option
def delete(run: str, yes: bool, output: str) -> None:
    """Delete a finished run with its result and log.

    \b
    Example:
      dispatcher flow-run delete swift-otter --yes
    """
    with connected() as client:
        found = client.get(run)
        confirm(f"Delete flow run {render.clean(found.name)!r} ({found.id}) with its result and log?", yes=yes)
        client.delete(found)
    if output == "json":
        render.document(found.document())
        return
    click.echo(f"Flow run {render.clean(found.name)!r} ({found.id}) is deleted.")


@flow_run.command()
@_which
@output_option
def why(run: str, output: str) -> None:
    """Say why a run is not running: the reason, who holds the slots, what to do.

    \b
    Example:
      dispatcher flow-run why swift-otter
    """
    with connected() as client:
        answer = client.why(run)
    if output == "json":
        render.document(answer.document())
        return
    click.echo(f"Flow run {render.clean(answer.run.name)!r} ({answer.run.id}) is {answer.run.state_name}.")
    render.table(
        ("Why", "What to do"),
        [(reason.text, reason.advice) for reason in answer.reasons],
        empty="Nothing holds it back.",
    )
    holders = {holder.run_id: holder for reason in answer.reasons for holder in reason.holders}
    if holders:
        click.echo("The slots are held by:")
        rows = [(one.run_name, one.run_id, one.consumer, render.duration(one.since_ms)) for one in holders.values()]
        render.table(("Run", "ID", "Consumer", "For"), rows, empty="")


def _tell(run: Run, output: str) -> None:
    if output == "json":
        render.document(run.document())
    else:
        click.echo(f"Flow run {render.clean(run.name)!r} ({run.id}) is {run.state_name} in {run.pool}/{run.queue}.")

"""What `work-pool` and `work-queue` print alike: the facts of both, the table of queues, previews."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from cli import render
from cli.types import HOURS, Duration, Whole
from dispatcher.models import Pool, Queue, Run
from dispatcher.models.pools import MAX_KEEP_RUNS, MAX_LIMIT, MIN_KEEP_MS, MIN_KEEP_RUNS

Command = TypeVar("Command", bound=Callable[..., Any])
PREVIEW_MOST = 100
NOTE_MOST = 60  # characters of a note below a table; `inspect` shows all of it
LIMIT = Whole(0, MAX_LIMIT)

# Prefect's own short form, so these two commands have no -h for help.
HOURS_FORM = {"help_option_names": ["--help"]}
hours_option = click.option(
    "-h",
    "--hours",
    "within_ms",
    type=HOURS,
    default="1",
    show_default=True,
    metavar="N",
    help="How far to look ahead; what is late is always shown.",
)


def retention_options(command: Command) -> Command:
    """`--retention`, `--retention-runs`; the command gets `keep_ms` and `keep_runs`, None: not given."""
    command = click.option(
        "--retention-runs",
        "keep_runs",
        type=Whole(MIN_KEEP_RUNS, MAX_KEEP_RUNS),
        metavar="N",
        help="Keep at most N finished runs of each final state, 100 or more.  [default for a new pool: 10000]",
    )(command)
    return click.option(
        "--retention",
        "keep_ms",
        type=Duration(least_ms=MIN_KEEP_MS, words="a minute or more"),
        metavar="DURATION",
        help="Keep finished runs so long, a minute or more.  [default for a new pool: 7d]",
    )(command)


def template_words(pool: Pool) -> str:
    """Whose base job template a pool has, in words."""
    if pool.template:
        return "its own"
    return "none: each deployment's infrastructure" if pool.type == "agent" else f"the default of type {pool.type}"


def start_command(pool: Pool) -> str:
    """What starts a consumer for this pool."""
    return f"{'agent' if pool.type == 'agent' else 'worker'} start --pool {pool.name}"


def common_details(found: Pool | Queue) -> list[tuple[str, object]]:
    """The facts that pools and queues share."""
    counts = found.counts
    return [
        ("Status", f"{found.status} ({found.note})" if found.note else found.status),
        ("Concurrency limit", render.limit(found.limit)),
        ("Slots used", found.slots_used),
        ("Waiting", f"{counts.scheduled} ({counts.late} late)"),
        ("Held", f"{counts.pending} pending, {counts.running} running, {counts.cancelling} cancelling"),
        ("Description", found.description),
        ("Created", render.moment(found.created_at_ms)),
        ("Updated", render.moment(found.updated_at_ms)),
    ]


def limit_option(command: Command) -> Command:
    """`-l/--limit`; the command gets `limit`, None: not given."""
    return click.option("-l", "--limit", type=LIMIT, metavar="N", help="Most runs at once; 0 admits nothing.")(command)


def paused_legend(found: Iterable[Pool | Queue]) -> str:
    """What stands below a table with paused ones: what the mark means, and why each is paused, where that was said."""
    lines = [render.PAUSED_LEGEND]
    for one in found:
        if one.is_paused and one.note:
            note = render.clean(one.note)
            lines.append(f"     {one.name}: {note if len(note) <= NOTE_MOST else note[: NOTE_MOST - 1] + '…'}")
    return "\n".join(lines)


def show_queues(queues: Iterable[Queue]) -> None:
    """The table of queues, in the order given."""
    queues = list(queues)
    render.table(
        ["Name", "Priority", "ID", "Concurrency limit", "Slots used", "Late"],
        [
            (
                render.marked(queue.name, queue.is_paused),
                queue.priority,
                queue.id,
                render.limit(queue.limit),
                queue.slots_used,
                queue.counts.late,
            )
            for queue in queues
        ],
        empty="No work queue matches.",
        legend=paused_legend(queues),
    )


def show_preview(runs: list[Run], within_ms: int, output: str) -> None:
    """Prints the runs; one more than are shown tells that there are more, which is said on stderr."""
    shown = runs[:PREVIEW_MOST]
    if output == "json":
        render.document([run.document() for run in shown])
    else:
        render.table(
            ["Scheduled start", "Run ID", "Name", "Deployment", "Queue"],
            [
                (
                    render.marked(render.moment(run.due_at_ms), run.state_name == "Late"),
                    run.id,
                    run.name,
                    run.deployment,
                    run.queue,
                )
                for run in shown
            ],
            empty=f"No run is waiting to start within {render.duration(within_ms)}.",
            legend="(**) late",
        )
    if len(runs) > len(shown):
        listing = f"dispatcher flow-run ls --state SCHEDULED --pool {shown[0].pool} --limit {10 * PREVIEW_MOST}"
        click.echo(f"There are more than these {PREVIEW_MOST}: `{listing}` lists more.", err=True)

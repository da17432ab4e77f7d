"""What `work-pool` and `work-queue` print alike: the facts of both, the table of queues, previews."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from cli import render
from cli.types import DURATION, HOURS
from dispatcher.models import Pool, Queue, Run

Command = TypeVar("Command", bound=Callable[..., Any])
PREVIEW_MOST = 100

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
        type=int,
        metavar="N",
        help="Keep at most N finished runs of each final state, 100 or more.  [default for a new pool: 10000]",
    )(command)
    return click.option(
        "--retention",
        "keep_ms",
        type=DURATION,
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


def show_queues(queues: Iterable[Queue]) -> None:
    """The table of queues, in the order given."""
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
        legend=render.PAUSED_LEGEND,
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
        click.echo(f"There are more than these {PREVIEW_MOST}.", err=True)

"""`dispatcher work-pool`: where runs wait.

Every command takes a pool's name or id. What a pool may be is decided in `dispatcher/ops/pools.py`. Commands that read
let time pass in the pool first, so that they tell the truth where no consumer lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import render
from cli.context import confirm, connected, let_time_pass, output_option, yes_option
from cli.pool_tables import (
    HOURS_FORM,
    LIMIT,
    PREVIEW_MOST,
    common_details,
    hours_option,
    limit_option,
    paused_legend,
    retention_options,
    show_preview,
    show_queues,
    start_command,
    template_words,
)
from cli.pool_template import get_default_base_job_template, template_from, template_option, warn_of_deployments
from cli.types import Duration
from dispatcher.models.pools import DEFAULT_KEEP_MS, DEFAULT_KEEP_RUNS, DEFAULT_LEASE_MS, MAX_LEASE_MS, MIN_LEASE_MS
from dispatcher.ops import pools, previews

if TYPE_CHECKING:
    from dispatcher.client import Client
    from dispatcher.models import Pool

LEASE = Duration(least_ms=MIN_LEASE_MS, most_ms=MAX_LEASE_MS, words="5s to 1h")
LONGEST_STOP_S = 40.0  # how long a deletion waits for consumers to stop what they run: their grace and more


def _now(client: Client, name_or_id: str) -> Pool:
    """The pool, after time has passed in it. Raises `PoolNotFound`."""
    pool = client.run(pools.find(name_or_id))
    let_time_pass(client, pool.name)
    return client.run(pools.read(pool.name))


@click.group()
def work_pool() -> None:
    """Make, look at and change work pools.

    \b
    Example:
      dispatcher work-pool create above-ground --limit 5
    """


work_pool.add_command(get_default_base_job_template)


@work_pool.command()
@click.argument("name")
@click.option("--paused", is_flag=True, help="It hands nothing out until it is resumed.")
@click.option(
    "-t",
    "--type",
    "pool_type",
    default="agent",
    show_default=True,
    metavar="TYPE",
    help="agent: for agents; another one, such as process: for workers of that type.",
)
@limit_option
@click.option("--description", default="", help="What it is for.")
@click.option(
    "--lease",
    type=LEASE,
    default=f"{DEFAULT_LEASE_MS // 1000}s",
    show_default=True,
    help="How long a silent consumer keeps its runs, 5s to 1h.",
)
@retention_options
@template_option
@output_option
def create(
    name: str,
    paused: bool,
    pool_type: str,
    limit: int | None,
    description: str,
    lease: int,
    keep_ms: int | None,
    keep_runs: int | None,
    template_file: str | None,
    output: str,
) -> None:
    """Make a work pool, with its queue `default`.

    \b
    Example:
      dispatcher work-pool create above-ground --type process --limit 5
    """
    pool_type = pools.checked_type(pool_type)
    template = template_from(template_file)
    with connected() as client:
        pool = client.run(
            pools.create(
                name,
                type=pool_type,
                description=description,
                limit=limit,
                is_paused=paused,
                lease_ms=lease,
                template=template,
                keep_ms=DEFAULT_KEEP_MS if keep_ms is None else keep_ms,
                keep_runs=DEFAULT_KEEP_RUNS if keep_runs is None else keep_runs,
            )
        )
    if output == "json":
        render.document(pool.document())
        return
    render.details(
        [
            ("Created work pool", pool.name),
            ("ID", pool.id),
            ("Type", pool.type),
            ("Concurrency limit", render.limit(pool.limit)),
            *([("Paused until", f"dispatcher work-pool resume {pool.name}")] if pool.is_paused else []),
            ("Start a consumer", f"dispatcher {start_command(pool)}"),
            ("Look at it", f"dispatcher work-pool inspect {pool.name}"),
        ]
    )


@work_pool.command()
@output_option
def ls(output: str) -> None:
    """List the work pools, by name.

    \b
    Example:
      dispatcher work-pool ls -o json
    """
    with connected() as client:
        for name in client.run(pools.names()):
            let_time_pass(client, name)
        found = client.run(pools.list_all())
    if output == "json":
        render.document([pool.document() for pool in found])
        return
    render.table(
        ["Name", "Type", "ID", "Concurrency limit", "Slots used", "Late"],
        [
            (
                render.marked(pool.name, pool.is_paused),
                pool.type,
                pool.id,
                render.limit(pool.limit),
                pool.slots_used,
                pool.counts.late,
            )
            for pool in found
        ],
        empty="There is no work pool. Make one: dispatcher work-pool create NAME",
        legend=paused_legend(found),
    )


@work_pool.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show all of a work pool.

    \b
    Example:
      dispatcher work-pool inspect above-ground
    """
    with connected() as client:
        pool = _now(client, name)
    if output == "json":
        render.document(pool.document())
        return
    render.details(
        [
            ("Name", pool.name),
            ("ID", pool.id),
            ("Type", pool.type),
            *common_details(pool),
            ("Lease", render.duration(pool.lease_ms)),
            ("Retention", f"{render.duration(pool.keep_ms)}, {pool.keep_runs:,} runs of each final state"),
            ("Base job template", template_words(pool)),
            ("Start a consumer", f"dispatcher {start_command(pool)}"),
        ]
    )
    click.echo()
    show_queues(pool.queues)


@work_pool.command(context_settings=HOURS_FORM)
@click.argument("name")
@hours_option
@output_option
def preview(name: str, within_ms: int, output: str) -> None:
    """Show the waiting runs that are expected to start soon.

    At most 100 are shown, the first ones, and whether there are more is said.

    \b
    Example:
      dispatcher work-pool preview above-ground --hours 12
    """
    with connected() as client:
        pool = _now(client, name)
        queues = [queue.name for queue in pool.queues]
        runs = client.run(previews.waiting(pool.name, queues, within_ms=within_ms, most=PREVIEW_MOST + 1))
    show_preview(runs, within_ms, output)


@work_pool.command()
@click.argument("name")
@click.option("--note", help="Why; shown by ls, inspect and flow-run why.")
@output_option
def pause(name: str, note: str | None, output: str) -> None:
    """Let the pool hand nothing out; running runs go on.

    \b
    Example:
      dispatcher work-pool pause above-ground --note "database upgrade"
    """
    with connected() as client:
        name = client.run(pools.find(name)).name
        client.run(pools.pause(name, note))
        render.outcome(
            output,
            f"Work pool {name!r} is paused. Go on: dispatcher work-pool resume {name}",
            lambda: client.run(pools.read(name)).document(),
        )


@work_pool.command()
@click.argument("name")
@output_option
def resume(name: str, output: str) -> None:
    """Let a paused pool go on.

    \b
    Example:
      dispatcher work-pool resume above-ground
    """
    with connected() as client:
        name = client.run(pools.find(name)).name
        client.run(pools.resume(name))
        render.outcome(
            output,
            f"Work pool {name!r} is not paused any more.",
            lambda: client.run(pools.read(name)).document(),
        )


@work_pool.command()
@click.argument("name")
@click.option("--description", help="What it is for.")
@limit_option
@click.option("--lease", type=LEASE, help="How long a silent consumer keeps its runs, 5s to 1h.")
@retention_options
@template_option
@output_option
def update(
    name: str,
    description: str | None,
    limit: int | None,
    lease: int | None,
    keep_ms: int | None,
    keep_runs: int | None,
    template_file: str | None,
    output: str,
) -> None:
    """Change what is given, and nothing else.

    Runs that begin from now on follow the new base job template, those that run already go on as they are.

    \b
    Example:
      dispatcher work-pool update above-ground --limit 10
      dispatcher work-pool update above-ground --base-job-template template.json
    """
    if all(given is None for given in (description, limit, lease, keep_ms, keep_runs, template_file)):
        raise click.UsageError(
            "Nothing to change: give --description, --limit, --lease, --retention, --retention-runs or "
            "--base-job-template."
        )
    template = template_from(template_file)
    with connected() as client:
        name = client.run(pools.find(name)).name
        client.run(
            pools.update(
                name,
                description=description,
                limit=limit,
                lease_ms=lease,
                template=template,
                keep_ms=keep_ms,
                keep_runs=keep_runs,
            )
        )
        if template is not None:
            warn_of_deployments(client, name)
        render.outcome(output, f"Work pool {name!r} is updated.", lambda: client.run(pools.read(name)).document())


# ignore_unknown_options: so that -1 is a number that is refused, not an option that does not exist.
@work_pool.command("set-concurrency-limit", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("limit", type=LIMIT)
@output_option
def set_concurrency_limit(name: str, limit: int, output: str) -> None:
    """Set how many runs may be held at once; lowering stops none that is.

    \b
    Example:
      dispatcher work-pool set-concurrency-limit above-ground 5
    """
    with connected() as client:
        name = client.run(pools.find(name)).name
        client.run(pools.set_limit(name, limit))
        render.outcome(
            output,
            f"Work pool {name!r} has concurrency limit {limit} now.",
            lambda: client.run(pools.read(name)).document(),
        )


@work_pool.command("clear-concurrency-limit")
@click.argument("name")
@output_option
def clear_concurrency_limit(name: str, output: str) -> None:
    """Take the limit away.

    \b
    Example:
      dispatcher work-pool clear-concurrency-limit above-ground
    """
    with connected() as client:
        name = client.run(pools.find(name)).name
        client.run(pools.set_limit(name, None))
        render.outcome(
            output,
            f"Work pool {name!r} has no concurrency limit any more.",
            lambda: client.run(pools.read(name)).document(),
        )


@work_pool.command()
@click.argument("name")
@yes_option
@click.option("--cancel-runs", is_flag=True, help="Cancel the runs that are not finished.")
@output_option
def delete(name: str, yes: bool, cancel_runs: bool, output: str) -> None:
    """Delete a pool with its queues, deployments and the records of its runs.

    \b
    Example:
      dispatcher work-pool delete above-ground --cancel-runs
    """
    with connected() as client:
        name = client.run(pools.find(name)).name
        confirm(f"Delete work pool {name!r} with its queues, deployments and the records of its runs?", yes=yes)
        cancelled = client.run(pools.delete(name, cancel_runs=cancel_runs, longest_wait_s=LONGEST_STOP_S))
    runs_were = "run was" if cancelled == 1 else "runs were"
    done = f" {cancelled} unfinished {runs_were} cancelled." if cancelled else ""
    render.outcome(
        output,
        f"Work pool {name!r} is deleted.{done}",
        lambda: {"deleted": name, "cancelled_runs": cancelled},
    )

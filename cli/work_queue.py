"""`dispatcher work-queue`: the lanes of a pool.

Every command takes a queue's name or id; `_found` finds the queue. What a queue may be, and who moves when priorities
change, is decided in `dispatcher/ops/queues.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import queue_filters, render
from cli.context import confirm, connected, let_time_pass, output_option, tell_near, yes_option
from cli.pool_tables import (
    HOURS_FORM,
    LIMIT,
    PREVIEW_MOST,
    common_details,
    hours_option,
    limit_option,
    show_preview,
    show_queues,
    start_command,
)
from cli.types import Whole
from dispatcher.errors import FilterMisplaced, PoolNotFound, QueueNotFound
from dispatcher.models import DEFAULT_POOL, Queue
from dispatcher.ops import pools, previews, queues

if TYPE_CHECKING:
    from dispatcher.client import Client

F = TypeVar("F", bound=Callable[..., Any])
PRIORITY = Whole(1, queues.MAX_PRIORITY)


def pool_option(command: F) -> F:
    """Adds `-p/--pool`; the command takes `pool: str | None`, None: not said, which is the default pool."""
    return click.option("-p", "--pool", metavar="POOL", help=f"The pool of the queue.  [default: {DEFAULT_POOL}]")(
        command
    )


def _found(client: Client, pool: str | None, name_or_id: str) -> Queue:
    """The queue that a person means: of the pool; or, when none was said, by its id in any pool.

    Raises `PoolNotFound`, `QueueNotFound`.
    """
    try:
        found = client.run(queues.read(pool or DEFAULT_POOL, name_or_id))
    except (PoolNotFound, QueueNotFound) as error:
        elsewhere = None if pool is not None else client.run(queues.with_id(name_or_id))
        if elsewhere is None:
            tell_near(client, error, name_or_id)
            raise
        found = elsewhere
    return found


def _tell(client: Client, queue: Queue, output: str, sentence: str) -> None:
    render.outcome(output, sentence, lambda: client.run(queues.read(queue.pool, queue.name)).document())


def _now(client: Client, pool: str | None, name_or_id: str) -> Queue:
    """As `_found`, after time has passed in its pool."""
    queue = _found(client, pool, name_or_id)
    let_time_pass(client, queue.pool)
    return client.run(queues.read(queue.pool, queue.name))


@click.group()
def work_queue() -> None:
    """Make, look at and change the queues of a pool.

    \b
    Example:
      dispatcher work-queue create high --pool above-ground --priority 1
    """


@work_queue.command()
@click.argument("name")
@pool_option
@limit_option
@click.option("-q", "--priority", type=PRIORITY, metavar="N", help="1 goes first; the lowest free number if not given.")
@click.option("--description", default="", help="What it is for.")
@queue_filters.legacy_options
@output_option
def create(
    name: str,
    pool: str | None,
    limit: int | None,
    priority: int | None,
    description: str,
    output: str,
    **legacy: Any,
) -> None:
    """Make a work queue. A priority that is taken moves the others up.

    With one of the legacy options it has a filter, as in Prefect 2.0: it shows runs of all other queues of
    default-agent-pool. The new way: let deployments name their queue, `dispatcher deploy --work-queue NAME`.

    \b
    Example:
      dispatcher work-queue create high --pool above-ground --priority 1 --limit 3
      dispatcher work-queue create tagged -t etl -t nightly
    """
    asked = queue_filters.Asked(**legacy)
    if asked.is_given and pool is not None:
        raise FilterMisplaced(pool=pool, queue=name)
    home = pool or DEFAULT_POOL
    with connected() as client:
        if home == DEFAULT_POOL and client.run(pools.ensure(home)):
            click.echo(f"Work pool {home!r} did not exist and was made.", err=True)
        client.run(
            queues.create(
                home,
                name,
                limit=limit,
                priority=priority,
                description=description,
                filter=asked.resolved(client),
            )
        )
        client.run(queues.fill(home))
        of_pool = client.run(pools.read(home))
        queue = next(queue for queue in of_pool.queues if queue.name == name)
    if asked.is_given:
        click.echo("Queues with a filter are legacy. The new way: dispatcher deploy --work-queue NAME", err=True)
    if output == "json":
        render.document(queue.document())
        return
    render.details(
        [
            ("Created work queue", queue.name),
            ("ID", queue.id),
            ("Work pool", queue.pool),
            ("Priority", queue.priority),
            ("Concurrency limit", render.limit(queue.limit)),
            *queue_filters.details(queue),
            ("Start a consumer", f"dispatcher {start_command(of_pool)} --work-queue {queue.name}"),
            ("Look at it", f"dispatcher work-queue inspect {queue.name} --pool {queue.pool}"),
        ]
    )


@work_queue.command()
@pool_option
@click.option("-m", "--match", default="", metavar="PREFIX", help="Only queues whose name starts so.")
@output_option
def ls(pool: str | None, match: str, output: str) -> None:
    """List the queues of a pool, by priority.

    \b
    Example:
      dispatcher work-queue ls --pool above-ground
    """
    home = pool or DEFAULT_POOL
    with connected() as client:
        let_time_pass(client, home)
        try:
            found = client.run(queues.list_all(home, match))
        except PoolNotFound:  # the default pool is made when it is first needed
            if pool is not None:
                raise
            found = []
    if output == "json":
        render.document([queue.document() for queue in found])
    else:
        show_queues(found)


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def inspect(name: str, pool: str | None, output: str) -> None:
    """Show all of a work queue.

    \b
    Example:
      dispatcher work-queue inspect high --pool above-ground
    """
    with connected() as client:
        queue = _now(client, pool, name)
    if output == "json":
        render.document(queue.document())
        return
    render.details(
        [
            ("Name", queue.name),
            ("ID", queue.id),
            ("Work pool", queue.pool),
            ("Priority", queue.priority),
            *queue_filters.details(queue),
            *common_details(queue),
        ]
    )


@work_queue.command(context_settings=HOURS_FORM)
@click.argument("name")
@pool_option
@hours_option
@output_option
def preview(name: str, pool: str | None, within_ms: int, output: str) -> None:
    """Show the waiting runs of a queue that are expected to start soon.

    At most 100 are shown, the first ones, and whether there are more is said.

    \b
    Example:
      dispatcher work-queue preview high --pool above-ground --hours 12
    """
    with connected() as client:
        queue = _now(client, pool, name)
        runs = client.run(previews.waiting(queue.pool, [queue.name], within_ms=within_ms, most=PREVIEW_MOST + 1))
    show_preview(runs, within_ms, output)


@work_queue.command()
@click.argument("name")
@pool_option
@click.option("--note", help="Why; shown by ls, inspect and flow-run why.")
@output_option
def pause(name: str, pool: str | None, note: str | None, output: str) -> None:
    """Let the queue hand nothing out; running runs go on.

    \b
    Example:
      dispatcher work-queue pause high --pool above-ground
    """
    with connected() as client:
        queue = _found(client, pool, name)
        client.run(queues.pause(queue.pool, queue.name, note))
        back = f"dispatcher work-queue resume {queue.name} --pool {queue.pool}"
        _tell(client, queue, output, f"Work queue {queue.name!r} is paused. Go on: {back}")


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def resume(name: str, pool: str | None, output: str) -> None:
    """Let a paused queue go on.

    \b
    Example:
      dispatcher work-queue resume high --pool above-ground
    """
    with connected() as client:
        queue = _found(client, pool, name)
        client.run(queues.resume(queue.pool, queue.name))
        _tell(client, queue, output, f"Work queue {queue.name!r} is not paused any more.")


@work_queue.command()
@click.argument("name")
@pool_option
@click.option("--description", help="What it is for.")
@limit_option
@output_option
def update(name: str, pool: str | None, description: str | None, limit: int | None, output: str) -> None:
    """Change what is given, and nothing else.

    \b
    Example:
      dispatcher work-queue update high --pool above-ground --limit 3
    """
    if description is None and limit is None:
        raise click.UsageError("Nothing to change: give --description or --limit.")
    with connected() as client:
        queue = _found(client, pool, name)
        client.run(queues.update(queue.pool, queue.name, description=description, limit=limit))
        _tell(client, queue, output, f"Work queue {queue.name!r} is updated.")


# ignore_unknown_options: so that -1 is a number that is refused, not an option that does not exist.
@work_queue.command("set-concurrency-limit", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("limit", type=LIMIT)
@pool_option
@output_option
def set_concurrency_limit(name: str, limit: int, pool: str | None, output: str) -> None:
    """Set how many runs may be held at once; lowering stops none that is.

    \b
    Example:
      dispatcher work-queue set-concurrency-limit high 3 --pool above-ground
    """
    with connected() as client:
        queue = _found(client, pool, name)
        client.run(queues.set_limit(queue.pool, queue.name, limit))
        _tell(client, queue, output, f"Work queue {queue.name!r} has concurrency limit {limit} now.")


@work_queue.command("clear-concurrency-limit")
@click.argument("name")
@pool_option
@output_option
def clear_concurrency_limit(name: str, pool: str | None, output: str) -> None:
    """Take the limit away.

    \b
    Example:
      dispatcher work-queue clear-concurrency-limit high --pool above-ground
    """
    with connected() as client:
        queue = _found(client, pool, name)
        client.run(queues.set_limit(queue.pool, queue.name, None))
        _tell(client, queue, output, f"Work queue {queue.name!r} has no concurrency limit any more.")


@work_queue.command("set-priority", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("priority", type=PRIORITY)
@pool_option
@output_option
def set_priority(name: str, priority: int, pool: str | None, output: str) -> None:
    """Give the queue a priority, 1 goes first; who has it moves up. Shows all queues then.

    \b
    Example:
      dispatcher work-queue set-priority high 1 --pool above-ground
    """
    with connected() as client:
        queue = _found(client, pool, name)
        client.run(queues.set_priorities(queue.pool, {queue.name: priority}))
        found = client.run(queues.list_all(queue.pool))
    if output == "json":
        render.document([queue.document() for queue in found])
    else:
        show_queues(found)


@work_queue.command()
@click.argument("name")
@pool_option
@yes_option
@click.option("--move-to", metavar="QUEUE", help="Move the waiting runs to this queue.")
@click.option("--cancel-runs", is_flag=True, help="Cancel the waiting runs.")
@output_option
def delete(name: str, pool: str | None, yes: bool, move_to: str | None, cancel_runs: bool, output: str) -> None:
    """Delete a queue. Running runs go on and keep their slots.

    \b
    Example:
      dispatcher work-queue delete high --pool above-ground --move-to default
    """
    if move_to is not None and cancel_runs:
        raise click.UsageError("--move-to and --cancel-runs exclude each other: give one of them.")
    with connected() as client:
        queue = _found(client, pool, name)
        target = None if move_to is None else client.run(queues.read(queue.pool, move_to)).name
        confirm(f"Delete work queue {queue.name!r} of work pool {queue.pool!r}?", yes=yes)
        moved = client.run(queues.delete(queue.pool, queue.name, move_to=target, cancel_runs=cancel_runs))
    what = f"moved to {target!r}" if target else "cancelled"
    runs_were = "run was" if moved == 1 else "runs were"
    done = f" {moved} waiting {runs_were} {what}." if moved else ""
    render.outcome(
        output,
        f"Work queue {queue.name!r} of work pool {queue.pool!r} is deleted.{done}",
        lambda: {
            "deleted": queue.name,
            "work_pool_name": queue.pool,
            "moved_runs": moved if target else 0,
            "cancelled_runs": 0 if target else moved,
        },
    )

"""`dispatcher work-queue`: the lanes of a pool.

Every command takes a queue's name or id; `_named` finds the name. What a queue may be, and who moves when priorities
change, is decided in `dispatcher/ops/queues.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import render
from cli.context import confirm, connected, let_time_pass, output_option, yes_option
from cli.pool_tables import PREVIEW_MOST, common_details, hours_option, show_preview, show_queues
from dispatcher.models import DEFAULT_POOL
from dispatcher.ops import pools, previews, queues

if TYPE_CHECKING:
    from dispatcher.client import Client

F = TypeVar("F", bound=Callable[..., Any])
PRIORITY = click.IntRange(max=999_999_999)  # only so that the help and a refusal name it; see `ops/queues.py`


def pool_option(command: F) -> F:
    """Adds `-p/--pool`; the command takes `pool: str`."""
    return click.option(
        "-p", "--pool", default=DEFAULT_POOL, show_default=True, metavar="POOL", help="The pool of the queue."
    )(command)


def _named(client: Client, pool: str, name_or_id: str) -> str:
    """The name of the queue that a person means. Raises `PoolNotFound`, `QueueNotFound`."""
    return client.run(queues.read(pool, name_or_id)).name


def _tell(client: Client, pool: str, name: str, output: str, sentence: str) -> None:
    render.outcome(output, sentence, lambda: client.run(queues.read(pool, name)).document())


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
@click.option("-l", "--limit", type=int, metavar="N", help="Most runs at once; 0 admits nothing.")
@click.option("-q", "--priority", type=PRIORITY, metavar="N", help="1 goes first; the lowest free number if not given.")
@click.option("--description", default="", help="What it is for.")
@output_option
def create(name: str, pool: str, limit: int | None, priority: int | None, description: str, output: str) -> None:
    """Make a work queue. A priority that is taken moves the others up.

    \b
    Example:
      dispatcher work-queue create high --pool above-ground --priority 1 --limit 3
    """
    making = queues.create(pool, name, limit=limit, priority=priority, description=description)
    with connected() as client:
        if pool == DEFAULT_POOL and client.run(pools.ensure(pool)):
            click.echo(f"Work pool {pool!r} did not exist and was made.", err=True)
        client.run(making)
        queue = client.run(queues.read(pool, name))
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
            ("Look at it", f"dispatcher work-queue inspect {queue.name} --pool {queue.pool}"),
        ]
    )


@work_queue.command()
@pool_option
@click.option("-m", "--match", default="", metavar="PREFIX", help="Only queues whose name starts so.")
@output_option
def ls(pool: str, match: str, output: str) -> None:
    """List the queues of a pool, by priority.

    \b
    Example:
      dispatcher work-queue ls --pool above-ground
    """
    with connected() as client:
        let_time_pass(client, pool)
        found = client.run(queues.list_all(pool, match))
    if output == "json":
        render.document([queue.document() for queue in found])
    else:
        show_queues(found)


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def inspect(name: str, pool: str, output: str) -> None:
    """Show all of a work queue.

    \b
    Example:
      dispatcher work-queue inspect high --pool above-ground
    """
    with connected() as client:
        let_time_pass(client, pool)
        queue = client.run(queues.read(pool, name))
    if output == "json":
        render.document(queue.document())
        return
    render.details(
        [
            ("Name", queue.name),
            ("ID", queue.id),
            ("Work pool", queue.pool),
            ("Priority", queue.priority),
            *common_details(queue),
        ]
    )


@work_queue.command()
@click.argument("name")
@pool_option
@hours_option
@output_option
def preview(name: str, pool: str, within_ms: int, output: str) -> None:
    """Show the waiting runs of a queue that are expected to start soon.

    \b
    Example:
      dispatcher work-queue preview high --pool above-ground --hours 12
    """
    with connected() as client:
        let_time_pass(client, pool)
        queue = _named(client, pool, name)
        runs = client.run(previews.waiting(pool, [queue], within_ms=within_ms, most=PREVIEW_MOST + 1))
    show_preview(runs, within_ms, output)


@work_queue.command()
@click.argument("name")
@pool_option
@click.option("--note", help="Why; shown by inspect and by flow-run why.")
@output_option
def pause(name: str, pool: str, note: str | None, output: str) -> None:
    """Let the queue hand nothing out; running runs go on.

    \b
    Example:
      dispatcher work-queue pause high --pool above-ground
    """
    with connected() as client:
        found = client.run(queues.read(pool, name))
        queue = found.name
        client.run(queues.pause(pool, queue, found.note if note is None else note))
        back = f"dispatcher work-queue resume {queue} --pool {pool}"
        _tell(client, pool, queue, output, f"Work queue {queue!r} is paused. Go on: {back}")


@work_queue.command()
@click.argument("name")
@pool_option
@output_option
def resume(name: str, pool: str, output: str) -> None:
    """Let a paused queue go on.

    \b
    Example:
      dispatcher work-queue resume high --pool above-ground
    """
    with connected() as client:
        queue = _named(client, pool, name)
        client.run(queues.resume(pool, queue))
        _tell(client, pool, queue, output, f"Work queue {queue!r} is not paused any more.")


@work_queue.command()
@click.argument("name")
@pool_option
@click.option("--description", help="What it is for.")
@click.option("-l", "--limit", type=int, metavar="N", help="Most runs at once; 0 admits nothing.")
@output_option
def update(name: str, pool: str, description: str | None, limit: int | None, output: str) -> None:
    """Change what is given, and nothing else.

    \b
    Example:
      dispatcher work-queue update high --pool above-ground --limit 3
    """
    if description is None and limit is None:
        raise click.UsageError("Nothing to change: give --description or --limit.")
    with connected() as client:
        queue = _named(client, pool, name)
        client.run(queues.update(pool, queue, description=description, limit=limit))
        _tell(client, pool, queue, output, f"Work queue {queue!r} is updated.")


# ignore_unknown_options: so that -1 is a number that is refused, not an option that does not exist.
@work_queue.command("set-concurrency-limit", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("limit", type=int)
@pool_option
@output_option
def set_concurrency_limit(name: str, limit: int, pool: str, output: str) -> None:
    """Set how many runs may be held at once; lowering stops none that is.

    \b
    Example:
      dispatcher work-queue set-concurrency-limit high 3 --pool above-ground
    """
    with connected() as client:
        queue = _named(client, pool, name)
        client.run(queues.set_limit(pool, queue, limit))
        _tell(client, pool, queue, output, f"Work queue {queue!r} has concurrency limit {limit} now.")


@work_queue.command("clear-concurrency-limit")
@click.argument("name")
@pool_option
@output_option
def clear_concurrency_limit(name: str, pool: str, output: str) -> None:
    """Take the limit away.

    \b
    Example:
      dispatcher work-queue clear-concurrency-limit high --pool above-ground
    """
    with connected() as client:
        queue = _named(client, pool, name)
        client.run(queues.set_limit(pool, queue, None))
        _tell(client, pool, queue, output, f"Work queue {queue!r} has no concurrency limit any more.")


@work_queue.command("set-priority", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("priority", type=PRIORITY)
@pool_option
@output_option
def set_priority(name: str, priority: int, pool: str, output: str) -> None:
    """Give the queue a priority, 1 goes first; who has it moves up. Shows all queues then.

    \b
    Example:
      dispatcher work-queue set-priority high 1 --pool above-ground
    """
    with connected() as client:
        client.run(queues.set_priorities(pool, {_named(client, pool, name): priority}))
        found = client.run(queues.list_all(pool))
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
def delete(name: str, pool: str, yes: bool, move_to: str | None, cancel_runs: bool, output: str) -> None:
    """Delete a queue. Running runs go on and keep their slots.

    \b
    Example:
      dispatcher work-queue delete high --pool above-ground --move-to default
    """
    if move_to is not None and cancel_runs:
        raise click.UsageError("--move-to and --cancel-runs exclude each other: give one of them.")
    with connected() as client:
        queue = _named(client, pool, name)
        target = None if move_to is None else _named(client, pool, move_to)
        confirm(f"Delete work queue {queue!r} of work pool {pool!r}?", yes=yes)
        moved = client.run(queues.delete(pool, queue, move_to=target, cancel_runs=cancel_runs))
    what = f"moved to {target!r}" if target else "cancelled"
    runs_were = "run was" if moved == 1 else "runs were"
    done = f" {moved} waiting {runs_were} {what}." if moved else ""
    render.outcome(
        output,
        f"Work queue {queue!r} of work pool {pool!r} is deleted.{done}",
        lambda: {
            "deleted": queue,
            "work_pool_name": pool,
            "moved_runs": moved if target else 0,
            "cancelled_runs": 0 if target else moved,
        },
    )

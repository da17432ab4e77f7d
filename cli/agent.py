"""`dispatcher agent`: start one here, list them all. What an agent is stands in `agent/agent.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from cli.consumers import Asked, greet, list_consumers, start_options, words
from cli.context import connected, output_option


@click.group()
def agent() -> None:
    """Start an agent, and list agents.

    An agent takes runs from a work pool of type `agent` and executes each as its deployment says.

    \b
    Example:
      dispatcher agent start --pool above-ground
    """


@agent.command()
@click.argument("queue_id", required=False)
@start_options
@click.option(
    "-m",
    "--match",
    "prefixes",
    metavar="PREFIX",
    multiple=True,
    help="Serve the queues whose name starts so, also those made later; repeatable.",
)
@click.option(
    "-t",
    "--tag",
    "tags",
    multiple=True,
    help="Legacy: serve the runs that have all these tags, by a queue made for them; repeatable.",
)
def start(queue_id: str | None, prefixes: tuple[str, ...], tags: tuple[str, ...], **given: Any) -> None:
    """Start an agent; it works until a signal ends it.

    The first SIGINT or SIGTERM waits for running runs, the second stops them and gives them back.
    A pool or queue that does not exist is made. QUEUE_ID (legacy) is the id or name of one queue, in whatever pool; the
    new way is --work-queue.

    \b
    Example:
      dispatcher agent start --pool above-ground -q high -q low
    """
    asked = Asked(**given)
    ways = {"QUEUE_ID": queue_id, "-q/--work-queue": asked.queues, "-m/--match": prefixes, "-t/--tag": tags}
    chosen = [name for name, value in ways.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"Give only one of {', '.join(ways)}; {' and '.join(chosen)} were given.")

    from agent import agent as program
    from agent import journal
    from agent.options import Options

    if queue_id is not None or tags:
        asked = replace(asked, **_legacy(asked, queue_id, tags))
    program.check(asked.pool, asked.queues, prefixes, asked.name)
    options = Options(url=greet("agent", asked), prefixes=prefixes, **words("agent", asked))
    with journal.kept():
        code = program.start(options)
    raise click.exceptions.Exit(code)


@agent.command(name="ls")
@click.option("-p", "--pool", metavar="NAME", help="Only agents of this work pool.")
@output_option
def list_agents(pool: str | None, output: str) -> None:
    """List the agents that were seen within a day.

    \b
    Example:
      dispatcher agent ls --pool above-ground
    """
    list_consumers("agent", pool, output)


def _legacy(asked: Asked, queue_id: str | None, tags: tuple[str, ...]) -> dict[str, Any]:
    """The pool and queue that the ways of Prefect 2.0 name. Raises `NotFound`, `BadRequest`."""
    from dispatcher.errors import BadRequest
    from dispatcher.ops import queues

    with connected() as client:
        if tags:
            found = client.run(queues.ensure_tagged(tags))
        elif asked.pool is not None:
            found = client.run(queues.read(asked.pool, queue_id or ""))
        else:
            found = client.run(queues.find(queue_id or ""))[1]
    if asked.pool not in (None, found.pool):
        raise BadRequest(f"Runs are found by their tags in work pool {found.pool!r} only: leave --pool out.")
    if tags:
        new_way = "dispatcher deploy --work-queue NAME and dispatcher agent start --work-queue NAME"
        click.echo(f"--tag is legacy: work queue {found.name!r} serves it. The new way: {new_way}.", err=True)
    return {"pool": found.pool, "queues": (found.name,)}

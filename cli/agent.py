"""`dispatcher agent`: start one here, list them all. What an agent is stands in `agent/agent.py`."""

from __future__ import annotations

from typing import Any

import click

from cli.consumers import Asked, greet, list_consumers, start_options, words
from cli.context import output_option


@click.group()
def agent() -> None:
    """Start an agent, and list agents.

    An agent takes runs from a work pool of type `agent` and executes each as its deployment says.

    \b
    Example:
      dispatcher agent start --pool above-ground
    """


@agent.command()
@start_options
@click.option(
    "-m",
    "--match",
    "prefixes",
    metavar="PREFIX",
    multiple=True,
    help="Serve the queues whose name starts so, also those made later; repeatable.",
)
def start(prefixes: tuple[str, ...], **given: Any) -> None:
    """Start an agent; it works until a signal ends it.

    The first SIGINT or SIGTERM waits for running runs, the second stops them and gives them back.
    A pool or queue that does not exist is made.

    \b
    Example:
      dispatcher agent start --pool above-ground -q high -q low
    """
    asked = Asked(**given)
    if asked.queues and prefixes:
        raise click.UsageError("Give either -q/--work-queue or -m/--match.")

    from agent import agent as program
    from agent import journal
    from agent.options import Options

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

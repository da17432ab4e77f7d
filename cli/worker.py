"""`dispatcher worker`: start one here, list them all. What a worker is stands in `agent/worker.py`."""

from __future__ import annotations

from typing import Any

import click

from cli.consumers import Asked, greet, list_consumers, start_options, words
from cli.context import output_option, session
from cli.pool_template import template_from, template_option


@click.group()
def worker() -> None:
    """Start a worker, and list workers.

    A worker takes runs from a work pool of its own type and executes them as the type says.

    \b
    Example:
      dispatcher worker start --pool above-ground --type process
    """


@worker.command()
@start_options
@click.option("-t", "--type", "type_", metavar="TYPE", help="The worker's type.  [default: the pool's]")
@click.option(
    "--with-healthcheck",
    "has_health",
    is_flag=True,
    help="Answer GET /health and GET /metrics on 127.0.0.1:8080 (settings healthcheck_host and healthcheck_port).",
)
@template_option
def start(type_: str | None, has_health: bool, template_file: str | None, **given: Any) -> None:
    """Start a worker; it works until a signal ends it.

    The first SIGINT or SIGTERM waits for running runs, the second stops them and gives them back.
    With --type a pool that does not exist is made, with the base job template that is given, or the type's default; the
    template of a pool that exists is left as it is. A queue that does not exist is always made.

    \b
    Example:
      dispatcher worker start --pool above-ground --type process --limit 5
    """
    asked = Asked(**given)

    from agent import journal
    from agent import worker as program
    from agent.options import Options

    program.check(asked.pool, type_, asked.queues, asked.name)
    template = template_from(template_file)
    settings = session().settings
    health = (settings.healthcheck_host, settings.healthcheck_port) if has_health else None
    options = Options(
        url=greet("worker", asked), type=type_, health=health, template=template, **words("worker", asked)
    )
    with journal.kept():
        code = program.start(options)
    raise click.exceptions.Exit(code)


@worker.command(name="ls")
@click.option("-p", "--pool", metavar="NAME", help="Only workers of this work pool.")
@output_option
def list_workers(pool: str | None, output: str) -> None:
    """List the workers that were seen within a day.

    \b
    Example:
      dispatcher worker ls --pool above-ground
    """
    list_consumers("worker", pool, output)

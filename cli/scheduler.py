"""`dispatcher scheduler`: makes the runs of schedules where no consumer is there to do it."""

from __future__ import annotations

import click

from cli.context import session


@click.group()
def scheduler() -> None:
    """Make the runs of schedules without taking runs.

    Agents and workers do it for their own pool. Any number of schedulers may run beside them.

    \b
    Example:
      dispatcher scheduler start
    """


@scheduler.command()
@click.option(
    "-p", "--pool", "pools", metavar="NAME", multiple=True, help="Only this pool; repeatable.  [default: all]"
)
@click.option("--run-once", is_flag=True, help="Do what is due now, and end.")
@click.option("--api", metavar="URL", help="The Redis to work on, as --redis-url.")
def start(pools: tuple[str, ...], run_once: bool, api: str | None) -> None:
    """Start a scheduler; it works until a signal ends it.

    \b
    Example:
      dispatcher scheduler start --pool above-ground
    """
    from agent import journal
    from agent import scheduler as program

    if api is not None:
        session().redis_url = api
    url = session().url
    click.echo(f"Using {session().broker_words}", err=True)
    options = program.SchedulerOptions(
        url=url, pools=pools, is_run_once=run_once, allows_unsafe_broker=session().settings.allow_unsafe_broker
    )
    with journal.kept():
        code = program.start(options)
    raise click.exceptions.Exit(code)

"""`dispatcher broker`: the embedded server which local commands share when no Redis is named.

The group works on the data folder alone (DISPATCHER_HOME, or the platform's place for the user's
data) and never on --redis-url: a Redis that was named is not ours to start or stop.
What it does is in `dispatcher/broker.py`, imported only when a command runs.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from cli.context import output_option

if TYPE_CHECKING:
    from dispatcher.broker import BrokerStatus


@click.group()
def broker() -> None:
    """Manage the embedded broker.

    Without a Redis URL in option, environment or profile, the commands start one server by
    themselves and share it. It keeps running until it is stopped here, and keeps its data then.

    \b
    Example:
      dispatcher broker status
    """


@broker.command()
@output_option
def start(output: str) -> None:
    """Start the embedded broker, if it does not run yet.

    \b
    Example:
      dispatcher broker start
    """
    from dispatcher import broker as embedded

    folder = embedded.default_data_folder()
    embedded.ensure(folder)
    _show(embedded.status(folder), output)


@broker.command()
@output_option
def stop(output: str) -> None:
    """Stop the embedded broker. Its data is kept; consumers wait until it is back.

    \b
    Example:
      dispatcher broker stop
    """
    from dispatcher import broker as embedded

    folder = embedded.default_data_folder()
    was_running = embedded.stop(folder)
    if output == "json":
        _show(embedded.status(folder), output)
    elif was_running:
        click.echo(f"The embedded broker is stopped; its data is kept in {folder}.")
    else:
        click.echo("The embedded broker was not running.")


@broker.command()
@output_option
def status(output: str) -> None:
    """Show whether the embedded broker runs, and where. Exit code 1 when it does not.

    \b
    Example:
      dispatcher broker status -o json
    """
    from dispatcher import broker as embedded

    found = embedded.status(embedded.default_data_folder())
    _show(found, output)
    if not found.running:
        raise click.exceptions.Exit(1)


def _show(found: "BrokerStatus", output: str) -> None:
    if output == "json":
        click.echo(json.dumps(asdict(found), indent=2))
        return
    click.echo(f"Running:     {'yes' if found.running else 'no'}")
    for title, value in (("URL", found.url), ("PID", found.pid), ("Version", found.version)):
        if value is not None:
            click.echo(f"{title + ':':<12} {value}")
    click.echo(f"Data folder: {found.data_folder}")

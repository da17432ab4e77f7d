"""`dispatcher audit` and `dispatcher repair`: whether what Redis holds of a pool is in itself right, and making it so.

What is looked at, and what mends it, is in `dispatcher/ops/audits.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import render
from cli.context import confirm, connected, output_option, yes_option

if TYPE_CHECKING:
    from dispatcher.models import Fault

COLUMNS = ("Where", "What was found", "Repair")
pool_option = click.option("-p", "--pool", required=True, metavar="NAME", help="The work pool.")


def faults_are(count: int) -> str:
    """`1 fault`, `2 faults`."""
    return f"{count} fault{'' if count == 1 else 's'}"


@click.command()
@pool_option
@output_option
def audit(pool: str, output: str) -> None:
    """Look for faults in what is kept of a work pool; exit code 1 when there is one.

    Slots, leases, queues and indexes are compared with what each run says of itself. Nothing is changed.

    \b
    Example:
      dispatcher audit --pool above-ground
    """
    from dispatcher.ops import audits

    with connected() as client:
        found = client.run(audits.audit(pool))
    if output == "json":
        render.document([fault.document() for fault in found])
    elif not found:
        click.echo(f"Work pool {pool!r} has no fault.")
    else:
        _show(found)
        click.echo(f"{faults_are(len(found))}. Mend what can be: dispatcher repair --pool {pool}")
    if found:
        raise click.exceptions.Exit(1)


@click.command()
@pool_option
@yes_option
@output_option
def repair(pool: str, yes: bool, output: str) -> None:
    """Mend the faults that an audit finds; exit code 1 when some are left.

    What follows from the runs is made anew from them. A pool without faults is left as it is. Agents and workers may go
    on meanwhile.

    \b
    Example:
      dispatcher repair --pool above-ground --yes
    """
    from dispatcher.ops import audits

    with connected() as client:
        found = client.run(audits.audit(pool))
        mended: list[Fault] = []
        if found:
            question = (
                f"Mend {faults_are(len(found))} of work pool {pool!r} (dispatcher audit --pool {pool} shows them)?"
            )
            confirm(question, yes=yes)
            mended = client.run(audits.repair(pool))
            found = client.run(audits.audit(pool))
    mended = [fault for fault in mended if fault.repair and fault not in found]
    if output == "json":
        render.document(
            {
                "work_pool_name": pool,
                "mended": [fault.document() for fault in mended],
                "left": [fault.document() for fault in found],
            }
        )
    else:
        if mended:
            _show(mended)
            click.echo(f"{faults_are(len(mended))} of work pool {pool!r} mended.")
        else:
            click.echo(f"Nothing of work pool {pool!r} was mended.")
        if found:
            click.echo("Left is:")
            _show(found)
    if found:
        raise click.exceptions.Exit(1)


def _show(faults: list[Fault]) -> None:
    rows = [(fault.place, fault.problem, fault.repair or "none: restore a backup") for fault in faults]
    render.table(COLUMNS, rows, empty="")

"""`dispatcher deployment`: look at deployments, run, pause and delete them. Making them is `dispatcher deploy`; their
schedules are in `deployment_schedule.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cli import deployment_schedule, render, schedule_tables, submission, values
from cli.context import confirm, connected, output_option, yes_option
from cli.schedule_tables import plural

if TYPE_CHECKING:
    from dispatcher.models import Deployment

SHOWN = 2  # schedules in a line of a list


@click.group()
def deployment() -> None:
    """Look at deployments and their schedules, run, pause and delete them.

    NAME is flow/name; the plain name will do where only one flow has it, and so will the id.

    \b
    Example:
      dispatcher deployment run load-orders/nightly --watch
    """


deployment.add_command(deployment_schedule.schedule)


@deployment.command()
@output_option
def ls(output: str) -> None:
    """List the deployments.

    \b
    Example:
      dispatcher deployment ls
    """
    from dispatcher.ops import deployments

    with connected() as client:
        found = client.run(deployments.list_all())
        if output == "json":
            schedules = schedule_tables.looked_at(client, found)
            render.document(list(map(schedule_tables.document, found, schedules)))
            return
    columns = ("Name", "Work pool", "Queue", "Runs", "Schedules", "Tags", "Updated")
    rows = [
        (
            render.marked(one.name, one.is_paused),
            one.pool,
            one.queue,
            _runs_what(one),
            _timings(one),
            ", ".join(one.input.tags),
            render.moment(one.updated_at_ms),
        )
        for one in found
    ]
    empty = "There are no deployments. Make one: dispatcher deploy path/to/file.py:function"
    render.table(columns, rows, empty=empty, legend=render.PAUSED_LEGEND)


def _timings(found: Deployment) -> str:
    """A few of its schedules, and how many more there are: a line stays one that can be read."""
    shown = [*map(schedule_tables.marked_timing, found.schedules[:SHOWN])]
    more = len(found.schedules) - SHOWN
    return "; ".join([*shown, f"{more} more"] if more > 0 else shown)


def _runs_what(found: Any) -> str:
    return str(found.input.entrypoint or " ".join(found.input.command or ()))


@deployment.command()
@click.argument("name")
@output_option
def inspect(name: str, output: str) -> None:
    """Show everything that is kept of a deployment.

    \b
    Example:
      dispatcher deployment inspect nightly -o json
    """
    from dispatcher.ops import finding

    with connected() as client:
        found = client.run(finding.deployment(name))
        [schedules] = schedule_tables.looked_at(client, [found])
    if output == "json":
        render.document(schedule_tables.document(found, schedules))
        return
    schema = found.parameter_schema
    known = "not checked" if schema is None else ", ".join(_signature(schema)) or "none"
    render.details(
        [
            ("Name", render.marked(found.name, found.is_paused)),
            ("ID", found.id),
            ("Description", found.description),
            ("Work pool", found.pool),
            ("Work queue", found.queue),
            ("Runs", _runs_what(found)),
            ("Path", found.input.path),
            ("Infrastructure", found.input.infrastructure),
            ("Parameters", json.dumps(found.input.parameters, ensure_ascii=False)),
            ("Flow takes", known),
            ("Tags", ", ".join(found.input.tags)),
            ("Job variables", json.dumps(found.input.job_variables, ensure_ascii=False)),
            ("Retries", found.input.retries),
            ("Retry delay", f"{found.input.retry_delay_s:g} s"),
            ("Timeout", None if found.input.timeout_s is None else f"{found.input.timeout_s:g} s"),
            *((f"Schedule {one.schedule.id}", _schedule_words(one)) for one in schedules),
            ("Created", render.moment(found.created_at_ms)),
            ("Updated", render.moment(found.updated_at_ms)),
        ]
    )
    if found.is_paused or any(one.is_paused for one in schedules):
        click.echo(render.PAUSED_LEGEND)


def _schedule_words(one: schedule_tables.Shown) -> str:
    said = [schedule_tables.marked_timing(one.schedule), schedule_tables.details(one.schedule)]
    if one.schedule.parameters:
        said.append(json.dumps(one.schedule.parameters, ensure_ascii=False))
    if one.times_ms:
        said.append(f"next {one.next_words()}")
    return "; ".join(filter(None, [*said, one.fault and f"fault: {one.fault}"]))


def _signature(schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    names = [f"{name} (required)" if name in required else name for name in schema.get("properties", {})]
    return [*names, "any other"] if schema.get("additionalProperties") else names


@deployment.command()
@click.argument("deployment_name", metavar="NAME")
@values.parameter_options("-p")
@values.variable_option
@submission.submit_options
@output_option
def run(
    deployment_name: str,
    params: tuple[str, ...],
    params_json: str | None,
    variables: tuple[str, ...],
    output: str,
    **asked: Any,
) -> None:
    """Submit a run of a deployment.

    Its parameters and job variables are the deployment's with these on top; they are checked against what the flow
    takes, and against the base job template of the pool. A paused deployment can be run: only its schedules rest.

    \b
    Example:
      dispatcher deployment run nightly -p day=2026-11-21 --start-in 30m
      dispatcher deployment run nightly -jv stream_output=false
      dispatcher deployment run load-orders/nightly --watch
    """
    from dispatcher import submitting

    told = submission.Asked(**asked)
    given, changed = values.parameters_of(params, params_json), values.variables_of(variables)
    request = told.request(deployment_name)
    with connected() as client:
        source = client.run(submitting.of_deployment(request, deployment_name))
        submission.submit(client, request, source, given, changed, watch=told.watch, output=output)


@deployment.command()
@click.argument("name")
@output_option
def pause(name: str, output: str) -> None:
    """Pause all schedules of a deployment. Those of their runs that wait are taken back.

    What it was told by `deployment run` goes on, and it can still be run so. Deploying again does not resume it.

    \b
    Example:
      dispatcher deployment pause load-orders/nightly
    """
    _set_paused(name, True, output)


@deployment.command()
@click.argument("name")
@output_option
def resume(name: str, output: str) -> None:
    """Resume a deployment. What its schedules would have run meanwhile is not made up for.

    A schedule that was paused by itself stays so.

    \b
    Example:
      dispatcher deployment resume load-orders/nightly
    """
    _set_paused(name, False, output)


def _set_paused(name: str, is_paused: bool, output: str) -> None:
    from dispatcher.ops import deployments, finding

    with connected() as client:
        before = client.run(finding.deployment(name))
        saved = client.run(deployments.set_paused(before.name, is_paused))
        found = client.run(deployments.read(before.name))
        [schedules] = schedule_tables.looked_at(client, [found])
    if output == "json":
        render.document(schedule_tables.document(found, schedules))
        return
    if not found.schedules:
        effect = "It has no schedules."
    elif is_paused:
        effect = f"Its schedules make no runs; {plural(saved.taken_back, 'waiting run')} of theirs taken back."
    else:
        effect = f"Its schedules made {plural(saved.scheduled, 'run')}."
    click.echo(f"Deployment {found.name!r} is {'paused' if is_paused else 'active'}. {effect}")


@deployment.command()
@click.argument("name")
@yes_option
@output_option
def delete(name: str, yes: bool, output: str) -> None:
    """Delete a deployment.

    Its schedules take back their runs of the future. Other runs that were submitted already are kept and go on.

    \b
    Example:
      dispatcher deployment delete load-orders/nightly --yes
    """
    from dispatcher.ops import deployments, finding, moves

    with connected() as client:
        found = client.run(finding.deployment(name))
        confirm(f"Delete deployment {found.name!r}?", yes=yes)
        taken_back = client.run(deployments.delete(found.name))
        kept = len(client.run(moves.waiting(found.pool, found.name)))
    if output == "json":
        render.document({**found.document(), "taken_back_runs": taken_back, "waiting_runs": kept})
        return
    click.echo(f"Deployment {found.name!r} is deleted.")
    if taken_back:
        click.echo(f"Its schedules took back {plural(taken_back, 'run')}.")
    if kept:
        click.echo(f"{plural(kept, 'waiting run')} kept, to go on: dispatcher flow-run ls --deployment {found.name}")

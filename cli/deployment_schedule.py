"""`dispatcher deployment schedule`: the schedules of one deployment. A deployment file says them, too.

A schedule has no name: its id follows from its times, and may be shortened while only one begins so.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cli import render, schedule_options, schedule_tables, values
from cli.context import confirm, connected, output_option, yes_option
from cli.schedule_tables import taken_back
from cli.types import DURATION, POSITIVE_DURATION, Whole

if TYPE_CHECKING:
    from dispatcher import Client
    from dispatcher.models import Deployment, Schedule

DEFAULT_COUNT, MAX_COUNT = 5, 1000


@click.group()
def schedule() -> None:
    """Look at the schedules of a deployment, make, pause and delete them.

    NAME is the deployment's; ID is the schedule's or the beginning of it, as `ls` shows it.

    \b
    Example:
      dispatcher deployment schedule create nightly --cron "0 4 * * *" --timezone Europe/Berlin
      dispatcher deployment schedule preview nightly --count 10
    """


@schedule.command()
@click.argument("name")
@output_option
def ls(name: str, output: str) -> None:
    """List the schedules of a deployment.

    \b
    Example:
      dispatcher deployment schedule ls nightly
    """
    from dispatcher.ops import finding

    with connected() as client:
        found = client.run(finding.deployment(name))
        [shown] = schedule_tables.looked_at(client, [found])
    if output == "json":
        render.document([one.document() for one in shown])
        return
    columns = ("ID", "Schedule", "Next", "Unfinished runs", "Parameters", "More")
    render.table(
        columns,
        [_row(one) for one in shown],
        empty=f"Deployment {found.name!r} has no schedules. Make one: "
        f'dispatcher deployment schedule create {found.name} --cron "0 4 * * *"',
        legend=render.PAUSED_LEGEND,
    )
    _tell_if_paused(found)


def _row(one: schedule_tables.Shown) -> tuple[object, ...]:
    of = one.schedule
    parameters = json.dumps(of.parameters, ensure_ascii=False) if of.parameters else ""
    unfinished = len(one.progress.nominal_ms) if one.progress else 0
    return (
        render.marked(of.id, not of.is_active),
        of.timing,
        one.next_words(1),
        unfinished,
        parameters,
        schedule_tables.details(of),
    )


def _tell_if_paused(found: Deployment) -> None:
    if found.is_paused and found.schedules:
        click.echo(
            f"Deployment {found.name!r} is paused: none of its schedules makes runs. "
            f"dispatcher deployment resume {found.name}"
        )


@schedule.command()
@click.argument("name")
@schedule_options.timing_options
@values.parameter_options("-p")
@click.option(
    "--catchup",
    metavar="WHICH",
    default="latest",
    show_default=True,
    help="Of times that passed while nobody scheduled: latest, all or none.",
)
@click.option(
    "--overlap",
    metavar="HOW",
    default="allow",
    show_default=True,
    help="While an earlier run of it is not finished: allow the next, skip it, or cancel_running.",
)
@click.option("--jitter-seconds", "jitter_ms", type=DURATION, help="Put each run off by up to so much.  [default: 0]")
@click.option(
    "--expires-seconds",
    "expires_ms",
    type=POSITIVE_DURATION,
    help="Cancel a run that was not started so long after its time.  [default: never]",
)
@click.option("--paused", is_flag=True, help="Make it paused: `schedule resume` starts it.")
@output_option
def create(
    name: str,
    params: tuple[str, ...],
    params_json: str | None,
    catchup: str,
    overlap: str,
    jitter_ms: int | None,
    expires_ms: int | None,
    paused: bool,
    output: str,
    **timing: Any,
) -> None:
    """Add a schedule to a deployment. Its parameters are the deployment's with these on top.

    \b
    Example:
      dispatcher deployment schedule create nightly --cron "0 4 * * *" --timezone Europe/Berlin
      dispatcher deployment schedule create nightly --interval 15m -p day=today --overlap skip
    """
    from dispatcher import schedules
    from dispatcher.ops import deployments, finding

    given = values.parameters_of(params, params_json)
    wanted = schedule_options.schedule_of(**timing)
    if wanted is None:
        raise click.UsageError("Say when: give --cron, --interval or --rrule.")
    wanted = schedules.checked(
        replace(
            wanted,
            is_active=not paused,
            catchup=catchup,
            overlap=overlap,
            jitter_s=(jitter_ms or 0) / 1000,
            expires_s=None if expires_ms is None else expires_ms / 1000,
        )
    )
    with connected() as client:
        found = client.run(finding.deployment(name))
        wanted = replace(wanted, parameters=given.typed(found.parameter_schema))
        client.run(deployments.add_schedule(found.name, wanted))
        _tell(client, found.name, wanted.id, "is made" if not paused else "is made, paused", output)


@schedule.command()
@click.argument("name")
@click.argument("schedule_id", metavar="ID")
@output_option
def pause(name: str, schedule_id: str, output: str) -> None:
    """Pause one schedule. Those of its runs that wait are taken back. Deploying again does not resume it.

    \b
    Example:
      dispatcher deployment schedule pause nightly 3fa9
    """
    _set_active(name, schedule_id, False, output)


@schedule.command()
@click.argument("name")
@click.argument("schedule_id", metavar="ID")
@output_option
def resume(name: str, schedule_id: str, output: str) -> None:
    """Resume one schedule. What it would have run meanwhile is not made up for.

    \b
    Example:
      dispatcher deployment schedule resume nightly 3fa9
    """
    _set_active(name, schedule_id, True, output)


def _set_active(name: str, schedule_id: str, is_active: bool, output: str) -> None:
    from dispatcher.ops import deployments, finding

    with connected() as client:
        found = client.run(finding.deployment(name))
        chosen = deployments.find_schedule(found, schedule_id)
        saved = client.run(deployments.set_schedule(found.name, chosen.id, is_active=is_active))
        effect = "is active" if is_active else f"is paused; {taken_back(saved.taken_back)}"
        _tell(client, found.name, chosen.id, effect, output)


def _tell(client: Client, name: str, schedule_id: str, effect: str, output: str) -> None:
    from dispatcher.errors import ScheduleNotFound
    from dispatcher.ops import deployments

    found = client.run(deployments.read(name))
    [shown] = schedule_tables.looked_at(client, [found])
    chosen = next((one for one in shown if one.schedule.id == schedule_id), None)
    if chosen is None:  # deleted by somebody in this moment
        raise ScheduleNotFound(deployment=name, schedule=schedule_id)
    if output == "json":
        render.document(chosen.document())
        return
    click.echo(f"Schedule {schedule_id} ({render.clean(chosen.schedule.timing)}) of deployment {name!r} {effect}.")
    if not chosen.is_paused:
        click.echo(f"Next: {chosen.next_words()}")
    _tell_if_paused(found)


@schedule.command()
@click.argument("name")
@click.argument("schedule_id", metavar="ID")
@yes_option
@output_option
def delete(name: str, schedule_id: str, yes: bool, output: str) -> None:
    """Delete one schedule. Its runs of the future are taken back, late ones stay.

    \b
    Example:
      dispatcher deployment schedule delete nightly 3fa9 --yes
    """
    from dispatcher.ops import deployments, finding

    with connected() as client:
        found = client.run(finding.deployment(name))
        chosen = deployments.find_schedule(found, schedule_id)
        words = f"chedule {chosen.id} ({render.clean(chosen.timing)}) of deployment {found.name!r}"
        confirm(f"Delete s{words}?", yes=yes)
        saved = client.run(deployments.delete_schedule(found.name, chosen.id))
    if output == "json":
        render.document({**chosen.document(), "taken_back_runs": saved.taken_back})
        return
    click.echo(f"S{words} is deleted; {taken_back(saved.taken_back)}.")


@schedule.command()
@click.argument("name")
@click.argument("schedule_id", metavar="[ID]", required=False)
@click.option(
    "-n",
    "--count",
    type=Whole(1, MAX_COUNT),
    default=DEFAULT_COUNT,
    show_default=True,
    metavar="N",
    help="So many times of each schedule.",
)
@output_option
def preview(name: str, schedule_id: str | None, count: int, output: str) -> None:
    """Show the next times of all schedules of a deployment or of one, in its own time zone and in UTC.

    They follow from the schedule alone: a paused one shows when it would run.

    \b
    Example:
      dispatcher deployment schedule preview nightly --count 10
    """
    from dispatcher.ops import deployments, finding, schedules

    with connected() as client:
        found = client.run(finding.deployment(name))
        if schedule_id is not None:
            found = replace(found, schedules=(deployments.find_schedule(found, schedule_id),))
        pairs = [(found.name, one.id) for one in found.schedules]
        progress = client.run(schedules.progress(found.pool, pairs)) if pairs else []
    documents = [_preview(found, one, of.now_ms, count) for one, of in zip(found.schedules, progress, strict=True)]
    if output == "json":
        render.document(documents)
        return
    _show_preview(found, documents)


def _preview(found: Deployment, one: Schedule, now_ms: int, count: int) -> dict[str, Any]:
    from dispatcher import schedules, timings
    from dispatcher.models.instants import iso

    times_ms, fault = schedule_tables.next_times(one, now_ms, count)
    return {
        **one.document(),
        "fault": fault or None,
        "times": [
            {
                "local": timings.local_iso(one, at_ms),
                "utc": iso(at_ms),
                "start": iso(schedules.start_ms(one, found.name, at_ms)),
            }
            for at_ms in times_ms
        ],
    }


def _show_preview(found: Deployment, documents: list[dict[str, Any]]) -> None:
    is_jittered = any(one["jitter_seconds"] for one in documents)
    columns = ("Schedule", "Time", "Time zone", "UTC", *(["Starts (UTC)"] if is_jittered else []))
    rows = [
        (
            render.marked(one["id"], not one["active"]),
            at["local"],
            one["timezone"],
            at["utc"],
            *([at["start"]] if is_jittered else []),
        )
        for one in documents
        for at in one["times"]
    ]
    empty = "There are no more times." if documents else f"Deployment {found.name!r} has no schedules."
    render.table(columns, rows, empty=empty, legend=render.PAUSED_LEGEND)
    for one in documents:
        if one["fault"]:
            click.echo(f"Schedule {one['id']}: {one['fault']}")
        elif not one["times"] and rows:
            click.echo(f"Schedule {one['id']} has no more times.")
        if one["jitter_seconds"]:
            click.echo(f"Schedule {one['id']}: its jitter puts each start off by up to {one['jitter_seconds']:g} s.")
    _tell_if_paused(found)

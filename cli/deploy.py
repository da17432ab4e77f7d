"""`dispatcher deploy`: stores deployments that a file or the options describe.

Everything is looked at before anything is stored (`deployment_plan.py`), so that one fault changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import render, schedule_options, schedule_tables, submission, values
from cli.context import connected, output_option
from cli.types import WORD

if TYPE_CHECKING:
    from cli.deployment_plan import Draft, Plan
    from dispatcher import Client
    from dispatcher.models import Stored
    from dispatcher.ops.forecasts import Misfit

DEFAULT_FILE = "deployment.yaml"
SHOWN = 5  # runs, each with what is wrong with it
NOTHING: tuple[Any, ...] = (None, "", [], {}, 0)  # not worth a line in a diff against nothing


@click.command()
@click.argument("entrypoint", required=False)
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    help="The file to read.  [default: deployment.yaml, when nothing else says what to run]",
)
@click.option(
    "-n",
    "--name",
    type=WORD,
    metavar="NAME",
    help="Its name; with a file: only the one of that name.  [default: default]",
)
@click.option(
    "-p", "--pool", type=WORD, metavar="NAME", help="The work pool; it must exist.  [default: default-agent-pool]"
)
@click.option(
    "-q",
    "--work-queue",
    "queue",
    type=WORD,
    metavar="NAME",
    help="The work queue; made when it is missing.  [default: default]",
)
@click.option("--command", metavar="WORDS", help="A command line instead of a flow; quotes in it work as in a shell.")
@values.variable_option
@values.parameter_options()
@click.option("--tag", "tags", type=WORD, multiple=True, help="A tag, repeatable.")
@schedule_options.timing_options
@click.option("--description", help="What it is for.")
@click.option(
    "--path",
    type=WORD,
    metavar="FOLDER",
    help="The code folder on the consumers' hosts.  [default: the current folder]",
)
@submission.execution_options
@click.option("--no-check", is_flag=True, help="Do not import the flow here: its code is only on the consumers' hosts.")
@click.option("--dry-run", is_flag=True, help="Check, show what would change, and change nothing.")
@output_option
def deploy(
    entrypoint: str | None,
    file: str | None,
    name: str | None,
    command: str | None,
    no_check: bool,
    dry_run: bool,
    output: str,
    params: tuple[str, ...],
    params_json: str | None,
    variables: tuple[str, ...],
    **given: Any,
) -> None:
    """Deploy a flow or a command: from a file, or from options.

    ENTRYPOINT is path/to/file.py:function or package.module:function. The flow is imported, to check it and to read
    which parameters it takes. With a file, options win over what it says; a path in it starts at its own folder.
    Deploying again updates in place: what was paused stays paused, late runs are kept, and waiting runs follow to
    another pool or queue. Schedules that are stored stay when neither the file nor an option says any.

    \b
    Example:
      dispatcher deploy flows/etl.py:load --name nightly --pool above-ground --param day=today
      dispatcher deploy flows/etl.py:load --cron "0 4 * * *" --timezone Europe/Berlin
      dispatcher deploy --file deployment.yaml --dry-run
      dispatcher deploy --command "sh report.sh --full" --name weekly
    """
    from cli import deployment_plan

    given["parameters"] = values.parameters_of(params, params_json)
    given["variables"] = values.variables_of(variables)
    given["schedule"] = schedule_options.schedule_of(**{name: given.pop(name) for name in schedule_options.NAMES})
    is_one = entrypoint is not None or command is not None
    if is_one:
        if file is not None:
            raise click.UsageError("An ENTRYPOINT or --command and a --file exclude each other: give one of them.")
        drafts = [_from_options(entrypoint, submission.argv(entrypoint, command), name)]
    else:
        drafts = _from_file(file, name)
    drafts = [_with_options(draft, given) for draft in drafts]
    with connected() as client:
        plans = deployment_plan.planned(client, drafts, check=not no_check)
        told = [_foretold(client, plan) if dry_run else _stored(client, plan) for plan in plans]
    if output == "json":
        documents = [_document(plan, facts) for plan, facts, _ in told]
        render.document(documents[0] if is_one else documents)
        return
    for plan, _, lines in told:
        _tell(plan, lines, dry_run=dry_run)


def _from_options(entrypoint: str | None, command: tuple[str, ...] | None, name: str | None) -> Draft:
    from cli.deployment_plan import Draft
    from dispatcher.models import RunInput

    return Draft(name or "default", RunInput(entrypoint=entrypoint, command=command, path=str(Path.cwd())))


def _from_file(file: str | None, name: str | None) -> list[Draft]:
    from cli import deployment_file, deployment_plan
    from dispatcher.errors import BadRequest, BadValue

    place = Path(file or DEFAULT_FILE)
    if file is None and not place.exists():
        raise BadRequest(
            f"There is nothing to deploy: no ENTRYPOINT or --command was given, and there is no {DEFAULT_FILE} in "
            f"{Path.cwd()}. Try: dispatcher deploy path/to/file.py:function"
        )
    entries = deployment_file.read(place)
    chosen = [(where, entry) for where, entry in entries if name in (None, entry.name)]
    if not chosen:
        found = ", ".join(entry.name for _, entry in entries)
        raise BadValue(f"{place} has no deployment named {name!r}. It has: {found}.")
    return [deployment_plan.draft_of(entry, where, place.absolute().parent) for where, entry in chosen]


def _with_options(draft: Draft, given: dict[str, Any]) -> Draft:
    """The draft with everything that options say; parameters and job variables are merged, the rest replaces."""
    of = draft.input
    execution = submission.execution(given["retries"], given["retry_delay_ms"], given["timeout_ms"])
    wanted = replace(
        of,
        path=str(Path(given["path"]).absolute()) if given["path"] else of.path,
        tags=given["tags"] or of.tags,
        **execution,
    )
    return replace(
        draft,
        input=wanted,
        pool=given["pool"] or draft.pool,
        queue=given["queue"] or draft.queue,
        description=_either(given["description"], draft.description),
        said=draft.said | execution.keys(),
        schedules=draft.schedules if given["schedule"] is None else (given["schedule"],),
        parameters=given["parameters"],
        variables=given["variables"],
    )


def _either(option: Any, otherwise: Any) -> Any:
    return otherwise if option is None else option


Told = tuple["Plan", dict[str, Any], list[str]]  # what was done, with which facts (JSON), and in words


def _stored(client: Client, plan: Plan) -> Told:
    """Stores it; what was made on the way is said on stderr."""
    from cli import deployment_plan
    from dispatcher.ops import forecasts

    misfits = client.run(forecasts.misfits(plan.before, plan.deployment))
    done, stored = deployment_plan.save(client, plan)
    wanted, saved = done.deployment, stored.saved
    if stored.made_pool:
        submission.tell_made(wanted.pool)
    if saved.made_queue:
        click.echo(f"Work queue {wanted.queue!r} was made in work pool {wanted.pool!r}.", err=True)
    return done, _facts(stored, misfits), _words(stored, misfits, is_done=True)


def _foretold(client: Client, plan: Plan) -> Told:
    """What storing it would do; changes nothing."""
    from dispatcher.ops import forecasts

    wanted, stored = plan.deployment, client.run(forecasts.stored(plan.before, plan.deployment))
    misfits = client.run(forecasts.misfits(plan.before, wanted))
    lines = []
    if stored.made_pool:
        lines.append(f"Work pool {wanted.pool!r} would be made, of type agent.")
    if stored.saved.made_queue:
        lines.append(f"Work queue {wanted.queue!r} would be made in work pool {wanted.pool!r}.")
    return plan, _facts(stored, misfits), lines + _words(stored, misfits, is_done=False)


def _facts(stored: Stored, misfits: list[Misfit]) -> dict[str, Any]:
    saved = stored.saved
    return {
        "made_pool": stored.made_pool,
        "made_queue": saved.made_queue,
        "moved_runs": saved.moved,
        "misfit_runs": [{"id": one.run.id, "name": one.run.name, "reason": one.detail} for one in misfits],
        "taken_back_runs": saved.taken_back,
        "scheduled_runs": saved.scheduled,
    }


def _words(stored: Stored, misfits: list[Misfit], *, is_done: bool) -> list[str]:
    """What becomes of the runs that wait."""
    wanted, saved = stored.deployment, stored.saved
    lines = []
    if saved.moved:
        runs, moved = schedule_tables.plural(saved.moved, "waiting run"), "moved" if is_done else "would move"
        lines.append(f"{runs} {moved} to {wanted.pool}/{wanted.queue}.")
    if misfits:
        one = "One of them does not fit", "crashes", "it"
        what, crash, it = one if len(misfits) == 1 else (f"{len(misfits)} of them do not fit", "crash", "them")
        lines.append(
            f"Warning: {what} work pool {wanted.pool!r}, and {crash} there. Cancel {it} (dispatcher flow-run cancel "
            f"ID) and submit {it} anew:"
        )
        lines += [
            f"  {render.clean(one.run.name)} ({one.run.id}): {render.clean(one.detail)}" for one in misfits[:SHOWN]
        ]
        if len(misfits) > SHOWN:
            lines.append(f"  and {len(misfits) - SHOWN} more: --output json lists them all.")
    if saved.taken_back:
        runs, would = schedule_tables.plural(saved.taken_back, "waiting run"), "" if is_done else " would be"
        anew = f"; {saved.scheduled}{would} made anew for the changed deployment" if saved.scheduled else ""
        lines.append(f"{runs} of its schedules{would} taken back{anew}.")
    return lines


def _schedules(plan: Plan) -> list[schedule_tables.Shown]:
    return schedule_tables.shown(plan.deployment, time.time_ns() // 1_000_000)


def _document(plan: Plan, facts: dict[str, Any]) -> dict[str, Any]:
    return {**plan.document(), "schedules": [one.document() for one in _schedules(plan)], **facts}


def _tell(plan: Plan, lines: list[str], *, dry_run: bool) -> None:
    wanted = plan.deployment
    status = plan.status if plan.status == "unchanged" else f"would be {plan.status}" if dry_run else plan.status
    click.echo(f"Deployment {wanted.name!r} {status}; its runs go to {wanted.pool}/{wanted.queue}.")
    if plan.before is not None or dry_run:
        for line in _diff(plan):
            click.echo(f"  {line}")
    for line in lines:
        click.echo(line)
    for one in _schedules(plan):
        timing = render.clean(schedule_tables.marked_timing(one.schedule))
        click.echo(f"Schedule {one.schedule.id}: {timing}: {_next(one)}")
    if wanted.is_paused:
        click.echo(f"It is paused, its schedules make no runs: dispatcher deployment resume {wanted.name}")
    if not dry_run:
        click.echo(f"Run it: dispatcher deployment run {wanted.name}")


def _next(one: schedule_tables.Shown) -> str:
    if one.is_paused:
        return "paused"
    return f"next {one.next_words()}" if one.times_ms else one.next_words()


def _diff(plan: Plan) -> Iterator[str]:
    """What changes, field by field; schedules each on a line of its own."""
    for name, (before, after) in plan.changes.items():
        if name == "schedules":
            yield from (f"- schedule: {_shown_schedule(one)}" for one in before or () if one not in after)
            yield from (f"+ schedule: {_shown_schedule(one)}" for one in after if one not in (before or ()))
            continue
        if plan.before is not None:
            yield f"- {name}: {_shown(before)}"
        if plan.before is not None or after not in NOTHING:
            yield f"+ {name}: {_shown(after)}"


def _shown_schedule(document: dict[str, Any]) -> str:
    from dispatcher.models import Schedule

    usual = Schedule().document()
    return _shown({name: value for name, value in document.items() if name == "timezone" or value != usual[name]})


def _shown(value: Any) -> str:
    return render.clean(json.dumps(value, ensure_ascii=False))

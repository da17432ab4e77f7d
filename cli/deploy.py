"""`dispatcher deploy`: stores deployments that a file or the options describe.

Everything is looked at before anything is stored (`deployment_plan.py`), so that one fault changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import render, submission
from cli.context import connected, output_option

if TYPE_CHECKING:
    from cli.deployment_plan import Draft, Plan

DEFAULT_FILE = "deployment.yaml"
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
    "-n", "--name", metavar="NAME", help="Its name; with a file: only the one of that name.  [default: default]"
)
@click.option("-p", "--pool", metavar="NAME", help="The work pool; it must exist.  [default: default-agent-pool]")
@click.option(
    "-q", "--work-queue", "queue", metavar="NAME", help="The work queue; made when it is missing.  [default: default]"
)
@click.option("--command", metavar="WORDS", help="A command line instead of a flow; quotes in it work as in a shell.")
@submission.parameter_options()
@click.option("--tag", "tags", multiple=True, help="A tag, repeatable.")
@click.option("--description", help="What it is for.")
@click.option(
    "--path", metavar="FOLDER", help="The code folder on the consumers' hosts.  [default: the current folder]"
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
    **given: Any,
) -> None:
    """Deploy a flow or a command: from a file, or from options.

    ENTRYPOINT is path/to/file.py:function or package.module:function. The flow is imported, to check it and to read
    which parameters it takes. With a file, options win over what it says; a path in it starts at its own folder.
    Deploying again updates in place.

    \b
    Example:
      dispatcher deploy flows/etl.py:load --name nightly --pool above-ground --param day=today
      dispatcher deploy --file deployment.yaml --dry-run
      dispatcher deploy --command "sh report.sh --full" --name weekly
    """
    from cli import deployment_plan

    given["parameters"] = submission.parameters_of(given.pop("params"), given.pop("params_json"))
    if entrypoint is not None or command is not None:
        if file is not None:
            raise click.UsageError("An ENTRYPOINT or --command and a --file exclude each other: give one of them.")
        drafts = [_from_options(entrypoint, submission.argv(entrypoint, command), name)]
    else:
        drafts = _from_file(file, name)
    drafts = [_with_options(draft, given) for draft in drafts]
    with connected() as client:
        plans = deployment_plan.planned(client, drafts, check=not no_check)
        for plan in () if dry_run else plans:
            for line in deployment_plan.save(client, plan):
                click.echo(line, err=True)
    if output == "json":
        documents = [plan.document() for plan in plans]
        render.document(documents if entrypoint is None and command is None else documents[0])
        return
    for plan in plans:
        _tell(plan, dry_run=dry_run)


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
    """The draft with everything that options say; parameters are merged, the rest replaces."""
    of = draft.input
    execution = submission.execution(given["retries"], given["retry_delay_ms"], given["timeout_ms"])
    wanted = replace(
        of,
        path=str(Path(given["path"]).absolute()) if given["path"] else of.path,
        parameters=of.parameters | given["parameters"],
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
    )


def _either(option: Any, otherwise: Any) -> Any:
    return otherwise if option is None else option


def _tell(plan: Plan, *, dry_run: bool) -> None:
    wanted = plan.deployment
    status = plan.status if plan.status == "unchanged" else f"would be {plan.status}" if dry_run else plan.status
    click.echo(f"Deployment {wanted.name!r} {status}; its runs go to {wanted.pool}/{wanted.queue}.")
    if plan.before is not None or dry_run:
        for name, (before, after) in plan.changes.items():
            if plan.before is not None:
                click.echo(f"  - {name}: {_shown(before)}")
            if plan.before is not None or after not in NOTHING:
                click.echo(f"  + {name}: {_shown(after)}")
    if not dry_run:
        click.echo(f"Run it: dispatcher deployment run {wanted.name}")


def _shown(value: Any) -> str:
    return render.clean(json.dumps(value, ensure_ascii=False))

"""Base job templates on the command line: read from a file, checked, warned about, and the default of each type.

What a template may be is decided in `dispatcher/templates.py`. Whoever gives a template that is allowed and probably a
slip is told on stderr, and so is who changes one that deployments of the pool do not fit any more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import render
from cli.context import output_option
from dispatcher.errors import BadRequest, TemplateInvalid, VariablesInvalid

if TYPE_CHECKING:
    from dispatcher import Client
    from dispatcher.models import Document

MOST_BYTES = 1 << 20  # a template is read with each look at its pool

template_option = click.option(
    "--base-job-template",
    "template_file",
    metavar="FILE",
    help="A JSON file with the base job template; - is standard input, {} the type's default.",
)


def template_from(file: str | None) -> Document | None:
    """The checked template that the file holds; None: no file was given. What is probably a slip is told on stderr.

    Raises `TemplateInvalid` with every fault and its path; `BadRequest` for what is not JSON; OSError.
    """
    if file is None:
        return None
    from dispatcher import templates

    try:
        template = templates.checked(_parsed(file))
    except TemplateInvalid as error:
        raise BadRequest(f"{_named(file)}: {error}") from None
    for warning in [*templates.warnings(template), *_slips(template)]:
        click.echo(f"Warning: {_named(file)}: {warning}", err=True)
    return template


def _slips(template: Document) -> Iterator[str]:
    """Keys that no job has and that are nearly one that does something: a limit that is misspelt limits nothing."""
    from dispatcher.parameters import nearest
    from dispatcher.pool_types import WORKER_TYPES, default_template

    known = {key for one in WORKER_TYPES for key in default_template(one)["job_configuration"]}
    for key in template.get("job_configuration") or ():
        if key not in known and (meant := nearest(key, known)):
            yield f"job_configuration.{key} means nothing to a job{meant}."


def _named(file: str) -> str:
    return "standard input" if file == "-" else file


def _parsed(file: str) -> Any:
    if file == "-":
        raw = sys.stdin.buffer.read(MOST_BYTES + 1)
    else:
        with Path(file).open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise BadRequest(f"{_named(file)} is larger than a base job template may be, {MOST_BYTES >> 20} MiB.")
    try:
        return json.loads(raw.decode("utf-8-sig"), object_pairs_hook=_object)
    except RecursionError:
        raise BadRequest(f"{_named(file)} is nested too deeply for a base job template.") from None
    except ValueError as error:  # no JSON, or no UTF-8
        raise BadRequest(f"{_named(file)} is not JSON: {error}.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def warn_of_deployments(client: Client, pool: str) -> None:
    """Says which deployments of the pool have job variables that its template does not take."""
    from dispatcher.ops import deployments, templates

    found = client.run(templates.read(pool))
    for deployment in client.run(deployments.list_all()):
        if deployment.pool != pool:
            continue
        # A run may still add what is required; the runs of a schedule have nobody who would.
        is_complete = not deployment.is_paused and any(schedule.is_active for schedule in deployment.schedules)
        of = deployment.input
        try:
            templates.check(found, of.job_variables, of.infrastructure, is_complete=is_complete)
        except VariablesInvalid as error:
            name = render.clean(deployment.name)
            click.echo(
                f"Warning: deployment {name} does not fit the template any more, its next runs are refused. "
                f"{render.clean(error)}",
                err=True,
            )


@click.command("get-default-base-job-template")
@click.option("-t", "--type", "pool_type", required=True, metavar="TYPE", help="The type of work pool.")
@click.option("-f", "--file", metavar="FILE", help="Write it into this file instead of printing it.")
@click.option("--overwrite", is_flag=True, help="Also when the file exists already.")
@output_option
def get_default_base_job_template(pool_type: str, file: str | None, overwrite: bool, output: str) -> None:
    """Show the base job template that a type of pool has by itself, as JSON.

    \b
    Example:
      dispatcher work-pool get-default-base-job-template --type process --file template.json
    """
    from dispatcher.pool_types import default_template

    template = default_template(pool_type)
    if file is None:
        render.document(template)
        return
    try:
        with Path(file).open("w" if overwrite else "x") as stream:
            stream.write(json.dumps(template, indent=2) + "\n")
    except FileExistsError:
        raise BadRequest(f"{file} exists already. Name another file, or give --overwrite.") from None
    render.outcome(
        output,
        f"The default base job template of type {pool_type!r} is in {file}. Change it, then:\n"
        f"  dispatcher work-pool create NAME --type {pool_type} --base-job-template {file}",
        lambda: template,
    )

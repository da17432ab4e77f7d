"""`dispatcher deployment`: look at deployments, run and delete them. Making them is `dispatcher deploy`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cli import render, submission
from cli.context import confirm, connected, output_option, yes_option

if TYPE_CHECKING:
    from dispatcher import Client
    from dispatcher.models import Deployment


@click.group()
def deployment() -> None:
    """Look at deployments, run and delete them.

    NAME is flow/name; the plain name will do where only one flow has it.

    \b
    Example:
      dispatcher deployment run load-orders/nightly --watch
    """


def _found(client: Client, name: str) -> Deployment:
    """The deployment that a person means. Raises `NotFound`, with the nearest name; `AmbiguousName`."""
    from difflib import get_close_matches

    from dispatcher.errors import DeploymentNotFound, NotFound
    from dispatcher.ops import deployments

    try:
        return client.run(deployments.read(name))
    except DeploymentNotFound as error:
        known = {
            part: one.name for one in client.run(deployments.list_all()) for part in (*one.name.split("/"), one.name)
        }
        near = [known[part] for part in get_close_matches(name, known, n=1)]
        if not near:
            raise
        raise NotFound(f"{error} Did you mean {near[0]}?") from None


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
        render.document([one.document() for one in found])
        return
    columns = ("Name", "Work pool", "Queue", "Runs", "Tags", "Updated")
    rows = [
        (one.name, one.pool, one.queue, _runs_what(one), ", ".join(one.input.tags), render.moment(one.updated_at_ms))
        for one in found
    ]
    render.table(columns, rows, empty="There are no deployments. Make one: dispatcher deploy path/to/file.py:function")


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
    with connected() as client:
        found = _found(client, name)
    if output == "json":
        render.document(found.document())
        return
    schema = found.parameter_schema
    known = "not checked" if schema is None else ", ".join(_signature(schema)) or "none"
    render.details(
        [
            ("Name", found.name),
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
            ("Created", render.moment(found.created_at_ms)),
            ("Updated", render.moment(found.updated_at_ms)),
        ]
    )


def _signature(schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    names = [f"{name} (required)" if name in required else name for name in schema.get("properties", {})]
    return [*names, "any other"] if schema.get("additionalProperties") else names


@deployment.command()
@click.argument("deployment_name", metavar="NAME")
@submission.parameter_options("-p")
@submission.submit_options
@output_option
def run(deployment_name: str, params: tuple[str, ...], params_json: str | None, output: str, **asked: Any) -> None:
    """Submit a run of a deployment.

    Its parameters are the deployment's with these on top; they are checked against what the flow takes.

    \b
    Example:
      dispatcher deployment run nightly -p day=2026-11-21 --start-in 30m
      dispatcher deployment run load-orders/nightly --watch
    """
    from dispatcher import parameters
    from dispatcher.ops import runs

    request = submission.Request(**asked)
    given = submission.parameters_of(params, params_json)
    with connected() as client:
        found = _found(client, deployment_name)
        wanted = replace(
            found.input,
            parameters=found.input.parameters | given,
            tags=tuple(dict.fromkeys((*found.input.tags, *request.tags))),
        )
        parameters.check(found.parameter_schema, wanted.parameters, flow=f"deployment {found.name!r}")
        submitted = client.run(runs.submit_deployed(found, request.new_run(found.queue, wanted, found.name)))
        submission.tell(client, found.pool, submitted, watch=request.watch, output=output)


@deployment.command()
@click.argument("name")
@yes_option
@output_option
def delete(name: str, yes: bool, output: str) -> None:
    """Delete a deployment. Runs that were submitted already are kept and go on.

    \b
    Example:
      dispatcher deployment delete load-orders/nightly --yes
    """
    from dispatcher.ops import deployments

    with connected() as client:
        found = _found(client, name)
        confirm(f"Delete deployment {found.name!r}?", yes=yes)
        client.run(deployments.delete(found.name))
    if output == "json":
        render.document(found.document())
        return
    click.echo(f"Deployment {found.name!r} is deleted.")

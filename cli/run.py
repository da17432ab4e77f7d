"""`dispatcher run`: one run of a flow or command, without a deployment.

The flow is looked at first, as in `deploy`. The default pool is made when it is missing; a pool or queue that was
named has to exist.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cli import submission, values
from cli.context import connected, output_option


@click.command()
@click.argument("entrypoint", required=False)
@click.option("--command", metavar="WORDS", help="A command line instead of a flow; quotes in it work as in a shell.")
@click.option("--pool", metavar="NAME", help="The work pool.  [default: default-agent-pool, made when it is missing]")
@click.option("--path", metavar="FOLDER", help="The code folder on the consumer's host.  [default: the current folder]")
@values.parameter_options("-p")
@values.variable_option
@submission.submit_options
@submission.execution_options
@click.option("--no-check", is_flag=True, help="Do not import the flow here: its code is only on the consumers' hosts.")
@output_option
def run(
    entrypoint: str | None,
    command: str | None,
    pool: str | None,
    path: str | None,
    params: tuple[str, ...],
    params_json: str | None,
    variables: tuple[str, ...],
    retries: int | None,
    retry_delay_ms: int | None,
    timeout_ms: int | None,
    no_check: bool,
    output: str,
    **asked: Any,
) -> None:
    """Run a flow or a command once, without a deployment.

    ENTRYPOINT is path/to/file.py:function or package.module:function.

    \b
    Example:
      dispatcher run flows/etl.py:load -p day=today --watch
      dispatcher run flows/etl.py:load --pool above-ground -jv env='{"LEVEL": "debug"}'
      dispatcher run --command "sh report.sh --full" --start-in 30m
    """
    from dispatcher import parameters, signature
    from dispatcher.models import DEFAULT_POOL, DEFAULT_QUEUE, RunInput
    from dispatcher.ops import pools, runs, templates

    request = submission.Request(**asked)
    given, changed = values.parameters_of(params, params_json), values.variables_of(variables)
    wanted = RunInput(
        entrypoint=entrypoint,
        command=submission.argv(entrypoint, command),
        path=str(Path(path or ".").absolute()),
        tags=request.tags,
    )
    seen = signature.seen(wanted, check=not no_check)
    wanted = replace(
        seen.filled(wanted),
        parameters=given.typed(seen.parameters),
        **submission.execution(retries, retry_delay_ms, timeout_ms),
    )
    parameters.check(seen.parameters, wanted.parameters, flow=f"the flow {seen.flow_name!r}")
    with connected() as client:
        place = pool or DEFAULT_POOL
        template = client.run(templates.expected(pool))
        wanted = replace(wanted, job_variables=changed.typed(template, wanted.infrastructure))
        templates.check(template, wanted.job_variables, wanted.infrastructure)  # before a pool is made for it
        if pool is None and client.run(pools.ensure(DEFAULT_POOL)):
            submission.tell_made(DEFAULT_POOL)
        submitted = client.run(runs.submit_checked(place, request.new_run(DEFAULT_QUEUE, wanted)))
        submission.tell(client, place, submitted, watch=request.watch, output=output)

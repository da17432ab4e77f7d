"""`dispatcher run`: one run of a flow or command, without a deployment.

The flow is looked at first, as in `deploy`. The default pool is made when it is missing; a pool or queue that was
named has to exist.
"""

from __future__ import annotations

from typing import Any

import click

from cli import submission, values
from cli.context import connected, output_option
from cli.types import WORD


@click.command()
@click.argument("entrypoint", required=False)
@click.option("--command", metavar="WORDS", help="A command line instead of a flow; quotes in it work as in a shell.")
@click.option(
    "--pool", type=WORD, metavar="NAME", help="The work pool.  [default: default-agent-pool, made when it is missing]"
)
@click.option(
    "--path", type=WORD, metavar="FOLDER", help="The code folder on the consumer's host.  [default: the current folder]"
)
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
    from dispatcher import submitting

    words = submission.argv(entrypoint, command)
    told = submission.Asked(**asked)
    given, changed = values.parameters_of(params, params_json), values.variables_of(variables)
    request = told.request(
        words or entrypoint or "",
        pool=pool,
        path=path,
        retries=retries,
        retry_delay=submission.seconds(retry_delay_ms),
        timeout=submission.seconds(timeout_ms),
        check=not no_check,
    )
    with connected() as client:
        source = client.run(submitting.of_flow(request))
        submission.submit(client, request, source, given, changed, watch=told.watch, output=output)

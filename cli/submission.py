"""What `run` and `deployment run` share: their options, submitting, telling, watching.

Submitting is one operation (`dispatcher/submitting.py`); here is only how its words are read and its outcome told.
Parameters and job variables are in `values.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli import render, watched
from cli.types import DURATION, MOST, POSITIVE_DURATION, TIME, WORD, Whole

if TYPE_CHECKING:
    from cli.values import Parameters, Variables
    from dispatcher import Client, Request
    from dispatcher.submitting import Source

Command = TypeVar("Command", bound=Callable[..., Any])


def argv(entrypoint: str | None, command: str | None) -> tuple[str, ...] | None:
    """The words of `--command`, None when an entrypoint is given instead. Raises `click.UsageError`."""
    if (entrypoint is None) == (command is None):
        raise click.UsageError("Give either an ENTRYPOINT or --command.")
    if command is None:
        return None
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.BadParameter(f"{error} in {command!r}", param_hint="'--command'") from None
    if not words:
        raise click.BadParameter("it is empty", param_hint="'--command'")
    return tuple(words)


def execution_options(command: Command) -> Command:
    """How the process of a run is treated: retries, delay between them, time limit."""
    for option in (
        click.option(
            "--timeout-seconds",
            "timeout_ms",
            type=POSITIVE_DURATION,
            help="Stop a run after so long: it is FAILED.  [default: never]",
        ),
        click.option(
            "--retry-delay-seconds",
            "retry_delay_ms",
            type=DURATION,
            help="Wait so long before the first retry, twice as long before each one after it.  [default: 0]",
        ),
        click.option("--retries", type=Whole(0, MOST), help="How often a failed run is tried again.  [default: 0]"),
    ):
        command = option(command)
    return command


def execution(retries: int | None, retry_delay_ms: int | None, timeout_ms: int | None) -> dict[str, Any]:
    """The fields of a `RunInput` that the three `execution_options` say; what was not given is not there."""
    fields = {"retries": retries, "retry_delay_s": seconds(retry_delay_ms), "timeout_s": seconds(timeout_ms)}
    return {name: value for name, value in fields.items() if value is not None}


def seconds(length_ms: int | None) -> float | None:
    """What a duration option said, in the seconds of a run's input."""
    return None if length_ms is None else length_ms / 1000


def submit_options(command: Command) -> Command:
    """Everything that can be said about one run; the command gets it as keywords for `Asked`."""
    for option in (
        click.option("--watch", is_flag=True, help="Show state and log live; exit code 1 unless it is COMPLETED."),
        click.option("--name", metavar="NAME", help="Name of the run; two random words otherwise."),
        click.option(
            "--idempotency-key",
            metavar="KEY",
            help="The same key again gives the first run, not a new one.",
        ),
        click.option("--priority", type=Whole(1, 1000), help="Within its queue; 1 first.  [default: 100]"),
        click.option(
            "-q", "--work-queue", "queue", type=WORD, metavar="NAME", help="Another queue of the pool; it must exist."
        ),
        click.option("--tag", "tags", type=WORD, multiple=True, help="A tag, repeatable."),
        click.option("--start-at", type=TIME, help="Start then: ISO 8601; without a zone, local time."),
        click.option("--start-in", type=DURATION, help="Start so much later: 90, 30m, 1h30m."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of `submit_options` said, checked."""

    start_in: int | None  # ms
    start_at: int | None  # ms since the epoch
    tags: tuple[str, ...]
    queue: str | None
    priority: int | None
    idempotency_key: str | None
    name: str | None
    watch: bool

    def __post_init__(self) -> None:
        from dispatcher.requests import MAX_NAME

        if self.start_in is not None and self.start_at is not None:
            raise click.UsageError("--start-in and --start-at exclude each other: give one of them.")
        if self.name is not None and not 1 <= len(self.name) <= MAX_NAME:
            raise click.BadParameter(f"a name has 1 to {MAX_NAME} characters", param_hint="'--name'")
        if self.idempotency_key == "":  # what an unset variable of a shell gives, and no protection at all
            raise click.BadParameter("it is empty: give a text, or leave it out", param_hint="'--idempotency-key'")

    def request(self, what: str | tuple[str, ...], **more: Any) -> Request:
        """The request for a run of `what`; `more`: what else a `Request` may say. Raises `BadValue`."""
        from dispatcher import Request

        return Request(
            what,
            queue=self.queue,
            start_at=None if self.start_at is None else datetime.fromtimestamp(self.start_at / 1000, UTC),
            start_in=seconds(self.start_in),
            priority=self.priority,
            tags=self.tags,
            idempotency_key=self.idempotency_key,
            name=self.name,
            **more,
        )


def tell_made(pool: str) -> None:
    """Says on stderr that the default pool was made, because nobody named one."""
    click.echo(f"Work pool {pool!r} was made, of type agent.", err=True)


def submit(
    client: Client,
    request: Request,
    source: Source,
    given: Parameters,
    changed: Variables,
    *,
    watch: bool,
    output: str,
) -> None:
    """Submits the run, with parameters and job variables of the types that its source says, and tells it. `watch`:
    follows it to its end. Raises as `Client.submit`; `Exit(1)` when a watched run is not COMPLETED."""
    from dispatcher import submitting

    parameters = given.typed(source.schema)
    variables = changed.typed(source.template, source.base.infrastructure)
    typed = replace(request, parameters=parameters, job_variables=variables)
    [receipt] = client.run(submitting.submit([typed], source=source))
    run = receipt.run
    if receipt.made_pool:
        tell_made(run.pool)
    if receipt.made_queue:
        click.echo(f"Work queue {run.queue!r} was gone and is made again in work pool {run.pool!r}.", err=True)
    known = "" if receipt.is_new else " was submitted before, with this idempotency key: it"
    said = f"Flow run {render.clean(run.name)!r} ({run.id}){known} is {run.state_name} in {run.pool}/{run.queue}."
    if watch:
        click.echo(said, err=output == "json")
        watched.watch(client, run, output=output)
    elif output == "json":
        render.document(run.document())
    else:
        click.echo(said)
        if run.due_at_ms > run.read_at_ms:
            click.echo(f"It starts at {render.moment(run.due_at_ms)}.")
        click.echo(f"Follow it: dispatcher flow-run watch {run.id}")

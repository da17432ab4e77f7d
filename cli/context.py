"""What the global options and settings mean for a command: its client, its output, its questions.

`session()` gives what was said before the sub command. From it come the URL (option > environment >
profile > the embedded broker, which is started on demand), the settings, and a connected client:

    with connected() as client:
        pool = client.run(pools.read(name))

Imports of redis and of the settings happen when they are needed, so that `--help` stays quick.
A command that only prints needs `output_option` and `cli/render.py`; one that destroys, `confirm`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dispatcher.errors import BadRequest, DispatcherError, PoolNotFound, QueueNotFound

if TYPE_CHECKING:
    from dispatcher.client import Client
    from dispatcher.settings import Resolved, Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Session:
    """The global options, as given; None: not given."""

    redis_url: str | None = None
    profile: str | None = None
    allow_unsafe_broker: bool | None = None
    output: str | None = None  # of the command itself; it goes before a faulty one in the environment too

    @property
    def given(self) -> dict[str, Any]:
        """The options that are settings too, where they were given."""
        options = {
            "redis_url": self.redis_url,
            "allow_unsafe_broker": self.allow_unsafe_broker,
            "output": self.output,
        }
        return {name: value for name, value in options.items() if value is not None}

    @cached_property
    def resolved(self) -> Resolved:
        """Every setting with the options on top. Raises `BadValue`, `NotFound` for what is wrong in them."""
        from dispatcher.settings import misspelt, resolve

        for key, near in misspelt(os.environ):
            click.echo(f"Warning: {key} is not a setting. Did you mean {near}?", err=True)
        return resolve(self.profile, self.given)

    @cached_property
    def settings(self) -> Settings:
        """As `resolved`, by attribute; quicker where only the most usual ones are asked for."""
        from dispatcher import shortcut

        return shortcut.settings(self.profile, self.given, lambda: self.resolved.settings)

    @property
    def is_embedded(self) -> bool:
        """No URL is named anywhere: the commands share the embedded broker."""
        return not self.settings.redis_url

    @cached_property
    def url(self) -> str:
        """The URL to connect to; starts the embedded broker when none is named. Not yet checked or connected."""
        from dispatcher import address

        return address.of(self.settings)

    @property
    def broker_words(self) -> str:
        """Which broker is used, as the first line of `agent start` says it; without secrets."""
        from dispatcher.urls import masked_url

        return f"{'the embedded broker at ' if self.is_embedded else ''}{masked_url(self.url)}"


def session() -> Session:
    """The session of the command that runs now."""
    ctx = click.get_current_context(silent=True)
    found = ctx.find_object(Session) if ctx else None
    if found is None:
        found = Session()
        if ctx is not None:
            ctx.find_root().obj = found
    return found


@contextmanager
def connected() -> Iterator[Client]:
    """A client for the session's Redis, closed at the end. A Redis that was named is checked first (one round trip).

    Raises `BrokerUnavailable`, `BrokerRefused`; `BadRequest` for a Redis that is too old or may evict keys.
    """
    from dispatcher.client import Client
    from dispatcher.ops import broker_facts

    current = session()
    with Client(current.url) as client:
        if not current.is_embedded:
            client.run(broker_facts.check(allow_unsafe=current.settings.allow_unsafe_broker))
        client.trust.is_given = True
        try:
            yield client
        except (PoolNotFound, QueueNotFound) as error:
            tell_near(client, error)
            raise


def tell_near(client: Client, error: PoolNotFound | QueueNotFound, queue: str = "") -> None:
    """Adds to the error what may have been meant, unless that was done; `queue`: which one of that pool was wanted."""
    from dispatcher.ops import finding

    if hasattr(error, "__notes__"):
        return
    with suppress(DispatcherError):
        if hint := client.run(finding.near(error, queue)):
            error.add_note(hint)


def let_time_pass(client: Client, pool: str) -> None:
    """Makes what is read next true where no consumer lives: promotes due runs, ends expired leases.

    A pool that does not exist is passed over: reading it says so.
    """
    from dispatcher.ops import finding

    with suppress(PoolNotFound):
        client.run(finding.let_time_pass(pool))


def _output(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    if value:
        session().output = value
    return value or session().settings.output


def output_option(command: F) -> F:
    """Adds `-o/--output table|json`; the command takes `output: str`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        callback=_output,
        help="A table for people, or one JSON document (DISPATCHER_OUTPUT).  [default: table]",
    )(command)


def yes_option(command: F) -> F:
    """Adds `--yes`; the command takes `yes: bool` and passes it to `confirm`."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something is destroyed. Raises `BadRequest` when the answer is no, or nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadRequest(f"{question} There is no terminal to ask on: give --yes to do it.")
    if not click.confirm(question, err=True):
        raise BadRequest("Nothing was changed.")

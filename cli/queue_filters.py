"""The filters of legacy queues on the command line: their options, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dispatcher.models import Queue, QueueFilter
from dispatcher.ops import deployments

if TYPE_CHECKING:
    from dispatcher.client import Client

Command = TypeVar("Command", bound=Callable[..., Any])


def legacy_options(command: Command) -> Command:
    """Adds the options that make a queue with a filter; the command gets them as keywords for `Asked`."""
    for option in (
        click.option("--match-all", is_flag=True, help="Legacy: show every run."),
        click.option(
            "--type",
            "types",
            metavar="TYPE",
            multiple=True,
            help="Legacy: show the runs whose infrastructure is of one of these types; repeatable.",
        ),
        click.option(
            "-d",
            "--deployment",
            "deployments",
            metavar="NAME",
            multiple=True,
            help="Legacy: show the runs of these deployments, by name or id; repeatable.",
        ),
        click.option(
            "-t", "--tag", "tags", multiple=True, help="Legacy: show the runs that have all these tags; repeatable."
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Asked:
    """What the legacy options said."""

    tags: tuple[str, ...]
    deployments: tuple[str, ...]
    types: tuple[str, ...]
    match_all: bool

    def __post_init__(self) -> None:
        if self.match_all and (self.tags or self.deployments or self.types):
            raise click.UsageError("--match-all shows every run: leave --tag, --deployment and --type out.")

    @property
    def is_given(self) -> bool:
        return self.match_all or bool(self.tags or self.deployments or self.types)

    def resolved(self, client: Client) -> QueueFilter | None:
        """The filter, None without a legacy option. Raises `DeploymentNotFound`, `AmbiguousName`."""
        if not self.is_given:
            return None
        names = (client.run(deployments.read(text)).name for text in self.deployments)
        return QueueFilter(self.tags, tuple(names), self.types)


def details(queue: Queue) -> list[tuple[str, object]]:
    """What the queue shows, in words; nothing of an ordinary one."""
    of = queue.filter
    if of is None:
        return []
    if of.is_match_all:
        return [("Shows", "every run")]
    parts = {"tags": of.tags, "deployments": of.deployments, "types": of.types}
    return [("Shows runs with", "; ".join(f"{name} {', '.join(found)}" for name, found in parts.items() if found))]

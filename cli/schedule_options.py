"""The options that say a schedule, and what they come to. How schedules are told is in `schedule_tables.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.types import POSITIVE_DURATION, WORD

if TYPE_CHECKING:
    from dispatcher.models import Schedule

Command = TypeVar("Command", bound=Callable[..., Any])
NAMES = ("cron", "interval_ms", "rrule", "timezone", "anchor_date")  # of the arguments that a command gets


def timing_options(command: Command) -> Command:
    """The command gets what `schedule_of` wants, as keywords."""
    for option in (
        click.option(
            "--anchor-date",
            metavar="TIME",
            help="Where an --interval counts from and an --rrule begins; ISO 8601.  [default: 2020-01-01T00:00:00]",
        ),
        click.option(
            "--timezone", type=WORD, metavar="ZONE", help="Its time zone, such as Europe/Berlin.  [default: UTC]"
        ),
        click.option("--rrule", metavar="RRULE", help="A schedule by an RFC 5545 rule, such as FREQ=DAILY;BYHOUR=4."),
        click.option(
            "--interval", "interval_ms", type=POSITIVE_DURATION, help="A schedule every so long: 900, 15m, 1h30m."
        ),
        click.option("--cron", metavar="CRON", help="A schedule by cron, such as '0 4 * * *' or @daily."),
    ):
        command = option(command)
    return command


def schedule_of(
    cron: str | None, interval_ms: int | None, rrule: str | None, timezone: str | None, anchor_date: str | None
) -> Schedule | None:
    """The schedule that the options say, None when they say none; not checked. Raises `click.UsageError`."""
    from dispatcher.models import Schedule

    said = sum(value is not None for value in (cron, interval_ms, rrule))
    if said > 1:
        raise click.UsageError(
            "--cron, --interval and --rrule exclude each other: give one of them. Several schedules stand in a "
            "deployment file, or are added by `dispatcher deployment schedule create`."
        )
    if not said:
        alone = {"--timezone": timezone, "--anchor-date": anchor_date}
        for option, value in alone.items():
            if value is not None:
                raise click.UsageError(f"{option} belongs to a schedule: give --cron, --interval or --rrule with it.")
        return None
    return Schedule(
        cron=cron,
        interval_s=None if interval_ms is None else interval_ms / 1000,
        rrule=rrule,
        timezone=timezone or "UTC",
        anchor=anchor_date,
    )

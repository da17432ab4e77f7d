"""`dispatcher doctor`: whether everything is as it should be, from the settings to each run's place.

What is asked of the broker is in `dispatcher/ops/broker_checks.py`, of the pools in `pool_checks.py`; here are the
checks of this host: its settings, and the way to the broker.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from cli import render
from cli.context import output_option, session

if TYPE_CHECKING:
    from dispatcher.models.checks import Check

LOOPBACK = ("localhost", "127.", "[::1]", "::1")


@click.command()
@output_option
def doctor(output: str) -> None:
    """Check broker, settings and every work pool; exit code 1 when something must not stay as it is.

    A warning may be meant so. Nothing is changed.

    \b
    Example:
      dispatcher doctor
    """
    from dispatcher.client import Client
    from dispatcher.ops import broker_checks, pool_checks

    current = session()
    with Client(current.url) as client:
        allow_unsafe = current.settings.allow_unsafe_broker
        found = [
            _broker(),
            *_settings(),
            *client.run(broker_checks.broker(is_embedded=current.is_embedded, allow_unsafe=allow_unsafe)),
        ]
        if not any(check.check == "version" and check.status == "finding" for check in found):
            found += client.run(pool_checks.every())
    if output == "json":
        render.document([check.document() for check in found])
    else:
        _show(found)
    if any(check.status == "finding" for check in found):
        raise click.exceptions.Exit(1)


def _show(found: list[Check]) -> None:
    rows = [
        (
            f"{check.check} of {check.pool}" if check.pool else check.check,
            check.status.upper() if check.status == "finding" else check.status,
            check.detail,
            check.advice,
        )
        for check in found
    ]
    render.table(("Check", "Status", "What was found", "What to do"), rows, empty="")
    findings = sum(check.status == "finding" for check in found)
    warnings = sum(check.status == "warning" for check in found)
    click.echo(f"{len(found)} checks: {findings} findings, {warnings} warnings.")


def _broker() -> Check:
    """Which broker it is, and whether the way to it can be listened to."""
    from dispatcher.models.checks import OK, WARNING, Check

    current = session()
    if current.is_embedded:
        from dispatcher import broker

        status = broker.status(broker.default_data_folder())
        return Check("broker", OK, f"embedded, process {status.pid}, its data in {status.data_folder}")
    words = current.broker_words
    host = words.partition("://")[2].rpartition("@")[2]
    if words.startswith("redis://") and not host.startswith(LOOPBACK):
        return Check("broker", WARNING, f"{words}: in plain text over the network", "use rediss://")
    return Check("broker", OK, words)


def _settings() -> list[Check]:
    from dispatcher.models.checks import OK, WARNING, Check
    from dispatcher.settings import misspelt

    resolved = session().resolved
    found = [
        Check("settings", WARNING, f"{key} is not a setting", f"did you mean {near}?")
        for key, near in misspelt(os.environ)
    ]
    count = sum(source != "default" for source in resolved.sources.values())
    return found or [Check("settings", OK, f"profile {resolved.profile}; not at their default: {count}")]

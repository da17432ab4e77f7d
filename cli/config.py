"""`dispatcher config`: the settings of a profile, and what holds for this process.

What settings there are, and where their values come from, is in `dispatcher/settings.py`. A setting is named as its
environment variable, `DISPATCHER_REDIS_URL`, or short, `redis_url`. These commands and those of `profile` are how a
wrong setting is mended, so none needs settings that are right: `view` shows what is wrong with one in its row. The
model of the settings is imported where it is needed, so that `--help` and most of `profile` stay quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from cli import render
from cli.context import session
from dispatcher.errors import BadRequest, BadValue, NotFound
from dispatcher.profiles import PREFIX, Profiles, settings_file, variable


def _output(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    if value:
        return value
    try:
        return session().settings.output
    except BadRequest:
        return "table"


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """As that of `cli/context.py`, but wrong settings do not matter."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        callback=_output,
        help="A table for people, or one JSON document (DISPATCHER_OUTPUT).  [default: table]",
    )(command)


def profile_in_use(profiles: Profiles) -> str:
    """The name of the profile that this command works on: option > environment > the active one."""
    return profiles.in_use(session().profile)


def document(profiles: Profiles, name: str, *, show_secrets: bool = False) -> dict[str, Any]:
    """A profile as JSON has it: what it sets, as written."""
    from dispatcher.settings import masked

    held = profiles.of(name)
    shown = {key: held[key] if show_secrets else masked(key, held[key]) for key in sorted(held)}
    return {"name": name, "in_use": name == profile_in_use(profiles), "settings": shown}


@click.group()
def config() -> None:
    """Look at and change settings.

    \b
    Example:
      dispatcher config set DISPATCHER_REDIS_URL=redis://broker:6379
    """


@config.command()
@click.option("--show-defaults", is_flag=True, help="Also settings that are at their default.")
@click.option("--show-secrets", is_flag=True, help="Passwords too.")
@output_option
def view(show_defaults: bool, show_secrets: bool, output: str) -> None:
    """Show the settings that hold, and where each comes from.

    \b
    Example:
      dispatcher config view --show-defaults
    """
    from dispatcher import settings

    current = session()
    wrong: dict[str, str] = {}
    strange: list[str] = []
    found: settings.Resolved | settings.Examined
    try:
        found = current.resolved
    except BadValue:
        found = settings.examined(current.profile, current.given)
        wrong, strange = found.faults, found.strange
    shown = {
        name: value if show_secrets else settings.masked(name, value)
        for name, value in (found.values | dict.fromkeys(wrong)).items()
        if show_defaults or found.sources[name] != "default"
    }
    if output == "json":
        rows = {variable(name): {"value": value, "source": found.sources[name]} for name, value in shown.items()}
        for name, fault in wrong.items():
            rows[variable(name)]["fault"] = fault
        render.document({"profile": found.profile, "settings": rows})
    else:
        click.echo(f"Profile: {render.clean(found.profile)}")
        render.table(
            ["Setting", "Value", "Source", "Meaning"],
            [
                (
                    variable(name),
                    "not valid" if name in wrong else settings.shown(value),
                    found.sources[name],
                    wrong.get(name) or settings.SETTINGS[name].description,
                )
                for name, value in shown.items()
            ],
            empty="Every setting is at its default; --show-defaults lists them.",
        )
    if faults := [*wrong.values(), *strange]:
        raise BadRequest("\n  ".join(faults))


@config.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@output_option
def set_(pairs: tuple[str, ...], output: str) -> None:
    """Set values in the profile.

    \b
    Example:
      dispatcher config set DISPATCHER_REDIS_URL=redis://broker:6379
      dispatcher --profile staging config set agent_query_seconds=30s
    """
    from dispatcher.settings import faults, known

    changes: dict[str, str] = {}
    for number, pair in enumerate(pairs, 1):
        key, equals, text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"{_quoted(key, number)} is not KEY=VALUE.")
        if key in changes:
            raise click.UsageError(f"{_quoted(key, number)} is given twice.")
        changes[key] = text
    if found := faults(changes, "command line"):
        raise BadRequest("\n  ".join(found))
    changes = {variable(known(key)): text for key, text in changes.items()}
    with Profiles.changing() as profiles:
        profile = profile_in_use(profiles)
        short = {key for key in profiles.of(profile) if key not in changes and _stands_for(key) in changes}
        profiles.unset_values(profile, short)
        profiles.set_values(profile, changes)
    render.outcome(output, f"Profile {profile!r} sets {', '.join(changes)} now.", lambda: document(profiles, profile))
    for key in changes:
        if os.environ.get(key):
            click.echo(f"Note: {key} is set in the environment too, which goes first.", err=True)


def _quoted(key: str, number: int) -> str:
    """What is no name may be a secret that was typed in the wrong place."""
    return repr(key) if key.replace("_", "").isalnum() and len(key) < 60 else f"argument {number}"


def _stands_for(key: str) -> str:
    """The variable that a key of the file means: one written by hand may be short."""
    return key if key.startswith(PREFIX) else variable(key)


@config.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@output_option
def unset(keys: tuple[str, ...], output: str) -> None:
    """Take values out of the profile, so that the default holds again.

    \b
    Example:
      dispatcher config unset DISPATCHER_REDIS_URL
    """
    with Profiles.changing() as profiles:
        profile = profile_in_use(profiles)
        held = profiles.of(profile)
        names = [_held_as(key, list(held)) for key in keys]
        if missing := [name for name in names if name not in held]:
            raise BadRequest(f"profile {profile!r} does not set {', '.join(missing)}. Look: dispatcher profile inspect")
        profiles.unset_values(profile, names)
    render.outcome(
        output,
        f"Profile {profile!r} does not set {', '.join(names)} any more.",
        lambda: document(profiles, profile),
    )


def _held_as(key: str, held: list[str]) -> str:
    # What the file holds may be taken out even when no such setting is known: that is how it is corrected.
    if key in held:
        return key
    from dispatcher.settings import known

    name = variable(known(key))
    return next((one for one in held if _stands_for(one) == name), name)


@config.command()
@output_option
def validate(output: str) -> None:
    """Check every profile and the environment. Exit code 1 when something is wrong.

    \b
    Example:
      dispatcher config validate
    """
    from dispatcher import settings

    faults = []
    try:
        profiles = Profiles.read()
    except BadRequest as error:
        faults.append(str(error))
    else:
        if profiles.active not in profiles.names:
            faults.append(f"the active profile {profiles.active!r} does not exist")
        try:
            profiles.of(profile_in_use(profiles))
        except NotFound as error:
            if profile_in_use(profiles) != profiles.active:
                faults.append(str(error))
        for profile in profiles.names:
            faults += settings.faults(profiles.of(profile), f"profile {profile}")
    faults += settings.faults(settings.environment(), "environment")
    for key, near in settings.strangers(os.environ):
        hint = f"Did you mean {near}?" if near else "List the settings: dispatcher config view --show-defaults"
        faults.append(f"environment: {key} is not known. {hint}")
    if output == "json":
        render.document({"file": str(settings_file()), "faults": faults})
    if faults:
        raise BadRequest("\n  ".join([f"{len(faults)} found:", *faults]))
    if output != "json":
        click.echo(f"All is well: {settings_file()} and the environment.")

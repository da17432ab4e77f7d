"""`dispatcher config`: the settings of a profile, and what holds for this process.

What settings there are, and where their values come from, is in `dispatcher/settings.py`. A setting is named as its
environment variable, `DISPATCHER_REDIS_URL`, or short, `redis_url`.
"""

from __future__ import annotations

import os

import click

from cli import render
from cli.context import output_option, session
from dispatcher import settings
from dispatcher.errors import BadRequest, DispatcherError


@click.group()
def config() -> None:
    """Look at and change settings.

    \b
    Example:
      dispatcher config set DISPATCHER_REDIS_URL=redis://broker:6379
    """


def profile_in_use(profiles: settings.Profiles) -> str:
    """The name of the profile that this command works on: option > environment > the active one."""
    return session().profile or os.environ.get("DISPATCHER_PROFILE") or profiles.active


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
    found = session().resolved
    shown = {
        name: value if show_secrets else settings.masked(name, value)
        for name, value in found.values.items()
        if show_defaults or found.sources[name] != "default"
    }
    if output == "json":
        render.document(
            {
                "profile": found.profile,
                "settings": {
                    settings.variable(name): {"value": value, "source": found.sources[name]}
                    for name, value in shown.items()
                },
            }
        )
        return
    click.echo(f"Profile: {render.clean(found.profile)}")
    render.table(
        ["Setting", "Value", "Source", "Meaning"],
        [
            (
                settings.variable(name),
                value,
                found.sources[name],
                settings.SETTINGS[name].metadata["meaning"],
            )
            for name, value in shown.items()
        ],
        empty="Every setting is at its default; --show-defaults lists them.",
    )


@config.command("set")
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_(pairs: tuple[str, ...]) -> None:
    """Set values in the profile.

    \b
    Example:
      dispatcher config set DISPATCHER_REDIS_URL=redis://broker:6379
    """
    changes = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"{pair!r} is not KEY=VALUE.")
        name = settings.known(key)
        settings.parsed(name, text, "command line")
        changes[settings.variable(name)] = text
    profiles = settings.Profiles.read()
    profile = profile_in_use(profiles)
    profiles.with_values(profile, changes).write()
    click.echo(f"Profile {profile!r} sets {', '.join(changes)} now.")
    for key in changes.keys() & os.environ.keys():
        click.echo(f"Note: {key} is set in the environment too, which goes first.", err=True)


@config.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
def unset(keys: tuple[str, ...]) -> None:
    """Take values out of the profile, so that the default holds again.

    \b
    Example:
      dispatcher config unset DISPATCHER_REDIS_URL
    """
    profiles = settings.Profiles.read()
    profile = profile_in_use(profiles)
    held = profiles.of(profile)
    # What the file holds may be taken out even when no such setting is known: that is how it is corrected.
    names = [key if key in held else settings.variable(settings.known(key)) for key in keys]
    missing = [name for name in names if name not in held]
    if missing:
        raise BadRequest(f"profile {profile!r} does not set {', '.join(missing)}. Look: dispatcher profile inspect")
    profiles.without_values(profile, names).write()
    click.echo(f"Profile {profile!r} does not set {', '.join(names)} any more.")


@config.command()
def validate() -> None:
    """Check every profile and the environment. Exit code 1 when something is wrong.

    \b
    Example:
      dispatcher config validate
    """
    profiles = settings.Profiles.read()
    faults = []
    if profiles.active not in profiles.profiles:
        faults.append(f"the active profile {profiles.active!r} does not exist")
    for profile, held in sorted(profiles.profiles.items()):
        for key, text in sorted(held.items()):
            try:
                settings.parsed(settings.known(key), text, f"profile {profile}")
            except DispatcherError as error:
                faults.append(f"profile {profile}: {error}")
    for name in settings.SETTINGS:
        text = os.environ.get(settings.variable(name), "")
        try:
            settings.parsed(name, text, "environment") if text else None
        except DispatcherError as error:
            faults.append(str(error))
    faults += [f"environment: {key} is not known. Did you mean {near}?" for key, near in settings.misspelt(os.environ)]
    if faults:
        raise BadRequest("\n  ".join([f"{len(faults)} found:", *faults]))
    click.echo(f"All is well: {profiles.file} and the environment.")

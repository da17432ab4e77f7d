"""`dispatcher profile`: several sets of settings, one of them active.

They are kept in one file (`dispatcher/settings.py`). The active one holds unless --profile or DISPATCHER_PROFILE
names another.
"""

from __future__ import annotations

import shlex

import click

from cli import render
from cli.config import profile_in_use
from cli.context import confirm, output_option, yes_option
from dispatcher import settings
from dispatcher.settings import Profiles


@click.group()
def profile() -> None:
    """Keep several sets of settings and switch between them.

    \b
    Example:
      dispatcher profile create production
    """


@profile.command()
@output_option
def ls(output: str) -> None:
    """List the profiles; the one in use is marked.

    \b
    Example:
      dispatcher profile ls
    """
    profiles = Profiles.read()
    in_use = profile_in_use(profiles)
    names = sorted(profiles.profiles)
    if output == "json":
        render.document([{"name": name, "in_use": name == in_use} for name in names])
        return
    render.table(
        ["Name", "In use", "Settings"],
        [(name, "yes" if name == in_use else "", len(profiles.of(name))) for name in names],
        empty="There is no profile.",
    )


@profile.command()
@click.argument("name")
@click.option("--from", "source", metavar="NAME", help="Start with the settings of this one.")
@output_option
def create(name: str, source: str | None, output: str) -> None:
    """Make a profile.

    \b
    Example:
      dispatcher profile create staging --from production
    """
    made = Profiles.read().with_profile(name, source)
    made.write()
    render.outcome(
        output,
        f"Profile {name!r} is made. Use it: dispatcher profile use {shlex.quote(name)}",
        lambda: {"name": name, "in_use": name == profile_in_use(made)},
    )


@profile.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a profile the active one.

    \b
    Example:
      dispatcher profile use staging
    """
    profiles = Profiles.read().with_active(name)
    profiles.write()
    click.echo(f"Profile {name!r} is active.")
    in_use = profile_in_use(profiles)
    if in_use != name:
        click.echo(f"Note: --profile or DISPATCHER_PROFILE names {in_use!r}, which goes first.", err=True)


@profile.command()
@click.argument("name")
@yes_option
def delete(name: str, yes: bool) -> None:
    """Delete a profile with its settings.

    \b
    Example:
      dispatcher profile delete staging
    """
    without = Profiles.read().without_profile(name)
    confirm(f"Delete profile {name!r} with its settings?", yes=yes)
    without.write()
    click.echo(f"Profile {name!r} is deleted.")


@profile.command()
@click.argument("name")
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give a profile another name.

    \b
    Example:
      dispatcher profile rename staging test
    """
    Profiles.read().renamed(name, new_name).write()
    click.echo(f"Profile {name!r} is called {new_name!r} now.")


@profile.command()
@click.argument("name", required=False)
@click.option("--show-secrets", is_flag=True, help="Passwords too.")
@output_option
def inspect(name: str | None, show_secrets: bool, output: str) -> None:
    """Show what a profile sets; without NAME, the one in use.

    \b
    Example:
      dispatcher profile inspect staging
    """
    profiles = Profiles.read()
    name = name or profile_in_use(profiles)
    held = {
        key: text if show_secrets else settings.masked(key.lower().removeprefix("dispatcher_"), text)
        for key, text in sorted(profiles.of(name).items())
    }
    if output == "json":
        render.document({"name": name, "in_use": name == profile_in_use(profiles), "settings": held})
    else:
        render.table(["Setting", "Value"], held.items(), empty=f"Profile {name!r} sets nothing.")

"""`dispatcher profile`: several sets of settings, one of them active.

They are kept in one file (`dispatcher/profiles.py`). The active one holds unless --profile or DISPATCHER_PROFILE
names another.
"""

from __future__ import annotations

import shlex

import click

from cli import render
from cli.config import document, output_option, profile_in_use
from cli.context import confirm, yes_option
from dispatcher.profiles import Profiles


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
    if output == "json":
        render.document([_row(profiles, name) for name in profiles.names])
        return
    render.table(
        ["Name", "In use", "Settings"],
        [(name, "yes" if name == in_use else "", len(profiles.of(name))) for name in profiles.names],
        empty="There is no profile.",
    )


def _row(profiles: Profiles, name: str) -> dict[str, object]:
    return {"name": name, "in_use": name == profile_in_use(profiles)}


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
    with Profiles.changing() as profiles:
        profiles.create(name, source)
    render.outcome(
        output,
        f"Profile {name!r} is made. Use it: dispatcher profile use {shlex.quote(name)}",
        lambda: _row(profiles, name),
    )


@profile.command()
@click.argument("name")
@output_option
def use(name: str, output: str) -> None:
    """Make a profile the active one.

    \b
    Example:
      dispatcher profile use staging
    """
    with Profiles.changing() as profiles:
        profiles.use(name)
    render.outcome(output, f"Profile {name!r} is active.", lambda: _row(profiles, name))
    in_use = profile_in_use(profiles)
    if in_use != name:
        click.echo(f"Note: --profile or DISPATCHER_PROFILE names {in_use!r}, which goes first.", err=True)


@profile.command()
@click.argument("name")
@yes_option
@output_option
def delete(name: str, yes: bool, output: str) -> None:
    """Delete a profile with its settings.

    \b
    Example:
      dispatcher profile delete staging --yes
    """
    looked = Profiles.read()
    looked.delete(name, profile_in_use(looked))  # refused before anything is asked
    confirm(f"Delete profile {name!r} with its settings?", yes=yes)
    with Profiles.changing() as profiles:
        deleted = document(profiles, name)
        profiles.delete(name, profile_in_use(profiles))
    render.outcome(output, f"Profile {name!r} is deleted.", lambda: deleted)


@profile.command()
@click.argument("name")
@click.argument("new_name")
@output_option
def rename(name: str, new_name: str, output: str) -> None:
    """Give a profile another name.

    \b
    Example:
      dispatcher profile rename staging test
    """
    with Profiles.changing() as profiles:
        profiles.rename(name, new_name)
    render.outcome(output, f"Profile {name!r} is called {new_name!r} now.", lambda: _row(profiles, new_name))
    if profile_in_use(profiles) == name:
        click.echo(f"Note: --profile or DISPATCHER_PROFILE still names {name!r}.", err=True)


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
    found = document(profiles, name, show_secrets=show_secrets)
    if output == "json":
        render.document(found)
        return
    from dispatcher.settings import shown

    rows = [(key, shown(value)) for key, value in found["settings"].items()]
    render.table(["Setting", "Value"], rows, empty=f"Profile {name!r} sets nothing.")

"""Settings: what each means, its unit and default, and where its value comes from.

Precedence: command line > environment (`DISPATCHER_<NAME>`) > profile > default. Profiles are kept in
one TOML file, `profiles.toml` (`settings_file`), under the names of the environment variables:

    active = "default"
    [profiles.default]
    DISPATCHER_REDIS_URL = "redis://broker:6379"

`resolve` gives the values for a process; `Profiles` reads and changes the file. A dataclass and no
pydantic model, because every command comes through here. A new setting is a field of `Settings`
with its metadata; everything else follows from it.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from dispatcher.errors import BadRequest, BadValue, NotFound

PREFIX = "DISPATCHER_"
DEFAULT_PROFILE = "default"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def _setting(default: Any, meaning: str, *, choices: tuple[str, ...] = (), most: float = math.inf) -> Any:
    return field(default=default, metadata={"meaning": meaning, "choices": choices, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting. A number may not be negative."""

    redis_url: str = _setting("", "The Redis to use; empty: the embedded broker.")
    output: str = _setting("table", "How results are printed.", choices=("table", "json"))
    allow_unsafe_broker: bool = _setting(False, "Use a Redis that may evict keys, and so lose runs.")
    agent_prefetch_seconds: float = _setting(10.0, "How long before its start an agent may claim a run.")
    worker_prefetch_seconds: float = _setting(10.0, "How long before its start a worker may claim a run.")
    agent_query_seconds: float = _setting(15.0, "At most this long does an idle agent go without looking.")
    worker_query_seconds: float = _setting(15.0, "At most this long does an idle worker go without looking.")
    grace_seconds: float = _setting(10.0, "From SIGTERM to SIGKILL when a run is stopped.")
    stream_output: bool = _setting(True, "Show the output of runs on the consumer's own, besides keeping it.")


SETTINGS: dict[str, Field[Any]] = {found.name: found for found in fields(Settings)}


@dataclass(frozen=True, slots=True)
class Resolved:
    """Every value with its source: `command line`, `environment`, `profile <name>` or `default`."""

    profile: str
    values: dict[str, Any]
    sources: dict[str, str]


def variable(name: str) -> str:
    """The environment variable of a setting, which is also its name in the file: `DISPATCHER_REDIS_URL`."""
    return PREFIX + name.upper()


def known(text: str) -> str:
    """The setting that `text` names, as `redis_url` or `DISPATCHER_REDIS_URL`. Raises `BadValue`, nearest name told."""
    name = text.strip().lower().removeprefix(PREFIX.lower())
    if name in SETTINGS:
        return name
    near = difflib.get_close_matches(name, SETTINGS, n=1)
    hint = f"Did you mean {variable(near[0])}?" if near else f"Known are {', '.join(map(variable, SETTINGS))}."
    raise BadValue(f"setting {text!r} is not known. {hint}")


def parsed(name: str, text: str, source: str) -> Any:
    """The value that `text` stands for. Raises `BadValue`, with where it came from."""
    default, metadata = SETTINGS[name].default, SETTINGS[name].metadata
    wanted = ""
    if isinstance(default, bool):
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        wanted = "true or false"
    elif isinstance(default, int | float):
        wanted = f"a {'whole ' if isinstance(default, int) else ''}number from 0" + (
            f" to {metadata['most']:g}" if metadata["most"] < math.inf else ""
        )
        try:
            number = type(default)(text)
        except ValueError:
            number = math.nan
        if 0 <= number <= metadata["most"] and number != math.inf:
            return number
    elif metadata["choices"] and text not in metadata["choices"]:
        wanted = f"one of {', '.join(metadata['choices'])}"
    else:
        return text
    raise BadValue(f"{variable(name)} ({source}) cannot be {text!r}: give {wanted}.")


def resolve(
    profile: str | None = None,
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Resolved:
    """Every setting for this process; `given` comes from the command line. An empty variable counts as not set.

    Raises `BadValue`, `NotFound` for an unknown profile.
    """
    profiles = Profiles.read(environ)
    profile = profile or environ.get(f"{PREFIX}PROFILE") or profiles.active
    values = {name: found.default for name, found in SETTINGS.items()}
    sources = dict.fromkeys(SETTINGS, "default")
    for key, text in profiles.of(profile).items():
        name = known(key)
        values[name], sources[name] = parsed(name, text, f"profile {profile}"), f"profile {profile}"
    for name in SETTINGS:
        set_to = environ.get(variable(name))
        if set_to:
            values[name], sources[name] = parsed(name, set_to, "environment"), "environment"
    for name, value in (given or {}).items():
        values[name], sources[name] = value, "command line"
    return Resolved(profile, values, sources)


def misspelt(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that look like a setting and are none, each with the setting that it resembles."""
    ours = [variable(name) for name in (*SETTINGS, "profile", "home", "debug")]
    found = []
    for key in sorted(environ):
        if key.startswith(PREFIX) and key not in ours:
            near = difflib.get_close_matches(key, ours, n=1, cutoff=0.9)
            found += [(key, near[0])] if near else []
    return found


def masked(name: str, value: Any) -> Any:
    """A setting's value as it may be shown: passwords in it are hidden."""
    return masked_url(value) if name == "redis_url" and value else value


def masked_url(url: str) -> str:
    """`url` without the passwords in its user information and query."""
    scheme, separator, rest = url.partition("://")
    place, question, query = rest.partition("?")
    access, at, host = place.rpartition("@")
    if at:
        access = f"{access.partition(':')[0]}:***" if ":" in access else access
    shown = "&".join(
        f"{key}=***" if "password" in unquote(key).lower() else f"{key}={value}"
        for key, value in parse_qsl(query, keep_blank_values=True)
    )
    return f"{scheme}{separator}{access}{at}{host}{question}{shown}"


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where profiles are kept: in DISPATCHER_HOME, or the platform's folder for the user's configuration."""
    home = environ.get(f"{PREFIX}HOME")
    if home:
        return Path(home).absolute() / "profiles.toml"
    from platformdirs import user_config_path

    return user_config_path("dispatcher", appauthor=False) / "profiles.toml"


@dataclass(frozen=True, slots=True)
class Profiles:
    """The content of the file: each profile's settings by variable name, as text, and the active one's name."""

    file: Path
    active: str
    profiles: dict[str, dict[str, str]]

    @staticmethod
    def read(environ: Mapping[str, str] = os.environ) -> Profiles:
        """The file's content; a file that does not exist holds the empty profile `default`. Raises `BadValue`."""
        file = settings_file(environ)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return Profiles(file, DEFAULT_PROFILE, {DEFAULT_PROFILE: {}})
        import tomllib

        try:
            document = tomllib.loads(content.decode())
        except ValueError as error:
            raise BadValue(f"{file} is not valid TOML: {error}. Correct it, or remove it to start anew.") from None
        active, profiles = document.pop("active", DEFAULT_PROFILE), document.pop("profiles", {})
        is_fine = isinstance(active, str) and isinstance(profiles, dict) and not document
        if not is_fine or not all(isinstance(profile, dict) for profile in profiles.values()):
            raise BadValue(f"{file} may hold `active` and tables `[profiles.NAME]` only. Correct or remove it.")
        return Profiles(
            file,
            active,
            {DEFAULT_PROFILE: {}}
            | {name: {key: _text(value) for key, value in of.items()} for name, of in profiles.items()},
        )

    def of(self, profile: str) -> dict[str, str]:
        """The profile's settings. Raises `NotFound`."""
        if profile not in self.profiles:
            names = ", ".join(sorted(self.profiles))
            raise NotFound(f"profile {profile!r} was not found in {self.file}. There are: {names}.")
        return self.profiles[profile]

    def with_values(self, profile: str, changes: dict[str, str]) -> Profiles:
        return self._with(profile, self.of(profile) | changes)

    def without_values(self, profile: str, keys: Iterable[str]) -> Profiles:
        return self._with(profile, {key: text for key, text in self.of(profile).items() if key not in keys})

    def with_profile(self, name: str, source: str | None = None) -> Profiles:
        """A new profile, empty or with what `source` sets. Raises `BadRequest` for a name that is taken or odd."""
        if name in self.profiles:
            raise BadRequest(f"profile {name!r} exists already. Choose another name.")
        return self._with(_profile_name(name), dict(self.of(source)) if source else {})

    def without_profile(self, name: str) -> Profiles:
        """Raises `BadRequest` for the active profile, and for `default`, which is always there."""
        self.of(name)
        if name in (self.active, DEFAULT_PROFILE):
            raise BadRequest(
                f"profile {name!r} cannot be deleted: "
                + ("every file has it." if name == DEFAULT_PROFILE else "it is active. Use another one first.")
            )
        return replace(self, profiles={key: of for key, of in self.profiles.items() if key != name})

    def with_active(self, name: str) -> Profiles:
        self.of(name)
        return replace(self, active=name)

    def renamed(self, name: str, new_name: str) -> Profiles:
        """Raises as `with_profile` and `without_profile`; an active profile stays active."""
        made = self.with_profile(new_name, name)
        if made.active == name:
            made = made.with_active(new_name)
        return made.without_profile(name)

    def _with(self, profile: str, of: dict[str, str]) -> Profiles:
        return replace(self, profiles=self.profiles | {profile: of})

    def write(self) -> None:
        """Replaces the file as a whole; only its owner may read it, for it may hold passwords. Comments are lost."""
        lines = [f"active = {_quoted(self.active)}"]
        for name, of in sorted(self.profiles.items()):
            lines += ["", f"[profiles.{_key(name)}]"]
            lines += [f"{_key(key)} = {_quoted(value)}" for key, value in sorted(of.items())]
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        fresh.replace(self.file)


def _profile_name(name: str) -> str:
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise BadRequest(f"profile name {name[:100]!r} is not valid: give 1 to 100 printable characters.")
    return name


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text, re.ASCII) else _quoted(text)


def _quoted(text: str) -> str:
    """A TOML basic string: what JSON escapes is escaped alike, but for the delete character."""
    import json

    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{text!r} is not valid UTF-8 and cannot be kept.") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

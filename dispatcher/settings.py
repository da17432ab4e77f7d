"""Settings: what each means, its unit and default, which values it may have, and where its value comes from.

Precedence: command line > environment (`DISPATCHER_<NAME>`) > profile (`dispatcher/profiles.py`) > default. `resolve`
gives the values for a process with their sources, `faults` what is wrong in one source. A new setting is a field of
`Settings`; everything else follows from it. Loading this module loads pydantic, which `ls` has no time for:
`dispatcher/shortcut.py` is the way past it. No message quotes a value that may hold a secret.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from dispatcher import urls
from dispatcher.durations import duration_of
from dispatcher.errors import BadValue
from dispatcher.profiles import OTHER_VARIABLES, PREFIX, Profiles, Raw, variable
from dispatcher.shortcut import QUICK

_is_alone: ContextVar[bool] = ContextVar("_is_alone", default=False)  # without environment and profile
_from_profile: ContextVar[Mapping[str, Raw] | None] = ContextVar("_from_profile", default=None)


@dataclass(frozen=True, slots=True)
class Kind:
    """Of a type of values: what has to be given, what the documentation calls it, how one is shown if it is secret."""

    wanted: str
    name: str
    mask: Callable[[str], str] | None = None


def _seconds(value: object) -> object:
    return duration_of(value).total_seconds() if isinstance(value, str) else value


def _url(value: object) -> object:
    fault = urls.fault(value) if isinstance(value, str) and value else None
    if fault is not None:
        raise ValueError(fault)
    return value


def _names(value: object) -> object:
    names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    return [name for name in names if name != ""] if isinstance(names, list) else names


Host = Annotated[str, Field(min_length=1), Kind("a host name or address", "host name or address")]
Url = Annotated[str, BeforeValidator(_url), Kind("a Redis URL", "URL", urls.masked_url)]
File = Annotated[str, Kind("the path of a file", "path")]
Flag = Annotated[bool, Kind("true or false", "true or false")]
Output = Annotated[Literal["table", "json"], Kind("one of table, json", "`table` or `json`")]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=0, allow_inf_nan=False),
    Kind("a number from 0, in seconds, or a duration such as 90s, 30m or 1h30m", "seconds, or a duration"),
]
Pause = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0, allow_inf_nan=False),
    Kind("a number above 0, in seconds, or a duration such as 90s, 30m or 1h30m", "seconds, or a duration"),
]
Port = Annotated[int, Field(ge=0, le=65_535), Kind("a whole number from 0 to 65535", "number")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
VariableNames = Annotated[
    tuple[VariableName, ...],
    NoDecode,
    BeforeValidator(_names),
    Kind("names of environment variables with commas between", "names, with commas between; a list in the file"),
]


class _ProfileSource(InitSettingsSource):
    """What the profile says; the one in use unless `resolve` was asked for another."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        held = _from_profile.get()
        if held is None:
            profiles = Profiles.read()
            held = _by_name(profiles.of(profiles.in_use(None)))
        super().__init__(settings_cls, dict(held))


class Settings(BaseSettings):
    """Every setting. A field's name says its unit; its `Field`, what it means."""

    model_config = SettingsConfigDict(
        alias_generator=variable,
        populate_by_name=True,
        case_sensitive=True,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    redis_url: Url = Field(
        default=QUICK["redis_url"], description="The Redis to use; empty: the embedded broker.", repr=False
    )
    redis_ca_file: File = Field(
        default="", description="For `rediss://`: certificates (PEM) to trust; empty: those of the system."
    )
    redis_cert_file: File = Field(default="", description="For `rediss://`: the client's certificate (PEM).")
    redis_key_file: File = Field(
        default="", description="For `rediss://`: the key of the client's certificate; empty: it is in the same file."
    )
    allow_unsafe_broker: Flag = Field(
        default=QUICK["allow_unsafe_broker"], description="Use a Redis that may evict keys, and so lose runs."
    )
    output: Output = Field(default=QUICK["output"], description="How results are printed.")
    agent_prefetch_seconds: Seconds = Field(
        default=10.0, description="How long before its start an agent may claim a run."
    )
    worker_prefetch_seconds: Seconds = Field(
        default=10.0, description="How long before its start a worker may claim a run."
    )
    agent_query_seconds: Pause = Field(
        default=15.0, description="At most this long does an idle agent go without looking."
    )
    worker_query_seconds: Pause = Field(
        default=15.0, description="At most this long does an idle worker go without looking."
    )
    grace_seconds: Seconds = Field(default=10.0, description="From SIGTERM to SIGKILL when a run is stopped.")
    stream_output: Flag = Field(
        default=True, description="Show the output of runs on the consumer's own, besides keeping it."
    )
    allow_env: VariableNames = Field(
        default=(), description="Environment variables of the consumer that a template may read as `{{ $NAME }}`."
    )
    healthcheck_host: Host = Field(default="127.0.0.1", description="Where the health check of a consumer listens.")
    healthcheck_port: Port = Field(
        default=8080, description="The port of the health check of a consumer; 0: any that is free."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        if _is_alone.get():
            return (init_settings,)
        # Not pydantic's own source, which would take a variable `output` without our prefix for the setting too.
        ours: dict[str, Any] = dict(environment())
        return init_settings, InitSettingsSource(settings_cls, ours), _ProfileSource(settings_cls)

    def url_with_tls(self, url: str) -> str:
        """`url`, a `rediss://` one with the TLS files of the settings, unless it names its own. Raises `BadValue`."""
        if not url.startswith("rediss://"):
            return url
        files = {"ssl_ca_certs": "redis_ca_file", "ssl_certfile": "redis_cert_file", "ssl_keyfile": "redis_key_file"}
        for name in files.values():
            file = getattr(self, name)
            if file and not Path(file).is_file():
                raise BadValue(f"{variable(name)} names {file!r}, which is not a file. Correct it, or unset it.")
        found = urls.with_options(url, {option: getattr(self, name) for option, name in files.items()})
        if fault := urls.tls_fault(found):
            raise BadValue(fault)
        return found


SETTINGS = Settings.model_fields


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings, each with its source: `command line`, `environment`, `profile <name>` or `default`."""

    profile: str
    settings: Settings
    sources: dict[str, str]

    @property
    def values(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Examined:
    """As `Resolved` where something is wrong: the values that are not, and by setting what is wrong with the others.

    `strange`: what is wrong with names that are no setting.
    """

    profile: str
    values: dict[str, Any]
    sources: dict[str, str]
    faults: dict[str, str]
    strange: list[str]


def kind(name: str) -> Kind:
    """What may be given for a setting."""
    return next(found for found in SETTINGS[name].metadata if isinstance(found, Kind))


def shown(value: object) -> str:
    """A setting's value as text, in tables and in the documentation."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def masked(key: str, value: Any) -> Any:
    """The value of a setting (name or variable) as it may be shown; the value of an unknown one is hidden."""
    name = _name(key)
    if name not in SETTINGS:
        return "***"
    mask = kind(name).mask
    return value if mask is None or not value else mask(value) if isinstance(value, str) else "***"


def _name(key: str) -> str:
    return key.strip().lower().removeprefix(PREFIX.lower())


def known(text: str) -> str:
    """The setting that `text` names, as `redis_url` or `DISPATCHER_REDIS_URL`. Raises `BadValue`, nearest name told."""
    name = _name(text)
    if name in SETTINGS:
        return name
    near = difflib.get_close_matches(name, SETTINGS, n=1) or [one for one in SETTINGS if name and one.startswith(name)]
    hint = f"Did you mean {variable(near[0])}?" if near else "List them: dispatcher config view --show-defaults"
    # What is no name may be a value in the wrong place, a URL with its password for instance.
    named = f" {text!r}" if name.replace("_", "").replace("-", "").isalnum() else " of this name"
    raise BadValue(f"setting{named} is not known. {hint}")


def _by_name(held: Mapping[str, Raw]) -> dict[str, Raw]:
    return {known(key): value for key, value in held.items()}


def faults(values: Mapping[str, Raw], source: str) -> list[str]:
    """What is wrong with values that come from one source, by name or variable: a sentence each."""
    found: list[str] = []
    fine: dict[str, Any] = {}
    for key, value in values.items():
        try:
            name = known(key)
        except BadValue as error:
            found.append(f"{source}: {error}")
            continue
        if name in fine:
            found.append(f"{source}: {variable(name)} is set twice, by this name and a shorter one.")
        fine[name] = value
    token = _is_alone.set(True)
    try:
        Settings(**fine)
    except ValidationError as error:
        found += _told(error, fine, dict.fromkeys(fine, source)).values()
    finally:
        _is_alone.reset(token)
    return found


def environment() -> dict[str, str]:
    """What the environment sets, by setting; an empty variable counts as not set."""
    return {name: text for name in SETTINGS if (text := os.environ.get(variable(name)))}


def resolve(profile: str | None = None, given: Mapping[str, Any] | None = None) -> Resolved:
    """Every setting for this process; `given` comes from the command line.

    Raises `BadValue`, which names everything that is wrong, and `NotFound` for an unknown profile.
    """
    profiles = Profiles.read()
    profile = profiles.in_use(profile)
    held = _by_name(profiles.of(profile))
    texts, sources = _layered(profile, held, given or {})
    token = _from_profile.set(held)
    try:
        return Resolved(profile, Settings(**(given or {})), sources)
    except ValidationError as error:
        raise BadValue("\n  ".join(_told(error, texts, sources).values())) from None
    finally:
        _from_profile.reset(token)


def examined(profile: str | None = None, given: Mapping[str, Any] | None = None) -> Examined:
    """As `resolve`, and no faulty value is in the way of the others. Raises what the file and `NotFound` say."""
    profiles = Profiles.read()
    profile = profiles.in_use(profile)
    held: dict[str, Raw] = {}
    strange = []
    for key, value in profiles.of(profile).items():
        try:
            held[known(key)] = value
        except BadValue as error:
            strange.append(f"profile {profile}: {error}")
    texts, sources = _layered(profile, held, given or {})
    wrong: dict[str, str] = {}
    token = _is_alone.set(True)
    try:
        Settings(**texts)
    except ValidationError as error:
        wrong = _told(error, texts, sources)
    try:
        fine = Settings(**{name: value for name, value in texts.items() if name not in wrong})
    finally:
        _is_alone.reset(token)
    values = {name: value for name, value in fine.model_dump(mode="json").items() if name not in wrong}
    return Examined(profile, values, sources, wrong, strange)


def _layered(profile: str, held: Mapping[str, Raw], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What is set, by setting, the later layer before the earlier; and where it comes from."""
    layers: dict[str, Mapping[str, Any]] = {
        f"profile {profile}": held,
        "environment": environment(),
        "command line": given,
    }
    texts = {name: value for layer in layers.values() for name, value in layer.items()}
    return texts, dict.fromkeys(SETTINGS, "default") | {name: source for source, of in layers.items() for name in of}


def _told(error: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, str]:
    told = {}
    for fault in error.errors(include_url=False):
        name = _name(str(fault["loc"][0]))
        of = kind(name)
        place = f"{variable(name)} ({sources[name]})"
        if of.mask is None:
            told[name] = f"{place} cannot be {_quoted(values[name])}: give {of.wanted}."
        else:
            told[name] = f"{place}: {fault.get('ctx', {}).get('error') or f'give {of.wanted}.'}"
    return told


def _quoted(value: object) -> str:
    text = str(value)
    return repr((urls.masked_url(text) if "://" in text else text)[:100])


def misspelt(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that look like a setting and are none, each with the setting that it resembles."""
    close = [(key, difflib.get_close_matches(key, _ours(), n=1, cutoff=0.9)) for key, _ in strangers(environ)]
    return [(key, near[0]) for key, near in close if near]


def strangers(environ: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Variables with our prefix that mean nothing, each with the nearest that does, if any is near."""
    bare = {key.removeprefix(PREFIX): key for key in _ours()}  # the prefix would make any two alike
    found: list[tuple[str, str | None]] = []
    for key in sorted(environ):
        if key.startswith(PREFIX) and key not in bare.values():
            near = difflib.get_close_matches(key.removeprefix(PREFIX), bare, n=1)
            found.append((key, bare[near[0]] if near else None))
    return found


def _ours() -> list[str]:
    return [*map(variable, SETTINGS), *OTHER_VARIABLES]

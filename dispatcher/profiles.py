"""Profiles: several sets of settings under the names of their environment variables, kept in one TOML file.

    active = "default"

    [profiles.default]
    DISPATCHER_REDIS_URL = "redis://broker:6379"

`Profiles.read` takes no lock: the file is only ever replaced as a whole. A change goes through `Profiles.changing`,
which holds a lock from reading to writing, so that no writer loses another's change, and keeps comments and order.
Values are texts or lists of texts here; what they mean is for `dispatcher/settings.py` alone. `default` is always
there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispatcher.errors import BadRequest, BadValue, NotFound

PREFIX = "DISPATCHER_"
DEFAULT_PROFILE = "default"
# Variables of ours that are no settings: read before there are any, or told to a run.
OTHER_VARIABLES = tuple(
    PREFIX + name
    for name in (
        *("HOME", "PROFILE", "DEBUG", "BROKER_BINARY", "CONSUMER_ID"),
        *("RUN_ID", "RUN_EPOCH", "RUN_ATTEMPT", "RUN_NAME", "DEPLOYMENT", "PARAMETERS_FILE"),
    )
)
LOCK_PATIENCE_S = 10.0  # a writer holds the lock for milliseconds
Raw = str | list[str]


def variable(name: str) -> str:
    """The environment variable of a setting, which is also its name in the file: `DISPATCHER_REDIS_URL`."""
    return PREFIX + name.upper()


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where profiles are kept: in DISPATCHER_HOME, or the platform's folder for the user's configuration."""
    home = environ.get(f"{PREFIX}HOME")
    if home:
        return Path(home).absolute() / "profiles.toml"
    from platformdirs import user_config_path

    return user_config_path("dispatcher", appauthor=False) / "profiles.toml"


class Profiles:
    """The content of the file. Only what `changing` gives may be changed."""

    def __init__(self, file: Path, content: dict[str, Any]) -> None:
        self.file = file
        self._content = content
        self._renamed: list[tuple[str, str]] = []

    @staticmethod
    def read(environ: Mapping[str, str] = os.environ) -> Profiles:
        """The file's content; without a file there is the empty profile `default`. Raises `BadValue`."""
        file = settings_file(environ)
        return Profiles(file, _content(file, _text(file)))

    @staticmethod
    @contextmanager
    def changing(environ: Mapping[str, str] = os.environ) -> Iterator[Profiles]:
        """The content, to be changed; written at the end of the block unless it raises or changed nothing."""
        file = Path(os.path.realpath(settings_file(environ)))  # a link to the file stays one
        _content(file, _text(file))  # refused before anything is made beside it
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(file.with_name(f"{file.name}.lock")):
            before = _text(file)
            profiles = Profiles(file, _content(file, before))
            yield profiles
            if profiles._content != _content(file, before):
                _replace(file, _rewritten(before, profiles._content, profiles._renamed))

    @property
    def active(self) -> str:
        """The name of the profile that holds unless another one is asked for."""
        found: str = self._content.get("active", DEFAULT_PROFILE)
        return found

    @property
    def names(self) -> list[str]:
        return sorted({DEFAULT_PROFILE, *self._content.get("profiles", {})})

    def in_use(self, asked: str | None, environ: Mapping[str, str] = os.environ) -> str:
        """The name of the profile that holds: option > environment > the active one."""
        return asked or environ.get(f"{PREFIX}PROFILE") or self.active

    def of(self, profile: str) -> dict[str, Raw]:
        """What the profile sets, by variable. Raises `NotFound`."""
        return {key: _raw(value) for key, value in self._table(profile).items()}

    def _table(self, profile: str) -> dict[str, Any]:
        if profile not in self.names:
            raise NotFound(f"profile {profile!r} was not found in {self.file}. There are: {', '.join(self.names)}.")
        found: dict[str, Any] = self._content.get("profiles", {}).get(profile, {})
        return found

    def set_values(self, profile: str, changes: Mapping[str, str]) -> None:
        self._writable(profile).update(changes)

    def unset_values(self, profile: str, keys: Iterable[str]) -> None:
        for key in keys:
            self._writable(profile).pop(key, None)

    def create(self, name: str, source: str | None = None) -> None:
        """A new profile, empty or with what `source` sets. Raises `BadRequest` for a name that is taken or odd."""
        if name in self.names:
            raise BadRequest(f"profile {name!r} exists already. Choose another name.")
        if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
            raise BadRequest(f"profile name {name[:100]!r} is not valid: give 1 to 100 printable characters.")
        values = dict(self._table(source)) if source is not None else {}
        self._content.setdefault("profiles", {})[name] = values

    def delete(self, name: str, in_use: str) -> None:
        """Raises `BadRequest` for the active profile, the one in use, and `default`, which is always there."""
        self._table(name)
        if name == DEFAULT_PROFILE:
            raise BadRequest(f"profile {name!r} cannot be deleted: every file has it.")
        if name in (self.active, in_use):
            raise BadRequest(f"profile {name!r} cannot be deleted: it is active. Use another one first.")
        del self._content["profiles"][name]

    def use(self, name: str) -> None:
        """Makes it the active one. Raises `NotFound`."""
        self._table(name)
        self._content["active"] = name

    def rename(self, name: str, new_name: str) -> None:
        """Raises as `create`, and `BadRequest` for `default`; an active profile stays active."""
        self._table(name)
        if name == DEFAULT_PROFILE:
            raise BadRequest(f"profile {name!r} cannot be renamed: every file has it.")
        self.create(new_name, name)
        del self._content["profiles"][name]
        self._renamed.append((name, new_name))
        if self.active == name:
            self._content["active"] = new_name

    def _writable(self, profile: str) -> dict[str, Any]:
        self._table(profile)
        found: dict[str, Any] = self._content.setdefault("profiles", {}).setdefault(profile, {})
        return found


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def _content(file: Path, text: bytes) -> dict[str, Any]:
    import tomllib

    try:
        document = tomllib.loads(text.decode())
    except ValueError as error:
        raise BadValue(f"{file} is not valid TOML: {error}. Correct it, or remove it to start anew.") from None
    profiles = document.get("profiles", {})
    is_fine = isinstance(document.get("active", ""), str) and isinstance(profiles, dict)
    if (
        document.keys() - {"active", "profiles"}
        or not is_fine
        or not all(isinstance(of, dict) for of in profiles.values())
    ):
        raise BadValue(f"{file} may hold `active` and tables `[profiles.NAME]` only. Correct or remove it.")
    return document


def _raw(value: Any) -> Raw:
    if isinstance(value, list):
        return [str(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Holds the lock file, which stays: removing it would let two writers hold one each."""
    import fcntl

    number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end_s = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end_s:
                    raise BadRequest(
                        f"another command holds {file} for too long. Look for it, and try again."
                    ) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(number)


def _rewritten(before: bytes, content: dict[str, Any], renamed: list[tuple[str, str]]) -> bytes:
    """The text that says `content`, with as much as possible of the form and the comments of the text before."""
    import tomllib

    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document: Any = tomlkit.parse(before.decode())
        for name, new_name in renamed:
            document["profiles"][new_name] = document["profiles"].pop(name)
        _become(document, content)
        text = tomlkit.dumps(document)
        is_kept = tomllib.loads(text) == content
    except (ValueError, KeyError, TOMLKitError):
        is_kept = False
    if not is_kept:  # tomlkit loses its way in dotted keys and inline tables; what is set matters more than comments
        text = tomlkit.dumps(content)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadRequest("a name or value is not valid UTF-8 and cannot be kept.") from None


def _become(table: Any, content: dict[str, Any]) -> None:
    """Makes a table of tomlkit say `content`; what it says already is not touched."""
    import tomlkit

    for key in [key for key in table if key not in content]:
        del table[key]
    for key, value in content.items():
        if isinstance(value, dict):
            if key not in table:
                _add(table, key, tomlkit.table(is_super_table=key == "profiles"))
            _become(table[key], value)
        elif key not in table:
            _add(table, key, value)
        elif table[key] != value:
            table[key] = value


def _add(table: Any, key: str, value: Any) -> None:
    """Adds a key below the last one; comments at the end of a table are about what follows it."""
    body = table.value.body if hasattr(table.value, "body") else []
    trailing = []
    while body and body[-1][0] is None:
        trailing.append(body.pop())
    table[key] = value
    body.extend(reversed(trailing))


def _replace(file: Path, content: bytes) -> None:
    """Only the file's owner may read it, for it may hold passwords."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)

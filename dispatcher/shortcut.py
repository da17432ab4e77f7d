"""The short way to the few settings that every command asks for.

Loading the model of all settings (`dispatcher/settings.py`) takes a third of the time that `ls` may take. Most often
nothing is set but a Redis URL and how to print: texts, which the model takes as they are. Then they are taken here,
and the model is loaded when another setting is asked for. Whatever is not as plain as that is left to the model,
which alone reads and refuses values. `tests/unit/test_settings_shortcut.py` holds both ways against each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from dispatcher import urls
from dispatcher.profiles import OTHER_VARIABLES, PREFIX, Profiles, variable

if TYPE_CHECKING:
    from dispatcher.settings import Settings

# With their defaults, which the model takes from here.
QUICK: dict[str, Any] = {"redis_url": "", "output": "table", "allow_unsafe_broker": False}


def settings(profile: str | None, given: Mapping[str, Any], load: Callable[[], Settings]) -> Settings:
    """The settings of this process, by attribute; `load` gives the model's. Raises as `resolve`."""
    found = quick(profile, given)
    return load() if found is None else cast("Settings", _Quick(found, load))


def quick(profile: str | None, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of `QUICK`, if nothing else is set and every value is plain; None: ask the model."""
    profiles = Profiles.read()
    held = profiles.of(profiles.in_use(profile))
    environment = {
        key: text for key, text in os.environ.items() if text and key.startswith(PREFIX) and key not in OTHER_VARIABLES
    }
    found = dict(QUICK)
    for layer in (held, environment, {variable(name): value for name, value in given.items()}):
        for key, value in layer.items():
            name = key.removeprefix(PREFIX).lower()
            if key != variable(name) or not _is_plain(name, value):
                return None
            found[name] = value
    return found


def _is_plain(name: str, value: object) -> bool:
    if name == "output":
        return value in ("table", "json")
    return name == "redis_url" and isinstance(value, str) and (not value or urls.fault(value) is None)


class _Quick:
    """Stands for the model: knows the quick settings, and loads the model for any other."""

    def __init__(self, values: dict[str, Any], load: Callable[[], Settings]) -> None:
        self._values, self._load = values, load

    def __getattr__(self, name: str) -> Any:
        return self._values[name] if name in self._values else getattr(self._load(), name)

    def url_with_tls(self, url: str) -> str:
        """As the model's: no TLS file is set."""
        return url

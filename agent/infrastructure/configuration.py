"""A rendered job, read: what the pool's template and the job variables say about how one run is executed.

A job is a plain dict with the keys of the type `process`; what is missing or null means the default, keys that are not
known here are left alone. Operators write jobs by hand, so nothing about their shapes is believed: everything wrong is
told at once, and ends the run, not the consumer.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dispatcher.errors import BadValue

_LONGEST_S = 1e9  # about thirty years: whoever needs longer needs no limit
_NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a job asks for. None: the deployment's own (`working_dir`, `command`) or the consumer's (`grace_s`).

    `command` is executed instead of the flow. `name` is shown in the consumer's log lines. `is_output_shown` False:
    output is kept in the run's log only. The smaller of `timeout_s` and the run's own counts.
    """

    name: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    command: tuple[str, ...] | None = None
    is_output_shown: bool = True
    timeout_s: float | None = None
    grace_s: float | None = None

    @staticmethod
    def read(job: Mapping[str, Any], veiled: Callable[[str], str] = str) -> Configuration:
        """Raises `BadValue` with everything that is wrong. `veiled` takes out of a text what nobody is to see."""
        reader = _Reader(job, veiled)
        found = Configuration(
            name=reader.text("name", most=_NAME_LIMIT),
            env=reader.environment("env"),
            working_dir=reader.text("working_dir") or None,
            command=reader.command("command"),
            is_output_shown=reader.flag("stream_output"),
            timeout_s=reader.seconds("timeout_seconds"),
            grace_s=reader.seconds("grace_seconds", may_be_none=True),
        )
        reader.check_labels("labels")
        if reader.faults:
            raise BadValue(f"the job cannot be used: {'; '.join(reader.faults)}")
        return found


class _Reader:
    """Reads values by key and collects what is wrong with them."""

    def __init__(self, job: Mapping[str, Any], veiled: Callable[[str], str]) -> None:
        self._job = job
        self._veiled = veiled
        self.faults: list[str] = []

    def _miss(self, where: str, wanted: str, found: object) -> None:
        self.faults.append(f"{where} must be {wanted}, found {self._shown(found)}")

    def _shown(self, value: object) -> str:
        shown = self._veiled(repr(value))
        return shown if len(shown) <= 80 else f"{shown[:77]}..."

    def text(self, key: str, most: int | None = None) -> str:
        value = self._job.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not value.isprintable():
            self._miss(key, "text without control characters", value)
        elif most is not None and len(value) > most:
            self.faults.append(f"{key} must have {most} characters at most, found {len(value)}")
        else:
            return value
        return ""

    def flag(self, key: str) -> bool:
        value = self._job.get(key)
        if value is not None and not isinstance(value, bool):
            self._miss(key, "true or false", value)
        return value is not False

    def seconds(self, key: str, *, may_be_none: bool = False) -> float | None:
        """`may_be_none`: no time at all, which is 0, makes sense."""
        value = self._job.get(key)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= _LONGEST_S or not (value or may_be_none):
            self._miss(key, f"a number of seconds {'from' if may_be_none else 'above'} 0 to {_LONGEST_S:.0f}", value)
            return None
        return float(value)

    def environment(self, key: str) -> dict[str, str]:
        """Numbers, true and false are written as JSON writes them."""
        value = self._job.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._miss(key, "an object of names and texts", value)
            return {}
        found = {}
        for name, one in value.items():
            if not isinstance(name, str) or not name or "=" in name or "\0" in name:
                self.faults.append(f"{key} has the name {self._shown(name)}, which no variable can have")
            elif isinstance(one, bool):
                found[name] = "true" if one else "false"
            elif isinstance(one, str | int | float) and "\0" not in str(one):
                found[name] = str(one)
            else:
                self._miss(f"{key}.{name}", "text without NUL", one)
        return found

    def command(self, key: str) -> tuple[str, ...] | None:
        """A text is cut into words as a shell would, but no shell is involved. An empty one is none."""
        value = self._job.get(key)
        if isinstance(value, str):
            try:
                value = shlex.split(value)
            except ValueError as error:
                self.faults.append(f"{key} cannot be cut into words ({str(error).lower()}): {self._shown(value)}")
                return None
        if value is None or value == []:
            return None
        if not isinstance(value, list):
            self._miss(key, "text or a list of words", value)
            return None
        wrong = [place for place, word in enumerate(value) if not isinstance(word, str) or "\0" in word]
        for place in wrong:
            self._miss(f"{key}[{place}]", "text without NUL", value[place])
        if not wrong and not value[0]:
            self._miss(f"{key}[0]", "the name of a program", value[0])
        return None if wrong else tuple(value)

    def check_labels(self, key: str) -> None:
        """Labels are kept with the job and mean nothing here."""
        value = self._job.get(key)
        if value is not None and not isinstance(value, dict):
            self._miss(key, "an object", value)

"""`deployment.yaml`: reads it, and says what is wrong with it by file and line.

The YAML is walked as nodes, not loaded as objects, because only nodes know their lines: that is also
where duplicate keys, and values that JSON does not have (dates, binary, .nan), are refused. The plain
data then goes through the form (`deployment_form.py`), which forbids what it does not know; every fault
of a file is told at once. Imported only by commands that read a file, because yaml and pydantic cost
100 ms.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cli.deployment_form import Entry, words
from dispatcher.errors import BadValue

MOST_BYTES = 1 << 20
MAX_NODES = 100_000  # anchors can make a few lines into more than any memory holds
# What YAML 1.1 reads as a number that it does not look like: 010 is 8, 12:30 is 750.
_SURPRISING = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
TIMES = ("anchor_date",)  # keys whose text is a time, which YAML takes for one of its own unless it is in quotes
Place = tuple[str | int, ...]


def read(file: Path) -> list[tuple[str, Entry]]:
    """The deployments, each with its `file:line`. Raises `BadValue` with every fault of the file."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
        text = raw.decode("utf-8-sig") if len(raw) <= MOST_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadValue(f"The deployment file {file} cannot be read: {reason}.") from None
    if len(raw) > MOST_BYTES:
        raise BadValue(
            f"The deployment file {file} cannot be read: it is larger than {MOST_BYTES >> 20} MiB. Split it."
        )
    return _Reader(file).entries(text)


class _Reader:
    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[Place, int] = {}
        self.faults: list[tuple[int, str]] = []
        self.nodes = 0
        self.open: set[int] = set()

    def entries(self, text: str) -> list[tuple[str, Entry]]:
        data = self._data(text)
        if not isinstance(data, dict):
            self._fault((), "a deployment is a mapping, such as 'entrypoint: flows/etl.py:load'")
        self._end_if_faulty()
        listed = "deployments" in data
        if listed and len(data) > 1:
            other = next(name for name in data if name != "deployments")
            self._fault((other,), f"{other!r} must stand in one of the deployments, not beside the list")
        items = data["deployments"] if listed else [data]
        if not isinstance(items, list) or not items:
            self._fault(("deployments",), "a list of deployments is wanted")
        self._end_if_faulty()
        places: list[Place] = [("deployments", number) if listed else () for number in range(len(items))]
        found = [self._entry(place, item) for place, item in zip(places, items, strict=True)]
        self._end_if_faulty()
        return [
            (f"{self.file}:{self._line(place)}", entry) for place, entry in zip(places, found, strict=True) if entry
        ]

    def _entry(self, place: Place, item: Any) -> Entry | None:
        try:
            return Entry.model_validate(item)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                self._fault((*place, *fault["loc"]), words(fault))
            return None

    def _data(self, text: str) -> Any:
        loader: yaml.SafeLoader | None = None
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            return None if node is None else self._plain(loader, node, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            advice = "; text that begins with * or & stands in quotes" if error.context in _ANCHORS else ""
            self.faults = [(line, f"not valid YAML: {error.problem or error.context}{advice}")]
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.faults = [(line, f"not valid YAML: the character {chr(error.character)!r} cannot stand in it")]
        except yaml.YAMLError as error:
            self.faults = [(1, f"not valid YAML: {error}")]
        except RecursionError:
            self.faults = [(1, "not valid YAML: its values are nested too deeply")]
        finally:
            if loader is not None:
                loader.dispose()
        self._end_if_faulty()  # of what is no YAML nothing else can be said
        return None

    def _plain(self, loader: yaml.SafeLoader, node: yaml.Node, place: Place) -> Any:
        self.nodes += 1
        self.lines[place] = node.start_mark.line + 1
        if self.nodes > MAX_NODES:
            raise yaml.YAMLError(f"more than {MAX_NODES} values")
        if id(node) in self.open:
            raise yaml.YAMLError("a value contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(loader, node, place)
            if isinstance(node, yaml.SequenceNode):
                return [self._plain(loader, item, (*place, number)) for number, item in enumerate(node.value)]
            return self._scalar(loader, node, place)
        finally:
            self.open.discard(id(node))

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        loader.flatten_mapping(node)  # `<<: *other`; what is merged in comes first, so that own keys win
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                self._at(key, f"the key {shown} must be text: put it in quotes")
                continue
            if key.value in found and own.count(key.value) > 1:
                self._at(key, f"the key {key.value!r} stands here twice")
            found[key.value] = self._plain(loader, value, (*place, key.value))
            self.lines[*place, key.value] = key.start_mark.line + 1
        return found

    def _scalar(self, loader: yaml.SafeLoader, node: yaml.Node, place: Place) -> Any:
        try:
            value = loader.construct_object(node)
        except (ValueError, OverflowError):
            value = object()
        if isinstance(value, date) and place and place[-1] in TIMES:
            return _time_text(str(node.value), value)
        written = str(node.value)
        if type(value) in (int, float) and _SURPRISING.fullmatch(written):
            self._fault(place, f"{written} is the number {value} in YAML: put it in quotes, or write {value}")
            return None
        is_finite = not isinstance(value, float) or isfinite(value)
        if value is None or (isinstance(value, str | bool | int | float) and is_finite):
            return value
        self._fault(place, f"{node.value!r} is of a type that JSON does not have: put it in quotes")
        return None

    def _line(self, place: Place) -> int:
        """The line of the value, or of the nearest thing around it that stands in the file."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)

    def _fault(self, place: Place, text: str) -> None:
        self.faults.append((self._line(place), text))

    def _at(self, node: yaml.Node, text: str) -> None:
        self.faults.append((node.start_mark.line + 1, text))

    def _end_if_faulty(self) -> None:
        if self.faults:
            told = "\n".join(f"  {self.file}:{line}: {text}" for line, text in sorted(set(self.faults)))
            raise BadValue(f"The deployment file cannot be used, nothing was changed:\n{told}")


_ANCHORS = ("while scanning an alias", "while scanning an anchor")


def _time_text(text: str, value: date) -> str:
    """The time as it was written, if that is ISO 8601; YAML has more spellings, such as a space before the offset."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return value.isoformat()
    return value.isoformat() if " " in text else text

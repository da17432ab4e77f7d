"""How a fault in something that people wrote is put into words: where it is, and which name was meant.

Pure. Everything here is bounded, since names and values may be hostile: what is too long is cut, and no name is
looked for among thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_LONGEST_WORDS, _LONGEST_NAME, _MOST_NAMES = 300, 100, 500  # what can be read, and what difflib does in no time
_PLAIN_STEP = re.compile(r"[\w$-]+")


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'day'?)` for a slip of the finger, else nothing."""
    if len(name) > _LONGEST_NAME:
        return ""
    near = [one for one in islice(known, _MOST_NAMES) if len(one) <= _LONGEST_NAME]
    close = get_close_matches(name.lower(), near, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown(name: object, known: Iterable[str]) -> str:
    """`'dya' is not known (did you mean 'day'?)`"""
    return f"{name!r} is not known{nearest(name, known) if isinstance(name, str) else ''}"


def at(path: str, *steps: str | int) -> str:
    """The path, so many steps further: `env.PORT`, `command[0]`, `labels['a b']`."""
    for step in steps:
        if isinstance(step, str) and _PLAIN_STEP.fullmatch(step):
            path = f"{path}.{step}" if path else step
        else:
            path += f"[{step!r}]"
    return path


def worded(path: str, words: str) -> str:
    """One fault with its path, cut to what can be read."""
    told = f"{path}: {words}" if path else words
    return told if len(told) <= _LONGEST_WORDS else f"{told[: _LONGEST_WORDS // 2]} ... {told[-_LONGEST_WORDS // 3 :]}"


def kind(value: object) -> str:
    """What sort of JSON value it is: `a list`."""
    kinds = {"dict": "an object", "list": "a list", "tuple": "a list", "str": "text", "bool": "a boolean"}
    return "null" if value is None else kinds.get(type(value).__name__, "a number")

"""The headers of `dispatcher/lua/*.lua`, read by rules that a person can keep in mind.

After the shebang line a script has, in this order: lines that say what it does; `Moves: none`, or `Moves: <name>
<before...> -> <after...>` lines; `KEYS[n] <name>: <type>`; `ARGV[n] <name>` entries, separated by semicolons or
lines, or `ARGV: none`; one `Returns: <word> <field>:<type>...` line a shape; `Twice:`; `Cost:`. ARGV[1] is the clock
and is not named. `ARGV[n...]` may come any number of times: `per <thing>: <name>, <name>` names a group that is
repeated whole. A type of a field is int, str, list or any; the last one may end in `*`: any number of these.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

LUA = Path(__file__).resolve().parents[1] / "dispatcher" / "lua"
SHEBANG = re.compile(r"#!lua( flags=[a-z,-]+)?")
ORDER = ("purpose", "Moves", "KEYS", "ARGV", "Returns", "Twice", "Cost")
_MOVE = re.compile(r"(\w+) ([A-Z ]+) -> ([A-Z ]+)")
_KEY = re.compile(r"KEYS\[(\d+)\] (\w+): (\w+)")
_ARGUMENT = re.compile(r"ARGV\[(\d+)(\.\.\.)?\] (.+)")
TYPES: dict[str, type | tuple[type, ...]] = {"int": int, "str": str, "list": list, "any": (int, str, list)}


class HeaderBroken(AssertionError):
    """A header that cannot be read by the rules above, or a call or reply that does not fit it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One form of a reply: its word, then fields; the last one `repeated` or not."""

    word: str
    types: tuple[str, ...] = ()
    is_repeated: bool = False

    def fits(self, reply: Any) -> bool:
        if not isinstance(reply, list) or not reply or reply[0] != self.word:
            return False
        values, types = reply[1:], list(self.types)
        if self.is_repeated:
            last = types.pop()
            types += [last] * (len(values) - len(types))
        return len(values) == len(types) and all(
            isinstance(value, TYPES[kind]) for value, kind in zip(values, types, strict=True)
        )


@dataclass(slots=True)
class Header:
    """What one header says. `fixed`: arguments that always come, the clock aside; `group`: how many make one of those
    that come any number of times, 0: none do, None: not to be counted from the header alone."""

    name: str
    purpose: list[str] = field(default_factory=list)
    moves: list[tuple[str, str, str]] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    fixed: int = 0
    group: int | None = 0
    returns: list[Shape] = field(default_factory=list)
    twice: str = ""
    cost: str = ""
    is_fragment: bool = False

    def takes(self, count: int) -> bool:
        """Whether a call may have so many arguments, the clock not counted."""
        rest = count - self.fixed
        if not self.group:
            return rest == 0 if self.group == 0 else rest >= 0
        return rest >= 0 and rest % self.group == 0


def names(*, fragments: bool = False) -> list[str]:
    return sorted(path.stem for path in LUA.glob("*.lua") if path.name.startswith("_") == fragments)


def lines(name: str) -> list[str]:
    return (LUA / f"{name}.lua").read_text("utf-8").splitlines()


def body(name: str) -> str:
    """The code of a script or fragment, without comment lines."""
    return "\n".join(line.partition(" -- ")[0] for line in lines(name) if not line.startswith(("--", "#!")))


@cache
def header(name: str) -> Header:
    """The header of a script, or of a fragment (`Fragment:` and `Moves:` lines only)."""
    text = lines(name)
    found = Header(name, is_fragment=name.startswith("_"))
    if found.is_fragment:
        if not text[0].startswith("-- Fragment: "):
            raise HeaderBroken(f"{name}.lua: the first line must be `-- Fragment: <what it is for>`")
        comments = [line[3:] for line in text if line.startswith("-- ")]
        found.purpose = [text[0].removeprefix("-- Fragment: ")]
        found.moves = [move for line in comments if line.startswith("Moves: ") for move in _moves(name, line[7:])]
        return found
    if not SHEBANG.fullmatch(text[0]):
        raise HeaderBroken(f"{name}.lua: the first line must be `#!lua`, with or without flags")
    place = 0
    for line in text[1:]:
        if not line.startswith("-- "):
            break
        kind = next((word for word in ORDER[1:] if re.match(rf"-- {word}[:\[]", line)), "purpose")
        if ORDER.index(kind) < place:
            raise HeaderBroken(f"{name}.lua: {line!r} stands behind a {ORDER[place]!r} line; the order is {ORDER}")
        place = ORDER.index(kind)
        _read(found, kind, line[3:])
    for kind, said in zip(ORDER[1:], (True, found.keys, True, found.returns, found.twice, found.cost), strict=True):
        if not said or (kind in ("Moves", "ARGV") and not any(line.startswith(f"-- {kind}") for line in text)):
            raise HeaderBroken(f"{name}.lua: no {kind} line")
    return found


def _read(found: Header, kind: str, text: str) -> None:
    rest = text.partition(": ")[2]
    if kind == "purpose":
        found.purpose.append(text)
    elif kind == "Moves":
        found.moves += _moves(found.name, rest)
    elif kind == "KEYS":
        match = _KEY.fullmatch(text)
        if not match or int(match[1]) != len(found.keys) + 1:
            raise HeaderBroken(f"{found.name}.lua: {text!r} is not `KEYS[{len(found.keys) + 1}] <name>: <type>`")
        found.keys.append((match[2], match[3]))
    elif kind == "ARGV":
        if text != "ARGV: none":
            for entry in text.split("; "):
                _argument(found, entry)
    elif kind == "Returns":
        found.returns.append(_shape(found.name, rest))
    elif kind == "Twice":
        found.twice = rest
    else:
        found.cost = rest


def _moves(name: str, text: str) -> list[tuple[str, str, str]]:
    if text == "none":
        return []
    match = _MOVE.fullmatch(text)
    if not match:
        raise HeaderBroken(f"{name}.lua: {text!r} is not `<name> <BEFORE...> -> <AFTER...>`")
    return [(before, match[1], after) for before in match[2].split() for after in match[3].split()]


def _argument(found: Header, entry: str) -> None:
    if entry.startswith("then ") and entry.endswith("...") and found.group:
        found.group = None  # two kinds of repeated arguments: a counted one says where the second begins
        return
    match = _ARGUMENT.fullmatch(entry)
    if not match or int(match[1]) != found.fixed + 2 or found.group != 0:
        raise HeaderBroken(f"{found.name}.lua: {entry!r} is not `ARGV[{found.fixed + 2}] <name>`")
    if match[2]:
        group, colon, listed = match[3].partition(": ")
        found.group = len(listed.split(", ")) if colon and group.startswith("per ") else 1
    else:
        found.fixed += 1


def _shape(name: str, text: str) -> Shape:
    word, *fields = text.split(" ")
    types = [entry.partition(":")[2] for entry in fields]
    is_repeated = bool(types) and types[-1].endswith("*")
    if is_repeated:
        types[-1] = types[-1][:-1]
    wrong = [kind for kind in types if kind not in TYPES]
    if wrong:
        raise HeaderBroken(f"{name}.lua: {text!r}: types are {', '.join(TYPES)}, not {wrong}")
    return Shape(word, tuple(types), is_repeated)

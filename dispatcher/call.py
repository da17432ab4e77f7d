"""An operation as a value: `Call` is one round trip, `Flow` is a generator of several; drivers send them.

No I/O happens here: `ops/` makes the values, `client.py` and `aio.py` send them, and neither repeats the other.
`wire` turns a call into the words of a command. Only this file reads `lua/*.lua`. A script's first argument is always
the clock: empty in production, so that the script asks the server; a test may set it through its driver.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Generic, TypeVar

from dispatcher.errors import BadValue, refusal

R = TypeVar("R")
Arg = str | int
Flow = Generator["Call[Any]", Any, R]

# Shared parts, in the order in which they are put before a script's own text; each may use those before it.
FRAGMENTS = (
    *("_pool", "_index", "_filter", "_run", "_move", "_end", "_lease", "_consumer", "_stop", "_schedule", "_duty"),
    *("_submit", "_fill", "_clock", "_rank", "_match", "_park", "_wake", "_audit"),
)

# A function of the outermost level, of one line or up to a line `end`; or a line of anything else.
_CHUNK = re.compile(r"(?m)^local function .* end\n|^local function (?:.*\n)+?end\n|^.+\n")
_COMMENT = re.compile(r"(?m) *--.*$")
_NAMED = re.compile(r"local function (\w+)")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, complete with its fragments; `sha` is what EVALSHA wants."""

    name: str
    text: str
    sha: str


def script_names() -> list[str]:
    """The names of all scripts."""
    found = (PurePath(file.name) for file in (files("dispatcher") / "lua").iterdir())
    return sorted(file.stem for file in found if not file.stem.startswith("_"))


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`: its shebang line, what it uses of the fragments, its own text.

    Each call of a script makes its functions anew, so those that it cannot reach are left out: a quarter of what
    `lease_start` costs. All but the first fragment goes into one function: Lua 5.1 looks for a captured local along the
    list of all that were captured on that level before, which was 5 us of every call (2026-11, Valkey 9.1, Redis 7.0).
    """
    folder = files("dispatcher") / "lua"
    shebang, own = (folder / f"{name}.lua").read_text("utf-8").split("\n", 1)
    parts = [(folder / f"{fragment}.lua").read_text("utf-8") for fragment in FRAGMENTS]
    names, *rest = _reached(parts, own)
    text = "\n".join([shebang, names, "local function body()", *rest, own, "end\nreturn body()"])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _reached(parts: list[str], own: str) -> list[str]:
    """The fragments without the functions that `own` does not reach; each may use only what stands before it."""
    wanted, kept = set(_WORD.findall(_COMMENT.sub("", own))), list[str]()
    for part in reversed(parts):
        chunks = list[str]()
        for chunk in reversed(_CHUNK.findall(_COMMENT.sub("", part))):
            named = _NAMED.match(chunk)
            if named is None or named[1] in wanted:
                wanted.update(_WORD.findall(chunk))
                chunks.insert(0, chunk)
        kept.insert(0, "".join(chunks))
    return kept


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One round trip: what to send, and how to read the answer.

    `command` is a script's name or the name of a plain Redis command. `resend`: sending it a second time, because
    the first reply was lost, changes nothing wrongly: it is ignored, does what was
    left to do, or is refused because it was done. `waits_ms`: how long the server may hold the reply back.
    """

    command: str
    keys: tuple[str, ...]
    args: tuple[Arg, ...]
    decode: Callable[[Any], R]
    resend: bool = True
    waits_ms: int | None = None
    work: Callable[[], R] | None = None  # see `aside`

    @property
    def is_script(self) -> bool:
        return self.command.islower()

    def __iter__(self) -> Generator[Call[Any], Any, R]:
        """Lets a flow say `reply = yield from call`; the driver sends the call and puts the decoded reply back."""
        reply: R = yield self
        return reply


def aside(work: Callable[[], R]) -> Call[R]:
    """A step of a flow that asks nothing of Redis and takes its time, such as importing somebody's code: the async
    driver does it in a thread, so that the event loop goes on."""
    return Call("", (), (), lambda done: done, work=work)


def wire(call: Call[Any], now_ms: int | None) -> tuple[Arg, ...]:
    """The words of the command; a script goes by its digest. Raises `BadValue` for text that cannot be sent."""
    for arg in call.args:
        if isinstance(arg, str):
            checked_text(arg)
    if not call.is_script:
        return (call.command, *call.keys, *call.args)
    clock: Arg = "" if now_ms is None else now_ms
    return ("EVALSHA", script(call.command).sha, len(call.keys), *call.keys, clock, *call.args)


def as_json(value: Any) -> str:
    """The value as an argument. Raises `BadValue` for text that is not valid: a script that reads it would stumble."""
    return checked_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def checked_text(text: str) -> str:
    """The text, if it has a form in UTF-8. Raises `BadValue`, which does not tell what it says: it may be a secret."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise BadValue(
            f"a text, or the name of a folder, holds U+{code:04X}: that is half a character and cannot be kept. Give "
            "valid UTF-8."
        ) from None
    return text


def expect(word: str, **facts: object) -> Callable[[Any], list[Any]]:
    """A decoder for a script's reply: the fields after `word`; any other word raises the error it stands for."""

    def decode(reply: Any) -> list[Any]:
        if reply[0] != word:
            raise refusal(str(reply[0]), *reply[1:2], **facts)
        return list(reply[1:])

    return decode

"""The keys in a server held against `dispatcher/keyspace.py`, and its docstrings read as the contract they are.

A docstring begins with the key's type (`Hash`, `Set`, `Sorted set`, `List`, `String`, `Stream`). A hash names its
fields after `Hash: ` and a stream after `fields `, separated by commas or `and`, up to the first full stop, with
remarks in brackets; `->` instead says that the fields are names of things. `Expires` says that such a key always has
an expiry, `Expires, once ...` that it has one from then on; without either word it has none.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis

from dispatcher import keyspace

TYPES = {"Hash": "hash", "Set": "set", "Sorted set": "zset", "List": "list", "String": "string", "Stream": "stream"}
# What a parameter may be, as an expression and as people write it.
PARTS = {"pool": "[^{}]+", "group": r"\d+/.+", "deployment": ".+", "scope": ".*", "key": ".+", "state": "[A-Z]+"}


@dataclass(frozen=True, slots=True)
class Documented:
    """One function of keyspace: which keys it makes, and what it says of them. `fields` None: names of things."""

    name: str
    form: str
    pattern: re.Pattern[str]
    text: str
    type: str
    fields: frozenset[str] | None
    expires: str  # always | once | never


def _key(function: Callable[..., str], value_of: Callable[[str], str]) -> str:
    return function(*[value_of(parameter) for parameter in inspect.signature(function).parameters])


def _pattern(function: Callable[..., str]) -> re.Pattern[str]:
    text = re.escape(_key(function, lambda parameter: f"<{parameter}>"))
    return re.compile(re.sub(r"<(\w+)>", lambda match: f"(?:{PARTS.get(match[1], '[^:]+')})", text))


def _fields(text: str, kind: str) -> frozenset[str] | None:
    begin = "Hash: " if kind == "hash" else "fields "
    sentence = re.sub(r"\([^)]*\)", "", text).partition(begin)[2].partition(". ")[0].rstrip(".")
    if kind not in ("hash", "stream") or not sentence or "->" in sentence:
        return None
    words = [part.split()[-1] for part in re.split(r",|;| and | or ", sentence) if part.split()]
    return frozenset(word.strip("`") for word in words)


@cache
def documented() -> tuple[Documented, ...]:
    """All keys, in the order of keyspace.py."""
    found = []
    for name, function in keyspace.KEYS.items():
        text = " ".join((function.__doc__ or "").split())
        word = next((word for word in sorted(TYPES, key=len, reverse=True) if text.startswith(word)), "")
        if not word:
            raise AssertionError(f"keyspace.{name}: the docstring must begin with one of {', '.join(TYPES)}")
        expires = "once" if "Expires, once " in text else "always" if "Expires" in text else "never"
        form = _key(function, lambda parameter: "POOL" if parameter == "pool" else f"<{parameter}>")
        kind = TYPES[word]
        found.append(Documented(name, form, _pattern(function), text, kind, _fields(text, kind), expires))
    return tuple(found)


def describing(key: str) -> Documented | None:
    """The function that makes this key. The longest form wins: `queue:<queue>` does not hold `queue:<queue>:ready`."""
    fitting = [one for one in documented() if one.pattern.fullmatch(key)]
    return max(fitting, key=lambda one: len(one.form), default=None)


def undocumented(server: redis.Redis) -> list[str]:
    """What is wrong with the keys that lie in the server, in words; nothing else may run at the time."""
    keys = sorted(server.scan_iter(count=1000))
    asking = server.pipeline(transaction=False)
    for key in keys:
        asking.type(key)
        asking.pttl(key)
        asking.eval(CONTENT, 1, key)
    replies: list[Any] = asking.execute()
    content = {key: tuple(replies[3 * place : 3 * place + 3]) for place, key in enumerate(keys)}
    return [fault for key in keys for fault in _faults(key, content)]


# The names of a hash's or a stream's fields; what a set or sorted set holds.
CONTENT = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' then return redis.call('HKEYS', KEYS[1]) end
if kind == 'zset' then return redis.call('ZRANGE', KEYS[1], 0, -1) end
if kind ~= 'stream' then return {} end
local seen, names = {}, {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for place = 1, #entry[2], 2 do
    if not seen[entry[2][place]] then seen[entry[2][place]], names[#names + 1] = true, entry[2][place] end
  end
end
return names
"""


def _faults(key: str, content: dict[str, tuple[Any, ...]]) -> list[str]:
    of = describing(key)
    if of is None:
        return [f"{key}: no function of keyspace makes it"]
    kind, ttl_ms, names = content[key]
    faults = []
    if kind != of.type:
        faults.append(f"{key}: is a {kind}, keyspace.{of.name} says {of.type}")
    if of.fields is not None and set(names) - of.fields:
        faults.append(f"{key}: fields {sorted(set(names) - of.fields)} are not in keyspace.{of.name}")
    if of.expires == "always" and ttl_ms < 0:
        faults.append(f"{key}: has no expiry, keyspace.{of.name} says that it expires")
    if of.expires == "never" and ttl_ms >= 0:
        faults.append(f"{key}: expires in {ttl_ms} ms, keyspace.{of.name} does not say so")
    owner = _owner(of, key, content)
    if owner and ttl_ms < 0:
        faults.append(f"{key}: {owner}, and it does not expire: nobody will ever remove it")
    return faults


def _owner(of: Documented, key: str, content: dict[str, tuple[Any, ...]]) -> str:
    """What is missing that this key belongs to; empty: nothing."""
    slot = re.match(r"(dispatcher:\{(.+?)\}:)", key)
    if slot is None:
        return ""
    if keyspace.pool(slot[2]) not in content:
        return "its pool is gone"
    if of.name in ("run_input", "run_result", "run_log") and key.rpartition(":")[0] not in content:
        return "its run is gone"
    listed = content.get(keyspace.consumers(slot[2]), ("", 0, []))[2]
    if of.name == "consumer" and key.rpartition(":")[2] not in listed:
        return "its consumer is not listed any more"
    if of.name == "consumer_runs" and key.rpartition(":")[0] not in content:
        return "its consumer is gone"
    return ""


def rows() -> list[str]:
    """The rows of the table in `docs/keys.md`: key, type, and the rest of the docstring."""
    words = {kind: word.lower() for word, kind in TYPES.items()}
    found = []
    for one in documented():
        word = words[one.type]
        rest = one.text[len(word) :].lstrip(":, ").removeprefix("of ").replace("|", "\\|")
        found.append(f"| `{one.form}` | {word} | {rest} |")
    return found

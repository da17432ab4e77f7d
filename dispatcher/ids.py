"""Identifiers: 26 characters, time-ordered, so that a tie in a sorted set is first in, first out.

The form is ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 random ones (the first of them 0, room to
count up), Crockford's base 32. Within one process identifiers made in the same millisecond still grow, because the
random part is then counted up.
"""

from __future__ import annotations

import os
import secrets
import threading
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_lock = threading.Lock()
_last = 0


def _start_anew() -> None:
    """In a forked child: a sibling must not count on from the same number, and nobody will release the lock."""
    global _lock, _last
    _lock, _last = threading.Lock(), 0


os.register_at_fork(after_in_child=_start_anew)


def new_id() -> str:
    """A new identifier, greater than every earlier one of this process."""
    global _last
    fresh = (time.time_ns() // 1_000_000 << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS - 1)
    with _lock:
        _last = max(fresh, _last + 1)
        number = _last
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))

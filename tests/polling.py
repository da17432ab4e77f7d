"""Waiting in tests: for a condition, with a deadline and words for what did not happen.

No test sleeps for a fixed time: it polls here, or moves the test clock. `what` is read by whoever
sees the failure, so it says what was awaited ("the run is RUNNING"), not how it was looked up.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_PAUSE_S = 0.005


def poll_until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Call `condition` until it returns something true; return that, or fail naming `what`."""
    end_s = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {timeout_s} s: {what} (last answer: {found!r})")
        time.sleep(_PAUSE_S)

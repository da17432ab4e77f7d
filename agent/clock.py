"""The clock of leases: monotonic, and it counts while the machine sleeps, as the server's clock does.

`time.monotonic` stands still while a laptop or a virtual machine is suspended, and a consumer that wakes up would
believe in leases that ended long ago. Linux and macOS have a clock that does not.
"""

from __future__ import annotations

import time

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC_RAW", time.CLOCK_MONOTONIC))


def now_s() -> float:
    """Seconds since some fixed moment."""
    return time.clock_gettime(_CLOCK)

"""The guardian: a small process beside each consumer that kills the consumer's runs when the consumer is gone.

Started by its path with `-I -S` in a session of its own, it reads its standard input: `+N` puts process group N under
its eyes, `-N` takes it out. End of file means that the consumer ended, however: every group that is left is killed,
grandchildren included, and the folder named by the first argument (the consumer's temporary files) is removed.
The parent-death signal of Linux reaches children only; this reaches their groups, and works on every Unix.

The standard library only. A group number stays taken as long as a process of the group lives or is not buried, and
the consumer says `-N` before it buries, so no stranger is ever killed.
"""

import os
import signal
import sys


def watch(descriptor: int) -> set[int]:
    """Reads until end of file; returns the groups that are left."""
    groups: set[int] = set()
    rest = b""
    while True:
        data = os.read(descriptor, 65536)
        if not data:
            return groups
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            change = groups.add if line[:1] == b"+" else groups.discard
            change(int(line[1:]))


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for group in watch(0):
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    import shutil

    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()

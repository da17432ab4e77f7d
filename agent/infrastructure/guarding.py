"""The consumer's end of the guardian (`agent/guardian.py`): tells it which process groups are ours.

What is held here is the write end of a pipe. It is closed by whatever ends the consumer, SIGKILL included, and that is
the signal. A guardian that died is replaced when it is next spoken to, and told again about every group.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = Path(__file__).resolve().parent.parent / "guardian.py"


class Guarding:
    """A guardian for the runs of this process; `folder` is removed when the process is gone or after `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._groups: set[int] = set()
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), str(self._folder)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )

    def add(self, group: int) -> None:
        """From now on the group does not outlive this process."""
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        """To be called while the group's number is still taken: before its leader is waited for."""
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), line.encode())
        except BrokenPipeError:
            self._process.stdin.close()
            self._process.wait()
            self._process = self._started()
            assert self._process.stdin is not None
            os.write(self._process.stdin.fileno(), "".join(f"+{group}\n" for group in self._groups).encode())

    def close(self) -> None:
        """Lets the guardian clean up and waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

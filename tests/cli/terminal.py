"""The command on a terminal of its own, as a person has it: a pseudo-terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.cli.project import PATIENCE_S, Project

COLUMNS = 80


def in_terminal(
    project: Project, *words: str, typed: bytes = b"", columns: int = COLUMNS, **env: str
) -> tuple[int, str]:
    """Exit code, and everything that was shown."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    wanted = {**project.environment(), "TERM": "xterm-256color", **env}
    del wanted["COLUMNS"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dispatcher", *words],
        cwd=project.folder,
        env=wanted,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, typed)
    shown = b""
    while part := _read(ours):
        shown += part
    os.close(ours)
    return process.wait(PATIENCE_S), shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so when the other side is closed
        return b""

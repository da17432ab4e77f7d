"""Programs of users, run by an interpreter of their own, with every warning an error."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def ran(folder: Path, code: str, *argv: str, **environment: str) -> str:
    """Writes `app.py` into the folder and runs it there; gives what it printed. Fails when it fails or complains."""
    program = folder / "app.py"
    program.write_text(textwrap.dedent(code), "utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DISPATCHER_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(program), *argv],
        cwd=folder,
        env={**clean, "PYTHONFAULTHANDLER": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "", done.stderr
    return done.stdout

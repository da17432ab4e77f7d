"""A child does nothing for a consumer that died, and tells every error."""

from __future__ import annotations

import marshal
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent import child

CHILD = Path(child.__file__)


def test_without_a_word_from_the_consumer_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("print('imported')\ndef main(): print('called')\n")
    spec: dict[str, Any] = {"entrypoint": "flows.py:main", "command": None, "path": str(tmp_path), "parameters": {}}
    (tmp_path / "spec").write_bytes(marshal.dumps(spec))
    done = subprocess.run(
        [sys.executable, "-P", str(CHILD), "run", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert not (tmp_path / "outcome").exists()


def test_an_error_without_a_text_is_told() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert child.told(KeyError("a")) == "KeyError: 'a'"
    assert child.told(ValueError()) == "ValueError"
    assert child.told(Mute()).endswith("Mute: <the exception has no text>")
    assert len(child.told(ValueError("x" * 10_000))) == 2000

"""A child does nothing for a consumer that died, and tells every error."""

from __future__ import annotations

import marshal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import child
from dispatcher import Client

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


def ended(folder: Path, code: str) -> tuple[str, str]:
    """The outcome of a run of `main` in this code, and what it printed."""
    (folder / "flows.py").write_text(code)
    spec: dict[str, Any] = {"entrypoint": "flows.py:main", "command": None, "path": str(folder), "parameters": {}}
    (folder / "spec").write_bytes(marshal.dumps(spec))
    done = subprocess.run(
        [sys.executable, "-P", str(CHILD), "run", str(folder)],
        input=b"!",
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(CHILD.parents[1])},
    )
    return (folder / "outcome").read_text(), (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("word", ["def", "async def"])
def test_a_flow_that_calling_would_not_run_has_failed(tmp_path: Path, word: str) -> None:
    outcome, printed = ended(tmp_path, f"{word} main():\n    print('called')\n    yield 1\n")
    assert outcome.startswith("FAILED\n\nThe flow 'main' cannot be called: it is a generator function")
    assert "Traceback" not in printed


def test_a_file_that_submits_at_its_top_level_does_not_do_it_again_in_its_run(tmp_path: Path, redis_url: str) -> None:
    client = f"from dispatcher import Client\nclient = Client({redis_url!r})\n"
    outcome, printed = ended(tmp_path, f"{client}def main(): pass\nclient.submit(main)\n")
    assert outcome.startswith("FAILED\n\nflows.py is being loaded to find its flow, and submits at the same time")
    assert outcome.endswith("put that under `if __name__ == '__main__':`.")
    assert "Traceback" not in printed
    with Client(redis_url) as connected:
        assert connected.runs() == []


def test_a_flow_submits_when_it_is_called(tmp_path: Path, redis_url: str) -> None:
    client = f"from dispatcher import Client\nclient = Client({redis_url!r})\n"
    outcome, _ = ended(tmp_path, f"{client}def main(): return client.submit(['true']).state_name\n")
    assert outcome.startswith('COMPLETED\n"Scheduled"')


def test_a_mistake_in_a_mark_is_told_without_a_traceback(tmp_path: Path) -> None:
    outcome, printed = ended(tmp_path, "from dispatcher import flow\n@flow(retries=-1)\ndef main(): pass\n")
    assert outcome == f"FAILED\n\n{printed.strip()}"
    assert printed.startswith("retries of @flow is -1")


@pytest.mark.parametrize(
    "before",
    [
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        "sys.stderr.close()",
        "os.close(1); os.close(2)",
        "os.close(1); sys.stdout.write('x')",
        "class Odd: pass\n    sys.stdout = sys.stderr = Odd()",
    ],
)
def test_an_exception_is_told_also_when_there_is_nothing_left_to_print_it_on(tmp_path: Path, before: str) -> None:
    outcome, _ = ended(tmp_path, f"import os, sys\ndef main():\n    {before}\n    raise ValueError('no luck')\n")
    assert outcome.startswith("FAILED\n\n")
    assert "no luck" in outcome or "Bad file descriptor" in outcome, "the write may have failed already"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import asyncio\nasync def main(): raise asyncio.CancelledError", "asyncio.exceptions.CancelledError"),
        ("class Gone(BaseException): pass\ndef main(): raise Gone('no luck')", "flows.Gone: no luck"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_what_is_raised_has_failed_also_when_it_is_no_exception(tmp_path: Path, code: str, told: str) -> None:
    outcome, printed = ended(tmp_path, code)
    assert outcome == f"FAILED\n\n{told}"
    assert printed.splitlines()[-1] == told
    assert "child.py" not in printed

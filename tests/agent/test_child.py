"""The child's other duties: it reports a flow's signature, and it does nothing for a consumer that died."""

from __future__ import annotations

import json
import marshal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import child

CHILD = Path(child.__file__)


def inspected(folder: Path, entrypoint: str, code: str) -> dict[str, Any]:
    """What `inspect` reports of `code`, as the file flows.py."""
    (folder / "flows.py").write_text(code)
    report = folder / "report.json"
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"entrypoint": entrypoint, "path": str(folder), "report": str(report)}))
    subprocess.run(
        [sys.executable, "-P", str(CHILD), "inspect", str(spec)], check=True, capture_output=True, cwd=folder
    )
    found: dict[str, Any] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize(
    ("signature", "properties", "required", "anything"),
    [
        ("", {}, [], False),
        ("day", {"day": {"title": "day"}}, ["day"], False),
        (
            "day: str, n: int = 3, x: float = 0.5, b: bool = True",
            {
                "day": {"title": "day", "type": "string"},
                "n": {"title": "n", "type": "integer", "default": 3},
                "x": {"title": "x", "type": "number", "default": 0.5},
                "b": {"title": "b", "type": "boolean", "default": True},
            },
            ["day"],
            False,
        ),
        (
            "rows: list[int], names: 'dict', other: int | None = None",
            {
                "rows": {"title": "rows", "type": "array"},
                "names": {"title": "names", "type": "object"},
                "other": {"title": "other", "default": None},
            },
            ["rows", "names"],
            False,
        ),
        ("when=object(), *, nan=float('nan')", {"when": {"title": "when"}, "nan": {"title": "nan"}}, [], False),
        ("*args, **more", {}, [], True),
        ("strange: []", {"strange": {"title": "strange"}}, ["strange"], False),
    ],
)
def test_a_signature_becomes_a_schema(
    tmp_path: Path, signature: str, properties: dict[str, Any], required: list[str], anything: bool
) -> None:
    found = inspected(tmp_path, "flows.py:_my_flow", f"def _my_flow({signature}): raise SystemExit('not called')")
    assert found == {
        "ok": True,
        "flow_name": "my-flow",
        "parameters": {"properties": properties, "required": required, "additionalProperties": anything},
    }


def test_an_async_function_and_a_class_are_flows_too(tmp_path: Path) -> None:
    code = (
        "class Load:\n    def __call__(self, a): pass\n    async def run(self, b): pass\nload = Load()\nrun = load.run"
    )
    assert inspected(tmp_path, "flows.py:load", code)["parameters"]["required"] == ["a"]
    assert inspected(tmp_path, "flows:run", code)["parameters"]["required"] == ["b"]
    assert inspected(tmp_path, "flows:load.run", code)["flow_name"] == "run"


@pytest.mark.parametrize(
    ("entrypoint", "code", "error"),
    [
        ("flows.py:main", "def main(a, /): pass", "its parameter 'a' is positional-only"),
        ("flows.py:main", "other = 1", "there is no 'main' in 'flows.py'"),
        ("flows.py:main", "main = 1", "'main' in 'flows.py' is not a function"),
        ("flows.py:main", "1/0", "importing it failed: ZeroDivisionError: division by zero"),
        ("flows.py:main", "import not_there", "importing it failed: ModuleNotFoundError: No module named 'not_there'"),
        ("flows.py:main", "def main(:", "importing it failed: SyntaxError"),
        ("nothing.py:main", "", "there is no file"),
        ("nothing:main", "", "there is no module 'nothing'"),
    ],
)
def test_what_cannot_be_a_flow_is_told(tmp_path: Path, entrypoint: str, code: str, error: str) -> None:
    found = inspected(tmp_path, entrypoint, code)
    assert not found["ok"]
    assert error in found["error"]


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

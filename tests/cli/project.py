"""A user's project folder, and the command typed in it: each call is a process of its own, as users have it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and both streams. `json` is stdout as one document."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Project:
    """A folder with files, and the environment in which `dispatcher` is typed there."""

    folder: Path
    redis_url: str
    env: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def environment(self) -> dict[str, str]:
        found = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")}
        path = os.pathsep.join(filter(None, [self.env.get("PYTHONPATH"), str(ROOT)]))
        return {
            **found,
            "DISPATCHER_REDIS_URL": self.redis_url,
            "DISPATCHER_HOME": str(self.folder / ".home"),
            "COLUMNS": "200",
            **self.env,
            "PYTHONPATH": path,
        }

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Types the command and does not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "dispatcher", *words],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def typed(self, *words: str, stdin: str = "", patience_s: float = PATIENCE_S) -> Answer:
        """Types the command and waits for its end."""
        process = self.start(*words)
        try:
            stdout, stderr = process.communicate(stdin, timeout=patience_s)
        finally:
            process.kill()
            process.wait()
        # One of ours would start a line; a flow's own is shown indented.
        assert not any(line.startswith("Traceback") for line in stderr.splitlines()), stderr
        return Answer(process.returncode, stdout, stderr)

    def done(self, *words: str, stdin: str = "") -> Answer:
        """As `typed`; the command has to succeed."""
        answer = self.typed(*words, stdin=stdin)
        assert answer.code == 0, f"dispatcher {' '.join(words)}: {answer.code}\n{answer.stdout}\n{answer.stderr}"
        return answer

    def json(self, *words: str, stdin: str = "") -> Any:
        """As `done`, with JSON output; returns the document."""
        return self.done(*words, "-o", "json", stdin=stdin).json

    def refused(self, *words: str, code: int = 1, stdin: str = "") -> str:
        """The command has to be refused with this exit code and without a word on stdout; returns stderr."""
        answer = self.typed(*words, stdin=stdin)
        assert (answer.code, answer.stdout) == (code, ""), f"{answer.code}\n{answer.stdout}\n{answer.stderr}"
        return answer.stderr

    def work(self, pool: str = "default-agent-pool") -> None:
        """An agent runs what is ready in the pool now, and leaves."""
        self.done("agent", "start", "--pool", pool, "--run-once", "--hide-welcome")

    @contextmanager
    def agent(self, pool: str = "default-agent-pool", *words: str) -> Iterator[None]:
        """An agent serves the pool meanwhile."""
        process = self.start("agent", "start", "--pool", pool, "--hide-welcome", *words)
        try:
            yield
        finally:
            self._end(process)

    @staticmethod
    def _end(process: "subprocess.Popen[str]") -> None:
        """The first signal lets runs go on, the second stops them; two at once would be one."""
        try:
            for patience_s in (1, PATIENCE_S):
                process.terminate()
                try:
                    process.communicate(timeout=patience_s)
                except subprocess.TimeoutExpired:
                    continue
                return
        finally:
            process.kill()
            process.communicate()

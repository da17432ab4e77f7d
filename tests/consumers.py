"""Consumers as processes, for tests: a project with flows, a pool with short leases, agents and workers to kill.

`Scene` is one pool on one server with a folder of flows; `scene.start("worker")` starts a real consumer, `submit`
and `finished` speak to the pool as any client does. `opened` ends whatever a test leaves running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from dispatcher.client import Client
from dispatcher.ids import new_id
from dispatcher.models import Consumer, Event, NewRun, Pool, Run, RunInput
from dispatcher.ops import consumers, pools, runs, views
from dispatcher.states import State
from tests.polling import poll_until

POOL = "scene"
LEASE_S = 5.0
PATIENCE_S = 20.0  # a machine that runs three test workers on two cores is slow at times
FLOWS = """
    import asyncio, os, signal, subprocess, sys, time
    from pathlib import Path

    def mark(name, text=""):
        path = Path(__file__).with_name(name)
        path.with_suffix(".new").write_text(str(text))
        path.with_suffix(".new").replace(path)

    def wait_for(name):
        while not Path(__file__).with_name(name).exists():
            time.sleep(0.01)

    def hello(name="world"):
        print("hello", name)
        return {"greeted": name}

    async def later(value=1):
        await asyncio.sleep(0)
        return value

    def fail(text="no luck"):
        raise ValueError(text)

    def fail_until(times):
        count = Path(__file__).with_name("count")
        made = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(made))
        if made <= times:
            raise ValueError(f"attempt {made}")
        return made

    def leave(code):
        sys.exit(code)

    def kill_itself(number):
        os.kill(os.getpid(), number)

    def hold(name="held", until="go"):
        # runs until the file `until` is there, with a grandchild beside it
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        mark(name, f"{os.getpid()} {grandchild.pid}")
        wait_for(until)
        grandchild.kill()
        grandchild.wait()
        return "held"

    def chat(until):
        # a line, many lines once `more` is there, and one at the end
        print("before", flush=True)
        mark("chat")
        wait_for("more")
        for number in range(200):
            print("more", number, flush=True)
        mark("said-more")
        wait_for(until)
        print("after", flush=True)

    def note(word):
        # one line for each execution, however many there are at once
        with open(Path(__file__).with_name("journal"), "a") as file:
            print(word, file=file)

    def tidy(name="tidy"):
        try:
            mark(f"{name}-started")
            time.sleep(600)
        finally:
            mark(f"{name}-cleaned")

    def stubborn(name="stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        mark(name, os.getpid())
        time.sleep(600)
"""


class ConsumerProcess:
    """An agent or worker that was started as people start it; its output is in `log`."""

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and buried, as a supervisor does it."""
        self.process.kill()
        self.process.wait()

    def exit_code(self, timeout_s: float = PATIENCE_S) -> int:
        """Waits for the end."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the consumer has not ended; it said:\n{self.log}") from None


class Scene:
    """A pool, a project folder, and what happens there."""

    def __init__(self, url: str, folder: Path, pool_type: str = "process") -> None:
        self.url = url
        self.folder = folder
        self.client = Client(url)
        self.started: list[ConsumerProcess] = []
        self.temporary = folder.parent / f"{folder.name}-tmp"  # some tests kill whoever would clean up
        self.temporary.mkdir()
        self.client.run(pools.create(POOL, type=pool_type, lease_ms=round(LEASE_S * 1000)))
        (folder / "flows.py").write_text(textwrap.dedent(FLOWS))

    # Consumers

    def begin(self, kind: str, *options: str, url: str | None = None, **environment: str) -> ConsumerProcess:
        """Starts a consumer and does not wait for it."""
        argv = [sys.executable, "-m", "dispatcher", "--redis-url", url or self.url]
        log = self.folder.parent / f"{self.folder.name}-consumer-{len(self.started)}.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")}
        clean["TMPDIR"] = str(self.temporary)
        consumer = ConsumerProcess(
            [*argv, kind, "start", "--hide-welcome", *options], self.folder, {**clean, **environment}, log
        )
        self.started.append(consumer)
        return consumer

    def start(self, *options: str, kind: str = "worker", url: str | None = None) -> ConsumerProcess:
        """Starts a consumer for the pool and waits until it is registered."""
        consumer = self.begin(kind, "--pool", POOL, *options, url=url)
        poll_until(
            lambda: consumer.pid in {row.pid for row in self.listed()} or consumer.process.poll() is not None,
            PATIENCE_S,
            "the consumer is registered",
        )
        assert consumer.process.poll() is None, consumer.log
        return consumer

    def listed(self) -> list[Consumer]:
        return self.client.run(consumers.list_all(POOL))

    # Runs

    def submit(self, flow: str | None = None, *, queue: str = "default", delay_ms: int = 0, **of: Any) -> str:
        """Submits a run of `flows.py:<flow>`, or of what `of` says; returns its id."""
        entrypoint = None if flow is None else f"flows.py:{flow}"
        run_input = RunInput(**{"entrypoint": entrypoint, "path": str(self.folder), **of})
        run = NewRun(new_id(), f"run-{flow or 'other'}", queue, run_input, delay_ms=delay_ms)
        return self.client.run(runs.submit(POOL, [run]))[0].id

    def read(self, run: str) -> Run:
        return self.client.run(runs.read(POOL, run))

    def until(self, run: str, *states: State, timeout_s: float = PATIENCE_S) -> Run:
        """Waits until the run is in one of these states."""

        try:
            poll_until(lambda: self.read(run).state in states, timeout_s, f"run {run} is {' or '.join(states)}")
            return self.read(run)
        except AssertionError as error:
            said = "\n".join(consumer.log for consumer in self.started)
            raise AssertionError(f"{error}; it is {self.read(run)}; the consumers said:\n{said}") from None

    def finished(self, run: str, timeout_s: float = PATIENCE_S) -> Run:
        return self.until(run, State.COMPLETED, State.FAILED, State.CRASHED, State.CANCELLED, timeout_s=timeout_s)

    def log(self, run: str) -> list[str]:
        return [line.text for line in self.client.run(runs.logs(POOL, run, most=20_000))]

    def pool(self) -> Pool:
        return self.client.run(pools.read(POOL))

    def events(self, kind: str, run: str = "") -> list[Event]:
        """The pool's events of a kind, of one run or of all."""
        found = self.client.run(views.events(POOL, most=20_000))
        return [event for event in found if event.event == kind and run in ("", event.fields.get("run"))]

    # Files that flows write

    def file(self, name: str, timeout_s: float = PATIENCE_S) -> str:
        """Waits for a file of the project and returns its text."""
        path = self.folder / name
        poll_until(path.exists, timeout_s, f"a flow wrote {name}")
        return path.read_text()

    def held(self, name: str = "held") -> tuple[int, int]:
        """The process of a run of `hold`, and its grandchild."""
        child, grandchild = self.file(name).split()
        return int(child), int(grandchild)

    def go(self, name: str = "go") -> None:
        """Lets the runs of `hold` end."""
        (self.folder / name).touch()

    def close(self) -> None:
        for consumer in self.started:
            consumer.process.kill()
            consumer.process.wait()
        self.client.close()


def is_dead(pid: int) -> bool:
    """Whether the process is gone, or only waits to be buried by whoever adopted it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def opened(url: str, folder: Path, pool_type: str = "process") -> Iterator[Scene]:
    project = folder / "project"
    project.mkdir()
    scene = Scene(url, project, pool_type)
    try:
        yield scene
    finally:
        scene.close()

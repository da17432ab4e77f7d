"""What the demo plays on and with: a broker in a folder of its own, a worker process, the examples' deployments.

`Stage` is a context manager that leaves nothing: whatever happened inside, the worker is stopped (first asked to
drain, then told to end), the broker is stopped and the folder removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import dispatcher
from cli import deployment_file, deployment_plan
from dispatcher import Client, broker
from dispatcher.errors import BadValue, BrokerUnavailable
from dispatcher.ids import new_id
from dispatcher.models import Deployment, NewRun
from dispatcher.names import new_name
from dispatcher.ops import pools, queues, runs
from dispatcher.states import State

ROOT = Path(dispatcher.__file__).resolve().parent
POOL = "demo"
POOL_LIMIT = 5
QUEUES: tuple[tuple[str, int, int | None], ...] = (("critical", 1, 1), ("high", 5, 3), ("low", 10, None))
DRAIN_TIMEOUT_S = 10
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NEVER_MS = 3_600_000  # a start so far away that the run is still waiting when it is cancelled


@dataclass(frozen=True, slots=True)
class Part:
    """One run to play: whose, where, with what, and how it has to end. `is_cancelled`: the demo cancels it."""

    deployment: str
    queue: str
    parameters: dict[str, object]
    ends: State = State.COMPLETED
    is_cancelled: bool = False
    delay_ms: int = 0


PARTS: tuple[Part, ...] = (
    *[Part("count-down/long", "low", {"seconds": 3})] * 2,
    Part("count-down/long", "low", {"seconds": 300}, State.CANCELLED, is_cancelled=True),
    Part("count-down/long", "low", {"seconds": 300}, State.CANCELLED, is_cancelled=True, delay_ms=NEVER_MS),
    *[Part("greet/hello", "low", {"name": f"number {number}"}) for number in range(1, 12)],
    *[Part("load-orders/nightly", "high", {"pause_seconds": 0.4})] * 5,
    Part("call-service/patient", "high", {"failures": 0}),
    *[Part("call-service/patient", "high", {"failures": 1})] * 2,
    Part("call-service/patient", "high", {"failures": 99}, State.FAILED),
    *[
        Part("load-orders/nightly", "critical", {"region": region, "pause_seconds": 0.2})
        for region in ("north", "south", "east", "west", "north", "south")
    ],
)


def examples() -> Path:
    """The folder of the examples: in a checkout at its top, in an installation inside the package."""
    for folder in (ROOT.parent / "examples", ROOT / "_examples"):
        if (folder / "etl" / "deployment.yaml").is_file():
            return folder
    raise BadValue(f"The examples are neither in {ROOT.parent} nor in {ROOT}: install again.")


class Stage:
    """`with Stage() as stage:`; then `client`, and the methods in the order in which they stand here."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="dispatcher-demo-"))
        self.worker: subprocess.Popen[bytes] | None = None
        self.worker_log = self.folder / "worker.log"
        try:
            self.client = Client(broker.ensure(self.folder / "broker"))
        except BaseException:
            with uninterrupted():
                self._remove()
            raise
        return self

    def make_queues(self) -> None:
        """The pool and its queues. The queue `default` has priority 1 from the start and moves up for `critical`."""
        self.client.run(pools.create(POOL, type="process", limit=POOL_LIMIT, description="dispatcher demo"))
        for name, priority, limit in QUEUES:
            self.client.run(queues.create(POOL, name, priority=priority, limit=limit))

    def deploy(self) -> dict[str, Deployment]:
        """Deploys every example to the pool, as `dispatcher deploy` does."""
        drafts = []
        for file in sorted(examples().glob("*/deployment.yaml")):
            for where, entry in deployment_file.read(file):
                draft = deployment_plan.draft_of(entry, where, file.parent)
                drafts.append(deployment_plan.Draft(draft.name, draft.input, POOL, "low", draft.description, where))
        plans = deployment_plan.planned(self.client, drafts, check=True)
        for plan in plans:
            deployment_plan.save(self.client, plan)
        return {plan.deployment.name: plan.deployment for plan in plans}

    def start_worker(self) -> None:
        """A worker of its own process, as `dispatcher worker start` makes it, that knows only this broker."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")}
        env |= {"DISPATCHER_REDIS_URL": self.client.url, "DISPATCHER_HOME": str(self.folder), "NO_COLOR": "1"}
        with self.worker_log.open("wb") as log, uninterrupted():  # or a process is there that nobody knows
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "dispatcher", "worker", "start", "--pool", POOL, "--name", "demo-worker"],
                cwd=ROOT.parent,  # where -m finds this very package, whatever the user's folder holds
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the worker itself
            )

    def is_worker_alive(self) -> bool:
        return self.worker is not None and self.worker.poll() is None

    def worker_log_end(self) -> str:
        """The last lines of what the worker said."""
        if not self.worker_log.exists():
            return ""
        return "\n".join(self.worker_log.read_text("utf-8", errors="replace").splitlines()[-20:])

    def submit(self, deployments: dict[str, Deployment]) -> dict[str, Part]:
        """Submits every part in one call; returns them by run id."""
        parts = {new_id(): part for part in PARTS}
        runs_wanted = []
        for run, part in parts.items():
            deployment = deployments[part.deployment]
            given = deployment.input.document() | {"parameters": deployment.input.parameters | part.parameters}
            runs_wanted.append(
                NewRun(
                    id=run,
                    name=new_name(),
                    queue=part.queue,
                    input=type(deployment.input).read(given),
                    deployment=deployment.name,
                    delay_ms=part.delay_ms,
                )
            )
        self.client.run(runs.submit(POOL, runs_wanted))
        return parts

    def stop_worker(self) -> int | None:
        """Asks the worker to drain; its exit code, or None when it had to be killed."""
        if self.worker is None:
            return None
        self.worker.send_signal(signal.SIGTERM)
        try:
            return self.worker.wait(DRAIN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted():
            try:
                self._end_worker()
            finally:
                self.client.close()
                self._remove()

    def _end_worker(self) -> None:
        """The second signal makes a worker stop its runs at once; if even that does not help, it is killed."""
        if self.worker is None:
            return
        for patience_s in (1, DRAIN_TIMEOUT_S):
            self.worker.send_signal(signal.SIGTERM)
            try:
                self.worker.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
            return
        self.worker.kill()
        self.worker.wait()

    def _remove(self) -> None:
        folder = self.folder / "broker"
        pid = broker.status(folder).pid
        try:
            broker.stop(folder)
        except BrokerUnavailable:  # it does not want to; what it holds is of no use any more
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An interrupt that comes in the block is raised at its end: what is half done would be left behind."""
    came: list[int] = []
    # Functions, not SIG_IGN: a process started meanwhile would go on ignoring.
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt

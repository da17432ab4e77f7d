"""Single runs in the infrastructure `process`, for tests: no server, no consumer, only the job and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.infrastructure.base import Ended
from agent.infrastructure.process import ProcessInfrastructure
from agent.infrastructure.process_job import ProcessJob
from dispatcher.models import Claimed, RunInput

LIMIT_S = 30


class Runner:
    """Executes runs of one project, one after the other, and keeps what they printed."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.printed = b""
        self.infrastructure = ProcessInfrastructure

    def __call__(
        self,
        flow: str | None = None,
        act: Callable[[ProcessJob], Awaitable[None]] | None = None,
        job: dict[str, Any] | None = None,
        **of: Any,
    ) -> Ended:
        entrypoint = None if flow is None else flow if ":" in flow else f"flows.py:{flow}"
        run_input = RunInput(**{"entrypoint": entrypoint, "path": str(self.project), **of})
        claimed = Claimed("RUN", 7, "default", 0, 2, 0, "brave-fox", "etl/nightly", 0, run_input)
        return asyncio.run(self._run(claimed, job or {}, act))

    async def _run(
        self, run: Claimed, of: dict[str, Any], act: Callable[[ProcessJob], Awaitable[None]] | None
    ) -> Ended:
        infrastructure = self.infrastructure({"DISPATCHER_CONSUMER_ID": "CONSUMER"}, "myhost")
        try:
            async with asyncio.timeout(LIMIT_S):
                job = await infrastructure.prepare(run, of, self._print)
                if isinstance(job, Ended):
                    return job
                if act is None:
                    job.start()
                else:
                    await act(job)
                return await job.wait()
        finally:
            infrastructure.close()

    async def _print(self, piece: bytes) -> None:
        self.printed += piece

    @property
    def lines(self) -> list[str]:
        return self.printed.decode().splitlines()

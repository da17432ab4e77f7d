"""One run's life on this consumer, as named steps: prepare, wait until it is due, start, watch, report.

The process is started only after the server has agreed (`lease_start`), and the run is over only when the server has
answered how it ended, or has said that it is not ours any more. Whatever ends a run early comes in through
`interrupt`. Nothing here decides about states: `agent/outcome.py` says what an end means, scripts refuse what is late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.clock import now_s
from agent.infrastructure.base import Ended, Infrastructure, Job
from agent.outcome import Stop, outcome
from agent.output import Output
from agent.patience import Patience
from dispatcher.errors import BrokerRefused, LeaseLost, PoolNotFound
from dispatcher.models import Claimed, Consumer, Outcome
from dispatcher.ops import leases
from dispatcher.states import State

T = TypeVar("T")
_log = logging.getLogger("dispatcher.consumer")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all executions of a consumer share."""

    me: Consumer
    patience: Patience
    infrastructure: Infrastructure
    grace_s: float  # from SIGTERM to SIGKILL
    echo: Callable[[str], None] | None  # where lines of output go besides the log


class Execution:
    """A claimed run until its end. `run_to_end` is awaited once, as a task of its own."""

    def __init__(self, run: Claimed, around: Surroundings) -> None:
        self.run = run
        self.is_started = False  # user code has begun
        self._around = around
        self._job: Job | None = None
        self._stop: Stop | None = None
        self._stopped = asyncio.Event()
        self._is_ended = False
        self._due_s = now_s() + run.wait_ms / 1000
        self._started_s = 0.0
        echo = around.echo
        self._output = Output(
            self._write_log,
            lambda: around.patience.is_away,
            None if echo is None else lambda line: echo(f"{run.name} | {line}"),
        )

    @property
    def key(self) -> tuple[str, int]:
        return self.run.id, self.run.epoch

    def interrupt(self, stop: Stop) -> None:
        """Ends the run early, for the first reason that comes; only `LOST` replaces another, and only `LOST` matters
        when the process has ended already. A report that is on its way is not called back: its answer tells more."""
        if self._is_ended and stop is not Stop.LOST:
            return
        if self._stop is None or stop is Stop.LOST:
            self._stop = stop
        self._stopped.set()
        if stop is Stop.LOST:
            self._output.abandon()

    def stop_process(self, *, force: bool) -> None:
        """Signals the process, if there is one. Safe from any thread."""
        if self._job is not None:
            self._job.stop(force=force)

    async def run_to_end(self) -> None:
        ended = await self._execute()
        self._is_ended = True
        if ended.could_not_start:
            self._output.say(f"[could not start: {ended.could_not_start}]")
        if self._stop is not Stop.LOST:
            await self._output.close()
        await self._report(ended)

    # Steps ----------------------------------------------------------------------------------------------------------

    async def _execute(self) -> Ended:
        job = await self._around.infrastructure.prepare(self.run, self._output.feed)
        if isinstance(job, Ended):
            return job
        self._job = job
        end = asyncio.create_task(job.wait())
        try:
            if await self._wait_until_due(end) and await self._start(job):
                await self._watch(end)
        finally:
            if not end.done():
                await self._end(job, end)
        return await end

    async def _wait_until_due(self, end: asyncio.Task[Ended]) -> bool:
        """The run holds its slot meanwhile; False: it is not to be started at all, or its process has ended already."""
        wait_s = self._due_s - now_s()
        if wait_s > 0:
            await self._unless_stopped(_until(end, wait_s))
        return self._stop is None and not end.done()

    async def _start(self, job: Job) -> bool:
        me = self._around.me
        try:
            state = await self._unless_stopped(
                self._around.patience.run(lambda: leases.start(me.pool, me.id, *self.key, pid=job.pid))
            )
        except (LeaseLost, PoolNotFound):
            self.interrupt(Stop.LOST)
            return False
        if state is State.CANCELLING:
            self.interrupt(Stop.CANCEL)
        if self._stop is not None:
            return False
        self.is_started = True
        self._started_s = now_s()
        job.start()
        _log.info("Run %s (%s) has started, process %d.", self.run.name, self.run.id, job.pid)
        return True

    async def _watch(self, end: asyncio.Task[Ended]) -> None:
        """Returns when the process has ended, or has to be stopped."""
        if await self._unless_stopped(_until(end, self.run.input.timeout_s)) is False and not end.done():
            self.interrupt(Stop.TIMEOUT)

    async def _end(self, job: Job, end: asyncio.Task[Ended]) -> None:
        """SIGTERM, grace, SIGKILL. A process that has not begun with user code needs no grace."""
        if self.is_started and self._stop is not Stop.LOST:
            job.stop(force=False)
            await _until(end, self._around.grace_s)
        job.stop(force=True)

    async def _report(self, ended: Ended) -> None:
        told = outcome(self.run, ended, self._stop)
        if self._stop is Stop.LOST:
            self._say_lost()
            return
        if told is None or (self._stop is Stop.CANCEL and not self.is_started):
            await self._give_back()
        else:
            await self._finish(told)

    async def _finish(self, told: Outcome) -> None:
        me = self._around.me
        try:
            (word,) = await self._around.patience.run(lambda: leases.finish(me.pool, me.id, [told]))
        except PoolNotFound as error:
            _log.warning("How run %s (%s) ended, %s, was not kept: %s", self.run.name, self.run.id, told.state, error)
            return
        state = State.CANCELLED if word == State.CANCELLED else told.state
        took = f" after {now_s() - self._started_s:.1f} s" if self.is_started else ""
        why = f": {told.message.rstrip('.')}" if told.message else ""
        if word == "FENCED":
            more = " That is not kept: the run was not ours any more."
        elif told.retry_in_ms is not None and state is not State.CANCELLED:
            more = f" It is tried again in {told.retry_in_ms / 1000:.1f} s."
        else:
            more = ""
        _log.info("Run %s (%s) is %s%s%s.%s", self.run.name, self.run.id, state, took, why, more)

    async def _give_back(self) -> None:
        me = self._around.me
        try:
            (word,) = await self._around.patience.run(lambda: leases.release(me.pool, me.id, [self.key]))
        except PoolNotFound:
            word = "FENCED"
        if word == "FENCED":
            self._say_lost()
        else:
            _log.info("Run %s (%s) was given back and is %s.", self.run.name, self.run.id, word)

    def _say_lost(self) -> None:
        _log.warning("Run %s (%s) is not ours any more; its process was stopped.", self.run.name, self.run.id)

    async def _write_log(self, lines: list[str]) -> bool:
        me = self._around.me
        try:
            await self._around.patience.run(lambda: leases.log(me.pool, me.id, *self.key, lines), until_accepted=False)
        except BrokerRefused as error:  # a full Redis must not keep a run from being finished
            _log.warning("Output of run %s (%s) was not kept: %s", self.run.name, self.run.id, error)
        except LeaseLost:
            self.interrupt(Stop.LOST)
            return False
        except PoolNotFound:
            return False
        return True

    # Waiting --------------------------------------------------------------------------------------------------------

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result, or None when the run was interrupted first."""
        task, stopped = asyncio.create_task(work), asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stopped.cancel()
            if not task.done():
                task.cancel()


async def _until(task: asyncio.Task[Any], longest_s: float | None) -> bool:
    """Waits for the task, which goes on when the time is up; True: it is done."""
    await asyncio.wait({task}, timeout=longest_s)
    return task.done()

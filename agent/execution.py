"""One run's life on this consumer, as named steps: prepare, load, wait until it is due, start, watch, report.

The run begins only after the server has agreed (`lease_start`), which is asked when the run is due and not before, so
that a run is never RUNNING and a flow never called before its expected start; of what was claimed early all but that
one question is done by then. The run is over only when the server has answered how it ended, or has said that it is
not ours any more. Whatever ends a run early comes in through
`interrupt`. Nothing here decides about states: `agent/outcome.py` says what an end means, scripts refuse what is late.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from agent.clock import now_s
from agent.infrastructure.base import Ended, Infrastructure, Job
from agent.infrastructure.configuration import Configuration
from agent.outcome import Stop, outcome
from agent.output import Output, missing
from agent.pacing import LONGEST_TURN_S, Turns
from agent.patience import Patience
from agent.vitals import Vitals
from dispatcher.errors import BrokerRefused, DispatcherError, LeaseLost, PoolNotFound
from dispatcher.models import Claimed, Consumer, Document, Outcome
from dispatcher.ops import leases
from dispatcher.rendering import Rendered
from dispatcher.states import State

T = TypeVar("T")
_ASK_AGAIN_S = 1.0  # what was asked to end and has not ended may not have noticed
_log = logging.getLogger("dispatcher.consumer")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all executions of a consumer share.

    `job_of` gives a run's rendered job; it may raise a `DispatcherError`, which ends the run.
    """

    me: Consumer
    patience: Patience
    infrastructure: Infrastructure
    grace_s: float  # from SIGTERM to SIGKILL, unless the job says otherwise
    echo: Callable[[str], None] | None  # where lines of output go besides the log
    job_of: Callable[[Claimed], Coroutine[Any, Any, Rendered]]
    vitals: Vitals = field(default_factory=Vitals)
    turns: Turns = field(default_factory=Turns)


class Execution:
    """A claimed run until its end. `run_to_end` is awaited once, as a task of its own."""

    def __init__(self, run: Claimed, around: Surroundings) -> None:
        self.run = run
        self.is_started = False  # the run has begun
        self.grace_s = around.grace_s
        self._around = around
        self._rendered: Rendered | None = None
        self._called = ""
        self._job: Job | None = None
        self._stop: Stop | None = None
        self._stopped = asyncio.Event()
        self._is_ended = False
        self._due_s = now_s() + run.wait_ms / 1000
        self._started_s = self._ended_s = 0.0
        self._is_shown = True
        self._unkept = 0  # lines of output that were refused since some were kept
        self._output = Output(
            self._write_log, lambda: around.patience.is_away, None if around.echo is None else self._show
        )

    @property
    def key(self) -> tuple[str, int]:
        return self.run.id, self.run.epoch

    def interrupt(self, stop: Stop) -> None:
        """Ends the run early, for the first reason that comes; only `LOST` replaces another, and only `LOST` matters
        when the process has ended already. A report that is on its way is not called back: its answer tells more."""
        if self._is_ended and stop is not Stop.LOST:
            return
        if stop is Stop.EXPIRING:
            text = "The lease of run %s (%s) could not be renewed and ends soon: its process is stopped."
            _log.warning(text, self.run.name, self.run.id)
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
        self._ended_s = now_s()
        if self._rendered is not None:
            veiled = self._rendered.veiled
            ended = replace(ended, message=veiled(ended.message), could_not_start=veiled(ended.could_not_start))
        if ended.could_not_start:
            self._output.say(f"[could not start: {ended.could_not_start}]")
        if self._stop is not Stop.LOST:
            await self._output.close()
        await self._report(ended)

    # Steps ----------------------------------------------------------------------------------------------------------

    async def _execute(self) -> Ended:
        job = await self._agreed()
        if isinstance(job, Ended):
            return job
        with self._around.turns.ask(self._due_s) as turn:
            is_early = self._due_s > now_s()
            if is_early:
                await self._unless_stopped(turn.granted.wait(), max(0.0, self._due_s - LONGEST_TURN_S - now_s()))
            if self._stop is not None:
                return Ended()
            prepared = await self._around.infrastructure.prepare(self.run, job, self._output.feed)
            if isinstance(prepared, Ended):
                return prepared
            self._job = prepared
            end = asyncio.create_task(prepared.wait())
            try:
                if is_early:
                    await self._unless_stopped(prepared.load(), min(LONGEST_TURN_S, self._due_s - now_s()))
                turn.end()
                if await self._wait_until_due(end) and await self._start(prepared):
                    await self._watch(end)
            finally:
                if not end.done():
                    await self._end(prepared, end)
            return await end

    async def _agreed(self) -> Document | Ended:
        """The job; what it says about this execution is noted. `Ended`: it cannot be had, or is nonsense."""
        try:
            rendered = self._rendered = await self._unless_stopped(self._around.job_of(self.run))
            if rendered is None:
                return Ended()
            wanted = Configuration.read(rendered.job, rendered.veiled)
        except DispatcherError as error:
            return Ended(could_not_start=str(error))
        of = self.run.input
        limits_s = [limit_s for limit_s in (wanted.timeout_s, of.timeout_s) if limit_s is not None]
        self.run = replace(self.run, input=replace(of, timeout_s=min(limits_s, default=None)))
        self.grace_s = self.grace_s if wanted.grace_s is None else wanted.grace_s
        self._is_shown = wanted.is_output_shown
        self._called = f" as {rendered.veiled(wanted.name)}" if wanted.name else ""
        return rendered.job

    async def _wait_until_due(self, end: asyncio.Task[Ended]) -> bool:
        """The run holds its slot meanwhile; False: it is not to be started at all, or its process has ended already."""
        while self._stop is None and not end.done() and (wait_s := self._due_s - now_s()) > 0:
            await self._unless_stopped(_until(end, wait_s))
        return self._stop is None and not end.done()

    async def _start(self, job: Job) -> bool:
        me, shown = self._around.me, self._rendered.shown if self._rendered is not None else None
        try:
            state = await self._unless_stopped(
                self._around.patience.run(lambda: leases.start(me.pool, me.id, *self.key, pid=job.pid, job=shown))
            )
        except (LeaseLost, PoolNotFound):
            self.interrupt(Stop.LOST)
            return False
        if state is State.CANCELLING:
            self.interrupt(Stop.CANCEL)
        elif state is State.PENDING:
            _log.info("Run %s (%s) does not begin: its work pool or queue is paused.", self.run.name, self.run.id)
            self.interrupt(Stop.GIVE_BACK)
        if self._stop is not None:
            return False
        self.is_started = True
        self._started_s = now_s()
        job.start()
        _log.info("Run %s (%s) has started%s, process %d.", self.run.name, self.run.id, self._called, job.pid)
        return True

    async def _watch(self, end: asyncio.Task[Ended]) -> None:
        """Returns when the process has ended, or has to be stopped."""
        if await self._unless_stopped(_until(end, self.run.input.timeout_s)) is False and not end.done():
            self.interrupt(Stop.TIMEOUT)

    async def _end(self, job: Job, end: asyncio.Task[Ended]) -> None:
        """SIGTERM, grace, SIGKILL. What has at most been loaded needs no grace."""
        if self.is_started and self._stop is not Stop.LOST:
            job.stop(force=False)
            until_s = now_s() + self.grace_s
            while (left_s := until_s - now_s()) > 0 and not await _until(end, min(left_s, _ASK_AGAIN_S)):
                job.stop(force=False)
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
        if told.retry_in_ms is not None:  # what failed while it was loaded is not tried again before its time
            told = replace(told, retry_in_ms=max(told.retry_in_ms, math.ceil(1000 * (self._due_s - now_s()))))
        try:
            (word,) = await self._around.patience.run(lambda: leases.finish(me.pool, me.id, [told]))
        except PoolNotFound as error:
            _log.warning("How run %s (%s) ended, %s, was not kept: %s", self.run.name, self.run.id, told.state, error)
            return
        state = State.CANCELLED if word == State.CANCELLED else told.state
        took = f" after {self._ended_s - self._started_s:.1f} s" if self.is_started else ""
        why = f": {told.message.rstrip('.')}" if told.message else ""
        end = state.value
        if word == "FENCED":
            end, more = "LOST", " That is not kept: the run was not ours any more."
        elif told.retry_in_ms is not None and state is not State.CANCELLED:
            end = "AWAITING_RETRY"
            more = f" It is tried again in {told.retry_in_ms / 1000:.1f} s."
        else:
            more = ""
        self._around.vitals.ended(end)
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
            self._around.vitals.ended("GIVEN_BACK")
            _log.info("Run %s (%s) was given back and is %s.", self.run.name, self.run.id, word)

    def _say_lost(self) -> None:
        self._around.vitals.ended("LOST")
        _log.warning("Run %s (%s) is not ours any more; its process was stopped.", self.run.name, self.run.id)

    def _show(self, line: str) -> None:
        if self._is_shown and self._around.echo is not None:
            self._around.echo(f"{self.run.name} | {line}")

    async def _write_log(self, lines: list[str]) -> bool:
        me = self._around.me
        gap = [missing(self._unkept, "Redis refused them")] if self._unkept else []
        sent = [*gap, *lines]
        try:
            await self._around.patience.run(lambda: leases.log(me.pool, me.id, *self.key, sent), until_accepted=False)
        except BrokerRefused as error:  # a full Redis must not keep a run from being finished
            if not self._unkept:
                _log.warning("Output of run %s (%s) is not kept: %s", self.run.name, self.run.id, error)
            self._unkept += len(lines)
        except LeaseLost:
            self.interrupt(Stop.LOST)
            return False
        except PoolNotFound:
            return False
        else:
            self._unkept = 0
        return True

    # Waiting --------------------------------------------------------------------------------------------------------

    async def _unless_stopped(self, work: Coroutine[Any, Any, T], longest_s: float | None = None) -> T | None:
        """The result, or None when the run was interrupted first or the time was up."""
        task, stopped = asyncio.create_task(work), asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({task, stopped}, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stopped.cancel()
            if not task.done():
                task.cancel()


async def _until(task: asyncio.Task[Any], longest_s: float | None) -> bool:
    """Waits for the task, which goes on when the time is up; True: it is done."""
    await asyncio.wait({task}, timeout=longest_s)
    return task.done()

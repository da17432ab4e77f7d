"""A consumer at work: register, park, claim, hand out, drain. What agents and workers have in common.

One event loop in the main thread. The doorbell (`_listen`) only says "look"; what there is to do comes from the claim,
which gives runs or parks. Between two claims the loop waits for the doorbell, for a run of its own to end, for a
signal, or for the moment that the claim named; it never polls. The limit counts living executions, not tokens.
Leases are renewed elsewhere (`heartbeat.py`), a run's life is elsewhere (`execution.py`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agent import health, joining, succession
from agent.caretaking import Caretaker
from agent.clock import now_s
from agent.echo import Echo
from agent.execution import Execution, Surroundings
from agent.heartbeat import Pulse
from agent.infrastructure.process import ProcessInfrastructure
from agent.jobs import Jobs
from agent.joining import Kind
from agent.options import Options
from agent.outcome import Stop
from agent.patience import Patience
from agent.vitals import Vitals
from dispatcher.aio import AsyncClient
from dispatcher.client import Client
from dispatcher.errors import BrokerRefused, BrokerUnavailable, ConsumerUnknown, PoolNotFound
from dispatcher.ids import new_id
from dispatcher.models import Claim, Claimed, Consumer
from dispatcher.ops import consumers, leases

T = TypeVar("T")
_LISTEN_MS = 30_000
_LATE_S = 0.5  # after which a claim's answer is old
_SHORTEST_LOOK_S = 1.0  # without having been woken
_POOL_LOOK_S = 5.0  # between two looks for a pool that was deleted
_FAREWELL_S = 5.0  # how long Redis is waited for at the end when it is away or a second signal came
_LAST_ANSWER_S = 2.0  # how long an answer that is on its way is waited for when a signal comes
_log = logging.getLogger("dispatcher.consumer")


def serve(kind: Kind, options: Options) -> int:
    """Runs an agent or worker until it is told to stop; returns the exit code. To be called in the main thread."""
    return asyncio.run(_serve(kind, options))


async def _serve(kind: Kind, options: Options) -> int:
    vitals = Vitals()
    async with health.served(options.health, vitals), AsyncClient(options.url) as client:
        patience = Patience(client)
        introduction = asyncio.ensure_future(joining.introduced(kind, options, patience))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, introduction.cancel)
        try:
            me, predecessors = await introduction
        except asyncio.CancelledError:
            return 0
        with Client(options.url) as pulse_client:
            loop = ConsumerLoop(me, options, client, patience, pulse_client, vitals)
            return await loop.run(predecessors, lambda: joining.settled(kind, options, patience, me))


class ConsumerLoop:
    """One agent or worker from its registration to its leave."""

    def __init__(
        self,
        me: Consumer,
        options: Options,
        client: AsyncClient,
        patience: Patience,
        pulse_client: Client,
        vitals: Vitals | None = None,
    ) -> None:
        self._me = me
        self._options = options
        self._client = client
        self._patience = patience
        self._infrastructure = ProcessInfrastructure({succession.VARIABLE: me.id}, me.host)
        self._echo = Echo(sys.stdout.fileno()) if options.is_output_shown and sys.stdout is not None else None
        show = None if self._echo is None else self._echo.show
        self._vitals = Vitals() if vitals is None else vitals
        self._jobs = Jobs(me, patience, options.allowed_env)
        self._caretaker = Caretaker(me.pool, patience)
        self._around = Surroundings(
            me, patience, self._infrastructure, options.grace_s, show, self._jobs.job_of, vitals=self._vitals
        )
        self._loop = asyncio.get_running_loop()
        self._pulse = Pulse(
            pulse_client, me.pool, me.id, self._loop.call_soon_threadsafe, self._on_unknown, self._caretaker.take
        )
        self._executions: dict[asyncio.Task[None], Execution] = {}
        self._vitals.limit, self._vitals.heartbeat = options.limit, self._pulse.beat
        self._vitals.running, self._vitals.is_away = self._executions.__len__, lambda: patience.is_away
        self._stir = asyncio.Event()  # the doorbell rang, a run ended, a signal came
        self._signals = 0
        self._signalled = asyncio.Event()
        self._must_register = False
        self._is_pool_there = True
        self._outages = patience.outages  # when the doorbell's connection was made
        self._listening: asyncio.Task[None] | None = None

    async def run(
        self, predecessors: Sequence[str], settle: Callable[[], Coroutine[Any, Any, Consumer]] | None = None
    ) -> int:
        """`settle` is called once this consumer is registered: whatever it raises, the pool is left."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal)
        try:
            lease_ms = await self._unless_signalled(self._register(predecessors))
            if lease_ms is None:
                return 0
            try:
                me = await self._unless_signalled(settle()) if settle is not None else self._me
                if me is not None:
                    self._me = me
                    self._vitals.facts = {"name": me.name, "kind": me.kind, "type": me.type, "pool": me.pool}
                    self._pulse.start(lease_ms)
                    self._listen_anew()
                    await self._take()
            finally:
                is_clean = await self._drain()
            return 0 if is_clean else 1
        finally:
            self._pulse.stop()
            self._infrastructure.close()
            if self._echo is not None:
                self._echo.close()

    async def _register(self, predecessors: Sequence[str] = ()) -> int:
        lease_ms, returned = await self._patience.run(lambda: consumers.register(self._me, predecessors))
        self._must_register = False
        if returned:
            waits = "run waits" if returned == 1 else "runs wait"
            _log.warning("%d %s again, after the consumer before this one has died.", returned, waits)
        return lease_ms

    def _on_unknown(self) -> None:
        self._must_register = True
        self._stir.set()

    # Taking runs ----------------------------------------------------------------------------------------------------

    async def _take(self) -> None:
        """Claims and hands out until a signal comes; with --run-once until nothing is there now."""
        while not self._signals:
            self._stir.clear()
            want = self._want()
            claim, look_in_s = None, None
            if want or self._must_register:
                self._vitals.asked()
            try:
                if self._must_register:
                    await self._unless_signalled(self._register())
                if want and not self._signals:
                    claim = await self._claim(want)
            except ConsumerUnknown:
                self._must_register = True
                continue
            except PoolNotFound as error:
                self._miss_pool(error)
                look_in_s = _spread(_POOL_LOOK_S)
            except Exception:  # a run that cannot be read must not end one consumer after the other
                if self._must_register:
                    raise
                _log.exception("What a claim gave could not be taken; claiming goes on:")
                look_in_s = _spread(_SHORTEST_LOOK_S)
            if claim and claim.runs:
                continue
            if self._options.is_run_once:
                return
            if claim:
                look_in_s = self._look_in_s(claim)
            self._vitals.looks_in(look_in_s)
            await self._stirred(look_in_s)

    def _want(self) -> int:
        """How many more runs this consumer may have now."""
        if self._options.limit is None:
            return leases.MAX_CLAIM
        used = self._vitals.taken if self._options.is_run_once else len(self._executions)
        return max(0, min(leases.MAX_CLAIM, self._options.limit - used))

    async def _claim(self, want: int) -> Claim | None:
        """Runs, which are begun at once, or how long to wait; None: a signal came first.

        A claim whose answer was late may have been decided at any moment since it was first sent, so what it gave is
        renewed before it counts as held.
        """
        me, load, request, sent_s = self._me, len(self._executions), new_id(), now_s()
        claim = await self._unless_signalled(
            self._patience.run(lambda: leases.claim(me.pool, me.id, request=request, want=want, load=load))
        )
        if claim is None:
            return None
        self._vitals.answered(now_s() - sent_s)
        self._caretaker.take(claim.duties)
        if claim.runs:
            self._jobs.template_id = claim.template_id
        runs, lease_ms = claim.runs, claim.lease_ms
        if runs and now_s() - sent_s > _LATE_S:
            sent_s = now_s()
            held = [(run.id, run.epoch) for run in runs]
            beat = await self._unless_signalled(self._patience.run(lambda: leases.renew(me.pool, me.id, held)))
            if beat is None:
                return None
            lease_ms = beat.lease_ms
            runs = tuple(run for run in runs if (run.id, run.epoch) not in beat.lost)
        self._pulse.heard()
        if not self._is_pool_there:
            _log.warning("Work pool %s is there again.", me.pool)
            self._is_pool_there = True
        if self._patience.outages != self._outages:
            self._listen_anew()
        for run in runs:
            self._begin(run, sent_s, lease_ms)
        return claim

    def _begin(self, run: Claimed, sent_s: float, lease_ms: int) -> None:
        execution = Execution(run, self._around)
        self._pulse.hold(execution, sent_s, lease_ms)
        self._vitals.taken += 1
        task = self._loop.create_task(execution.run_to_end(), name=f"run {run.id}")
        self._executions[task] = execution
        task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        execution = self._executions.pop(task)
        self._pulse.drop(execution)
        execution.stop_process(force=True)  # a matter of course, unless a bug of ours ended the task
        self._stir.set()
        if not task.cancelled() and task.exception() is not None:
            _log.error(
                "Run %s was dropped because of a bug in the consumer:", execution.run.id, exc_info=task.exception()
            )

    def _miss_pool(self, error: PoolNotFound) -> None:
        if self._is_pool_there:
            self._is_pool_there = False
            _log.warning("%s Looking for it every few seconds; running runs go on.", error)

    # Waiting --------------------------------------------------------------------------------------------------------

    def _look_in_s(self, claim: Claim) -> float:
        """When to look without having been woken: exactly, for the pool's timer; else spread, as a safety net."""
        if claim.is_timer:
            return claim.block_ms / 1000
        return max(_SHORTEST_LOOK_S, _spread(min(claim.block_ms / 1000, self._options.query_s)))

    async def _stirred(self, longest_s: float | None) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._stir.wait()
        except TimeoutError:
            pass

    def _listen_anew(self) -> None:
        """Starts to listen on a fresh connection: after an outage the old one may hang without knowing."""
        if self._listening is not None:
            self._listening.cancel()
        self._outages = self._patience.outages
        self._listening = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        """The doorbell. After every error the pool is looked at, since a wake may have been lost with it; so the
        driver must not hide one by sending the call again."""
        me, pause_s = self._me, 0.05
        bell = replace(consumers.listen(me.pool, me.id, waits_ms=_LISTEN_MS), resend=False)
        while True:
            try:
                ring = await self._client.run(bell)
            except BrokerUnavailable as error:
                if not self._patience.is_away:
                    pause_s = 0.05
                self._patience.missed(error)
                self._stir.set()
                await self._patience.pause(pause_s)
            except BrokerRefused:  # the claim is refused as well, and says so
                await asyncio.sleep(pause_s)
            except Exception:  # noqa: BLE001 - without a doorbell new work and cancellations would wait for a look
                _log.exception("Listening failed because of a bug; it goes on:")
                self._stir.set()
                await asyncio.sleep(pause_s)
            else:
                pause_s = 0.05
                if ring == "control":
                    self._pulse.hurry()
                if ring:
                    self._stir.set()
                continue
            pause_s = min(2 * pause_s, 2.0)

    async def _unless_signalled(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result; None when a signal came first, and an answer that was on its way did not come soon."""
        task, signalled = asyncio.create_task(work), asyncio.create_task(self._signalled.wait())
        try:
            await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not self._patience.is_away:
                await asyncio.wait({task}, timeout=_LAST_ANSWER_S)
            return task.result() if task.done() else None
        finally:
            signalled.cancel()
            task.cancel()

    # Ending ---------------------------------------------------------------------------------------------------------

    def _on_signal(self) -> None:
        """First: drain. Second: stop what runs. Third: at once."""
        self._signals += 1
        self._signalled.set()
        self._stir.set()
        if self._signals == 1:
            running = sum(execution.is_started for execution in self._executions.values())
            waits = f" {running} running run{'' if running == 1 else 's'} will be waited for." if running else ""
            _log.warning("Stopping: no more runs are taken.%s", waits)
        elif self._signals == 2:
            _log.warning("Stopping the running runs now; they are given back.")
        else:
            for execution in self._executions.values():
                execution.stop_process(force=True)

    async def _drain(self) -> bool:
        """Gives back what has not begun, waits for what runs, leaves. False: something could not be told to Redis."""
        end_s = None
        self._vitals.drains()
        while self._executions and self._signals < 2 and (end_s is None or now_s() < end_s):
            self._stir.clear()
            if self._signals and end_s is None:
                for execution in self._executions.values():
                    if not execution.is_started:
                        execution.interrupt(Stop.GIVE_BACK)
                if self._options.drain_timeout_s is not None:
                    end_s = now_s() + self._options.drain_timeout_s
            await self._stirred(None if end_s is None else max(0.0, end_s - now_s()))
        for execution in self._executions.values():
            execution.interrupt(Stop.GIVE_BACK)
        if self._executions:
            grace_s = max(execution.grace_s for execution in self._executions.values())
            await asyncio.wait(self._executions, timeout=grace_s + _FAREWELL_S)
        left = list(self._executions)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        await self._caretaker.close(0.0 if left else _LAST_ANSWER_S)
        return await self._leave(1.0 if left else _FAREWELL_S) and not left

    async def _leave(self, longest_s: float) -> bool:
        self._pulse.stop()
        if self._listening is not None:
            self._listening.cancel()
        me = self._me
        try:
            async with asyncio.timeout(longest_s):
                await self._patience.run(lambda: consumers.leave(me.pool, me.id))
        except PoolNotFound:
            pass
        except TimeoutError:
            _log.warning("Redis could not be told that this %s has ended.", me.kind)
            return False
        return True


def _spread(seconds: float) -> float:
    """About as long, so that many consumers do not look at the same moment."""
    return seconds * random.uniform(0.8, 1.2)

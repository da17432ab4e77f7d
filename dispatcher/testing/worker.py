"""A worker in the process of the test: it takes runs through the same scripts as every consumer, one at a time, when
it is told to, on a clock that stands still.

So priorities, limits, pauses and schedules are those of the broker; what differs from a real consumer is where a flow
is executed (`executing.py`), and that a retry comes exactly after its delay.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from dispatcher import __version__, client, entrypoints, submitting, templates
from dispatcher.call import Call
from dispatcher.errors import ConsumerUnknown, DispatcherError, DrainEndless, FlowUnnamed, PoolNotFound
from dispatcher.ids import new_id
from dispatcher.models import Claim, Claimed, Consumer, Outcome, Run
from dispatcher.ops import consumers, finding, leases, pools, runs
from dispatcher.ops import templates as pool_templates
from dispatcher.states import State
from dispatcher.testing import executing, printing
from dispatcher.testing.clock import Clock
from dispatcher.upkeep import duties

P = ParamSpec("P")
R = TypeVar("R")
NAME = "dispatcher.testing"


class Worker:
    """Serves every pool of the broker at `url`: `with Worker(url) as worker:`. While it is open its clock is the one of
    every client in this process.

    `submit`, `submit_many` and `deploy` are those of `client`, and take functions that are made inside a test as well.
    """

    def __init__(self, url: str, *, now: datetime | None = None) -> None:
        self.clock = Clock(now)
        self.client = client.Client(url)
        self.submit = self._locally(self.client.submit)
        self.submit_many = self._locally(self.client.submit_many)
        self.deploy = self._locally(self.client.deploy)
        self._functions: dict[tuple[str, str | None], Callable[..., Any]] = {}
        self._joined: dict[str, str] = {}  # pool -> id of this consumer in it
        client.clocks.append(self.clock)

    def drain(self, *, most: int = 10_000) -> list[Run]:
        """Executes everything that is due, and what comes due by that, until nothing is left; returns the runs as they
        are then, in the order in which they were begun. Time does not move: what waits for later waits.

        Raises `DrainEndless` after `most` attempts; what a flow raises ends the run, not the drain.
        """
        begun: dict[str, str] = {}
        attempts = 0
        while (taken := self._next()) is not None:
            pool, run = taken
            attempts += 1
            if attempts > most:
                self.client.run(leases.release(pool, self._joined[pool], [(run.id, run.epoch)]))
                raise DrainEndless(most=most)
            self._execute(pool, run)
            begun[run.id] = pool
        found = []
        for run_id, pool in begun.items():
            try:
                found.append(self.client.run(runs.read(pool, run_id)))
            except DispatcherError:  # deleted by a later run, or with its pool
                continue
        return found

    def empty(self) -> None:
        """Deletes everything in the broker."""
        self.client.run(Call("FLUSHALL", (), (), lambda _: None))
        self._joined.clear()

    def close(self) -> None:
        """Leaves the pools and gives the clock back; what was not drained stays where it is."""
        if self.clock in client.clocks:
            client.clocks.remove(self.clock)
            try:
                for pool, me in self._joined.items():
                    self.client.run(consumers.leave(pool, me))
            except DispatcherError:  # the pool is gone, or the broker
                pass
            self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Functions ------------------------------------------------------------------------------------------------------

    def _locally(self, method: Callable[P, R]) -> Callable[P, R]:
        """The method, which finds functions by this worker's names for them."""

        @wraps(method)
        def local(*args: P.args, **kwargs: P.kwargs) -> R:
            token = submitting.naming.set(self._named)
            try:
                return method(*args, **kwargs)
            finally:
                submitting.naming.reset(token)

        return local

    def _named(self, function: Callable[..., Any], path: str | None) -> tuple[str, str | None]:
        try:
            words = entrypoints.of(function, path)
        except FlowUnnamed:
            where = f"{function.__module__}:{getattr(function, '__qualname__', type(function).__name__)}"
            words = f"{where}#{id(function)}", path or str(Path.cwd())  # it lives as long as it is kept here
        self._functions[words] = function
        return words

    # Taking runs ----------------------------------------------------------------------------------------------------

    def _next(self) -> tuple[str, Claimed] | None:
        """The run that goes first in the first pool, by name, that has one which may begin now."""
        for pool in self.client.run(pools.names()):
            try:
                self._care_for(pool)
                claim = self._claim(pool)
            except PoolNotFound:
                continue
            if claim.runs:
                return pool, claim.runs[0]
        return None

    def _care_for(self, pool: str) -> None:
        while found := self.client.run(pools.duties(pool))[0]:
            self.client.run(duties.perform(pool, found))
        self.client.run(finding.let_time_pass(pool))

    def _claim(self, pool: str) -> Claim:
        for is_last in (False, True):
            if pool not in self._joined:
                self._join(pool)
            try:
                claim = self.client.run(leases.claim(pool, self._joined[pool], request=new_id(), want=1, load=0))
            except ConsumerUnknown:
                if is_last:
                    raise
                del self._joined[pool]
            else:
                if claim.duties:
                    self.client.run(duties.perform(pool, claim.duties))
                return claim
        raise AssertionError("unreachable")

    def _join(self, pool: str) -> None:
        kind = self.client.run(pools.read(pool)).type
        me = Consumer(
            id=new_id(),
            name=NAME,
            pool=pool,
            kind="agent" if kind == "agent" else "worker",
            type=kind,
            host="localhost",
            boot=NAME,
            pid=os.getpid(),
            born_at_ms=0,
            version=__version__,
            selector="*",
            prefetch_ms=0,
            limit=1,
        )
        self.client.run(consumers.register(me))
        self._joined[pool] = me.id

    # Executing ------------------------------------------------------------------------------------------------------

    def _execute(self, pool: str, run: Claimed) -> None:
        me = self._joined[pool]

        def keep(lines: Sequence[str]) -> None:
            self.client.run(leases.log(pool, me, run.id, run.epoch, lines))

        try:
            with printing.kept(keep):
                ended = self._executed(pool, me, run)
        except BaseException:  # the test is to end: by Ctrl-C, or by pytest's own words inside a flow
            self.client.run(leases.release(pool, me, [(run.id, run.epoch)]))
            raise
        delay_s = None if ended.is_final else run.retry_delay_s
        is_failed = ended.state is not State.COMPLETED
        outcome = Outcome(
            run.id,
            run.epoch,
            ended.state,
            ended.message,
            ended.exit_code,
            ended.result_json,
            retry_in_ms=round(1000 * delay_s) if is_failed and delay_s is not None else None,
        )
        self.client.run(leases.finish(pool, me, [outcome]))

    def _executed(self, pool: str, me: str, run: Claimed) -> executing.Ended:
        try:
            found = self.client.run(pool_templates.read(pool))
            template = found.document(run.input.infrastructure)
            target = f"the base job template of work pool {pool!r}"
            templates.check_variables(template, run.input.job_variables, target=target)
            job = templates.rendered(template, run.input.job_variables, environ=os.environ, allowed_env=())
        except DispatcherError as error:
            return executing.no_start(error)
        self.client.run(leases.start(pool, me, run.id, run.epoch, pid=os.getpid(), job=job.shown))

        def cancel_requested() -> bool:
            return self.client.run(runs.read(pool, run.id)).state is State.CANCELLING

        function = self._functions.get((run.input.entrypoint or "", run.input.path))
        return executing.executed(run, job.job, function, cancel_requested)

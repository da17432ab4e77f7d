"""A scheduler: does the duties of pools, schedules above all, and takes no runs.

Consumers do the same for their own pool; a scheduler is for pools whose consumers are not always there. Any number
may run. It sleeps until the next duty, and looks every few seconds for what was deployed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass

from agent.patience import Patience
from dispatcher.aio import AsyncClient
from dispatcher.errors import DispatcherError, PoolNotFound
from dispatcher.ops import broker_facts, pools
from dispatcher.upkeep import duties

_LOOK_S = 5.0
_log = logging.getLogger("dispatcher.consumer")


@dataclass(frozen=True, slots=True)
class SchedulerOptions:
    """`pools` empty: all, those made later too."""

    url: str
    pools: tuple[str, ...] = ()
    is_run_once: bool = False
    allows_unsafe_broker: bool = False


def start(options: SchedulerOptions) -> int:
    """Runs until a signal comes; returns the exit code. Raises `PoolNotFound` when a pool was named that is not there
    at the start."""
    return asyncio.run(_serve(options))


async def _serve(options: SchedulerOptions) -> int:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with AsyncClient(options.url) as client:
        work = asyncio.create_task(_work(options, Patience(client)))
        ended = asyncio.create_task(over.wait())
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if work.done():
            work.result()
        else:
            work.cancel()
            await asyncio.wait({work})
    return 0


async def _work(options: SchedulerOptions, patience: Patience) -> None:
    await patience.run(lambda: broker_facts.check(allow_unsafe=options.allows_unsafe_broker), until_accepted=False)
    for name in options.pools:
        await patience.run(lambda name=name: pools.read(name))  # type: ignore[misc]
    _log.warning("Scheduler serves %s.", f"work pool {', '.join(options.pools)}" if options.pools else "all work pools")
    while True:
        names = list(options.pools) or await patience.run(pools.names)
        waits_s = [await _cared_for(name, patience) for name in names]
        if options.is_run_once:
            return
        await asyncio.sleep(min(_LOOK_S, *waits_s) if waits_s else _LOOK_S)


async def _cared_for(name: str, patience: Patience) -> float:
    """Does the pool's duties until there is none; how long it is until the next one."""
    while True:
        try:
            found, next_ms = await patience.run(lambda: pools.duties(name))
            if not found:
                return next_ms / 1000
            count = await patience.run(lambda found=found: duties.perform(name, found))  # type: ignore[misc]
        except PoolNotFound:
            return _LOOK_S
        except DispatcherError as error:
            _log.warning("A duty of work pool %s was not done, it comes again: %s", name, error)
            return _LOOK_S
        except Exception:  # noqa: BLE001 - a schedule that cannot be read must not keep those of other pools waiting
            _log.exception("A duty of work pool %s failed because of a bug; it comes again:", name)
            return _LOOK_S
        if count:
            _log.info("Work pool %s: %d runs were scheduled or moved.", name, count)

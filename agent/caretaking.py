"""Duties of the pool that this consumer was handed with a claim or a heartbeat: done beside its runs.

They are idempotent, and handed to another when they are not done within seconds; so a failure is told and left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agent.patience import Patience
from dispatcher.errors import DispatcherError
from dispatcher.upkeep import duties

_log = logging.getLogger("dispatcher.consumer")


class Caretaker:
    """Does what its pool hands out."""

    def __init__(self, pool: str, patience: Patience) -> None:
        self._pool = pool
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, found: Sequence[str]) -> None:
        """Begins with them. To be called in the event loop."""
        if found:
            task = asyncio.get_running_loop().create_task(self._do(tuple(found)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, found: Sequence[str]) -> None:
        try:
            await self._patience.run(lambda: duties.perform(self._pool, found), until_accepted=False)
        except DispatcherError as error:
            _log.warning("A duty of work pool %s was not done, it comes again: %s", self._pool, error)
        except Exception:  # noqa: BLE001 - a schedule that cannot be read must not end one consumer after the other
            _log.exception("A duty of work pool %s failed because of a bug; it comes again:", self._pool)

    async def close(self, longest_s: float) -> None:
        """Waits for what is being done, and gives up what takes longer."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=longest_s)
        for task in self._tasks:
            task.cancel()

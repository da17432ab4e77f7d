"""Calls that wait for Redis: sent again, with jittered pauses, until they are answered.

A consumer never ends because Redis is away. It says so once, and once when Redis is back; between them every caller
pauses by itself and is woken as soon as anyone got an answer. A connection that was only lost is not worth a word:
what is answered within half a second was not an outage. Only for operations that may be sent twice, or whose author
here has decided that they may.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TypeVar

from agent.clock import now_s
from dispatcher.aio import AsyncClient
from dispatcher.call import Call, Flow
from dispatcher.errors import BrokerRefused, BrokerUnavailable, DispatcherError

R = TypeVar("R")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0  # the longest is short: after an outage a consumer is wanted soon
_OUTAGE_S = 0.5
_log = logging.getLogger("dispatcher.consumer")


class Patience:
    """A client for the event loop that does not give up."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.outages = 0  # seen so far; who keeps a connection waiting compares it to know that it may be a dead one
        self._answers = asyncio.Event()
        self._answers.set()
        self._missed_s = 0.0
        self._is_said = False

    @property
    def is_away(self) -> bool:
        """Whether the last attempt of anyone found Redis away."""
        return not self._answers.is_set()

    async def run(self, operation: Callable[[], Call[R] | Flow[R]], *, until_accepted: bool = True) -> R:
        """The answer, however long it takes. Raises the operation's own refusals.

        `until_accepted`: also when the server itself refuses the command (it is full, read only, or does not know the
        password any more), it is sent again; otherwise that raises `BrokerRefused`.
        """
        pause_s = _FIRST_PAUSE_S
        was_refused = False
        while True:
            sent_s = now_s()
            try:
                reply = await self._client.run(operation())
            except BrokerUnavailable as error:
                self.missed(error, sent_s)
                await self.pause(pause_s)
            except BrokerRefused as error:
                if not until_accepted:
                    raise
                if not was_refused:
                    _log.warning("%s Trying again until it is accepted.", error)
                was_refused = True
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))
            except DispatcherError:  # a refusal of the operation's own is an answer
                self.answered()
                raise
            else:
                self.answered()
                if was_refused:
                    _log.warning("Redis has accepted it now.")
                return reply
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def pause(self, longest_s: float) -> None:
        """Waits half to all of the time, less when Redis answers someone meanwhile."""
        try:
            async with asyncio.timeout(longest_s * random.uniform(0.5, 1)):
                await self._answers.wait()
        except TimeoutError:
            pass

    def missed(self, error: DispatcherError, since_s: float | None = None) -> None:
        """An attempt, made then (None: now), was not answered."""
        since_s = now_s() if since_s is None else since_s
        if self._answers.is_set():
            self._answers.clear()
            self.outages += 1
            self._missed_s = since_s
        if not self._is_said and now_s() - self._missed_s > _OUTAGE_S:
            self._is_said = True
            _log.warning("%s Trying again until it answers.", error)

    def answered(self) -> None:
        self._answers.set()
        if self._is_said:
            self._is_said = False
            _log.warning("Redis answers again.")

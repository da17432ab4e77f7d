"""Leases: renewed by one thread, watched by another, so that neither user code nor a silent Redis can delay either.

The renewing thread tells the server every third of the lease, at most every 10 s, that the runs are held, and brings
back which are lost (killed here and now) or to be cancelled. The watching thread keeps a run from being executed
twice: a lease counts from when its last successful renewal was *sent*, and 2 s before it ends the run is stopped,
first with SIGTERM, then with SIGKILL, all before the lease ends. Only while Redis is known to be down (it refuses
connections, or loads its data, or has lost the pool) nothing is stopped: then nobody else can be given the lease.

The clock goes on while the process is stopped or the machine sleeps, so a consumer that was frozen past its leases
notices first thing.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.clock import now_s
from agent.outcome import Stop
from agent.vitals import Beat
from dispatcher.client import Client
from dispatcher.errors import BrokerDown, BrokerLoading, ConsumerUnknown, DispatcherError, PoolNotFound
from dispatcher.models import Heartbeat
from dispatcher.ops import leases

_LONGEST_PERIOD_S = 10.0
_MARGIN_S = 2.0  # from being told to stop to the end of the lease; for leases below 10 s a fifth of them
_SHORT_MARGIN = 0.2
_LAST_PART = 0.25  # of the margin, kept for SIGKILL to take effect
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 2.0
_DOWN_FOR_S = 5.0  # how long "it refused a connection" is believed: longer than two retries
_LONGEST_LOOK_S = 1.0  # timed waits may stand still while the machine sleeps, so no wait of the watch is long
_log = logging.getLogger("dispatcher.consumer")


class Holder(Protocol):
    """An execution, as the heartbeat sees it."""

    @property
    def key(self) -> tuple[str, int]:
        """Run id and epoch."""
        ...

    def stop_process(self, *, force: bool) -> None:
        """Safe from any thread."""
        ...

    def interrupt(self, stop: Stop) -> None:
        """Only from the event loop."""
        ...


@dataclass(slots=True)
class _Lease:
    holder: Holder
    ends_s: float
    margin_s: float
    is_told: bool = False
    is_killed: bool = False

    @property
    def next_s(self) -> float:
        """When the watch has to act."""
        return self.ends_s - self.margin_s * (_LAST_PART if self.is_told else 1)


def _lease_from(holder: Holder, sent_s: float, lease_s: float) -> _Lease:
    return _Lease(holder, sent_s + lease_s, min(_MARGIN_S, _SHORT_MARGIN * lease_s))


class Pulse:
    """The heartbeat of one consumer. `call_soon` hands a function to the event loop; `on_unknown` is called there when
    the server does not know the consumer (any more), `on_duties` when it hands out duties."""

    def __init__(
        self,
        client: Client,
        pool: str,
        consumer: str,
        call_soon: Callable[..., object],
        on_unknown: Callable[[], None],
        on_duties: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._client = client
        self._pool = pool
        self._consumer = consumer
        self._call_soon = call_soon
        self._on_unknown = on_unknown
        self._on_duties = on_duties
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, int], _Lease] = {}
        self._lease_s = 0.0
        self._heard_s = 0.0
        self._beat_s = 0.0  # when a heartbeat was last answered, or could wait
        self._down_until_s = 0.0
        self._hurry = threading.Event()
        self._changed = threading.Event()
        self._over = threading.Event()

    def start(self, lease_ms: int) -> None:
        """Begins; the consumer was registered just now."""
        self._lease_s = lease_ms / 1000
        self.heard()
        for work in (self._renew, self._watch):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def stop(self) -> None:
        """Ends; to be called when nothing is held any more."""
        self._over.set()
        self._hurry.set()
        self._changed.set()

    def hold(self, holder: Holder, sent_s: float, lease_ms: int) -> None:
        """A run was claimed, by a call that was sent then and gave it such a lease. When that is shorter than the
        leases were, the next heartbeat would be too late for it, so there is one now."""
        lease_s = lease_ms / 1000
        with self._lock:
            if not self._leases:
                self._beat_s = now_s()
            self._leases[holder.key] = _lease_from(holder, sent_s, lease_s)
            is_shorter = lease_s < self._lease_s
            self._lease_s = min(lease_s, self._lease_s)
        self._changed.set()
        if is_shorter:
            self.hurry()

    def drop(self, holder: Holder) -> None:
        """The run is over for this consumer."""
        with self._lock:
            self._leases.pop(holder.key, None)

    def hurry(self) -> None:
        """Renews now: something about a held run has changed."""
        self._hurry.set()

    def heard(self) -> None:
        """The server has heard of the consumer by another call: without runs a heartbeat can wait."""
        self._heard_s = now_s()
        if not self._leases:
            self._beat_s = self._heard_s

    def beat(self) -> Beat | None:
        """How the heartbeat is; None: it has not begun."""
        return Beat(now_s() - self._beat_s, self._period_s()) if self._lease_s else None

    # The renewing thread --------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        pause_s = self._period_s()
        retry_s = _FIRST_RETRY_S
        while not self._over.is_set():
            is_hurried = self._hurry.wait(pause_s)
            self._hurry.clear()
            with self._lock:
                held = list(self._leases)
            spare_s = self._heard_s + self._period_s() - now_s()
            if not held and not is_hurried and spare_s > 0:
                pause_s = spare_s
            elif self._over.is_set() or self._beat(held):
                pause_s, retry_s = self._period_s(), _FIRST_RETRY_S
            else:
                pause_s = min(retry_s, self._period_s()) * random.uniform(0.5, 1)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)

    def _period_s(self) -> float:
        return min(self._lease_s / 3, _LONGEST_PERIOD_S)

    def _beat(self, held: list[tuple[str, int]]) -> bool:
        """One heartbeat; False: it was not answered."""
        sent_s = now_s()
        try:
            answer = self._client.run(leases.renew(self._pool, self._consumer, held))
            self._apply(held, sent_s, answer)
            if answer.duties:
                self._soon(self._on_duties, answer.duties)
        except ConsumerUnknown:
            self._soon(self._on_unknown)
            return False
        except (BrokerDown, BrokerLoading, PoolNotFound):
            self._down_until_s = now_s() + _DOWN_FOR_S
            return False
        except DispatcherError as error:
            _log.debug("Heartbeat: %s", error)
            return False
        except Exception:  # noqa: BLE001 - the edge of the thread
            # Without this thread the consumer would go on to claim runs, each of which the watch has to stop.
            _log.exception("A heartbeat failed because of a bug; it is tried again:")
            return False
        self.heard()
        self._beat_s = now_s()
        return True

    def _apply(self, held: list[tuple[str, int]], sent_s: float, answer: Heartbeat) -> None:
        lease_s = answer.lease_ms / 1000
        lost: list[Holder] = []
        with self._lock:
            self._lease_s = lease_s
            for key in held:
                lease = self._leases.get(key)
                if lease is None:  # it came to its end meanwhile
                    continue
                if key in answer.lost:
                    lost.append(lease.holder)
                    del self._leases[key]
                    continue
                if not lease.is_told:
                    self._leases[key] = _lease_from(lease.holder, sent_s, lease_s)
                if key in answer.cancelling:
                    self._soon(lease.holder.interrupt, Stop.CANCEL)
        for holder in lost:
            holder.stop_process(force=True)
            self._soon(holder.interrupt, Stop.LOST)

    def _soon(self, function: Callable[..., None], *args: object) -> None:
        try:
            self._call_soon(function, *args)
        except RuntimeError:  # the loop is closed: the consumer has ended
            pass

    # The watching thread --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.is_set():
            with self._lock:
                moments = [lease.next_s for lease in self._leases.values() if not lease.is_killed]
            if moments:
                # Known to be down: the moment may have passed, and the next attempt will tell.
                soonest_s = _FIRST_RETRY_S if now_s() < self._down_until_s else 0.01
                self._changed.wait(max(soonest_s, min(_LONGEST_LOOK_S, min(moments) - now_s())))
            else:
                self._changed.wait()
            self._changed.clear()
            if now_s() >= self._down_until_s:
                self._stop_expiring()

    def _stop_expiring(self) -> None:
        now = now_s()
        with self._lock:
            expiring = [lease for lease in self._leases.values() if now >= lease.next_s and not lease.is_killed]
        for lease in expiring:
            lease.is_killed = now >= lease.ends_s - lease.margin_s * _LAST_PART
            lease.holder.stop_process(force=lease.is_killed)
            if not lease.is_told:
                lease.is_told = True
                # Logged there as well: who reads what is logged may be slow, and the watch must not wait for that.
                self._soon(lease.holder.interrupt, Stop.EXPIRING)

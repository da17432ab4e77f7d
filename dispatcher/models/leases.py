"""What passes between a consumer and the scripts while it holds runs."""

from __future__ import annotations

from dataclasses import dataclass

from dispatcher.models.runs import RunInput
from dispatcher.states import State

LONGEST_RETRY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this consumer now holds; every later write about it carries `epoch`. It may start in `wait_ms`."""

    id: str
    epoch: int
    queue: str
    wait_ms: int
    attempts: int
    lost: int
    name: str
    deployment: str
    due_at_ms: int
    input: RunInput

    @property
    def retry_delay_s(self) -> float | None:
        """How long after this attempt, if it fails, the next one is made: it doubles each time, up to an hour. None: no
        retries are left."""
        if self.attempts >= self.input.retries:
            return None
        # The exponent is bounded because a float is not: 2.0 ** 1024 fails.
        return min(LONGEST_RETRY_S, self.input.retry_delay_s * 2.0 ** min(self.attempts, 32))


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: runs, or how long to wait for a wake at most.

    `reason` when there are none: `empty`, `paused` or `full`. `is_timer`: the consumer keeps the pool's timer and
    must look again exactly after `block_ms`; otherwise that is the safety look, to be spread by the caller.
    `template_id`: which base job template the pool has now, empty: its type's own. `duties`: what the consumer has to
    do for the pool (`upkeep/`).
    """

    runs: tuple[Claimed, ...]
    lease_ms: int
    block_ms: int = 0
    reason: str = ""
    is_timer: bool = False
    template_id: str = ""
    duties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `retry_in_ms` set: it is to be made again then, and the run is not finished."""

    id: str
    epoch: int
    state: State
    message: str = ""
    exit_code: int | None = None
    result_json: str = ""
    retry_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Runs with their epochs. `lost`: the lease is not held any more, its process must die; `cancelling`: to be
    stopped; `duties`: as of a claim."""

    lease_ms: int
    lost: tuple[tuple[str, int], ...]
    cancelling: tuple[tuple[str, int], ...]
    duties: tuple[str, ...] = ()

"""What an agent is: an untyped consumer. It serves pools of type `agent` and executes each deployment with the
deployment's own infrastructure, which is a local process.

A pool that does not exist is made, and so is a queue that is named; a prefix makes none, it follows what comes.
"""

from __future__ import annotations

import logging

from agent import consumer, identity
from agent.options import Options
from agent.patience import Patience
from dispatcher.errors import BadRequest, PoolTypeDiffers
from dispatcher.models import DEFAULT_POOL, Pool
from dispatcher.ops import pools, queues

TYPE = "agent"
_log = logging.getLogger("dispatcher.consumer")


def check(pool: str | None, queues: tuple[str, ...], prefixes: tuple[str, ...]) -> None:
    """Before anything is started: raises `BadRequest` when nothing to poll was named, `BadName`."""
    for prefix in prefixes:
        identity.checked_name("Work queue", prefix)
    if pool is None and not queues and not prefixes:
        raise BadRequest(
            "An agent was asked for, but not what it is to poll. Name a pool, queues or prefixes of queues: "
            "`dispatcher agent start --pool my-pool`, `dispatcher agent start -q default`, "
            "`dispatcher agent start --match dev-`."
        )


def start(options: Options) -> int:
    """Runs an agent until it is told to stop; returns the exit code.

    Raises `PoolTypeDiffers`, `ConsumerNameTaken`, `BadName`, and `BadRequest` as `check`.
    """
    check(options.pool, options.queues, options.prefixes)
    return consumer.serve("agent", options, opened)


async def opened(patience: Patience, options: Options) -> Pool:
    """The pool, made when it is missing, with the queues that were named."""
    name = options.pool or DEFAULT_POOL
    if await patience.run(lambda: pools.ensure(name, type=TYPE)):
        _log.warning("Work pool %s did not exist and was made, type %s.", name, TYPE)
    pool = await patience.run(lambda: pools.read(name))
    if pool.type != TYPE:
        raise PoolTypeDiffers(pool=name, found=pool.type, wanted=TYPE, command="worker start")
    await ensure_queues(patience, name, options)
    _log.warning("Agent serves %s of work pool %s.", options.serves, name)
    return pool


async def ensure_queues(patience: Patience, pool: str, options: Options) -> None:
    """Makes the queues that were named and do not exist."""
    for queue in options.queues:
        if await patience.run(lambda queue=queue: queues.ensure(pool, queue)):  # type: ignore[misc]
            _log.warning("Work queue %s of work pool %s did not exist and was made.", queue, pool)

"""What an agent is: an untyped consumer. It serves pools of type `agent` and executes each deployment with the
deployment's own infrastructure, which is a local process.

A pool that does not exist is made, and so is a queue that is named; a prefix makes none, it follows what comes.
"""

from __future__ import annotations

import logging

from agent import consumer, identity
from agent.joining import Kind
from agent.options import Options
from agent.patience import Patience
from dispatcher.errors import BadRequest, PoolTypeDiffers
from dispatcher.models import DEFAULT_POOL, Consumer, Pool
from dispatcher.ops import pools

TYPE = "agent"
_log = logging.getLogger("dispatcher.consumer")


def check(pool: str | None, queues: tuple[str, ...], prefixes: tuple[str, ...], name: str | None = None) -> None:
    """Before anything is started: raises `BadRequest` when nothing to poll was named, `BadName`."""
    if pool is None and not queues and not prefixes:
        raise BadRequest(
            "An agent was asked for, but not what it is to poll. Name a pool, queues or prefixes of queues: "
            "`dispatcher agent start --pool my-pool`, `dispatcher agent start -q default`, "
            "`dispatcher agent start --match dev-`."
        )
    identity.check_names(pool, (*queues, *prefixes), name)


def start(options: Options) -> int:
    """Runs an agent until it is told to stop; returns the exit code.

    Raises `PoolTypeDiffers`, `ConsumerNameTaken`, and `BadRequest` and `BadName` as `check`.
    """
    check(options.pool, options.queues, options.prefixes, options.name)
    return consumer.serve(KIND, options)


async def opened(patience: Patience, options: Options) -> Pool:
    """The pool, made when it is missing."""
    name = options.pool or DEFAULT_POOL
    if await patience.run(lambda: pools.ensure(name, type=TYPE)):
        _log.warning("Work pool %s did not exist and was made, type %s.", name, TYPE)
    pool = await patience.run(lambda: pools.read(name))
    if pool.type != TYPE:
        raise PoolTypeDiffers(pool=name, found=pool.type, wanted=TYPE, command="worker start")
    return pool


def told(options: Options, me: Consumer) -> None:
    _log.warning("Agent serves %s of work pool %s.", options.serves, me.pool)


KIND = Kind("agent", opened, told)

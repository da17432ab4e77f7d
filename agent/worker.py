"""What a worker is: a typed consumer. It joins pools of its type only, and the type says how runs are executed.

The type is the pool's unless it is given; a pool that does not exist is made when it is. The base job template that may
be given too is for this case alone: one that a pool has is changed by its operator, not by whichever worker starts.
"""

from __future__ import annotations

import logging

from agent import consumer, identity
from agent.joining import Kind
from agent.options import Options
from agent.patience import Patience
from dispatcher.errors import BadRequest, PoolNotFound, PoolTypeDiffers
from dispatcher.models import Consumer, Pool
from dispatcher.ops import pools
from dispatcher.pool_types import LATER, WORKER_TYPES

_log = logging.getLogger("dispatcher.consumer")


def check(pool: str | None, type: str | None, queues: tuple[str, ...] = (), name: str | None = None) -> None:
    """Before anything is started: raises `BadRequest` without a pool, or for a type that cannot be had; `BadName`."""
    if pool is None:
        raise BadRequest("A worker was asked for, but not its pool: `dispatcher worker start --pool my-pool`.")
    if type in LATER:
        raise BadRequest(f"Worker type {type!r} comes later. This version has: {', '.join(WORKER_TYPES)}.")
    if type == "agent":
        raise BadRequest(f"Pools of type 'agent' are served by agents: `dispatcher agent start --pool {pool}`.")
    if type is not None and type not in WORKER_TYPES:
        raise BadRequest(f"Worker type {type!r} is not known. Choose one of: {', '.join(WORKER_TYPES)}.")
    identity.check_names(pool, queues, name)


def start(options: Options) -> int:
    """Runs a worker until it is told to stop; returns the exit code.

    Raises `PoolTypeDiffers`, `ConsumerNameTaken`, and `BadRequest` and `BadName` as `check`, `BadRequest` also for a
    missing pool without a type.
    """
    check(options.pool, options.type, options.queues, options.name)
    return consumer.serve(KIND, options)


async def opened(patience: Patience, options: Options) -> Pool:
    """The pool, made when it is missing and the type is known."""
    name = options.pool or ""
    try:
        pool = await patience.run(lambda: pools.read(name))
    except PoolNotFound:
        pool = await _made(patience, name, options)
    if options.type is None:
        check(name, pool.type)
    elif pool.type != options.type:
        command = "agent start" if pool.type == "agent" else f"worker start --type {pool.type}"
        raise PoolTypeDiffers(pool=name, found=pool.type, wanted=options.type, command=command)
    if options.template is not None and pool.template != options.template:
        _log.warning(
            "Work pool %s exists, so the base job template that was given is not used. To change the pool's: "
            "dispatcher work-pool update %s --base-job-template FILE",
            name,
            name,
        )
    return pool


def told(options: Options, me: Consumer) -> None:
    how = "its type" if options.type else "inferred from the pool"
    _log.warning("Worker of type %s (%s) serves %s of work pool %s.", me.type, how, options.serves, me.pool)


async def _made(patience: Patience, name: str, options: Options) -> Pool:
    wanted = options.type
    if wanted is None:
        raise BadRequest(
            f"Work pool {name!r} does not exist, and no type was given to make it with. Make it with "
            f"`dispatcher work-pool create {name} --type process`, or let this worker make it: "
            f"`dispatcher worker start --pool {name} --type process`."
        )
    if await patience.run(lambda: pools.ensure(name, type=wanted, template=options.template)):
        whose = "the base job template that was given" if options.template else "its type's default template"
        _log.warning("Work pool %s did not exist and was made, type %s, with %s.", name, wanted, whose)
    return await patience.run(lambda: pools.read(name))


KIND = Kind("worker", opened, told)

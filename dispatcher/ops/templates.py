"""Base job templates: read a pool's, and check job variables against it. The rules are in `dispatcher/templates.py`."""

from __future__ import annotations

import json
from typing import Any

from dispatcher import keyspace, pool_types, templates
from dispatcher.call import Call, Flow
from dispatcher.errors import PoolNotFound
from dispatcher.models import DEFAULT_POOL, Document, PoolTemplate


def read(pool: str) -> Call[PoolTemplate]:
    """Raises `PoolNotFound`."""

    def decode(reply: list[Any]) -> PoolTemplate:
        kind, template_id, own = reply
        if kind is None:
            raise PoolNotFound(pool=pool)
        return PoolTemplate(pool, kind, template_id or "", json.loads(own) if own else {})

    key = keyspace.pool(keyspace.checked_name("Work pool", pool))
    return Call("HMGET", (key,), ("type", "template_id", "template"), decode)


def expected(pool: str | None) -> Flow[PoolTemplate]:
    """As `read`; None: the default pool's, which may not be made yet."""
    try:
        return (yield from read(pool or DEFAULT_POOL))
    except PoolNotFound:
        if pool is not None:
            raise
        return PoolTemplate(DEFAULT_POOL, "agent", "", {})


def check(found: PoolTemplate, variables: Document, infrastructure: str, *, is_complete: bool = True) -> None:
    """Raises `VariablesInvalid`; `BadValue` for an infrastructure that this version has not. Not complete: the rest
    comes with each run."""
    pool_types.checked_infrastructure(infrastructure)
    target = f"the base job template of work pool {found.pool!r}"
    templates.check_variables(found.document(infrastructure), variables, target=target, is_complete=is_complete)

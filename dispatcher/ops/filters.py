"""What a filter queue may be: the checks of a filter, its form for scripts, the names of those that are made for tags.

Filter queues are the legacy kind: they show runs of other queues, by tags, deployments and infrastructure types.
`queues.py` makes, reads and changes them as any other queue; `lua/_filter.lua` keeps what they show.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from dispatcher import keyspace, pool_types
from dispatcher.call import as_json
from dispatcher.errors import BadValue
from dispatcher.models import QueueFilter

MAX_FILTER_BYTES = 4096  # as JSON: every script of the pool reads all filters


def checked(of: QueueFilter) -> QueueFilter:
    """The filter without repetitions. Raises `BadValue`, `BadName` (of a deployment that is not `flow/name`)."""
    if "" in of.tags:
        raise BadValue("an empty tag is not possible: give its text, or no tag at all.")
    for name in of.deployments:
        flow, _, own = name.partition("/")
        keyspace.checked_name("Flow", flow)
        keyspace.checked_name("Deployment", own)
    for kind in of.types:
        pool_types.checked_infrastructure(kind, "infrastructure type")
    found = QueueFilter(*(tuple(dict.fromkeys(part)) for part in (of.tags, of.deployments, of.types)))
    size_bytes = len(as_json(found.document()).encode())
    if size_bytes > MAX_FILTER_BYTES:
        raise BadValue(f"a filter of {size_bytes} bytes is too large, {MAX_FILTER_BYTES} are allowed: list less in it.")
    return found


def text(of: QueueFilter) -> str:
    """The filter as scripts take and keep it. Raises as `checked`."""
    return as_json(checked(of).document())


def names(tags: Sequence[str]) -> list[str]:
    """How the queue for these tags may be called, best first: `agent-queue-a-b`, if that is a name; and a name that no
    other tags have, for when `a-b` is one tag of another queue."""
    plain = "-".join(["agent-queue", *tags])
    digest = hashlib.sha1(json.dumps(tags).encode(), usedforsecurity=False).hexdigest()[:10]
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:80].rstrip("-")
    return [plain, f"{safe}-{digest}"] if plain == safe else [f"{safe}-{digest}"]

"""Whatever lies in the pool, an audit finds no fault in it; and whatever of it is damaged, a repair mends it.

The machine of `machine.py` with two rules more. After a damage and its repair the same invariants hold as ever, and
the pool goes on as the reference says.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dispatcher import keyspace
from dispatcher.ops import audits
from tests.machines import explore
from tests.model.invariants import POOL, snapshot
from tests.model.machine import PoolMachine, pick

EXAMPLES, STEPS = 24, 50
NOBODY = "01ZZZZZZZZZZZZZZZZZZZZZZZZ"
PREFIX = keyspace.pool(POOL).removesuffix("pool")


def is_derived(key: str) -> bool:
    """Whether all of the key follows from runs and queues."""
    part = key.removeprefix(PREFIX)
    return (
        part in ("leases", "admissible", "next", "early")
        or part.startswith("runs:")
        or (part.startswith("queue:") and part.count(":") == 2)
        or (part.startswith("consumer:") and part.endswith(":runs"))
    )


class DamagedMachine(PoolMachine):
    """A pool that is damaged now and then, and mended."""

    @rule()
    def look(self) -> None:
        before = snapshot(self.server)
        assert self.client.run(audits.audit(POOL)) == []
        assert self.client.run(audits.repair(POOL)) == []
        assert snapshot(self.server) == before, "20: the repair of a healthy pool changed something"
        self.settled = False

    @precondition(lambda self: self.model.runs)
    @rule(
        damages=st.lists(
            st.tuples(st.sampled_from(["take", "take", "drop", "spoil", "stray", "stray"]), pick, pick),
            min_size=1,
            max_size=4,
        )
    )
    def damage(self, damages: list[tuple[str, int, int]]) -> None:
        self.tick(flush=False)  # what is due is ready then: where a run belongs does not depend on who looked last
        for damage in damages:
            self.damage_once(*damage)
        found = self.client.run(audits.audit(POOL))
        mended = self.client.run(audits.repair(POOL))
        assert bool(found) == bool(mended)
        assert self.client.run(audits.audit(POOL)) == []
        self.of = snapshot(self.server)
        self.follow(self.of)

    def damage_once(self, kind: str, at: int, member_at: int) -> None:
        of = snapshot(self.server)
        keys = [key for key in sorted(of) if is_derived(key) and not isinstance(of[key], str)]
        if not keys:
            return
        key: str = self.one(keys, at)
        is_set = isinstance(of[key], set)
        if kind == "take":
            member = self.one(sorted(of[key]), member_at)
            (self.server.srem if is_set else self.server.zrem)(key, member)
        elif kind == "drop":
            self.server.delete(key)
        elif kind == "spoil":
            self.server.set(key, "x")
        else:
            queues = key.removeprefix(PREFIX) in ("admissible", "next", "early")
            member = self.one(["ghost", *self.model.queues] if queues else [NOBODY, *self.model.runs], member_at)
            self.server.sadd(key, member) if is_set else self.server.zadd(key, {member: member_at})

    def follow(self, of: dict[str, Any]) -> None:
        """What nothing but the place itself told is as the repair decided: a lost lease is a new one, and a run that is
        due may have waited apart until then."""
        for run in self.model.runs.values():
            if run.is_held:
                run.lease_until = of[keyspace.leases(POOL)][run.id]
            elif run.state == "SCHEDULED":
                run.is_ready = run.id in of.get(keyspace.ready(POOL, run.queue), {})
                run.is_retry = not run.is_ready and run.id in of.get(keyspace.retry(POOL, run.queue), {})


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(2))
def test_a_damaged_pool_is_mended(redis_url: str, shard: int) -> None:
    explore(DamagedMachine.on_server(redis_url), examples=EXAMPLES // 2, steps=STEPS)

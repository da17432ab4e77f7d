"""The scripts keep every invariant under random operations; `--model-examples N` asks for more than CI's number."""

from __future__ import annotations

import pytest

from tests.machines import explore
from tests.model.machine import PoolMachine
from tests.model.scheduled import ScheduledMachine

STEPS = 50
SHARDS = 4  # so that parallel test workers share the examples


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_scripts_keep_the_invariants(redis_url: str, shard: int, request: pytest.FixtureRequest) -> None:
    """Half of the examples have schedules, little retention and moves between pools beside all the rest."""
    machine = (PoolMachine, ScheduledMachine)[shard % 2]
    examples = -(-int(request.config.getoption("--model-examples")) // SHARDS)
    explore(machine.on_server(redis_url), examples=examples, steps=STEPS)

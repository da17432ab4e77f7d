"""What the tests of operations share: a pool `p` on an empty server, on a clock that only the test moves."""

import pytest
import redis

from dispatcher.ops import pools
from tests.conftest import Clock, Run
from tests.scene import POOL, Scene


@pytest.fixture
def scene(run: Run, clock: Clock, server_connection: redis.Redis) -> Scene:
    run(pools.create(POOL))
    return Scene(run, clock, server_connection)

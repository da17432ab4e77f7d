"""The embedded broker: one Valkey server a data folder, started on demand and shared by all.

Mechanism: two flocks in `<data folder>/run`. `start.lock` is held only by who starts or stops at
this moment. `life.lock` is taken by the starter and inherited by the server, so the kernel holds it
exactly as long as the server (or a child it forked to rewrite its file) lives. Nothing is read from
pid files, and only the holder of `life.lock` removes a socket: what a crash leaves behind matters to
nobody, and two servers can never write to one folder. Ready means that the server answers PONG.

The server listens on a unix socket alone (0600, in a 0700 folder), appends every write to its AOF,
never evicts, and is detached: neither Ctrl-C nor the death of its starter reaches it.

Which program that is and how to speak to it is in `dispatcher/server.py`. Nothing here imports redis.
"""

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dispatcher.errors import BrokerUnavailable
from dispatcher.server import ask, ask_to_stop, find_server, launch, probe, reap

__all__ = ["BrokerStatus", "default_data_folder", "ensure", "find_server", "status", "stop"]

# sun_path holds 104 bytes on macOS and 108 on Linux, with the closing zero.
_SOCKET_PATH_LIMIT_BYTES = 100
_PAUSE_S = 0.005


@dataclass(frozen=True)
class BrokerStatus:
    """What `status` found; `url`, `pid` and `version` are None when no server answers."""

    running: bool
    url: str | None
    pid: int | None
    version: str | None
    data_folder: str


def default_data_folder() -> Path:
    """The folder that all local commands of this user share: DISPATCHER_HOME, or the platform's place."""
    home = os.environ.get("DISPATCHER_HOME")
    if home:
        return Path(home).absolute() / "broker"
    from platformdirs import user_data_path

    return user_data_path("dispatcher", appauthor=False) / "broker"


def ensure(data_folder: Path, *, deadline_s: float = 15.0) -> str:
    """Return the URL of the folder's server, after starting it when none is running.

    Any number of processes may call this at once: one starts the server, all get the same answer.

    Raises:
        BrokerUnavailable: no server binary, a folder that is not ours, or no answer before the deadline.
    """
    end_s = time.monotonic() + deadline_s
    places = _Places(data_folder)
    if probe(places.socket) == "up":
        return places.url
    reap()
    places.make()
    with _locked(places.start_lock, end_s, "another process is starting or stopping it"):
        life = _open(places.life_lock)
        try:
            while not _try_lock(life):  # a server lives: it starts, loads its file or stops
                if probe(places.socket) == "up":
                    return places.url
                _pause(end_s, f"{places.life_lock} is held by a server that does not answer {places.socket}")
            places.socket.unlink(missing_ok=True)
            process = launch(places.folder, places.configuration, places.socket, places.log, life)
        finally:
            _close(life)  # from here on only the server holds it
        while probe(places.socket) != "up":
            if process.poll() is not None:
                raise BrokerUnavailable(
                    f"The embedded broker stopped at once (exit code {process.returncode}). "
                    f"The end of {places.log}:\n{places.log_end()}"
                )
            _pause(end_s, f"it is not ready yet, see {places.log}")
    return places.url


def stop(data_folder: Path, *, deadline_s: float = 15.0) -> bool:
    """Stop the folder's server and wait until it is gone; False when none was running.

    Every acknowledged write is on the disk afterwards. Consumers lose their connection.

    Raises:
        BrokerUnavailable: it refuses to stop, or does not within the deadline.
    """
    end_s = time.monotonic() + deadline_s
    places = _Places(data_folder)
    if not places.start_lock.exists():
        return False
    with _locked(places.start_lock, end_s, "another process is starting or stopping it"):
        life = _open(places.life_lock)
        try:
            if _try_lock(life):
                return False
            while True:
                # Asked again until it is gone: a server that runs a long script answers BUSY.
                ask_to_stop(places.socket)
                if _try_lock(life):
                    reap()
                    return True
                _pause(end_s, f"{places.life_lock} is still held")
        finally:
            _close(life)


def status(data_folder: Path) -> BrokerStatus:
    """Look whether the folder's server answers; changes nothing and starts nothing."""
    places = _Places(data_folder)
    if probe(places.socket) is None:
        return BrokerStatus(False, None, None, None, str(places.folder))
    try:
        lines = ask(places.socket, "INFO", "server").decode(errors="replace").splitlines()
    except OSError:
        lines = []
    info = dict(line.split(":", 1) for line in lines if ":" in line)
    engine = "valkey" if "valkey_version" in info else "redis"
    number = info.get(f"{engine}_version")
    pid = info.get("process_id")
    return BrokerStatus(
        running=True,
        url=places.url,
        pid=int(pid) if pid else None,
        version=f"{engine} {number}" if number else None,
        data_folder=str(places.folder),
    )


class _Places:
    """Every file of one data folder; the same for each process, whatever its environment."""

    def __init__(self, data_folder: Path) -> None:
        # Resolved, so that two names of one folder are one broker.
        self.folder = data_folder.expanduser().resolve()
        self.run = self.folder / "run"
        self.start_lock = self.run / "start.lock"
        self.life_lock = self.run / "life.lock"
        self.configuration = self.run / "broker.conf"
        self.log = self.folder / "broker.log"
        self.socket = self.run / "b.sock"
        if not _fits_socket_address(self.socket):
            # Not under XDG_RUNTIME_DIR or TMPDIR: a cron job and a terminal see different ones.
            digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
            self.socket = Path(f"/tmp/dispatcher-{os.getuid()}") / f"{digest}.sock"  # noqa: S108 (checked by make)
        self.url = f"unix://{quote(os.fsencode(self.socket))}"

    def log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-4:])

    def make(self) -> None:
        """Make the folders, or refuse them when another user could reach into them."""
        try:
            self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise BrokerUnavailable(
                f"The embedded broker cannot make its folder {self.run}: {error.strerror}. "
                "Set DISPATCHER_HOME to a folder of yours, or name a Redis with --redis-url."
            ) from None
        for folder in {self.folder, self.run, self.socket.parent}:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise BrokerUnavailable(
                    f"{folder} belongs to the user with uid {found.st_uid}, not to you (uid {os.getuid()}). "
                    "Set DISPATCHER_HOME to a folder of yours."
                )
            if stat.S_IMODE(found.st_mode) & 0o077:
                folder.chmod(0o700)


def _fits_socket_address(path: Path) -> bool:
    encoded = os.fsencode(path)
    try:
        encoded.decode("utf-8")  # the URL could not carry it otherwise
    except UnicodeDecodeError:
        return False
    return len(encoded) <= _SOCKET_PATH_LIMIT_BYTES


# Lock files that are open right now: a child forked by another thread at this moment must not keep
# them, or the lock would outlive the server.
_open_locks: set[int] = set()


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _open_locks.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    _open_locks.discard(descriptor)
    os.close(descriptor)


def _close_all_in_child() -> None:
    for descriptor in list(_open_locks):
        _close(descriptor)


os.register_at_fork(after_in_child=_close_all_in_child)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path, end_s: float, reason: str) -> Iterator[None]:
    descriptor = _open(path)
    try:
        while not _try_lock(descriptor):
            _pause(end_s, reason)
        yield
    finally:
        _close(descriptor)


def _pause(end_s: float, reason: str) -> None:
    if time.monotonic() > end_s:
        raise BrokerUnavailable(f"The embedded broker did not get there in time: {reason}.")
    time.sleep(_PAUSE_S)

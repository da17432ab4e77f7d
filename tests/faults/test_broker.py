"""The embedded broker against what a machine does to it, with real servers and real processes.

Each test has a folder of its own (fixture `folder`), and whatever server lives in it at the end is
stopped. Servers are counted by looking at the processes of the machine, not by asking the broker.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from dispatcher import broker, server
from dispatcher.errors import BrokerUnavailable
from tests.polling import poll_until

STARTER = """
import sys
from pathlib import Path
from dispatcher import broker
sys.stdin.readline()
url = broker.ensure(Path(sys.argv[1]))
print(url, broker.status(Path(sys.argv[1])).pid, flush=True)
sys.stdin.readline()
"""

START_AND_STOP = """
import sys
from pathlib import Path
from dispatcher import broker
folder = Path(sys.argv[1])
for turn in range(8):
    if (turn + int(sys.argv[2])) % 3 == 0:
        broker.stop(folder)
    else:
        assert broker.ensure(folder).startswith("unix://")
"""


@pytest.fixture
def folder(server_binary: Path) -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="dsp-"))
    yield root / "broker"
    stop_all_below(root)
    shutil.rmtree(root)


def stop_all_below(root: Path) -> None:
    for process in servers_below(root):
        process.kill()
        poll_until(lambda p=process: not alive(p), 5, "the killed server is gone")  # type: ignore[misc]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def servers_below(root: Path) -> list[psutil.Process]:
    """Living servers which have their data in `root`: a server's working folder is its data folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "-server" in process.name() and Path(process.cwd()).is_relative_to(root.resolve()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def starter(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def told(process: subprocess.Popen[str], line: str = "\n") -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def connected(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def pid_of(folder: Path) -> int:
    pid = broker.status(folder).pid
    assert pid is not None
    return pid


def test_ten_starters_get_one_server(folder: Path) -> None:
    starters = [starter(folder) for _ in range(10)]
    for process in starters:
        told(process)
    answers = {heard(process) for process in starters}
    running = servers_below(folder)
    for process in starters:
        process.communicate("\n")
    assert [process.returncode for process in starters] == [0] * 10
    assert len(running) == 1
    assert answers == {f"{broker.ensure(folder)} {running[0].pid}\n"}


def test_killed_server_loses_no_acknowledged_write(folder: Path) -> None:
    acknowledged = 0
    enough = threading.Event()

    def write(url: str) -> None:
        nonlocal acknowledged
        with connected(url) as connection:
            try:
                while True:
                    acknowledged = int(connection.incr("counter"))
                    if acknowledged == 1000:
                        enough.set()
            except redis.ConnectionError:
                return

    writer = threading.Thread(target=write, args=(broker.ensure(folder),))
    writer.start()
    assert enough.wait(30), "the writer made no 1000 writes"
    os.kill(pid_of(folder), signal.SIGKILL)
    writer.join(30)
    with connected(broker.ensure(folder)) as connection:
        # The write which was under way may be there although nobody was told.
        assert int(connection.get("counter") or 0) in (acknowledged, acknowledged + 1)


def test_stop_keeps_the_data(folder: Path) -> None:
    with connected(broker.ensure(folder)) as connection:
        connection.set("kept", "yes")
    assert broker.stop(folder)
    assert servers_below(folder) == []
    with connected(broker.ensure(folder)) as connection:
        assert connection.get("kept") == "yes"


def test_stop_without_server(folder: Path) -> None:
    assert not broker.stop(folder)
    assert not folder.exists()
    broker.ensure(folder)
    assert broker.stop(folder)
    assert not broker.stop(folder)


def test_starts_and_stops_interleaved(folder: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", START_AND_STOP, folder, str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(6)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert errors == [""] * 6
    assert len(servers_below(folder)) <= 1
    broker.ensure(folder)
    assert len(servers_below(folder)) == 1


def test_ctrl_c_at_the_starter_leaves_the_server(folder: Path) -> None:
    process = starter(folder)
    told(process)
    answer = heard(process)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    assert answer == f"{broker.ensure(folder)} {pid_of(folder)}\n"


def test_starter_killed_while_starting(folder: Path) -> None:
    for _ in range(5):
        process = starter(folder)
        told(process)
        poll_until(lambda: (folder / "run/life.lock").exists(), 10, "the starter has begun")
        process.kill()
        process.communicate()
        broker.ensure(folder)
        assert len(servers_below(folder)) == 1
        broker.stop(folder)
        shutil.rmtree(folder)


def test_what_a_crash_leaves_does_not_matter(folder: Path) -> None:
    broker.ensure(folder)
    os.kill(pid_of(folder), signal.SIGKILL)
    poll_until(lambda: not broker.status(folder).running, 5, "the killed server is gone")
    assert stat.S_ISSOCK((folder / "run/b.sock").lstat().st_mode), "a stale socket is the point of this test"
    (folder / "run/broker.pid").write_text("1\n")
    (folder / "run/broker.conf").write_text("nonsense\n")
    broker.ensure(folder)
    assert broker.status(folder).running


def test_file_in_the_place_of_the_socket(folder: Path) -> None:
    (folder / "run").mkdir(parents=True)
    (folder / "run/b.sock").write_text("not a socket")
    broker.ensure(folder)
    assert broker.status(folder).running


def test_only_the_user_can_reach_it(folder: Path) -> None:
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    broker.ensure(folder)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (folder, folder / "run", *folder.rglob("*"))}
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}


def test_nothing_listens_on_tcp(folder: Path) -> None:
    broker.ensure(folder)
    (process,) = servers_below(folder)
    assert process.net_connections("inet") == []


def test_folder_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(BrokerUnavailable, match=f"belongs to the user with uid {me}"):
        broker.ensure(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the owner of the socket file is looked at")
def test_server_of_another_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.ensure(folder)
    with monkeypatch.context() as patched:
        patched.setattr(server, "_peer", lambda connection: (1, os.getuid() + 1))
        for question in (broker.ensure, broker.status):
            with pytest.raises(BrokerUnavailable, match="who is not you"):
                question(folder)


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "quote\"'s",
        "ünïcödé",
        "100%41",
        "a#b?c=d&e",
        "[glob]*?",
        "back\\slash\\n",
        "line\nbreak",
        "l" * 120,
    ],
)
def test_any_folder_name(folder: Path, name: str) -> None:
    place = folder / name
    url = broker.ensure(place)
    with connected(url) as connection:
        connection.set("key", "value")
    broker.stop(place)
    assert broker.ensure(place) == url
    with connected(url) as connection:
        assert connection.get("key") == "value"
        assert connection.config_get("dir") == {"dir": str(place)}
    assert broker.status(place).url == url
    assert len(os.fsencode(url)) < 400


def test_folder_name_that_is_not_text(folder: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe"))
    with connected(broker.ensure(place)) as connection:
        assert connection.ping()


def test_two_names_of_one_folder(folder: Path) -> None:
    folder.mkdir()
    other = folder.parent / "other"
    other.symlink_to(folder)
    assert broker.ensure(folder) == broker.ensure(other)
    assert len(servers_below(folder)) == 1


def test_status_tells_and_starts_nothing(folder: Path) -> None:
    nothing = broker.BrokerStatus(False, None, None, None, str(folder.resolve()))
    assert broker.status(folder) == nothing
    assert not folder.exists()
    url = broker.ensure(folder)
    found = broker.status(folder)
    (process,) = servers_below(folder)
    assert (found.running, found.url, found.pid) == (True, url, process.pid)
    assert found.version is not None
    assert found.version.startswith(("valkey ", "redis "))
    broker.stop(folder)
    assert broker.status(folder) == nothing


def test_password_given_at_run_time(folder: Path) -> None:
    with connected(broker.ensure(folder)) as connection:
        connection.config_set("requirepass", "secret")
    assert broker.status(folder).running
    assert broker.status(folder).version is None
    assert broker.stop(folder)


def test_lock_holder_that_does_not_answer(folder: Path) -> None:
    broker.ensure(folder)
    os.kill(pid_of(folder), signal.SIGSTOP)
    with pytest.raises(BrokerUnavailable, match=r"life\.lock is held by a server that does not answer"):
        broker.ensure(folder, deadline_s=0.1)
    with pytest.raises(BrokerUnavailable, match=r"life\.lock is still held"):
        broker.stop(folder, deadline_s=0.1)


def test_server_that_ends_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = folder.parent / "broken-server"
    broken.write_text("#!/bin/sh\necho this machine is on fire >&2\nexit 7\n")
    broken.chmod(0o700)
    monkeypatch.setenv("DISPATCHER_BROKER_BINARY", str(broken))
    with pytest.raises(BrokerUnavailable, match=r"(?s)exit code 7.*this machine is on fire"):
        broker.ensure(folder)
    monkeypatch.delenv("DISPATCHER_BROKER_BINARY")
    broker.ensure(folder)


def test_child_forked_meanwhile_does_not_keep_the_lock(folder: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from dispatcher import broker
path = Path(sys.argv[1])
life = broker._open(path)
assert broker._try_lock(life)
reading, writing = os.pipe()
began_reading, began_writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.write(began_writing, b"1")
    os.read(reading, 1)
    os._exit(0)
os.read(began_reading, 1)
broker._close(life)
assert broker._try_lock(broker._open(path)), "the forked child keeps the lock"
os.close(writing)
os.wait()
"""
    folder.mkdir()
    subprocess.run([sys.executable, "-c", code, folder / "life.lock"], check=True)


def test_warm_path_imports_no_client(folder: Path) -> None:
    broker.ensure(folder)
    code = (
        "import sys; from pathlib import Path; from dispatcher import broker;"
        "broker.ensure(Path(sys.argv[1]));"
        "print([name for name in ('redis', 'pydantic', 'asyncio', 'platformdirs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_listener_that_is_no_redis(folder: Path) -> None:
    (folder / "run").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "run/b.sock"))
        # Nobody listens on it: the same as what a crash leaves, whoever bound it.
        broker.ensure(folder)
    assert broker.status(folder).running

"""Eight real workers on one pool while limits change and a queue pauses: limits, once, and priority hold throughout.

Nothing is mocked: each run is a process that a worker process started. The runs write a journal outside Redis;
`judging.py` says precisely what is judged from it and from the event stream. 2,000 runs in CI, 400 elsewhere;
DISPATCHER_TEST_MANY_RUNS sets another number. Below it, the judge is judged: each rule finds its breach.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dispatcher import keyspace
from dispatcher.call import Call
from dispatcher.client import Client
from dispatcher.ids import new_id
from dispatcher.models import Event, NewRun, RunInput
from dispatcher.ops import consumers, pools, queues, runs, views
from dispatcher.states import State
from tests.faults.judging import POOL, Entry, Replay, accounts_agree, executed_once, read_journal, within_limits
from tests.polling import poll_until

NAME = "many"
WORKERS = 8
COUNT = int(os.environ.get("DISPATCHER_TEST_MANY_RUNS") or (2000 if os.environ.get("CI") else 400))
POOL_LIMIT = 7
QUEUE_LIMITS = {"critical": 2, "high": 3, "default": None}  # best priority first
REACHED = {POOL: POOL_LIMIT, "critical": 3, "high": 3}  # the most holders at once, with the changes below
SHARES = {"critical": 25, "high": 30, "default": 45}  # of the runs, percent
WORK_MS = 60  # at most; a process takes half as long to start, so that some runs overlap and some do not
PATIENCE_S = 380.0
FLOW = """
import os, time

def note(word, journal, queue):
    run, epoch = os.environ["DISPATCHER_RUN_ID"], os.environ["DISPATCHER_RUN_EPOCH"]
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{word} {run} {epoch} {queue} {time.monotonic_ns()} {time.time_ns()}\\n".encode())
    os.close(file)

def work(journal, queue, work_ms):
    note("begin", journal, queue)
    time.sleep(work_ms / 1000)
    note("end", journal, queue)
"""

# What is changed when this share of the runs has ended.
CHANGES: tuple[tuple[float, str, Callable[[], Call[None]]], ...] = (
    (0.15, "pool limit 4", lambda: pools.set_limit(NAME, 4)),
    (0.30, "pool limit 7", lambda: pools.set_limit(NAME, POOL_LIMIT)),
    (0.40, "high pauses", lambda: queues.pause(NAME, "high")),
    (0.55, "high resumes", lambda: queues.resume(NAME, "high")),
    (0.65, "limit of critical 1", lambda: queues.set_limit(NAME, "critical", 1)),
    (0.80, "limit of critical 3", lambda: queues.set_limit(NAME, "critical", 3)),
)


@contextmanager
def working(url: str, name: str, log: Path) -> Iterator[None]:
    """A worker process as people start it; ended by SIGTERM, as cleanly as the test demands."""
    argv = [sys.executable, "-m", "dispatcher", "--redis-url", url]
    argv += ["worker", "start", "--hide-welcome", "--pool", NAME, "--name", name]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DISPATCHER_")}
    with log.open("wb") as output, subprocess.Popen(argv, env=environment, stdout=output, stderr=output) as process:
        try:
            yield
            process.terminate()
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()


class Crowd:
    """The pool under load, and the hand that changes it."""

    def __init__(self, client: Client, folder: Path, seed: int) -> None:
        self.client = client
        self.journal = folder / "journal"
        self.random = random.Random(seed)
        self.submitted: list[str] = []
        self._folder = folder
        self._read = self._ended = 0
        self.journal.touch()
        (folder / "flow.py").write_text(FLOW)
        client.run(pools.create(NAME, type="process", limit=POOL_LIMIT))
        for name, limit in QUEUE_LIMITS.items():
            if name != "default":
                client.run(queues.create(NAME, name, limit=limit))
        client.run(queues.set_priorities(NAME, {name: place for place, name in enumerate(QUEUE_LIMITS, 1)}))

    def submit(self, up_to: int) -> None:
        """More runs, in a random mixture, until `up_to` were submitted in all."""
        while len(self.submitted) < up_to:
            count = min(runs.SUBMIT_BATCH, up_to - len(self.submitted))
            fresh = [self._new_run() for _ in range(count)]
            self.submitted += [found.id for found in self.client.run(runs.submit(NAME, fresh))]

    def _new_run(self) -> NewRun:
        queue = self.random.choices(list(SHARES), list(SHARES.values()))[0]
        parameters = {"journal": str(self.journal), "queue": queue, "work_ms": self.random.randrange(WORK_MS)}
        payload = RunInput(entrypoint="flow.py:work", path=str(self._folder), parameters=parameters)
        return NewRun(new_id(), "short", queue, payload)

    def ended(self) -> int:
        """How many runs have written their end; reads only what is new."""
        with self.journal.open("rb") as file:
            file.seek(self._read)
            for line in file:
                self._read += len(line)
                self._ended += line.startswith(b"end ")
        return self._ended

    def until_ended(self, share: float) -> None:
        wanted = round(share * COUNT)
        poll_until(lambda: self.ended() >= wanted, PATIENCE_S, f"{wanted} of {COUNT} runs have ended")

    def events(self) -> list[Event]:
        found: list[Event] = []
        while True:
            page = self.client.run(views.events(NAME, after=found[-1].id if found else "-"))
            if not page:
                return found
            found += page


@pytest.mark.timeout(420)
def test_limits_once_and_priority_hold(redis_url: str, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}, {COUNT} runs")
    with Client(redis_url) as client:
        crowd = Crowd(client, tmp_path, seed)
        crowd.submit(COUNT // 3)
        with ExitStack() as stack:
            for number in range(WORKERS):
                stack.enter_context(working(redis_url, f"worker-{number}", tmp_path / f"worker-{number}.log"))
            poll_until(lambda: len(client.run(consumers.list_all(NAME))) == WORKERS, 60, "all workers are there")
            for share, what, change in CHANGES:
                crowd.until_ended(share)
                client.run(change())
                print(f"{what}, after {crowd.ended()} runs")
                crowd.submit(min(COUNT, round((share + 0.3) * COUNT)))
            crowd.until_ended(1)
            poll_until(lambda: not client.run(pools.read(NAME)).slots_used, 30, "every slot is free")
        journal, events = read_journal(crowd.journal.read_text()), crowd.events()
        replay = Replay()
        replay.feed(events)
        assert set(replay.claims) == set(crowd.submitted), "the event stream is whole"
        too_many, most = within_limits(journal, replay)
        by_worker = Counter(claim.consumer for claim in replay.claims.values())
        print(f"most at once {most}; runs by worker {sorted(by_worker.values())}")
        assert executed_once(crowd.submitted, journal, replay) == []
        assert too_many == []
        assert replay.faults == []
        assert accounts_agree(journal, replay) == []
        # The test is worth something only if the limits were reached, runs overlapped and everyone worked.
        assert {name: lane.most for name, lane in replay.lanes.items() if name != "default"} == REACHED
        assert most[POOL] > 4
        assert len(by_worker) == WORKERS
        pool = client.run(pools.read(NAME))
        assert (pool.slots_used, pool.counts.scheduled) == (0, 0)
        assert all(queue.slots_used == 0 for queue in pool.queues)
        assert client.run(Call("ZCARD", (keyspace.runs_finished(NAME, State.COMPLETED),), (), int)) == COUNT
        assert client.run(consumers.list_all(NAME)) == []


# The judge itself -------------------------------------------------------------------------------------------------


def told(*lines: str) -> list[Event]:
    """Events from `name field=value ...`; each is a millisecond after the one before."""
    found = []
    for number, line in enumerate(lines):
        name, *pairs = line.split()
        of = dict(pair.split("=", 1) for pair in pairs)
        if "run" in of:
            of = {"consumer": "worker", "queue": "best", **of}
        found.append(Event(f"{number}-0", number, name, of))
    return found


SET_UP = (
    "pool-created limit=2",
    "queue-created queue=best priority=1 limit=1",
    "queue-created queue=rest priority=2 limit=",
)


def wrote(*lines: str) -> list[Entry]:
    """Journal entries from `word run queue`."""
    entries = [line.split() for line in lines]
    return [Entry(word, run, 1, queue, place, place + 3.5) for place, (word, run, queue) in enumerate(entries)]


def replayed(*lines: str) -> Replay:
    replay = Replay()
    replay.feed(told(*SET_UP, *lines))
    return replay


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["submitted run=a", "claimed run=a", "claimed run=b"], "queue best was at 1 of 1"),
        (["claimed run=a queue=rest", "claimed run=b queue=rest", "claimed run=c queue=rest"], "pool was at 2 of 2"),
        (["pool-set name=paused value=1", "claimed run=a"], "the pool was paused"),
        (["queue-set queue=best name=paused value=1", "claimed run=a"], "queue best was paused"),
        (["submitted run=a", "claimed run=b queue=rest"], "of better priority"),
        (["pool-set name=limit value=1", "claimed run=a queue=rest", "claimed run=b queue=rest"], "at 1 of 1"),
        (["claimed run=a", "lost run=a"], "nothing should be lost"),
        (["claimed run=a", "released run=a"], "nothing should be released"),
    ],
)
def test_replay_finds(lines: list[str], fault: str) -> None:
    found = replayed(*lines).faults
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    "lines",
    [
        ["submitted run=a", "claimed run=a", "finished run=a", "claimed run=b"],
        ["submitted run=a", "queue-set queue=best name=paused value=1", "claimed run=b queue=rest"],
        ["submitted run=a", "submitted run=b", "claimed run=a", "claimed run=c queue=rest"],
        ["claimed run=a queue=rest", "claimed run=b queue=rest", "pool-set name=limit value=1"],
        ["claimed run=a", "queue-set queue=best name=paused value=1", "released run=a", "claimed run=b queue=rest"],
    ],
)
def test_replay_lets_pass(lines: list[str]) -> None:
    assert replayed(*lines).faults == []


def test_more_at_once_than_the_limit_is_found() -> None:
    replay = replayed("claimed run=a queue=rest", "claimed run=b queue=rest", "claimed run=c queue=rest")
    faults, most = within_limits(wrote("begin a rest", "begin b rest", "begin c rest"), replay)
    assert most == {POOL: 3, "rest": 3}
    assert len(faults) == 1
    assert "3 runs of the pool at once" in faults[0]


def test_a_lowered_limit_may_be_exceeded_only_by_earlier_claims() -> None:
    lines = ["claimed run=a queue=rest", "claimed run=b queue=rest", "pool-set name=limit value=1"]
    journal = wrote("begin a rest", "begin b rest")
    assert within_limits(journal, replayed(*lines))[0] == []
    moved = [lines[0], lines[2], lines[1]]
    assert len(within_limits(journal, replayed(*moved))[0]) == 1


def test_a_run_that_a_pause_gave_back_is_executed_once_all_the_same() -> None:
    paused = "queue-set queue=best name=paused value={}".format
    replay = replayed(
        "claimed run=a", paused(1), "released run=a", paused(0), "claimed run=a", "claimed run=b queue=rest"
    )
    assert (replay.faults, [replay.claims[run].place for run in "ab"]) == ([], [1, 2])
    journal = [Entry(word, "a", 2, "best", place, 9.5) for place, word in enumerate(("begin", "end"))]
    assert executed_once(["a"], journal, replay) == []
    assert len(executed_once(["a"], journal, Replay())) == 1


@pytest.mark.parametrize(
    "lines", [["begin a rest"], ["begin a rest", "end a rest", "begin a rest", "end a rest"], []], ids=str
)
def test_a_run_that_was_not_executed_once_is_found(lines: list[str]) -> None:
    assert len(executed_once(["a"], wrote(*lines), Replay())) == 1


def test_accounts_that_differ_are_found() -> None:
    replay = replayed("claimed run=a queue=rest", "finished run=a queue=rest")
    assert accounts_agree(wrote("begin a rest"), replay) == []
    assert len(accounts_agree(wrote("begin b rest"), replay)) == 1
    late = [Entry("end", "a", 1, "rest", 0, 9.0)]
    assert len(accounts_agree(late, replay)) == 1

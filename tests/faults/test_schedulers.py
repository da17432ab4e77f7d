"""Many schedulers as processes, which are killed, frozen and cut off: each time of a schedule gets one run, and none is
missed.

The judge looks at the runs alone. Every schedule here fires whenever the clock shows a multiple of its step, so which
runs there must be is arithmetic: one for each multiple, from where the schedule began to where it has come.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis

from dispatcher import broker, keyspace
from dispatcher.call import Call, script
from dispatcher.client import Client
from dispatcher.ids import new_id
from dispatcher.models import Consumer, Outcome, Run, RunInput, Schedule
from dispatcher.ops import consumers, deployments, leases, pools, runs
from dispatcher.ops.reading import optional
from dispatcher.states import State
from tests.consumers import ConsumerProcess
from tests.deploying import deployment
from tests.polling import poll_until
from tests.proxy import Proxy
from tests.scene import new_consumer

MINUTE_S, DAY_S = 60, 86_400
PATIENCE_S = 60.0
TAKEN_MS = 5000  # so long a duty is left to the one who took it: dispatcher/lua/_duty.lua


@dataclass(frozen=True, slots=True)
class Timed:
    """A deployment with one schedule that fires every `step_s`, `past_s` after midnight."""

    name: str
    pool: str
    schedule: Schedule
    step_s: int
    past_s: int = 0
    behind_s: int = 0  # how long nobody scheduled before it came here

    def faults(self, kept: list[Run], first_ms: int, now_ms: int) -> list[str]:
        """What is wrong with its runs; it was decided up to `first_ms` when it came."""
        step_ms, past_ms = self.step_s * 1000, self.past_s * 1000
        found = sorted(run.due_at_ms for run in kept)
        first = (first_ms - past_ms) // step_ms * step_ms + step_ms + past_ms
        wanted = list(range(first, max(found, default=0) + 1, step_ms))
        faults = [f"{self.name}: {at_ms} is there {found.count(at_ms)} times" for at_ms in {*found} ^ {*wanted}]
        if len(found) != len(set(found)):
            faults.append(f"{self.name}: a time is there twice: {found}")
        if sum(at_ms > now_ms for at_ms in found) < 3:
            faults.append(f"{self.name}: less than three runs ahead: {found[-3:]}")
        return faults


def every(step_s: int, **options: object) -> Schedule:
    return Schedule(interval_s=step_s, catchup="all", **options)  # type: ignore[arg-type]


MINUTELY = Schedule(cron="* * * * *", catchup="all")
DAILY = Schedule(cron="0 4 * * *", catchup="all")


class Hall:
    """Pools with schedules, and processes that look after them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.client = Client(url)
        self.began_ms: dict[str, int] = {}
        self.timed: list[Timed] = []
        self.processes: list[ConsumerProcess] = []
        self._folder = folder
        self._hands: dict[str, Consumer] = {}

    def start(self, *words: str, url: str | None = None) -> ConsumerProcess:
        argv = [sys.executable, "-m", "dispatcher", "--redis-url", url or self.url, *words]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")}
        log = self._folder / f"process-{len(self.processes)}.log"
        process = ConsumerProcess(argv, self._folder, clean, log)
        self.processes.append(process)
        return process

    def scheduler(self, *options: str, url: str | None = None) -> ConsumerProcess:
        """A scheduler that works."""
        process = self.start("scheduler", "start", *options, url=url)
        poll_until(lambda: "Scheduler serves" in process.log, PATIENCE_S, "the scheduler works")
        return process

    def pool(self, name: str, **options: object) -> str:
        self.client.run(pools.create(name, type="process", **options))  # type: ignore[arg-type]
        return name

    def add(self, *timed: Timed) -> None:
        """Keeps deployments whose schedules have come so far, and leaves it to others to make their runs."""
        for of in timed:
            kept = deployment(of.schedule, name=of.name, pool=of.pool, input=RunInput(command=("true",)))
            self.began_ms[of.name] = round(time.time() * 1000) - of.behind_s * 1000
            cursors = {of.schedule.id: self.began_ms[of.name]}
            self.client.run(deployments._save(kept, deployments.ANY, cursors))
            self.client.run(Call("HSET", (keyspace.deployments(),), (of.name, of.pool), optional))
            self.timed.append(of)

    def kept(self, of: Timed) -> list[Run]:
        return self.client.run(runs.list_pool(of.pool, deployment=of.name, most=10_000))

    def faults(self, *timed: Timed) -> list[str]:
        now_ms = round(time.time() * 1000)
        found = [of.faults(self.kept(of), self.began_ms[of.name], now_ms) for of in timed or self.timed]
        return [fault for faults in found for fault in faults]

    def right(self, *timed: Timed, timeout_s: float = PATIENCE_S) -> None:
        """Waits until each time has its run."""
        try:
            poll_until(lambda: not self.faults(*timed), timeout_s, "every time has one run")
        except AssertionError:
            said = [process.log for process in self.processes]
            raise AssertionError("\n".join([*self.faults(*timed), *said])) from None

    def take(self, pool: str) -> list[str]:
        """Executes what is ready in the pool, as a consumer that needs no time for it."""
        if pool not in self._hands:
            self._hands[pool] = new_consumer("hand", pool, kind="worker", type="process")
            self.client.run(consumers.register(self._hands[pool], ()))
        me = self._hands[pool].id
        claimed = self.client.run(leases.claim(pool, me, request=new_id(), want=64, load=0)).runs
        done = [Outcome(run.id, run.epoch, State.COMPLETED) for run in claimed]
        if done:
            self.client.run(leases.finish(pool, me, done))
        return [run.id for run in claimed]

    def close(self) -> None:
        for process in self.processes:
            process.process.kill()
            process.process.wait()
        self.client.close()


@contextmanager
def opened(url: str, folder: Path) -> Iterator[Hall]:
    hall = Hall(url, folder)
    try:
        yield hall
    finally:
        hall.close()


@pytest.fixture
def hall(redis_url: str, tmp_path: Path) -> Iterator[Hall]:
    with opened(redis_url, tmp_path) as hall:
        yield hall


@pytest.fixture
def own_hall(server_binary: Path, tmp_path: Path) -> Iterator[tuple[Hall, int]]:
    """With a server of its own, to be frozen; its process."""
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))
    try:
        with opened(broker.ensure(folder), tmp_path) as hall:
            pid = broker.status(folder).pid
            assert pid is not None
            try:
                yield hall, pid
            finally:
                os.kill(pid, signal.SIGCONT)
    finally:
        broker.stop(folder)
        shutil.rmtree(folder)


def passed(seconds: float) -> None:
    end_s = time.monotonic() + seconds
    poll_until(lambda: time.monotonic() >= end_s, seconds + 5, "the time has passed")


def wave(number: int, pool: str) -> list[Timed]:
    """Schedules of every kind, some of them long behind."""
    made = [
        Timed("often", pool, every(1), 1, behind_s=20),
        Timed("two", pool, every(2), 2),
        Timed("minutely", pool, MINUTELY, MINUTE_S, behind_s=20 * MINUTE_S),
        Timed("daily", pool, DAILY, DAY_S, past_s=4 * 3600, behind_s=3 * DAY_S),
    ]
    return [replace(of, name=f"{of.name}/{pool}-{number}") for of in made]


@pytest.mark.timeout(180)
def test_twenty_schedulers_make_each_run_once_and_miss_none(own_hall: tuple[Hall, int]) -> None:
    hall, server = own_hall
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    names = [hall.pool(name) for name in ("a", "b", "c")]
    hall.add(*wave(0, "a"))
    jittered = Timed("jitter/a", "a", every(30, jitter_s=20), 30, behind_s=60)
    hall.add(jittered)
    hall.timed.remove(jittered)
    # A few of them for one pool each; two workers do it beside their runs.
    schedulers = [hall.start("scheduler", "start", *(("-p", names[place]) if place < 3 else ())) for place in range(20)]
    for _ in range(2):
        hall.start("worker", "start", "--hide-welcome", "-p", "a", "-q", "other")
    poll_until(lambda: sum("serves" in process.log for process in hall.processes) == 22, PATIENCE_S, "all are there")

    for number in range(1, 9):
        hall.add(*wave(number, chance.choice(names)))
        victim = chance.choice(schedulers)
        victim.kill()
        schedulers.remove(victim)
        if number % 3 == 0:
            schedulers.append(hall.start("scheduler", "start"))
        if number == 4:
            os.kill(server, signal.SIGSTOP)
            passed(2)
            os.kill(server, signal.SIGCONT)
        passed(0.2)
        for name in names:
            hall.take(name)
    hall.right()
    for name in names:
        hall.take(name)
    hall.right()
    starts = sorted(run.due_at_ms for run in hall.kept(jittered))
    nominal = range(hall.began_ms[jittered.name] // 30_000 * 30_000 + 30_000, starts[-1] + 30_000, 30_000)
    assert len(starts) in (len(nominal) - 1, len(nominal))
    assert all(any(0 <= start - at_ms <= 20_000 for start in starts) for at_ms in nominal[: len(starts)])
    for process in schedulers:
        process.signal(signal.SIGTERM)
    assert {process.exit_code() for process in schedulers} == {0}
    assert all("Traceback" not in process.log for process in hall.processes)


def until(reply: list[str]) -> int:
    """When the first duty is handed out again."""
    return int(reply[1])


def test_what_a_frozen_scheduler_has_taken_is_done_by_another(hall: Hall) -> None:
    minutely = Timed("f/minutely", hall.pool("p"), MINUTELY, MINUTE_S, behind_s=5 * MINUTE_S)
    with Proxy(hall.url) as proxy:
        proxy.stall_before(script("schedule_admit").sha.encode())
        hall.add(minutely)
        frozen = hall.scheduler(url=proxy.url)
        poll_until(lambda: proxy.is_stalled, PATIENCE_S, "it has taken the duty and asks to admit the runs")
        frozen.signal(signal.SIGSTOP)
        took_ms = hall.client.run(Call("ZRANGE", (keyspace.duties("p"),), (0, 0, "WITHSCORES"), until)) - TAKEN_MS
        hall.scheduler()
        hall.right(minutely)
        assert time.time() * 1000 >= took_ms + TAKEN_MS, "it was left to the first one for a while"
        assert hall.take("p"), "so that it is not seen from the waiting runs what was made"
        before = [run.id for run in hall.kept(minutely)]
        frozen.signal(signal.SIGCONT)
        proxy.mend()
        frozen.signal(signal.SIGTERM)
        assert frozen.exit_code() == 0
        assert [run.id for run in hall.kept(minutely)] == before


def test_run_once_does_what_is_due_and_ends(hall: Hall) -> None:
    timed = [Timed(f"f/{name}", hall.pool(name), MINUTELY, MINUTE_S, behind_s=MINUTE_S) for name in ("a", "b")]
    hall.add(*timed)
    only = hall.start("scheduler", "start", "--run-once", "--pool", "a")
    assert only.exit_code() == 0, only.log
    assert "Scheduler serves work pool a." in only.log
    hall.right(timed[0], timeout_s=0)
    assert hall.kept(timed[1]) == []
    all_of_them = hall.start("scheduler", "start", "--run-once")
    assert all_of_them.exit_code() == 0, all_of_them.log
    hall.right(timeout_s=0)


def test_a_pool_that_is_not_there_is_refused_and_one_that_comes_later_is_served(hall: Hall) -> None:
    wrong = hall.start("scheduler", "start", "-p", "nowhere")
    first, later = (Timed(f"f/{name}", name, MINUTELY, MINUTE_S) for name in ("first", "later"))
    hall.pool("first")
    hall.add(first)
    hall.scheduler("-p", "first")
    hall.scheduler()
    assert wrong.exit_code() == 1
    assert "'nowhere' was not found" in wrong.log
    hall.right(first)
    hall.client.run(pools.delete("first", cancel_runs=True))
    hall.pool("later")
    hall.add(later)
    hall.right(later)
    assert [process.process.poll() for process in hall.processes] == [1, None, None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_redis_is_waited_for_and_a_signal_ends_it(hall: Hall, number: signal.Signals) -> None:
    of = Timed("f/minutely", hall.pool("p"), MINUTELY, MINUTE_S)
    with Proxy(hall.url) as proxy:
        proxy.cut()
        early, stubborn = (hall.start("scheduler", "start", url=proxy.url) for _ in range(2))
        for process in (early, stubborn):
            said = "Trying again until it answers"
            poll_until(lambda process=process, said=said: said in process.log, PATIENCE_S, "it waits for Redis")  # type: ignore[misc]
        stubborn.signal(number)
        assert stubborn.exit_code() == 0
        hall.add(of)
        proxy.mend()
        hall.right(of)
        assert early.log.count("Redis answers again.") == 1
        proxy.cut()
        early.signal(number)
        assert early.exit_code() == 0
        assert "Traceback" not in early.log


def test_what_cannot_be_read_in_one_pool_does_not_keep_the_others_waiting(
    hall: Hall, server_connection: redis.Redis
) -> None:
    broken, sound = (Timed(f"f/{name}", hall.pool(name), MINUTELY, MINUTE_S) for name in ("a", "b"))
    hall.add(broken)
    server_connection.hset(keyspace.deployment_set("a"), broken.name, "no JSON")
    process = hall.scheduler()
    hall.add(sound)
    hall.right(sound)
    poll_until(lambda: "because of a bug" in process.log, PATIENCE_S, "it is told")
    assert process.process.poll() is None


def counted(server: redis.Redis) -> int:
    """How many scripts the server has run."""
    return int(server.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


def test_a_worker_alone_keeps_the_schedules_of_its_pool_going(hall: Hall, server_connection: redis.Redis) -> None:
    pool = hall.pool("p")
    timed = [
        Timed("f/often", pool, every(1), 1, behind_s=10),
        Timed("f/minutely", pool, MINUTELY, MINUTE_S, behind_s=10 * MINUTE_S),
        Timed("f/daily", pool, DAILY, DAY_S, past_s=4 * 3600),
    ]
    # of another queue, so that nothing is done here but to schedule
    hall.start("worker", "start", "--hide-welcome", "-p", pool, "-q", "other")
    poll_until(lambda: hall.client.run(consumers.list_all(pool)), PATIENCE_S, "the worker is there")
    hall.add(*timed)
    hall.right()

    before = counted(server_connection)
    passed(4)
    assert counted(server_connection) - before <= 12, "a run becomes due every second; nothing else happens"

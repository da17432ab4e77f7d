"""The machine of `machine.py` with schedules, retention and moves: rules of their own, in small pools that keep little.

Runs are admitted to three schedules, one for each kind of overlap, which stop, rest, change and go on. Runs go out to
another pool and come from there: what that pool does is made up here, as far as the scripts cannot tell the difference,
and is told late and twice as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from dispatcher import keyspace
from dispatcher.call import Arg, Call
from dispatcher.errors import DeploymentChanged, RunMoving
from dispatcher.ids import new_id
from dispatcher.models import NewRun, RunInput, Submitted
from dispatcher.ops import pools, runs
from dispatcher.ops.reading import fields
from tests.model.invariants import POOL
from tests.model.lifecycle import DEPLOYMENT, RunState
from tests.model.machine import SELDOM, PoolMachine, pick

OVERLAPS = {"allow": "", "skip": "skip", "cancel": "cancel_running"}
KEEP_RUNS, KEEP_MS = 6, 25_000
Row = tuple[str, int, list[str]]  # run, its number of going out, its fields


def scripted(name: str, *args: Arg) -> Call[list[Any]]:
    """A call of a script, with its raw reply."""
    return Call(name, (keyspace.pool(POOL),), args, list)


class ScheduledMachine(PoolMachine):
    """Bound to a server by `on_server`."""

    @classmethod
    def on_server(cls, url: str) -> type[PoolMachine]:
        return type("ScheduledMachine", (cls,), {"url": url})

    def __init__(self) -> None:
        super().__init__()
        self.out: list[Row] = []  # every run that has ever left, as it left
        self.fates: dict[tuple[str, int], str] = {}
        self.admission: Call[list[Any]] | None = None
        self.deployed_to = "default"
        self.version = ""
        self.is_leaving = False

    @initialize(filters=st.sampled_from([(), (), ("both",)]))
    def create(self, filters: tuple[str, ...]) -> None:
        super().create(filters)
        self.send(scripted("pool_set", "keep_runs", KEEP_RUNS, "keep_ms", KEEP_MS))
        self.model.pass_time()
        self.model.keep_runs, self.model.keep_ms = KEEP_RUNS, KEEP_MS
        self.save(dict.fromkeys(OVERLAPS, ("d0", None, "all")))

    def cancel(self, run: str, force: bool) -> None:
        if self.model.runs[run].is_moving:
            assert isinstance(self.unchanged(runs.cancel(POOL, run, force=force)), RunMoving)
        else:
            super().cancel(run, force)

    # schedules ------------------------------------------------------------------------------------------------------

    def save(self, given: dict[str, tuple[str, int | None, str]]) -> None:
        self.version = new_id()
        of = {"queue": self.deployed_to, "version": self.version, "leaving": self.is_leaving}
        text = json.dumps({"schedules": [{"id": schedule} for schedule in given], **of})
        args: list[Arg] = [DEPLOYMENT, text, "", "any"]
        for schedule, (digest, cursor, what) in given.items():
            args += [schedule, digest, "" if cursor is None else cursor, what]
        before = len(self.model.runs)
        found = self.send(scripted("deployment_save", *args))
        self.model.pass_time()
        trimmed = before - len(self.model.runs)
        self.model.save(given)
        assert found == ["saved", before - trimmed - len(self.model.runs)], f"S: taken back: {found}"

    @rule(
        at=pick,
        to=st.sampled_from(["same", "same", "other digest", "other digest", "all", "future", "rest", "gone"]),
        ahead=st.sampled_from([None, 500]),
    )
    def change(self, at: int, to: str, ahead: int | None) -> None:
        """One schedule stops, rests or changes; the others are as they were, or begin again."""
        chosen = self.one(sorted(OVERLAPS), at)
        given: dict[str, tuple[str, int | None, str]] = {}
        for schedule in OVERLAPS:
            known = self.model.schedules.get(schedule)
            given[schedule] = (known.digest if known and known.digest else "d0", None, "all")
        cursor = None if ahead is None else self.now_ms + ahead
        if to == "other digest":
            given[chosen] = (f"{given[chosen][0]}'"[-9:], cursor, "all")
        elif to == "gone":
            del given[chosen]
        elif to != "same":
            given[chosen] = ("", cursor, to)
        self.save(given)

    @rule()
    def leave(self) -> None:
        """The deployment is on its way to another pool, or is led back."""
        self.is_leaving = not self.is_leaving
        self.change(0, "same", None)

    @rule(at=pick, key=st.sampled_from(["", "k"]), read=st.sampled_from(["now", "now", "before"]))
    def submit_of_deployment(self, at: int, key: str, read: str) -> None:
        """Who has read the deployment before it was changed, or as it goes away, submits no new run of it."""
        version = self.version if read == "now" else new_id()
        given = RunInput(entrypoint="f.py:f")
        run = NewRun(new_id(), "n", self.home(at), given, DEPLOYMENT, version, idempotency_key=key)
        call = runs.submit(POOL, [run])
        if earlier := self.model.keys.get((DEPLOYMENT, key)):
            assert self.unchanged(call) == [Submitted(earlier, is_new=False)], "8: a known key"
            return
        if read == "before" or self.is_leaving:
            refused = self.unchanged(call)
            assert isinstance(refused, DeploymentChanged), f"8: submitted of what has changed: {refused}"
            return
        self.submitted.append(run)
        found = [(one.id, one.is_new) for one in self.send(call)]
        wanted = self.model.submit(run.id, run.queue, run.priority, 0, DEPLOYMENT, key, frozenset())
        assert found == [wanted], f"13: submit: {found}"
        self.settled = wanted[1]

    @rule(
        at=pick,
        queue_at=pick,
        offsets=st.lists(st.sampled_from([-700, 0, 0, 200, 900, 2_500, 9_000]), min_size=1, max_size=3, unique=True),
        jitter=st.sampled_from([0, 0, 800]),
        expires=st.sampled_from([None, None, 0, 400, 3_000]),
        look=st.sampled_from([None, 0, 1_500, 20_000]),
    )
    def admit(
        self, at: int, queue_at: int, offsets: list[int], jitter: int, expires: int | None, look: int | None
    ) -> None:
        schedule = self.one(sorted(OVERLAPS), at)
        state = self.model.schedules.get(schedule)
        digest, read = (state.digest, state.cursor) if state else ("d0", 0)
        queue = self.one(sorted(self.model.homes()), queue_at)
        cursor = max(read, self.now_ms) + 1
        look_at = None if look is None else self.now_ms + look
        args: list[Arg] = [DEPLOYMENT, schedule, digest, read, cursor, "" if look_at is None else look_at, "", queue]
        args += [OVERLAPS[schedule], "{}"]
        made = {}
        for offset in offsets:
            run = RunState(new_id(), queue, 100, self.now_ms + offset + jitter, DEPLOYMENT)
            run.schedule, run.overlap = schedule, OVERLAPS[schedule]
            run.expires = None if expires is None else run.due + expires
            args += [run.id, "n", self.now_ms + offset, run.due, "" if run.expires is None else run.expires]
            made[self.now_ms + offset] = run
        call = scripted("schedule_admit", *args)
        if not digest or state is None:  # it rests, or is gone
            assert self.unchanged(call) == ["overtaken"], "S: admitted without a schedule"
            return
        self.admission = call
        found = self.send(call)
        self.model.pass_time()
        assert found == ["admitted", self.model.admit(schedule, cursor, look_at, made)], f"S: {found}"

    @precondition(lambda self: self.admission)
    @rule()
    def admit_again(self) -> None:
        """Whoever was slower, or lost the reply: nothing is admitted with a cursor that is not what was read."""
        assert self.admission is not None
        state = self.model.schedules.get(str(self.admission.args[1]))
        if state is None or (state.digest, state.cursor) != tuple(self.admission.args[2:4]):
            assert self.unchanged(self.admission) == ["overtaken"], "8: admission sent twice"

    @rule()
    def look_for_duties(self) -> None:
        found, _ = self.send(pools.duties(POOL))
        self.model.pass_time()
        assert tuple(found) == self.model.take_duties(), "D: duties of a scheduler"

    @precondition(lambda self: self.model.members)
    @rule(at=pick, done=st.integers(0, 3))
    def admit_and_work(self, at: int, done: int) -> None:
        """A run of a schedule that is due, and somebody who begins it."""
        self.admit(at, 0, [0], 0, None, 1_500)
        self.everything_holds()
        if self.consumers:
            self.work(at, 2, done, "FAILED", 2_500)

    @precondition(lambda self: self.consumers)
    @rule(at=pick, by=pick, fails=st.booleans(), is_started=st.booleans())
    def overlap(self, at: int, by: int, fails: bool, is_started: bool) -> None:
        """A run begins, and ends only for now or not at all; before that the next one of its schedule is due."""
        queue_at = sorted(self.model.homes()).index("default")
        self.admit(at, queue_at, [0], 0, None, None)
        self.everything_holds()
        self.claim(by, 2)
        self.everything_holds()
        for number, _ in enumerate(self.holdings() if is_started or fails else []):
            self.start(number)
        for _ in self.holdings() if fails else []:
            self.finish(0, "FAILED", 2_500)
        self.everything_holds()
        self.admit(at, queue_at, [2_000 if fails else 200], 0, None, None)
        self.everything_holds()
        self.pass_time(2_900 if fails else 300)
        self.tick(flush=False)

    @rule(at=pick)
    def retry_what_is_trimmed_next(self, at: int) -> None:
        """The first of as many cancelled runs as are kept, when another one has just expired."""
        for _ in range(KEEP_RUNS - len(self.cancelled())):
            self.submit(1, at, 100, 9_000, "", "", ())
            self.cancel(next(reversed(self.model.runs)), force=False)
            self.everything_holds()
        self.admit(at, 0, [0], 0, 400, None)
        self.everything_holds()
        self.pass_time(400)
        if found := self.cancelled():
            self.retry_or_delete(found[0], delete=False)

    def cancelled(self) -> list[str]:
        """The cancelled runs, the first to go first."""
        found = [(run.ended, run.id) for run in self.model.runs.values() if run.state == "CANCELLED"]
        return [run for _, run in sorted(found)]

    # queues and pools -----------------------------------------------------------------------------------------------

    def waiting(self, at: int, count: int) -> list[str]:
        """Some runs, most of which wait."""
        found = sorted(run.id for run in self.model.runs.values() if run.is_waiting) or sorted(self.model.runs)
        return list(dict.fromkeys(self.one(found, at + number) for number in range(count))) if found else []

    @precondition(lambda self: self.model.runs)
    @rule(at=pick, count=st.integers(1, 3), queue_at=pick, is_late=SELDOM)
    def requeue(self, at: int, count: int, queue_at: int, is_late: bool) -> None:
        """The deployment gets another queue, and its runs follow; who is late knows of another queue."""
        queue = self.one(sorted(self.model.homes()), queue_at)
        if is_late:
            late = scripted("run_requeue", DEPLOYMENT, queue, *self.waiting(at, count))
            assert self.deployed_to == queue or self.unchanged(late) == ["requeued", 0], "M: led astray"
            return
        self.deployed_to = queue
        self.change(at, "same", None)
        self.everything_holds()
        ids = self.waiting(at, count)
        found = self.send(scripted("run_requeue", DEPLOYMENT, queue, *ids))
        self.model.pass_time()
        assert found == ["requeued", self.model.requeue(ids, queue)], f"M: {found}"

    @precondition(lambda self: self.model.runs)
    @rule(at=pick, count=st.integers(0, 3), done=st.lists(pick, max_size=2))
    def go_out(self, at: int, count: int, done: list[int]) -> None:
        """Runs leave for another pool; some of those that left have arrived there, as is said now, late or twice."""
        ids = self.waiting(at, count)
        arrived = [row for row in (self.one(self.out, number) for number in done if self.out) if self.fate(row, True)]
        words = [f"{run}:{moves}" for run, moves, _ in arrived]
        found = self.send(scripted("run_move", DEPLOYMENT, "q", len(words), *words, *ids))
        self.model.pass_time()
        for run, moves, _ in arrived:
            self.model.forget_moved(run, moves)
        self.model.move_out(ids)
        told = {row[0]: row[1] for row in found[1:]}
        moving = {run.id for run in self.model.runs.values() if run.is_moving and run.deployment == DEPLOYMENT}
        assert told.keys() == moving, "M: who is on its way"
        for run, flat in told.items():
            moves = int(fields(flat)["moves"])
            if (run, moves) not in {(row[0], row[1]) for row in self.out}:
                self.out.append((run, moves, flat))

    @rule(at=pick, queue_at=pick, is_refused=st.booleans(), again=st.booleans())
    def go_to_and_fro(self, at: int, queue_at: int, is_refused: bool, again: bool) -> None:
        """A run leaves, comes back, and leaves again; then what was said of its first leaving is said once more."""
        self.admit(at, queue_at, [2_500], 0, None, None)
        run = next((run.id for run in reversed(self.model.runs.values()) if run.is_waiting and run.schedule), "")
        if not run:
            return
        self.go_out_once(run)
        first = len(self.out) - 1
        if self.out[first][0] != run or not self.fate(self.out[first], True):
            return
        steps: list[Callable[[], None]] = [
            lambda: self.go_out(0, 0, [first]),
            lambda: self.come_from_there(first, 1, queue_at, False),
        ]
        if is_refused:
            steps.insert(1, lambda: self.come_from_there(first, 1, queue_at, True))
            steps.append(lambda: self.come_from_there(first, 2, queue_at, False))
        if again:
            steps.append(lambda: self.go_out_once(run))
        steps += [lambda: self.go_out(0, 0, [first]), lambda: self.come_from_there(first, 1, queue_at, False)]
        for step in steps:
            self.everything_holds()
            step()

    def go_out_once(self, run: str) -> None:
        at = sorted(one.id for one in self.model.runs.values() if one.is_waiting)
        if run in at:
            self.go_out(at.index(run), 1, [])

    def fate(self, row: Row, is_adopted: bool) -> bool:
        """Whether this going out came to this end; the first one who asks decides."""
        return self.fates.setdefault(row[:2], "adopted" if is_adopted else "refused") == (
            "adopted" if is_adopted else "refused"
        )

    @precondition(lambda self: self.out)
    @rule(at=pick, queue_at=pick, stays=st.booleans())
    def come_back_refused(self, at: int, queue_at: int, stays: bool) -> None:
        row = self.one(self.out, at)
        if not self.fate(row, False):
            return
        queue = "" if stays else self.one(sorted(self.model.homes()), queue_at)
        nominal = fields(row[2]).get("nominal_ms")
        found = self.send(scripted("run_return", queue, row[0], row[1]))
        self.model.pass_time()
        wanted = self.model.put_back(row[0], row[1], queue, None if nominal is None else int(nominal))
        assert found == ["returned", wanted], f"M: {found}"

    @precondition(lambda self: self.out)
    @rule(at=pick, further=st.sampled_from([1, 1, 2]), queue_at=pick, refuse=SELDOM)
    def come_from_there(self, at: int, further: int, queue_at: int, refuse: bool) -> None:
        """The other pool had adopted it and sends it back, or did before; or asks to be rid of it."""
        row = self.one(self.out, at)
        number, here = row[1] + further, self.model.runs.get(row[0])
        if not self.fate(row, True) or (here and here.moves < number and not here.is_moving):
            return
        if refuse:
            found = self.send(scripted("run_refuse", row[0], number))
            self.settled = False
            wanted = [row[0]] if self.model.refuse(row[0], number) else []
            assert found == ["decided", *wanted], f"M: {found}"
            return
        of = fields(row[2])
        flat = [word for name, value in {**of, "moves": str(number)}.items() for word in (name, value)]
        queue = self.one(sorted(self.model.homes()), queue_at)
        coming = RunState(row[0], queue, int(of.get("priority", 100)), int(of["due_ms"]), of["deployment"])
        coming.epoch, coming.attempts = int(of.get("epoch", 0)), int(of.get("attempts", 0))
        coming.lost, coming.releases = int(of.get("lost", 0)), int(of.get("releases", 0))
        coming.crash_at, coming.moves = int(of.get("crash_at", 3)), number
        coming.schedule, coming.overlap = of.get("schedule", ""), of.get("overlap", "")
        coming.key = of.get("idempotency", "")
        coming.expires = int(of["expires_ms"]) if "expires_ms" in of else None
        nominal = int(of["nominal_ms"]) if "nominal_ms" in of else None
        found = self.send(scripted("run_adopt", queue, row[0], json.dumps(flat), "{}", ""))
        self.model.pass_time()
        is_taken = self.model.adopt(coming, nominal, is_retry=of["is_retry"] == "1")
        assert found == ["adopted", *([] if is_taken else [row[0]])], f"M: {found}"

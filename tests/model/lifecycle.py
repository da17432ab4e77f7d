"""How runs come, wait, end and go, in plain Python: part of `reference.py`, which says what it is for.

Here are the rules that schedules, retention and moves between pools add: when a run may begin, when it expires, what is
taken back, what is trimmed, and what a pool knows of runs that left it.
"""

from __future__ import annotations

from dataclasses import dataclass

HELD = {"PENDING", "RUNNING", "CANCELLING"}
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
AGAIN_MS = 1_000
TAKEN_MS = 5_000
DEPLOYMENT = "f/s"  # whose schedules they are


@dataclass
class RunState:
    id: str
    queue: str
    priority: int
    due: int
    deployment: str = ""
    key: str = ""
    tags: frozenset[str] = frozenset()
    state: str = "SCHEDULED"
    is_ready: bool = False
    is_retry: bool = False
    epoch: int = 0
    consumer: str = ""
    lease_until: int = 0
    attempts: int = 0
    lost: int = 0
    releases: int = 0
    crash_at: int = 3
    ended_epoch: int = 0
    ended: int = 0
    schedule: str = ""
    overlap: str = ""
    expires: int | None = None
    look: int = 0  # when a run that waits apart is looked at
    moves: int = 0
    is_moving: bool = False

    @property
    def is_held(self) -> bool:
        return self.state in HELD

    @property
    def is_waiting(self) -> bool:
        return self.state == "SCHEDULED" and not self.is_moving


@dataclass
class ScheduleState:
    """`digest` empty: at rest."""

    digest: str
    cursor: int


class Lifecycle:
    """The part of `Reference` that knows how a run's life begins and ends."""

    now: int
    keep_runs: int
    keep_ms: int
    runs: dict[str, RunState]
    keys: dict[tuple[str, str], str]
    members: dict[str, dict[str, int]]  # schedule -> its unfinished runs with their nominal times
    expiring: dict[str, int]
    duties: dict[str, int]
    schedules: dict[str, ScheduleState]
    named: set[str]  # schedules that the stored deployment names
    gone: dict[str, tuple[int, bool]]  # runs that were here: with which number, and whether it was refused

    def homes(self) -> list[str]:
        raise NotImplementedError

    # where a run waits, and until when ------------------------------------------------------------------------------

    def place(self, run: RunState, due: int, *, is_retry: bool = False) -> None:
        if run.queue not in self.homes():
            run.queue = "default"
        is_undecided = run.epoch == 0 and run.overlap != ""
        run.state, run.due, run.look = "SCHEDULED", due, due
        run.is_ready = due <= self.now and not is_undecided
        run.is_retry = (is_retry or is_undecided) and not run.is_ready
        if run.expires is not None:
            self.expiring[run.id] = run.expires

    def future(self, queue: str) -> list[RunState]:
        found = [run for run in self.runs.values() if run.queue == queue and run.is_waiting and not run.is_ready]
        return sorted(found, key=lambda run: (run.due, run.id))

    def promote(self) -> None:
        most = 64
        while most > 0:
            heads = [(min(run.look for run in self.future(name)), name) for name in self.homes() if self.future(name)]
            if not heads or min(heads)[0] > self.now:
                return
            future = [run for run in self.future(min(heads)[1]) if run.look <= self.now]
            due = sorted((run for run in future if not run.is_retry), key=lambda run: (run.look, run.id))[:most]
            for run in due:
                run.is_ready = True
            most -= len(due)
            apart = sorted((run for run in future if run.is_retry), key=lambda run: (run.look, run.id))[:most]
            for run in apart:
                if run.state == "SCHEDULED" and (run.overlap == "" or run.epoch > 0 or self.may_begin(run)):
                    run.is_ready, run.is_retry = True, False
            most -= len(apart)

    def may_begin(self, run: RunState) -> bool:
        is_free = True
        others = sorted(self.members[run.schedule].items(), key=lambda pair: (pair[1], pair[0]))
        for other in [self.runs[run_id] for run_id, _ in others if run_id != run.id]:
            if (other.due, other.id) < (run.due, run.id) or other.attempts > 0:
                if run.overlap == "skip":
                    self.conclude(run, "CANCELLED")
                    return False
                if other.is_held:
                    other.state, is_free = "CANCELLING", False
                else:
                    self.conclude(other, "CANCELLED")
        if not is_free:
            run.look = self.now + AGAIN_MS
        return is_free

    def outlast(self) -> None:
        due = sorted((ms, run_id) for run_id, ms in self.expiring.items() if ms <= self.now)[:16]
        for _, run_id in due:
            del self.expiring[run_id]
            run = self.runs[run_id]
            if run.state == "SCHEDULED" and run.attempts == 0:
                self.conclude(run, "CANCELLED")

    # how it ends, and goes ------------------------------------------------------------------------------------------

    def conclude(self, run: RunState, state: str) -> None:
        run.state, run.ended = state, self.now
        self.expiring.pop(run.id, None)
        self.members.get(run.schedule, {}).pop(run.id, None)
        self.trim(state, 2)

    def trim(self, state: str, most: int) -> None:
        ended = sorted((run for run in self.runs.values() if run.state == state), key=lambda run: (run.ended, run.id))
        over = len(ended) - self.keep_runs
        for run in ended[:most]:
            if over <= 0 and run.ended > self.now - self.keep_ms:
                return
            self.erase(run)
            over -= 1

    def erase(self, run: RunState) -> None:
        del self.runs[run.id]
        self.expiring.pop(run.id, None)
        self.members.get(run.schedule, {}).pop(run.id, None)
        self.keys = {pair: known for pair, known in self.keys.items() if known != run.id}
        if run.moves:
            self.remember_move(run.id, run.moves, is_refused=False)

    # schedules ------------------------------------------------------------------------------------------------------

    def take_back(self, schedule: str, *, all_of_them: bool) -> None:
        for run_id, nominal in list(self.members.get(schedule, {}).items()):
            run = self.runs[run_id]
            if run.state == "SCHEDULED" and run.attempts == 0 and (all_of_them or nominal > self.now):
                self.erase(run)

    def stop(self, schedule: str, what: str) -> None:
        if what == "rest":
            if schedule in self.schedules:
                self.schedules[schedule].digest = ""
        else:
            self.take_back(schedule, all_of_them=what == "all")
            self.schedules.pop(schedule, None)
        self.duties.pop(duty_of(schedule), None)

    def save(self, given: dict[str, tuple[str, int | None, str]]) -> None:
        """`given`: schedule -> digest (empty: stop), cursor (None: now), what is taken back."""
        for schedule, (digest, cursor, what) in given.items():
            known = self.schedules.get(schedule)
            if digest == "":
                self.stop(schedule, what)
            elif known is None or known.digest != digest:
                if known and known.digest:
                    self.take_back(schedule, all_of_them=False)
                self.schedules[schedule] = ScheduleState(digest, self.now if cursor is None else cursor)
                self.duties[duty_of(schedule)] = self.now
        for schedule in self.named - given.keys():
            self.stop(schedule, "future")
        self.named = set(given)

    def admit(self, schedule: str, cursor: int, look_at: int | None, runs: dict[int, RunState]) -> int:
        """`runs`: by their nominal times."""
        count = 0
        for nominal, run in runs.items():
            if nominal not in self.members.setdefault(schedule, {}).values():
                self.runs[run.id] = run
                self.members[schedule][run.id] = nominal
                self.place(run, run.due)
                count += 1
        self.schedules[schedule].cursor = cursor
        if look_at is None:
            self.duties.pop(duty_of(schedule), None)
        else:
            self.duties[duty_of(schedule)] = look_at
        return count

    def take_duties(self) -> tuple[str, ...]:
        due = sorted((ms, duty) for duty, ms in self.duties.items() if ms <= self.now)[:20]
        for _, duty in due:
            self.duties[duty] = self.now + TAKEN_MS
        return tuple(duty for _, duty in due)

    # moves ----------------------------------------------------------------------------------------------------------

    def requeue(self, ids: list[str], queue: str) -> int:
        count = 0
        for run in [self.runs[run_id] for run_id in ids if run_id in self.runs]:
            if run.is_waiting and run.queue != queue:
                run.queue = queue
                self.place(run, run.due, is_retry=run.is_retry)
                count += 1
        return count

    def move_out(self, ids: list[str]) -> None:
        for run in [self.runs[run_id] for run_id in ids if run_id in self.runs]:
            if run.is_waiting:
                self.duties.setdefault(f"move:{DEPLOYMENT}", self.now + TAKEN_MS)
                run.is_moving, run.moves = True, run.moves + 1
                run.is_retry, run.is_ready = run.is_retry and run.attempts > 0, False
                self.members.get(run.schedule, {}).pop(run.id, None)
                self.expiring.pop(run.id, None)

    def is_leaving(self, run_id: str, moves: int) -> bool:
        run = self.runs.get(run_id)
        return run is not None and run.is_moving and run.moves == moves

    def forget_moved(self, run_id: str, moves: int) -> None:
        if self.is_leaving(run_id, moves):
            self.erase(self.runs[run_id])

    def put_back(self, run_id: str, moves: int, queue: str, nominal: int | None) -> int:
        if not self.is_leaving(run_id, moves):
            return 0
        run = self.runs[run_id]
        run.is_moving, run.queue = False, queue or run.queue
        if nominal is not None:
            self.members.setdefault(run.schedule, {})[run_id] = nominal
        self.place(run, run.due, is_retry=run.is_retry)
        return 1

    def remember_move(self, run_id: str, moves: int, *, is_refused: bool) -> None:
        if self.gone.get(run_id, (0, False))[0] < moves:
            self.gone[run_id] = (moves, is_refused)

    def arrival(self, run_id: str, moves: int) -> str:
        here, (number, is_refused) = self.runs.get(run_id), self.gone.get(run_id, (0, False))
        if (here and here.moves >= moves) or number > moves:
            return "arrived"
        return "open" if number < moves else "refused" if is_refused else "arrived"

    def refuse(self, run_id: str, moves: int) -> bool:
        word = self.arrival(run_id, moves)
        if word == "open":
            self.remember_move(run_id, moves, is_refused=True)
        return word != "arrived"

    def adopt(self, coming: RunState, nominal: int | None, *, is_retry: bool) -> bool:
        """False: refused."""
        word = self.arrival(coming.id, coming.moves)
        is_there = coming.epoch == 0 and nominal is not None and nominal in self.members[coming.schedule].values()
        if word == "open" and not is_there:
            if coming.id in self.runs:
                self.erase(self.runs[coming.id])
            self.runs[coming.id] = coming
            if coming.key:
                self.keys.setdefault((coming.deployment, coming.key), coming.id)
            if nominal is not None:
                self.members[coming.schedule][coming.id] = nominal
            self.place(coming, coming.due, is_retry=is_retry)
        return word != "refused"


def duty_of(schedule: str) -> str:
    return f"schedule:{DEPLOYMENT}:{schedule}"

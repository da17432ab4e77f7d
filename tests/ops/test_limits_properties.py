"""Limits of a pool and three of its queues under everything that takes or frees a slot: they hold at every claim, a
slot that is free can be used at once, and lowering a limit preempts nothing.

The machine keeps its own book of who holds a run; which runs wait is read off the runs themselves. Two consumers, one
of which claims early. They are of different groups, so that neither leaves a share to the other: how many runs a claim
must give follows from the book alone. What fails is told as the steps that lead there.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from dispatcher.errors import LeaseLost
from dispatcher.models import Run as FlowRun
from dispatcher.ops import consumers, finding, pools, queues, runs
from dispatcher.states import HELD, State
from tests.conftest import Clock, Run
from tests.machines import explore
from tests.scene import LEASE_MS, POOL, Scene

EXAMPLES, STEPS = 30, 40
MOST_RUNS = 90  # they are read back in one call
PREFETCH_MS = 5_000
NO_LIMIT = 10**9
QUEUES = ["default", "a", "b"]
Holding = tuple[str, str, int]  # consumer, run, epoch

NAMES = ["steady", "early"]

places = st.sampled_from(["pool", *QUEUES])
limits = st.sampled_from([None, None, 0, 1, 2, 2, 3])
wants = st.sampled_from([1, 2, 64, 64])
ends = st.sampled_from([State.COMPLETED, State.FAILED, State.CRASHED])
next_claims = st.sampled_from([None, "steady", "early", "early"])  # who claims at once when a slot was freed
pick = st.integers(0, 1_000)  # chooses one of what there is when the rule runs


class Limits(RuleBasedStateMachine):
    """Bound to a server by `on`. `held`: run -> who holds it; `limit` and `paused` are of the pool and its queues."""

    scene: Scene

    @classmethod
    def on(cls, scene: Scene) -> type[Limits]:
        return type("Limits", (cls,), {"scene": scene})

    @initialize(of_pool=st.sampled_from([None, 1, 3, 4]), of_a=limits)
    def create(self, of_pool: int | None, of_a: int | None) -> None:
        self.scene.server.flushall()
        self.scene.run(pools.create(POOL, limit=of_pool))
        self.scene.queue("a", limit=of_a)
        self.scene.queue("b", limit=1)
        self.limit = {"pool": of_pool, "default": None, "a": of_a, "b": 1}
        self.paused: set[str] = set()
        self.prefetch = dict(zip(NAMES, [0, PREFETCH_MS], strict=True))
        self.ids = {name: self.scene.join(name, prefetch_ms=early) for name, early in self.prefetch.items()}
        self.ran: list[str] = []  # every run there is
        self.held: dict[str, Holding] = {}
        self.gone: list[Holding] = []  # who held one once
        self.of: dict[str, FlowRun] = {}
        for queue in QUEUES:  # there is work, whatever rules an example goes without
            self.submit(3, queue, 0)
            self.submit(1, queue, 4_000)
        self.claim("steady", 2)

    # what follows from the book -------------------------------------------------------------------------------------

    def held_in(self, place: str) -> int:
        return sum(place in ("pool", self.of[run].queue) for run in self.held)

    def free(self, place: str) -> int:
        limit = self.limit[place]
        return 0 if place in self.paused else NO_LIMIT if limit is None else max(0, limit - self.held_in(place))

    def claimable(self, early_ms: int) -> int:
        """How many runs can be had now by who claims so early. One that waits for its retry is not claimed early."""
        now_ms, count = self.scene.clock.now_ms, 0
        for queue in QUEUES:
            waiting = [run for run in self.of.values() if run.queue == queue and run.state is State.SCHEDULED]
            near = [run for run in waiting if run.due_at_ms <= now_ms + (0 if run.attempts else early_ms)]
            count += min(len(near), self.free(queue))
        return min(count, self.free("pool"))

    def one(self, things: list[Any], at: int) -> Any:
        return things[at % len(things)]

    def holding(self, at: int) -> Holding:
        found: Holding = self.one([self.held[run] for run in sorted(self.held)], at)
        return found

    def let_go(self, run: str) -> None:
        self.gone.append(self.held.pop(run))

    def renew(self, *names: str) -> None:
        for name in names:
            mine = [(run, epoch) for owner, run, epoch in self.held.values() if owner == name]
            assert not self.scene.renew(self.ids[name], *mine).lost

    # what takes slots -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.ran) < MOST_RUNS)
    @rule(count=st.integers(1, 4), queue=st.sampled_from(QUEUES), delay_ms=st.sampled_from([0, 0, 0, 4_000, 20_000]))
    def submit(self, count: int, queue: str, delay_ms: int) -> None:
        self.ran += self.scene.submit_many(count, queue, delay_ms=delay_ms)

    @precondition(lambda self: len(self.ran) < MOST_RUNS)
    @rule(queue=st.sampled_from(QUEUES), delay_ms=st.sampled_from([0, 0, 4_000]), name=st.sampled_from(NAMES))
    def submit_and_claim(self, queue: str, delay_ms: int, name: str) -> None:
        self.submit(3, queue, delay_ms)
        self.claim(name, 2)

    @rule(name=st.sampled_from(NAMES), want=wants)
    def claim(self, name: str, want: int) -> None:
        self.look()
        expected = min(want, self.claimable(self.prefetch[name]))
        found = self.scene.claim(self.ids[name], want).runs
        for run in found:
            assert run.id not in self.held, "it is held already"
            self.held[run.id] = (name, run.id, run.epoch)
        self.look()
        for place in ("pool", *{run.queue for run in found}):
            limit = self.limit[place]
            assert not found or limit is None or self.held_in(place) <= limit, f"more holders in {place} than allowed"
            assert not found or place not in self.paused, f"{place} is paused"
        assert len(found) == expected, "a slot was free, a run waited for it, and they did not meet"

    # what frees them ------------------------------------------------------------------------------------------------

    def claim_next(self, name: str | None) -> None:
        if name is not None:
            self.claim(name, 64)

    @precondition(lambda self: self.held)
    @rule(at=pick, state=ends, retry_in_ms=st.sampled_from([None, 0, 3_000]), then=next_claims)
    def finish(self, at: int, state: State, retry_in_ms: int | None, then: str | None) -> None:
        name, run, epoch = self.holding(at)
        self.scene.start(self.ids[name], (run, epoch))
        self.slots_are_their_holders()
        self.scene.finish(self.ids[name], (run, epoch), state, retry_in_ms=retry_in_ms)
        self.let_go(run)
        self.look()
        if retry_in_ms and self.of[run].state is State.SCHEDULED:
            assert self.of[run].state_name == "AwaitingRetry"
            self.claim("early", 64)  # gives others, not this one before its time
        self.claim_next(then)

    @precondition(lambda self: self.held)
    @rule(at=pick, then=next_claims)
    def release(self, at: int, then: str | None) -> None:
        name, run, epoch = self.holding(at)
        self.scene.release(self.ids[name], (run, epoch))
        self.let_go(run)
        self.claim_next(then)

    @precondition(lambda self: self.held)
    @rule(at=pick, force=st.booleans(), then=next_claims)
    def cancel_held(self, at: int, force: bool, then: str | None) -> None:
        """It goes on holding its slot while it is being stopped, unless it is forced."""
        _, run, _ = self.holding(at)
        self.cancel(run, force)
        self.claim_next(then)

    @precondition(lambda self: any(seen.state is State.SCHEDULED for seen in self.of.values()))
    @rule(at=pick, force=st.booleans())
    def cancel_waiting(self, at: int, force: bool) -> None:
        self.cancel(self.one([run for run, seen in self.of.items() if seen.state is State.SCHEDULED], at), force)

    def cancel(self, run: str, force: bool) -> None:
        is_asked = run in self.held and not force
        state = self.scene.run(runs.cancel(POOL, run, force=force))
        assert state is (State.CANCELLING if is_asked else State.CANCELLED)
        if run in self.held and force:
            self.let_go(run)
        self.slots_are_their_holders()

    @precondition(lambda self: any(seen.is_finished for seen in self.of.values()))
    @rule(at=pick)
    def retry(self, at: int) -> None:
        run = self.one(sorted(run for run, seen in self.of.items() if seen.is_finished), at)
        self.scene.run(runs.retry(POOL, run))

    @rule(way=st.sampled_from(["silent", "leave", "succeed"]), name=st.sampled_from(NAMES), then=next_claims)
    def lose(self, way: str, name: str, then: str | None) -> None:
        """One consumer loses all it holds; the other one goes on."""
        mine = [run for run, (owner, _, _) in self.held.items() if owner == name]
        if way == "silent":
            self.fall_silent(name)
        else:
            predecessor = self.ids[name]
            if way == "leave":
                assert self.scene.run(consumers.leave(POOL, predecessor)) == len(mine)
            predecessors = (predecessor,) if way == "succeed" else ()
            self.ids[name] = self.scene.join(name, prefetch_ms=self.prefetch[name], predecessors=predecessors)
        for run in mine:
            self.let_go(run)
        self.claim_next(then)

    def fall_silent(self, name: str) -> None:
        [other] = self.ids.keys() - {name}
        for _ in range(4):  # in steps that are no silence of all
            self.scene.clock.advance(LEASE_MS // 3)
            self.renew(other)
        self.scene.run(finding.let_time_pass(POOL))  # one script reaps only so many

    @precondition(lambda self: self.gone)
    @rule(at=pick, state=ends)
    def report_late(self, at: int, state: State) -> None:
        """Who held a run once has no say about the slot that it takes now."""
        again = {(name, run) for name, run, _ in self.held.values()}
        mine = [one for one in self.gone if one[:2] in again]  # its own earlier attempts above all
        name, run, epoch = self.one(mine or self.gone, at)
        if self.held.get(run) != (name, run, epoch):
            assert self.scene.finish(self.ids[name], (run, epoch), state) in ("FENCED", "already")
            assert self.scene.release(self.ids[name], (run, epoch)) == ["FENCED"]
            try:
                self.scene.start(self.ids[name], (run, epoch))
            except LeaseLost:
                return
            raise AssertionError("a stale start was taken")

    # what regulates -------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(["limit", "limit", "pause", "resume", "resume"]), place=places, limit=limits)
    def regulate(self, kind: str, place: str, limit: int | None) -> None:
        """One rule, so that pauses and limits do not crowd out the work."""
        if kind == "limit":
            self.scene.run(pools.set_limit(POOL, limit) if place == "pool" else queues.set_limit(POOL, place, limit))
            self.limit[place] = limit
        elif kind == "pause":
            self.scene.run(pools.pause(POOL) if place == "pool" else queues.pause(POOL, place))
            self.paused.add(place)
        else:
            self.scene.run(pools.resume(POOL) if place == "pool" else queues.resume(POOL, place))
            self.paused.discard(place)

    @rule(ms=st.sampled_from([1_000, 3_000, 9_000]))
    def pass_time(self, ms: int) -> None:
        self.scene.clock.advance(ms)
        self.renew(*self.ids)

    # after every step -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        self.of = {run.id: run for run in self.scene.run(runs.read_many(POOL, self.ran))} if self.ran else {}

    @invariant()
    def slots_are_their_holders(self) -> None:
        """Whatever the limits are by now: who holds a run goes on holding it, and nobody else does."""
        if not hasattr(self, "held"):
            return
        self.look()
        assert {run for run, seen in self.of.items() if seen.state in HELD} == self.held.keys()
        used = self.scene.used()
        assert used == {"": len(self.held), **{queue: self.held_in(queue) for queue in QUEUES}}


def test_limits_whatever_happens(run: Run, clock: Clock, server_connection: object) -> None:
    explore(Limits.on(Scene(run, clock, server_connection)), examples=EXAMPLES, steps=STEPS)

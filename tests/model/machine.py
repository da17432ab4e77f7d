"""Random operations on one pool: the scripts on a real server against the reference, step by step.

A Hypothesis state machine on an injected clock. Consumers are simulated: each knows what it was given, keeps a child
per run it started, and, as the real one does, stops its children when it has not renewed within its lease. Every rule
sends one operation to both sides, compares the replies, and after it every invariant is checked. Refused, stale and
repeated calls must leave the whole server as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispatcher import keyspace
from dispatcher.client import Client
from dispatcher.errors import BrokerRefused, DispatcherError, RunFinished, RunUnfinished
from dispatcher.ids import new_id
from dispatcher.models import Consumer, NewRun, Outcome, QueueFilter, RunInput, Submitted
from dispatcher.ops import consumers, leases, pools, queues, runs, views
from dispatcher.pool_types import WORKER_TYPES
from dispatcher.states import State
from tests.model.invariants import POOL, Snapshot, check, group_of, snapshot
from tests.model.reference import GRACE_MS, FilterState, QueueState, Reference

LEASE_MS = 6_000
COMMANDS_BOUND = 900  # of one script call in pools of this size, whatever number of runs waits
QUEUES = ["default", "a", "b", "dev-x", "dev-y"]
SELECTORS = ["*", "*", "=a", "=a,b", "^dev-", "=tagged,all,a", "^d,both"]
FILTERS = {
    "tagged": QueueFilter(tags=("x",)),
    "both": QueueFilter(tags=("y", "x")),
    "deployed": QueueFilter(deployments=("f/a", "f/b"), types=WORKER_TYPES),
    "all": QueueFilter(),
    "b": QueueFilter(tags=("y",)),  # the name of an ordinary queue, when that is gone
}
TAGS = st.sampled_from([(), ("x",), ("x",), ("y", "x"), ("z", "y")])
LIMITS = st.sampled_from([None, None, 1, 1, 2, 3, 0])
OUTCOMES = st.sampled_from(["COMPLETED", "FAILED", "CRASHED"])
RETRIES = st.sampled_from([None, None, 0, 2_500])
SELDOM = st.sampled_from([False, False, False, True])
pick = st.integers(0, 1_000)  # chooses one of what there is, whatever that is when the rule runs


class Simulated:
    """A consumer as the scripts see it; `held`: run -> epoch, `children`: those it started, `sent_ms`: when it sent the
    claim or heartbeat that a run's lease counts from."""

    def __init__(self, row: Consumer) -> None:
        self.row = row
        self.held: dict[str, int] = {}
        self.children: set[str] = set()
        self.sent_ms: dict[str, int] = {}
        self.last_claim: tuple[str, int, Any] | None = None

    @property
    def id(self) -> str:
        return self.row.id


class PoolMachine(RuleBasedStateMachine):
    """Bound to a server by `on_server`."""

    url = ""

    @classmethod
    def on_server(cls, url: str) -> type[PoolMachine]:
        return type("PoolMachine", (cls,), {"url": url})

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_800_000_000_000
        self.server = redis.Redis.from_url(self.url, decode_responses=True)
        self.client = Client(self.url, now_ms=lambda: self.now_ms)
        self.server.flushall()
        self.consumers: dict[str, Simulated] = {}
        self.used: list[tuple[str, str, int]] = []  # every (consumer, run, epoch) ever claimed, for stale calls
        self.submitted: list[NewRun] = []
        self.replayed: dict[str, str] = {}
        self.last_event = "-"
        self.settled = False
        self.of: Snapshot = {}

    def teardown(self) -> None:
        self.client.close()
        self.server.close()

    @initialize(filters=st.sampled_from([(), (), ("tagged",), ("all", "both")]))
    def create(self, filters: tuple[str, ...]) -> None:
        self.client.run(pools.create(POOL, type="process", lease_ms=LEASE_MS))
        self.model = Reference(LEASE_MS, self.now_ms, self.now_ms)
        for name in QUEUES[1:]:
            self.client.run(queues.ensure(POOL, name))
            self.model.rank(name, len(self.model.queues) + 1, QueueState(0))
        self.of = snapshot(self.server)
        self.limit_queue("a", 1)
        self.limit_queue("dev-x", 2)
        for name in filters:
            self.make_queue(name, None)
            self.limit_queue(name, 2)
        if filters:
            self.register("=" + ",".join(filters), 0, [])
        self.register("*", 0, [])
        self.register("=a,b", 3_000, [])

    # helpers --------------------------------------------------------------------------------------------------------

    def send(self, operation: Any) -> Any:
        """Runs the operation; an error it raises is the reply. Counts the commands which that took."""
        self.settled = True
        self.model.now = self.now_ms
        before = self.server.info("commandstats")
        try:
            return self.client.run(operation)
        except BrokerRefused as error:
            raise AssertionError(f"0: a script failed: {error}") from error
        except DispatcherError as error:
            return error
        finally:
            after = self.server.info("commandstats")
            calls = sum(row["calls"] for row in after.values()) - sum(row["calls"] for row in before.values())
            assert calls < COMMANDS_BOUND, f"14: {calls} commands"

    def unchanged(self, operation: Any) -> Any:
        """As `send`, for a call that must leave the whole server as it was."""
        before = snapshot(self.server)
        reply = self.send(operation)
        assert snapshot(self.server) == before, f"8: {reply!r} changed something"
        self.settled = False
        return reply

    def one(self, things: list[Any], at: int) -> Any:
        return things[at % len(things)]

    def queue(self, at: int) -> str:
        return str(self.one(sorted(self.model.queues), at))

    def home(self, at: int) -> str:
        """A queue in which runs live."""
        return str(self.one(sorted(self.model.homes()), at))

    def holdings(self) -> list[tuple[Simulated, str, int]]:
        return [(owner, run, epoch) for owner in self.consumers.values() for run, epoch in owner.held.items()]

    def is_safe(self, owner: Simulated, run: str) -> bool:
        """Whether the consumer still lets the run go on: its lease is not about to end."""
        return self.now_ms - owner.sent_ms[run] <= LEASE_MS - 2_000

    def drop(self, owner: Simulated, run: str) -> None:
        owner.held.pop(run, None)
        owner.children.discard(run)

    # time -----------------------------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 20, 20, 300, 400, 900, 1_100, 2_100, 2_900, 3_500, LEASE_MS + 2_500, -300, -5_000]))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.model.now = self.now_ms
        self.settled = False
        for owner in self.consumers.values():  # the real one's self-stop, before the lease could be given away
            owner.sent_ms = {run: min(sent_ms, self.now_ms) for run, sent_ms in owner.sent_ms.items()}
            owner.children = {run for run in owner.children if ms >= 0 and self.is_safe(owner, run)}

    @rule(rounds=st.integers(3, 7), ms=st.sampled_from([900, 1_500]))
    def pass_time_in_small_steps(self, rounds: int, ms: int) -> None:
        """No script is silent for long, so that nothing is held; whoever does not renew loses its runs."""
        for _ in range(rounds):
            self.pass_time(ms)
            self.tick(flush=False)
            self.everything_holds()

    @rule(ms=st.sampled_from([3_500, LEASE_MS + 2_500, 3 * LEASE_MS]))
    def fall_silent(self, ms: int) -> None:
        """Nobody says anything for long; then somebody looks."""
        self.pass_time(ms)
        self.tick(flush=False)

    @rule(flush=SELDOM)
    def tick(self, flush: bool) -> None:
        if flush:
            self.server.script_flush()
        self.send(pools.tick(POOL))
        self.model.pass_time()

    # runs -----------------------------------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 4),
        at=pick,
        priority=st.sampled_from([1, 100, 100, 1000]),
        delay=st.sampled_from([0, 0, 0, 300, 2_000, 9_000]),
        deployment=st.sampled_from(["", "f/a"]),
        key=st.sampled_from(["", "", "k"]),
        tags=TAGS,
    )
    def submit(
        self, count: int, at: int, priority: int, delay: int, deployment: str, key: str, tags: tuple[str, ...]
    ) -> None:
        given = RunInput(entrypoint="f.py:f", parameters={"tags": ["x"]}, tags=tags)
        batch = [
            NewRun(
                id=new_id(), name="n", queue=self.home(at + number), input=given,
                deployment=deployment, priority=priority, delay_ms=delay, idempotency_key=key,
            )
            for number in range(count)
        ]  # fmt: skip
        self.submitted += batch
        found = self.send(runs.submit(POOL, batch))
        submit = self.model.submit
        wanted = [submit(run.id, run.queue, priority, delay, deployment, key, frozenset(tags)) for run in batch]
        assert [(one.id, one.is_new) for one in found] == wanted, "13: submit"
        self.settled = any(is_new for _, is_new in wanted)

    @precondition(lambda self: self.submitted)
    @rule(at=pick, claim=st.booleans())
    def repeat(self, at: int, claim: bool) -> None:
        if claim and any(owner.last_claim for owner in self.consumers.values()):
            self.claim_again(at)
        else:
            self.submit_again(at)

    def submit_again(self, at: int) -> None:
        run = self.one(self.submitted, at)
        if run.queue in self.model.homes() and run.id in self.model.runs:
            found = self.unchanged(runs.submit(POOL, [run]))
            assert found == [Submitted(run.id, is_new=False)], f"8: submit sent twice: {found}"

    @precondition(lambda self: self.model.runs)
    @rule(kind=st.sampled_from(["cancel", "cancel", "force", "retry", "delete"]), at=pick)
    def operate(self, kind: str, at: int) -> None:
        unfinished = sorted(run.id for run in self.model.runs.values() if run.is_held or run.state == "SCHEDULED")
        run = self.one(unfinished if unfinished and at % 4 else sorted(self.model.runs), at)
        if kind in ("cancel", "force"):
            self.cancel(run, kind == "force")
        else:
            self.retry_or_delete(run, kind == "delete")

    def cancel(self, run: str, force: bool) -> None:
        state = self.model.runs[run].state
        finished = state not in ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING")
        found = (self.unchanged if finished else self.send)(runs.cancel(POOL, run, force=force))
        wanted = self.model.cancel(run, force)
        assert (isinstance(found, RunFinished) and wanted == "FINISHED") or found == wanted, (found, wanted)

    def retry_or_delete(self, run: str, delete: bool) -> None:
        operation = runs.delete(POOL, run) if delete else runs.retry(POOL, run)
        held_or_waiting = self.model.runs[run].is_held or self.model.runs[run].state == "SCHEDULED"
        found = (self.unchanged if held_or_waiting else self.send)(operation)
        wanted = self.model.delete(run) if delete else self.model.retry(run)
        assert isinstance(found, RunUnfinished) == (wanted == "UNFINISHED"), (found, wanted)
        self.settled = self.settled and not delete

    # pool and queues ------------------------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(["limit_pool", "pause_pool", "limit_queue", "limit_queue", "pause_queue", "pause_queue"]),
        at=pick,
        limit=LIMITS,
        pause=SELDOM,
    )
    def regulate(self, kind: str, at: int, limit: int | None, pause: bool) -> None:
        """One rule for four, so that pauses and limits do not crowd out the work."""
        if kind == "limit_pool":
            self.limit_pool(limit)
        elif kind == "pause_pool":
            self.pause_pool(pause)
        else:
            busy = sorted(name for name in self.model.queues if self.model.ready(name) or self.model.future(name))
            name = self.one(busy, at) if busy and at % 4 else self.queue(at)
            if kind == "limit_queue":
                self.limit_queue(name, limit)
            else:
                self.pause_queue(name, pause)

    def limit_pool(self, limit: int | None) -> None:
        self.send(pools.set_limit(POOL, limit))
        self.model.pass_time()
        self.model.limit = limit

    def pause_pool(self, pause: bool) -> None:
        self.send(pools.pause(POOL) if pause else pools.resume(POOL))
        self.model.pass_time()
        self.model.is_paused = pause

    def limit_queue(self, name: str, limit: int | None) -> None:
        self.send(queues.set_limit(POOL, name, limit))
        self.model.pass_time()
        self.model.queues[name].limit = limit

    def pause_queue(self, name: str, pause: bool) -> None:
        self.send(queues.pause(POOL, name) if pause else queues.resume(POOL, name))
        self.model.pass_time()
        self.model.queues[name].is_paused = pause

    @rule(
        kind=st.sampled_from(["rank", "rank", "make", "delete"]),
        at=pick,
        name=st.sampled_from([*QUEUES[1:], *FILTERS]),
        number=st.integers(1, 6),
        lowest=st.booleans(),
        cancel=st.booleans(),
    )
    def rearrange(self, kind: str, at: int, name: str, number: int, lowest: bool, cancel: bool) -> None:
        if kind == "rank":
            self.rank_queue(self.queue(at), number)
        elif kind == "make":
            self.make_queue(name, None if lowest else number)
        else:
            self.delete_queue(self.queue(at), cancel)

    def rank_queue(self, name: str, number: int) -> None:
        self.send(queues.set_priorities(POOL, {name: number}))
        self.model.pass_time()
        self.model.rank(name, number)

    def make_queue(self, name: str, number: int | None) -> None:
        if name in self.model.queues:
            return
        shown = None if name in QUEUES and name != "b" else FILTERS[name]
        if name == "b" and number:
            shown = None
        self.send(queues.create(POOL, name, priority=number, filter=shown))
        self.model.pass_time()
        taken = {queue.priority for queue in self.model.queues.values()}
        free = next(n for n in range(1, 99) if n not in taken)
        state = None if shown is None else FilterState(frozenset(shown.tags), frozenset(shown.deployments))
        self.model.rank(name, number or free, QueueState(0, filter=state))

    def delete_queue(self, name: str, cancel: bool) -> None:
        if name == "default":
            self.unchanged(queues.delete(POOL, name))
            return
        waiting = bool(self.model.ready(name) or self.model.future(name))
        self.send(queues.delete(POOL, name, move_to=None if cancel else "default", cancel_runs=cancel))
        if waiting:
            self.model.pass_time()
            for run in [*self.model.ready(name), *self.model.future(name)]:
                if cancel:
                    self.model.conclude(run, "CANCELLED")
                else:
                    run.queue = "default"
                    self.model.place(run, run.due, is_retry=run.is_retry)
        self.model.guard()
        del self.model.queues[name]
        self.model.catch_up()

    @precondition(lambda self: self.holdings())
    @rule(at=pick, cancel=st.booleans())
    def delete_the_queue_of_a_run_that_is_lost(self, at: int, cancel: bool) -> None:
        """Its lease ends in small steps, and who deletes the queue is the first to look."""
        run = self.model.runs.get(self.one(self.holdings(), at)[1])
        while run and run.is_held and self.now_ms < run.lease_until + GRACE_MS:
            self.pass_time(min(2_500, run.lease_until + GRACE_MS - self.now_ms))
            if self.now_ms < run.lease_until + GRACE_MS:
                self.tick(flush=False)
        if run and run.queue in self.model.queues:  # else it is trimmed, and its holder has not heard of it
            self.delete_queue(run.queue, cancel)

    # consumers ------------------------------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(["join", "join", "succeed", "die", "leave"]),
        at=pick,
        selector=st.sampled_from(SELECTORS),
        prefetch=st.sampled_from([0, 0, 3_000]),
    )
    def come_and_go(self, kind: str, at: int, selector: str, prefetch: int) -> None:
        if kind == "join" or not self.consumers:
            if len(self.consumers) < 4:
                self.register(selector, prefetch, [])
            return
        gone = self.consumers.pop(self.one(sorted(self.consumers), at))
        if kind == "succeed":
            self.register(gone.row.selector, gone.row.prefetch_ms, [gone.id])
        elif kind == "leave":
            assert self.send(consumers.leave(POOL, gone.id)) == self.model.leave(gone.id)
        else:
            self.settled = False  # it dies without a word

    def register(self, selector: str, prefetch: int, predecessors: list[str]) -> None:
        row = Consumer(
            id=new_id(), name="w", pool=POOL, kind="worker", type="process", host="h", boot="b", pid=1, born_at_ms=1,
            version="0", selector=selector, prefetch_ms=prefetch, limit=None,
        )  # fmt: skip
        found = self.send(consumers.register(row, predecessors))
        assert found == (LEASE_MS, self.model.register(row.id, selector, prefetch, predecessors)), found
        self.consumers[row.id] = Simulated(row)

    @precondition(lambda self: self.consumers)
    @rule(at=pick, want=st.sampled_from([1, 2, 5]), done=st.integers(0, 4), state=OUTCOMES, retry=RETRIES)
    def work(self, at: int, want: int, done: int, state: str, retry: int | None) -> None:
        """What a consumer mostly does: claim, start, finish some of it; the single steps have rules of their own."""
        self.claim(at, want)
        self.everything_holds()
        steps: list[Callable[[int], None]] = [self.start, lambda at: self.finish(at, state, retry)]
        for step in steps * done:
            if self.holdings():
                step(at)
                self.everything_holds()

    @precondition(lambda self: self.consumers)
    @rule(count=st.integers(1, 4), at=pick, done=st.integers(0, 3), tags=TAGS)
    def submit_and_work(self, count: int, at: int, done: int, tags: tuple[str, ...]) -> None:
        self.submit(count, at, 100, 0, "", "", tags)
        self.everything_holds()
        self.work(at, 2, done, "COMPLETED", None)

    @precondition(lambda self: self.consumers)
    @rule(at=pick, want=st.sampled_from([1, 1, 2, 5, 64]))
    def claim(self, at: int, want: int) -> None:
        owner = self.consumers[self.one(sorted(self.consumers), at)]
        group, of = group_of(self.model.consumers[owner.id]), snapshot(self.server)
        woken = {name for name, until in of.get(keyspace.woken(POOL, group), {}).items() if until > self.now_ms}
        idle_beside = ({*of.get(keyspace.parked(POOL, group), {})} | woken) - {owner.id}
        request = new_id()
        sent_ms = self.now_ms
        found = self.send(leases.claim(POOL, owner.id, request=request, want=want, load=len(owner.held)))
        wanted = self.model.claim(owner.id, want, len(idle_beside))
        assert [(run.id, run.epoch) for run in found.runs] == [(run.id, run.epoch) for run in wanted], "5: the claim"
        assert found.duties == self.model.take_duties(), "D: duties of a claim"
        for run in found.runs:
            assert run.wait_ms == max(0, run.due_at_ms - self.now_ms), "4: before its time"
            for other in self.consumers.values():
                assert run.id not in other.children, "9: two living executions"
            owner.held[run.id], owner.sent_ms[run.id] = run.epoch, sent_ms
            self.used.append((owner.id, run.id, run.epoch))
        if not found.runs:
            self.of = snapshot(self.server)
            assert owner.id in self.of.get(keyspace.parked(POOL, group_of(self.model.consumers[owner.id])), {}), (
                "12: parked"
            )
            assert self.of.get(keyspace.wake(POOL, owner.id), []) in ([], ["control"]), (
                "12: rung as soon as it was parked"
            )
        owner.last_claim = (request, want, found)

    def claim_again(self, at: int) -> None:
        owner = self.one([one for one in self.consumers.values() if one.last_claim], at)
        request, want, first = owner.last_claim
        again = self.unchanged(leases.claim(POOL, owner.id, request=request, want=want, load=0))
        still = {run.id for run in first.runs if self.model.holds(owner.id, run.id, run.epoch)}
        assert {run.id for run in again.runs} == still, "8: the same request got another answer"

    @precondition(lambda self: self.holdings())
    @rule(at=pick)
    def start(self, at: int) -> None:
        owner, run, epoch = self.one(self.holdings(), at)
        found = self.send(leases.start(POOL, owner.id, run, epoch, pid=7))
        wanted = self.model.start(owner.id, run, epoch)
        if wanted == "FENCED":
            assert isinstance(found, DispatcherError), found
            self.drop(owner, run)
            self.settled = False
            return
        assert found == wanted
        if self.is_safe(owner, run):
            owner.children.add(run)
        again = self.unchanged(leases.start(POOL, owner.id, run, epoch, pid=7))
        assert again == wanted, "8: start sent twice"

    @precondition(lambda self: self.holdings())
    @rule(at=pick, state=OUTCOMES, retry=RETRIES)
    def finish(self, at: int, state: str, retry: int | None) -> None:
        owner, run, epoch = self.one(self.holdings(), at)
        outcome = Outcome(run, epoch, State(state), retry_in_ms=retry)
        found = self.send(leases.finish(POOL, owner.id, [outcome]))
        wanted = self.model.finish(owner.id, run, epoch, state, retry)
        assert found == [wanted], (found, wanted)
        self.settled = wanted != "FENCED"
        self.drop(owner, run)
        again = self.model.finish(owner.id, run, epoch, state, retry)  # it may be trimmed by now
        settled = self.settled
        assert self.unchanged(leases.finish(POOL, owner.id, [outcome])) == [again], "8: finish sent twice"
        self.settled = settled

    @precondition(lambda self: self.holdings())
    @rule(at=pick)
    def release(self, at: int) -> None:
        owner, run, epoch = self.one(self.holdings(), at)
        found = self.send(leases.release(POOL, owner.id, [(run, epoch)]))
        wanted = self.model.release(owner.id, run, epoch)
        assert found == [wanted], (found, wanted)
        self.settled = wanted != "FENCED"
        self.drop(owner, run)

    @precondition(lambda self: self.consumers)
    @rule(at=pick)
    def renew(self, at: int) -> None:
        owner = self.consumers[self.one(sorted(self.consumers), at)]
        sent_ms, held = self.now_ms, list(owner.held.items())
        found = self.send(leases.renew(POOL, owner.id, held))
        lost, cancelling = self.model.renew(owner.id, held)
        told = [{run for run, _ in found.lost}, {run for run, _ in found.cancelling}]
        assert told == [lost, cancelling], "heartbeat"
        assert found.duties == self.model.take_duties(), "D: duties of a heartbeat"
        owner.sent_ms.update(dict.fromkeys(owner.held, sent_ms))
        for run in lost:
            self.drop(owner, run)

    @precondition(lambda self: self.used)
    @rule(at=pick, twist=st.sampled_from(["as it was", "other consumer", "other consumer", "older epoch"]))
    def stale_calls(self, at: int, twist: str) -> None:
        """Every write there is, by who held a run once, or by who nearly holds it: each is refused without a trace."""
        consumer, run, epoch = self.one(self.used, at)
        if twist != "as it was" and self.holdings():
            owner, run, epoch = self.one(self.holdings(), at)
            others = sorted({*self.consumers, "nobody"} - {owner.id})
            consumer = self.one(others, at) if twist == "other consumer" else owner.id
            epoch -= twist == "older epoch"
        if self.model.holds(consumer, run, epoch):
            return
        for call in (
            leases.start(POOL, consumer, run, epoch, pid=9),
            leases.finish(POOL, consumer, [Outcome(run, epoch, State.COMPLETED, result_json="1")]),
            leases.release(POOL, consumer, [(run, epoch)]),
            leases.log(POOL, consumer, run, epoch, ["line"]),
        ):
            found = self.unchanged(call)
            words = found if isinstance(found, list) else []
            assert isinstance(found, DispatcherError) or words[0] in ("FENCED", "already"), found

    # after every step -----------------------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        if self.of:
            self.of = snapshot(self.server)
            check(self.of, self.model, settled=self.settled)
            self.replay_events()

    def replay_events(self) -> None:
        for event in self.client.run(views.events(POOL, after=self.last_event)):
            self.last_event = event.id
            if event.event in ("deleted", "trimmed", "taken-back", "moved-out"):
                self.replayed.pop(event.fields["run"])
            elif "run" in event.fields:
                self.replayed[event.fields["run"]] = event.fields["state"]
        states = {run.id: run.state for run in self.model.runs.values() if not run.is_moving}
        assert self.replayed == states, "13: the events do not replay to the states"

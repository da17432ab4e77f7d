"""What must hold in Redis after every step: the numbered invariants of the design, read off the keys themselves.

`snapshot` reads everything there is; `check` compares it with the reference (`reference.py`) and with itself. Each
assertion names the invariant that is broken. Numbers: 1 slots are holders, 2 one place for each run, 3 limits, 6 the
derived indexes, 7 epochs, 10 nothing disappears, 11 leases, 12 parking, 13 keys and events, 14 one cluster slot, W
whoever could work is woken, T somebody keeps the timer, F filter queues show what they match, S schedules and expiry,
D duties, M moves between pools.
"""

from __future__ import annotations

from typing import Any

import redis

from dispatcher import keyspace
from dispatcher.models import DEFAULT_POOL
from tests.model.lifecycle import DEPLOYMENT, RunState
from tests.model.reference import GRACE_MS, ConsumerState, Reference

POOL = DEFAULT_POOL  # the only one that may have queues with filters
Snapshot = dict[str, Any]
SPAN = 2**42
SCHEDULED = "SCHEDULED"
WAITING = {"ready": keyspace.lane_ready, "due": keyspace.lane_due, "retry": keyspace.lane_retry}


def snapshot(server: redis.Redis) -> Snapshot:
    """Every key with its whole content."""
    names: list[str] = sorted(server.keys("*"))  # type: ignore[arg-type] # decoded by the connection
    pipe = server.pipeline(transaction=False)
    for name in names:
        pipe.type(name)
    kinds = pipe.execute()
    for name, kind in zip(names, kinds, strict=True):
        if kind == "zset":
            pipe.zrange(name, 0, -1, withscores=True)
        elif kind == "hash":
            pipe.hgetall(name)
        elif kind == "set":
            pipe.smembers(name)
        elif kind == "list":
            pipe.lrange(name, 0, -1)
        elif kind == "stream":
            pipe.xlen(name)
        else:
            pipe.get(name)
    found: Snapshot = {}
    for name, kind, content in zip(names, kinds, pipe.execute(), strict=True):
        found[name] = {member: int(score) for member, score in content} if kind == "zset" else content
    return found


def place_of(run: RunState) -> str:
    return "moving" if run.is_moving else "ready" if run.is_ready else "retry" if run.is_retry else "due"


def expected_runs(reference: Reference) -> dict[str, Any]:
    """For each run what its keys must say."""
    return {
        run.id: (
            run.state, run.queue, run.due, run.epoch, run.attempts, run.lost, run.releases,
            "lease" if run.is_held else place_of(run) if run.state == SCHEDULED else "none",
            run.lease_until if run.is_held else 0,
            run.consumer if run.is_held else "",
        )
        for run in reference.runs.values()
    }  # fmt: skip


def found_runs(of: Snapshot) -> dict[str, Any]:
    prefix = keyspace.run(POOL, "")
    leases = of.get(keyspace.leases(POOL), {})
    places: dict[str, list[str]] = {}
    for key, members in of.items():
        kind = key.rpartition(":")[2]
        if key.startswith(keyspace.queue(POOL, "")) and kind in WAITING and "/" not in key:
            for run in members:
                places.setdefault(run, []).append(kind)
    for run in leases:
        places.setdefault(run, []).append("lease")
    for run in of.get(keyspace.moving(POOL), {}):
        places.setdefault(run, []).append("moving")
    rows = {}
    for key, row in of.items():
        if key.startswith(prefix) and ":" not in (run := key[len(prefix) :]):
            where = places.pop(run, ["none"])
            assert len(where) == 1, f"2: run {run} is in {where}"
            rows[run] = (
                row["state"], row["queue"], int(row["due_ms"]), int(row.get("epoch", 0)), int(row.get("attempts", 0)),
                int(row.get("lost", 0)), int(row.get("releases", 0)), where[0], leases.get(run, 0),
                row.get("consumer", "") if where[0] == "lease" else "",
            )  # fmt: skip
    assert not places, f"10: members without a run: {places}"
    return rows


def check(of: Snapshot, reference: Reference, *, settled: bool) -> None:
    """Raises AssertionError, naming the invariant, unless everything holds. `settled`: the last call was one that ends
    by waking; after others time may have made work possible that nobody has looked at yet."""
    rows, wanted = found_runs(of), expected_runs(reference)
    for run in wanted | rows:
        assert rows.get(run) == wanted.get(run), f"5/10: run {run} is {rows.get(run)}, must be {wanted.get(run)}"
    check_slots(of, reference)
    check_indexes(of, reference)
    check_filters(of, reference)
    check_history(of, reference)
    check_schedules(of, reference)
    if settled:
        check_waking(of, reference)
    for key in of:
        assert key.startswith(f"dispatcher:{{{POOL}}}:") or key in ("dispatcher:pools", "dispatcher:deployments"), (
            f"14: {key} is outside the pool's slot"
        )


def check_slots(of: Snapshot, reference: Reference) -> None:
    held = {run.id for run in reference.held()}
    prefix, suffix = keyspace.queue(POOL, ""), ":slots"
    by_queue = {
        key[len(prefix) : -len(suffix)]: set(of[key])
        for key in of
        if key.startswith(prefix) and key.endswith(suffix) and "/" not in key
    }
    by_consumer = [of[key] for key in of if key.startswith(keyspace.consumer(POOL, "")) and key.endswith(":runs")]
    assert set(of.get(keyspace.leases(POOL), {})) == held, "1: leases are not the held runs"
    assert sorted(run for runs in by_queue.values() for run in runs) == sorted(held), "1: queue slots are not the held"
    assert sorted(run for runs in by_consumer for run in runs) == sorted(held), "1: consumers' sets are not the held"
    for queue, runs in by_queue.items():
        assert runs == {run.id for run in reference.held() if run.queue == queue}, f"1: slots of {queue}"
    for run, until in of.get(keyspace.leases(POOL), {}).items():
        assert until <= max(reference.now, reference.last) + reference.lease_ms + GRACE_MS, (
            f"11: lease of {run} too far"
        )


def check_indexes(of: Snapshot, reference: Reference) -> None:
    queues = of.get(keyspace.queues(POOL), {})
    assert queues == {name: queue.priority for name, queue in reference.queues.items()}, "6: priorities"
    assert len(set(queues.values())) == len(queues), "6: two queues share a priority"
    admissible, next_due, early = {}, {}, {}
    for name, queue in reference.queues.items():
        is_open = reference.queue_free(name) > 0
        if is_open and reference.ready(name):
            admissible[name] = queue.priority
        if future := reference.future(name):
            next_due[name] = min(run.look for run in future)
            if is_open and (soon := reference.early(name)):
                early[name] = soon[0].due
        for run in reference.ready(name):
            score = of[keyspace.ready(POOL, name)][run.id]
            assert score == run.priority * SPAN + run.due, f"5: score of {run.id}"
    assert of.get(keyspace.admissible(POOL), {}) == admissible, "6: admissible"
    assert of.get(keyspace.next(POOL), {}) == next_due, "6: next"
    assert of.get(keyspace.early(POOL), {}) == early, "6: early"


def check_filters(of: Snapshot, reference: Reference) -> None:
    expected = {}
    for name, queue in reference.queues.items():
        if queue.filter is None:
            continue
        for home in reference.homes():
            for kind, key_of in WAITING.items():
                waiting = of.get(f"{keyspace.queue(POOL, home)}:{kind}", {})
                shown = {run: score for run, score in waiting.items() if queue.filter.matches(reference.runs[run])}
                if shown:
                    expected[key_of(POOL, home, name)] = shown
        if holders := reference.holders(name):
            slots = {run.id: of[keyspace.slots(POOL, run.queue)][run.id] for run in holders}
            expected[keyspace.filter_slots(POOL, name)] = slots
    prefix = keyspace.queue(POOL, "")
    found = {key: content for key, content in of.items() if key.startswith(prefix) and "/" in key}
    assert found.keys() == expected.keys(), f"F: {found.keys() ^ expected.keys()} should (not) be there"
    for key, content in found.items():
        assert content == expected[key], f"F: {key} shows {content}, must show {expected[key]}"
    assert "filling" not in of[keyspace.state(POOL)], "F: the filters of so small a pool are filled at once"


def check_history(of: Snapshot, reference: Reference) -> None:
    for run in reference.runs.values():
        charged = run.attempts + run.lost + run.releases + (1 if run.is_held else 0)
        assert charged == run.epoch, f"7: {run.id}: attempts + lost + releases do not make its claims"
    finished = {
        run: key.rpartition(":")[2] for key in of if key.startswith(keyspace.runs_finished(POOL, "")) for run in of[key]
    }
    ended = {run.id: run.state for run in reference.runs.values() if not run.is_held and run.state != SCHEDULED}
    assert finished == ended, "2: the finished indexes are not the finished runs"
    by_start = {run.id: run.due for run in reference.runs.values()}
    assert of.get(keyspace.runs_by_start(POOL), {}) == by_start, "6: runs by start"
    prefix = keyspace.idempotency(POOL, "", "")[:-1]
    keys = {key[len(prefix) :]: of[key] for key in of if key.startswith(prefix)}
    assert keys == {f"{scope}:{key}": run for (scope, key), run in reference.keys.items()}, "13: idempotency keys"


def check_schedules(of: Snapshot, reference: Reference) -> None:
    prefix = keyspace.schedule(POOL, DEPLOYMENT, "")
    runs = {key[len(prefix) : -len(":runs")]: of[key] for key in of if key.startswith(prefix) and key.endswith(":runs")}
    assert runs == {schedule: runs for schedule, runs in reference.members.items() if runs}, "S: runs of schedules"
    rows = {key[len(prefix) :]: of[key] for key in of if key.startswith(prefix) and not key.endswith(":runs")}
    found = {schedule: (row.get("digest", ""), int(row["cursor_ms"])) for schedule, row in rows.items()}
    known = {schedule: (state.digest, state.cursor) for schedule, state in reference.schedules.items()}
    assert found == known, "S: how far schedules have come"
    assert of.get(keyspace.expiring(POOL), {}) == reference.expiring, "S: what expires"
    assert of.get(keyspace.duties(POOL), {}) == reference.duties, "D: duties"
    gone = {run: f"{number}{' refused' if is_refused else ''}" for run, (number, is_refused) in reference.gone.items()}
    prefix = keyspace.moved(POOL, "")
    assert {key[len(prefix) :]: of[key] for key in of if key.startswith(prefix)} == gone, "M: what is known of moves"


def group_of(consumer: ConsumerState) -> str:
    return f"{consumer.prefetch}/{consumer.selector}"


def check_waking(of: Snapshot, reference: Reference) -> None:
    members: dict[str, list[str]] = {}
    groups = of.get(keyspace.groups(POOL), set())
    for group in groups:
        for consumer in [*of.get(keyspace.parked(POOL, group), {}), *of.get(keyspace.woken(POOL, group), {})]:
            members.setdefault(consumer, []).append(group)
    assert all(len(found) == 1 for found in members.values()), "12: a consumer is parked or woken twice"
    for consumer in reference.consumers:
        assert len(of.get(keyspace.wake(POOL, consumer), [])) <= 1, "12: more than one token at a doorbell"
    is_open = not reference.is_paused and reference.pool_free() > 0
    moments, someone_parked, someone_woken = [], False, False
    for group in groups:
        prefetch, selector = group.split("/", 1)
        kind = ConsumerState(selector, int(prefetch), 0)
        parked = [
            name
            for name in of.get(keyspace.parked(POOL, group), {})
            if name in reference.consumers and reference.consumers[name].seen_until > reference.now
        ]
        woken = of.get(keyspace.woken(POOL, group), {})
        someone_woken = someone_woken or bool(woken)
        someone_parked = someone_parked or bool(parked)
        if parked and is_open and reference.available(kind):
            assert woken, f"W: {reference.available(kind)} runs wait, {parked} are idle, nobody of {group} was woken"
        for name in parked:
            assert of.get(keyspace.wake(POOL, name), []) in ([], ["control"]), f"12: {name} is parked and has a token"
        if is_open:
            early = [due - kind.prefetch for due, _, _ in reference.next_early(kind)]
            moments += [due for due in early if due > reference.now] if kind.prefetch else []
    for index in (keyspace.next(POOL), keyspace.expiring(POOL), keyspace.duties(POOL)):
        moments += list(of.get(index, {}).values())
    moments += [max(until + GRACE_MS, reference.hold) for until in of.get(keyspace.leases(POOL), {}).values()]
    if someone_parked and moments and not someone_woken:
        armed = min(of.get(keyspace.timers(POOL), {}).values(), default=None)
        assert (armed or 1 << 60) <= min(moments), f"T: timer at {armed}, needed at {min(moments)}"

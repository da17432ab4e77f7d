"""Whatever is asked of the priorities of a pool's queues: they stay unique, the newcomer keeps its number, and nobody
else moves further than needed.

`shifted` says the rule once more, in a few lines and without Redis. Every queue has a run that waits, so that a look at
the claims shows that the numbers are not only told but followed. What fails is told as the steps that lead there.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dispatcher.errors import DefaultQueueProtected, PrioritiesCollide, QueueExists, QueueHasRuns, QueueNotFound
from dispatcher.ops import pools, queues
from tests.conftest import Clock, Run
from tests.machines import explore
from tests.scene import POOL, Scene

EXAMPLES, STEPS = 25, 30
Priorities = dict[str, int]

names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
numbers = st.sampled_from([*range(1, 9), 999_999_998, 999_999_999])  # few, so that they meet; and the last there are
pick = st.integers(0, 1_000)  # chooses one of the queues there are when the rule runs


def shifted(before: Priorities, wanted: Priorities) -> Priorities:
    """Who is given a number has it; the others in their order, each at the first free number from its own on."""
    after, last = dict(wanted), 0
    for name in sorted(before.keys() - wanted.keys(), key=before.__getitem__):
        last = max(before[name], last + 1)
        while last in wanted.values():
            last += 1
        after[name] = last
    return after


def lowest_free(taken: Priorities) -> int:
    return min(set(range(1, len(taken) + 2)) - set(taken.values()))


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ({"a": 1, "b": 2, "c": 4}, {"new": 1}, {"new": 1, "a": 2, "b": 3, "c": 4}),
        ({"a": 1, "b": 2, "c": 4}, {"new": 3}, {"a": 1, "b": 2, "new": 3, "c": 4}),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, {"c": 1}, {"c": 1, "a": 2, "b": 3, "d": 4}),
        ({"a": 1, "b": 2, "c": 3, "d": 5}, {"c": 2, "d": 1}, {"d": 1, "c": 2, "a": 3, "b": 4}),
        ({"a": 1, "b": 2, "c": 9}, {"a": 9}, {"b": 2, "a": 9, "c": 10}),
    ],
)
def test_the_rule_itself(before: Priorities, wanted: Priorities, after: Priorities) -> None:
    assert shifted(before, wanted) == after


class Priority(RuleBasedStateMachine):
    """Bound to a server by `on`. `known`: the priorities that the queues must have now."""

    scene: Scene

    @classmethod
    def on(cls, scene: Scene) -> type[Priority]:
        return type("Priority", (cls,), {"scene": scene})

    @initialize(first=st.dictionaries(names, numbers, max_size=4))
    def create(self, first: Priorities) -> None:
        self.scene.server.flushall()
        self.scene.run(pools.create(POOL))
        self.consumer = self.scene.join()
        self.known = {"default": 1}
        self.scene.submit("default")
        for name, number in first.items():
            self.newcomer(name, number)

    def queue(self, at: int) -> str:
        return sorted(self.known)[at % len(self.known)]

    def expect(self, wanted: Priorities) -> None:
        """Computes what has to follow, and says in words of its own what the rule promises of it."""
        before, self.known = self.known, shifted(self.known, wanted)
        found = self.scene.priorities()
        others = sorted(before.keys() - wanted.keys(), key=before.__getitem__)
        assert {name: found[name] for name in wanted} == wanted, "the newcomer keeps its number"
        assert [name for name in found if name in others] == others, "the others keep their order"
        for name in others:
            assert 0 <= found[name] - before[name] <= len(wanted), "nobody moves down, or further than they push"
            assert set(range(before[name], found[name])) <= set(found.values()), "there was a free number nearer"
        if len(wanted) == 1:
            [number] = wanted.values()
            moved = [before[name] for name in others if found[name] != before[name]]
            assert moved == list(range(number, number + len(moved))), "only the block above the newcomer moves"
            assert all(found[name] - before[name] <= 1 for name in others), "each by one"

    @rule(name=names, number=st.none() | numbers)
    def newcomer(self, name: str, number: int | None) -> None:
        if name in self.known:
            self.scene.refused(queues.create(POOL, name, priority=number), QueueExists)
            return
        given = lowest_free(self.known) if number is None else number
        assert self.scene.run(queues.create(POOL, name, priority=number)) == given
        self.expect({name: given})
        self.scene.submit(name)

    @rule(name=names)
    def first_mention(self, name: str) -> None:
        """As a deployment or a consumer makes the queue that it names."""
        assert self.scene.run(queues.ensure(POOL, name)) is (name not in self.known)
        if name not in self.known:
            self.expect({name: lowest_free(self.known)})
            self.scene.submit(name)

    @rule(at=pick, number=numbers)
    def move(self, at: int, number: int) -> None:
        wanted = {self.queue(at): number}
        self.scene.run(queues.set_priorities(POOL, wanted))
        self.expect(wanted)

    @rule(places=st.lists(pick, min_size=2, max_size=5), given=st.lists(numbers, min_size=5, max_size=5, unique=True))
    def move_several(self, places: list[int], given: list[int]) -> None:
        wanted = dict(zip([self.queue(at) for at in places], given, strict=False))
        self.scene.run(queues.set_priorities(POOL, wanted))
        self.expect(wanted)

    @rule(places=st.lists(pick, min_size=2, max_size=4), number=numbers, other=numbers)
    def two_with_one_number(self, places: list[int], number: int, other: int) -> None:
        wanted = {self.queue(at): number for at in places}
        if len(wanted) < 2:
            wanted = {"default": number, "ghost": other}
        if len(wanted) > 2:
            wanted[next(iter(wanted))] = other
        error = QueueNotFound if "ghost" in wanted else PrioritiesCollide
        self.scene.refused(queues.set_priorities(POOL, wanted), error)

    @rule(at=pick, to=pick, cancel=st.booleans())
    def delete(self, at: int, to: int, cancel: bool) -> None:
        name, target = self.queue(at), self.queue(to)
        if name == "default":
            self.scene.refused(queues.delete(POOL, name, cancel_runs=True), DefaultQueueProtected)
            return
        self.scene.refused(queues.delete(POOL, name), QueueHasRuns)
        move_to = None if cancel or target == name else target
        self.scene.run(queues.delete(POOL, name, move_to=move_to, cancel_runs=move_to is None))
        del self.known[name]

    @rule()
    def look_at_claims(self) -> None:
        """The numbers are what claims go by."""
        found = self.scene.claim(self.consumer, 64).runs
        assert list(dict.fromkeys(run.queue for run in found)) == sorted(self.known, key=self.known.__getitem__)
        self.scene.release(self.consumer, *((run.id, run.epoch) for run in found))

    @invariant()
    def all_are_unique_and_as_expected(self) -> None:
        if hasattr(self, "known"):
            found = self.scene.priorities()
            assert len(set(found.values())) == len(found), "each number once"
            assert min(found.values()) >= 1
            assert found == self.known


def test_priorities_whatever_is_asked(run: Run, clock: Clock, server_connection: object) -> None:
    explore(Priority.on(Scene(run, clock, server_connection)), examples=EXAMPLES, steps=STEPS)

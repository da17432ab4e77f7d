"""The test of the test: scripts that are broken on purpose must make the model test fail, and for the right reason.

Each case replaces one piece of Lua by a wrong one, in the text that the drivers send, and runs the machine until it
objects. A case whose piece is no longer found fails at once: then the mutation has to follow the script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import dispatcher.call
import dispatcher.client
from dispatcher.call import Script, script
from tests.model.machine import PoolMachine
from tests.model.scheduled import ScheduledMachine

REFRESH_ONLY = "for queue in pairs(touched) do refresh(queue) end"

# script (`*`: all), the right piece, the wrong one, the invariants of which one must be named
MUTATIONS = {
    "no pump in finish": ("lease_finish", "settle(#reply - 1)", REFRESH_ONLY, "W T"),
    "no pump in submit": ("run_submit", "settle(math.min(fresh, 4))", REFRESH_ONLY, "W T"),
    "no refresh in set-queue": ("queue_set", "touch(queue)\n", "", "5 6 W"),
    "no limit of the queue": ("lease_claim", "math.min(want, free_of(source))", "want", "5"),
    "no limit of the pool": ("lease_claim", "math.min(want, free, 64)", "math.min(want, 64)", "5"),
    "no epoch in the fence": ("lease_finish", "and run.epoch == tonumber(epoch)", "", "8"),
    "no consumer in the fence": ("lease_release", "and run.consumer == consumer", "", "8"),
    "a slot is leaked": ("lease_finish", "call('ZREM', LEASES, run.id)", "", "1 2 5"),
    "a pause is ignored": ("lease_claim", "pool.paused and 0 or pool_free()", "pool_free()", "5"),
    "a lease is reaped too early": ("*", "now - GRACE_MS), 'BYSCORE'", "now), 'BYSCORE'", "5"),
    "no hold after a silence": ("*", "if now < hold_ms then return end", "", "5"),
    "a request is not remembered": ("lease_claim", "if me[2] == request then", "if false then", "8"),
    "no timer is kept": ("lease_claim", "call('ZADD', TIMERS, int(moment), consumer)", "", "12"),
    "the run priority is ignored": ("run_submit", "run.priority * SPAN + due", "due", "5"),
    "a claim leaves the run in other lanes": (
        "lease_claim", "if pool.filters then leave(place_key, queue, id) end", "", "F 2",
    ),
    "held runs are not counted by filters": ("*", "place_key == slots_key and '' or queue", "queue", "F"),
    "a filter's limit is ignored": ("*", "queue_free(filter, '/' .. filter)", "queue_free(filter)", "5"),
    "a new filter does not pick up": (
        "queue_create", "filling = fill('0 ')", "call('HDEL', queue_key(queue), 'filling')", "F",
    ),
    "a queue that was empty gets a lost run": (
        "queue_delete", "local hold_ms = guard()", "local hold_ms = guard() catch_up(hold_ms)", "2 5 10",
    ),
    "an event is forgotten": ("run_cancel", "run_event('cancelling'", "run_key('cancelling'", "13"),
}  # fmt: skip
# The same, found by the machine that has schedules, retention and moves.
SCHEDULED_MUTATIONS = {
    "an ended run is still one of its schedule": (
        "*", "call('ZREM', schedule_key(run.deployment, run.schedule) .. ':runs', run.id) end\n  run_event",
        "end\n run_event", "S",
    ),
    "held runs do not stand in the way": (
        "*", "if is_earlier or (other and other.attempts > 0) then",
        "if is_earlier and not HELD[other.state] then", "5",
    ),
    "late runs are taken back": ("deployment_save", "'(' .. int(now)", "'-inf'", "10 S"),
    "a run that is there is made again": (
        "schedule_admit", "':runs', nominal, nominal) > 0", "':runs', nominal, nominal) > 99", "S",
    ),
    "no pump in admit": ("schedule_admit", "settle(math.max(1, math.min(count, 4)))", REFRESH_ONLY, "W T"),
    "one too many is kept": ("*", "- pool.keep_runs", "- pool.keep_runs - 1", "10"),
    "what is trimmed meanwhile is retried": (
        "run_retry", "local hold_ms = guard()", "local hold_ms = guard() catch_up(hold_ms)", "2 10 13 M",
    ),
    "what is old is kept": ("*", "tonumber(oldest[2]) > now - pool.keep_ms", "true", "10"),
    "duties are handed out again at once": ("*", "call('ZADD', DUTIES, int(now + TAKEN_MS), duty)", "", "D"),
    "who is slow forgets what left again": ("run_move", "if run and run.moves == tonumber(moves)", "if run", "5 10 M"),
    "who is slow brings back what was refused": ("run_adopt", "if word == 'refused'", "if false", "M"),
    "a run comes twice": ("run_adopt", "if here and tonumber(here) >= moves then return 'arrived' end", "", "M 2 5 10"),
    "what is put back is no run of its schedule": ("run_return", "if found[1]", "if false", "S"),
    "who is slow leads to a queue of before": ("run_requeue", "cjson.decode(kept).queue ~= queue", "false", "8 M"),
    "what has changed is submitted": ("run_submit", "version == '' or (kept.version == version", "(true", "8"),
    "what goes away is submitted": ("run_submit", " and not kept.leaving", "", "8"),
    "a resent submit is refused": ("run_submit", " and not earlier(id, deployment, key)", "", "8"),
    "what goes out has no duty": ("run_move", "if is_leaving then", "if false then", "D W T"),
    "a requeued run stays where it was, too": ("run_requeue", "local is_retry = unplace(run)", "local is_retry", "2"),
}  # fmt: skip


def broken(name: str, right: str, wrong: str) -> Callable[[str], Script]:
    """As `call.script`, but with one piece of one script (`*`: of every script) replaced."""
    probe = script("lease_claim" if name == "*" else name).text
    assert right in probe, f"the mutation of {name} has to follow the script: {right!r} is not there"

    @cache
    def mutant(wanted: str) -> Script:
        found = script(wanted)
        if name not in ("*", wanted):
            return found
        text = found.text.replace(right, wrong)
        return Script(wanted, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    return mutant


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", [*MUTATIONS, *SCHEDULED_MUTATIONS])
def test_a_broken_script_is_found(redis_url: str, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    name, right, wrong, invariants = (MUTATIONS | SCHEDULED_MUTATIONS)[case]
    machine = PoolMachine if case in MUTATIONS else ScheduledMachine
    mutant = broken(name, right, wrong)
    monkeypatch.setattr(dispatcher.call, "script", mutant)
    monkeypatch.setattr(dispatcher.client, "script", mutant)
    with pytest.raises(AssertionError) as found:
        run_state_machine_as_test(
            machine.on_server(redis_url),
            settings=settings(
                max_examples=500,
                derandomize=True,  # what is found once is found always, until the machine or a script changes
                stateful_step_count=50,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    words = str(found.value).partition(":")[0].partition("\n")[0].split("/")
    assert set(words) & set(invariants.split()), f"found for another reason: {found.value}"

"""Duties are handed to one of those who look, and to another when they are not done; doing them is idempotent."""

import pytest

from dispatcher import keyspace
from dispatcher.errors import PoolNotFound
from dispatcher.models import Claim
from dispatcher.ops import deployments, pools
from dispatcher.upkeep import duties
from tests.deploying import MINUTE_MS, NAME, Office, every, rest
from tests.scene import POOL, Scene

DUTY = f"schedule:{NAME}:{every(10).id}"


@pytest.fixture
def office(scene: Scene) -> Office:
    return Office(scene.run, scene.clock, scene.server)


@pytest.fixture
def consumer(scene: Scene) -> str:
    return scene.join()


def due(office: Office) -> None:
    """A schedule that is to be looked at now."""
    office.deploy(every(10))
    office.clock.advance(10 * MINUTE_MS - 1)


@pytest.mark.parametrize("how", ["claim", "heartbeat", "scheduler"])
def test_who_looks_is_told_and_the_others_are_not(office: Office, scene: Scene, consumer: str, how: str) -> None:
    other = scene.join("two")
    due(office)

    def looked(who: str) -> tuple[str, ...]:
        if how == "claim":
            return scene.claim(who).duties
        if how == "heartbeat":
            return scene.renew(who).duties
        return tuple(scene.run(pools.duties(POOL))[0])

    told = [looked(who) for who in (consumer, other, consumer, other)]
    assert told == [(DUTY,), (), (), ()]
    scene.clock.advance(4_999)
    assert looked(other) == ()
    scene.clock.advance(1)
    assert [looked(other), looked(consumer)] == [(DUTY,), ()], "who was told first has not done it"


def test_a_claim_that_finds_runs_tells_duties_too(office: Office, scene: Scene, consumer: str) -> None:
    due(office)
    scene.submit()
    found = scene.claim(consumer)
    assert (len(found.runs), found.duties) == (1, (DUTY,))


def test_the_same_request_is_not_told_duties_again(office: Office, scene: Scene, consumer: str) -> None:
    """What was said in a reply that was lost is told to whoever looks 5 s later."""
    due(office)

    def asked() -> Claim:
        return scene.claim(consumer, request="R")

    assert [asked().duties, asked().duties] == [(DUTY,), ()]


def test_what_is_done_is_told_when_it_comes_next(office: Office, scene: Scene) -> None:
    due(office)
    (told, _) = scene.run(pools.duties(POOL))
    assert scene.run(duties.perform(POOL, told)) == 1
    assert scene.run(pools.duties(POOL)) == ([], 60_000), "a minute at most, something may be deployed meanwhile"
    office.clock.advance(10 * MINUTE_MS - 30_000)
    assert scene.run(pools.duties(POOL)) == ([], 30_000)
    office.clock.advance(30_000)
    assert scene.run(pools.duties(POOL))[0] == [DUTY]


def test_an_idle_consumer_looks_exactly_when_a_duty_comes(office: Office, scene: Scene, consumer: str) -> None:
    office.deploy(every(10))
    office.clock.advance(10 * MINUTE_MS - 1_235)
    parked = scene.claim(consumer)
    assert (parked.block_ms, parked.is_timer) == (1_234, True)
    office.clock.advance(1_234)
    assert scene.claim(consumer).duties == (DUTY,)


def test_a_new_schedule_wakes_an_idle_consumer(office: Office, scene: Scene, consumer: str) -> None:
    scene.claim(consumer)
    office.deploy(every(10))
    assert scene.doorbell(consumer) == ["timer"]


def test_twenty_at_a_time(office: Office, scene: Scene) -> None:
    for number in range(3):
        office.deploy(*(every(10 + minute) for minute in range(15)), name=f"f/{number}")
    office.clock.advance(60 * MINUTE_MS)
    told = [scene.run(pools.duties(POOL))[0] for _ in range(4)]
    assert [len(found) for found in told] == [20, 20, 5, 0]
    assert len({duty for found in told for duty in found}) == 45


def test_done_twice_or_late_they_change_nothing_more(office: Office, scene: Scene) -> None:
    due(office)
    (told, _) = scene.run(pools.duties(POOL))
    stale = duties.perform(POOL, told)
    call = next(stale)
    assert scene.run(duties.perform(POOL, told)) == 1
    made = office.made()
    assert rest(scene.run, stale, call) == 0, "whoever was slower went on with what it had read"
    assert office.made() == made


def test_one_that_fails_keeps_none_of_the_others_waiting(office: Office, scene: Scene) -> None:
    due(office)
    (told, _) = scene.run(pools.duties(POOL))
    before = len(office.made())
    flow = duties.perform(POOL, ["move:f/other", *told, "requeue:f/other:gone"])
    call = next(flow)
    while call.args != ("f/other",):
        call = flow.send(scene.run(call))
    call = flow.throw(PoolNotFound(pool="went-meanwhile"))
    with pytest.raises(PoolNotFound, match="went-meanwhile"):
        rest(scene.run, flow, call)
    assert len(office.made()) == before + 1


def test_what_is_gone_is_passed_over(office: Office, scene: Scene) -> None:
    due(office)
    (told, _) = scene.run(pools.duties(POOL))
    office.run(deployments.delete(NAME))
    assert scene.run(duties.perform(POOL, [*told, "move:f/never"])) == 0
    assert scene.server.exists(keyspace.duties(POOL)) == 0
    scene.refused(pools.duties("nope"), PoolNotFound)
    with pytest.raises(PoolNotFound):
        scene.run(duties.perform("nope", told))

"""The recorder bites: calls and replies that do not fit a header, and keys that keyspace does not describe."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis

from dispatcher import client, keyspace
from dispatcher.call import Call
from dispatcher.client import driven
from dispatcher.ops import leases, pools, queues
from tests import recording
from tests.conftest import Run
from tests.documented import undocumented
from tests.headers import HeaderBroken, Shape
from tests.recording import observe

POOL_KEY = (keyspace.pool("p"),)


@pytest.fixture(autouse=True)
def nothing_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made up here must not count as called by the test run."""
    monkeypatch.setattr(recording, "called", set())


@pytest.mark.parametrize(
    ("text", "reply", "fits"),
    [
        (Shape("done"), ["done"], True),
        (Shape("done"), ["done", 1], False),
        (Shape("done"), ["DONE"], False),
        (Shape("done"), [], False),
        (Shape("done"), "done", False),
        (Shape("done", ("int", "str")), ["done", 1, "x"], True),
        (Shape("done", ("int", "str")), ["done", "1", "x"], False),
        (Shape("done", ("int", "list"), is_repeated=True), ["done", 1], True),
        (Shape("done", ("int", "list"), is_repeated=True), ["done", 1, [], [2]], True),
        (Shape("done", ("int", "list"), is_repeated=True), ["done", 1, [], 2], False),
        (Shape("done", ("int", "list"), is_repeated=True), ["done"], False),
        (Shape("done", ("any",), is_repeated=True), ["done", 1, "x", []], True),
    ],
)
def test_shapes(text: Shape, reply: Any, fits: bool) -> None:
    assert text.fits(reply) is fits


@pytest.mark.parametrize(
    ("call", "reply", "complaint"),
    [
        (pools.tick("p"), ["ticked"], "fits no `Returns:`"),
        (pools.tick("p"), ["ticked", "1"], "fits no `Returns:`"),
        (pools.tick("p"), ["FENCED"], "fits no `Returns:`"),
        (Call("pool_tick", POOL_KEY, ("more",), list), ["ticked", 0], "1 arguments"),
        (Call("pool_tick", (*POOL_KEY, "other"), (), list), ["ticked", 0], "2 keys"),
        (Call("lease_release", POOL_KEY, ("c", "run"), list), ["released", "FENCED"], "2 arguments"),
        (Call("lease_finish", POOL_KEY, (), list), ["finished"], "0 arguments"),
        (Call("consumer_register", POOL_KEY, ("c",), list), ["registered", 1, 0], "1 arguments"),
        (Call("no_such_script", POOL_KEY, (), list), ["x"], "no_such_script"),
    ],
)
def test_what_does_not_fit_is_told(call: Call[Any], reply: Any, complaint: str) -> None:
    with pytest.raises((HeaderBroken, FileNotFoundError), match=complaint):
        observe(call, reply)


def test_what_fits_is_noted() -> None:
    observe(pools.tick("p"), ["ticked", 0])
    observe(queues.set_priorities("p", {"a": 1, "b": 2}), ["NOQUEUE", "b"])
    observe(leases.release("p", "c", [("r", 1), ("s", 2)]), ["released", "FENCED", "SCHEDULED"])
    observe(Call("GET", ("k",), (), list), "anything")
    assert recording.called == {"pool_tick", "queue_rank", "lease_release"}


def test_the_driver_tells_the_observer() -> None:
    assert observe in client.observers
    sending = driven(pools.tick("p"), "unix:///nowhere", None)
    next(sending)
    with pytest.raises(HeaderBroken):
        sending.send([["ticked", "not a number"]])


@pytest.mark.foreign_keys
def test_keys_that_are_not_described_are_told(run: Run, server_connection: redis.Redis) -> None:
    run(pools.create("p"))
    assert undocumented(server_connection) == []
    spoil: list[tuple[list[str | int], str]] = [
        (["SET", "dispatcher:{p}:counter", 1], "no function of keyspace makes it"),
        (["SET", "elsewhere", 1], "no function of keyspace makes it"),
        (["SET", keyspace.leases("p"), 1], "is a string, keyspace.leases says zset"),
        (["HSET", keyspace.pool("p"), "extra", 1], r"fields \['extra'\] are not in keyspace.pool"),
        (["XADD", keyspace.events("p"), "*", "extra", 1], r"fields \['extra'\]"),
        (["RPUSH", keyspace.wake("p", "c"), "work"], "has no expiry"),
        (["EXPIRE", keyspace.queues("p"), 9], "does not say so"),
        (["HSET", keyspace.consumer("p", "c"), "name", "x"], "not listed any more, and it does not expire"),
        (["SET", keyspace.run_result("p", "r"), 1], "its run is gone"),
        (["SADD", keyspace.consumer_runs("p", "c"), "r"], "its consumer is gone"),
        (["HSET", keyspace.pool("gone"), "id", 1], ""),
        (["ZADD", keyspace.queues("other"), 1, "default"], "its pool is gone"),
    ]
    for command, complaint in spoil:
        server_connection.flushall()
        run(pools.create("p"))
        server_connection.execute_command(*command)  # type: ignore[no-untyped-call]
        found = undocumented(server_connection)
        if not complaint:
            assert found == []
            continue
        assert len(found) == 1, (command, found)
        assert re.search(complaint, found[0])

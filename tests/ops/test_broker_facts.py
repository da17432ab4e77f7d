"""Which servers are refused."""

import pytest
import redis

from dispatcher.errors import BadRequest, BrokerForeign
from dispatcher.ops import broker_facts
from dispatcher.ops.broker_facts import BrokerFacts
from tests.conftest import Run


def test_the_server_of_the_tests_is_fine(run: Run) -> None:
    facts = run(broker_facts.read())
    assert int(facts.version.partition(".")[0]) >= 7
    assert facts.eviction == "noeviction"
    run(broker_facts.check())


def test_eviction_is_refused_unless_allowed(run: Run, server_connection: redis.Redis) -> None:
    server_connection.config_set("maxmemory-policy", "volatile-ttl")
    try:
        with pytest.raises(BadRequest, match=r"maxmemory-policy volatile-ttl.*Set it to noeviction"):
            run(broker_facts.check())
        run(broker_facts.check(allow_unsafe=True))
    finally:
        server_connection.config_set("maxmemory-policy", "noeviction")


@pytest.mark.parametrize(
    ("version", "is_fine"),
    [("6.2.14", False), ("6.99", False), ("7.0.0", True), ("7.2.4", True), ("10.0", True), ("255.255.255", True),
     ("unstable", True), ("", True)],
)  # fmt: skip
def test_old_servers_are_refused(version: str, is_fine: bool) -> None:
    checking = broker_facts.check()
    next(checking)
    kind = StopIteration if is_fine else BadRequest
    with pytest.raises(kind):
        checking.send(BrokerFacts(version, "noeviction"))


@pytest.mark.parametrize("reply", ["OK", None, [], "# Server\r\nversion:1\r\n"])
def test_what_tells_no_version_is_no_redis(reply: object) -> None:
    with pytest.raises(BrokerForeign, match="not Redis"):
        broker_facts.read().decode(reply)

"""A consumer's patience with a Redis that is away: what is said, and when it is over. A client plays the Redis."""

import asyncio
import logging

import pytest

from agent import patience as module
from agent.patience import Patience
from dispatcher.call import Call
from dispatcher.errors import BrokerUnavailable, DispatcherError, PoolNotFound


class Client:
    """Answers each call with the next of these."""

    def __init__(self, *answers: DispatcherError | str) -> None:
        self.answers = list(answers)

    async def run(self, _operation: object) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, DispatcherError):
            raise answer
        return answer


def ask() -> Call[str]:
    return Call("PING", (), (), str)


@pytest.mark.parametrize("answer", ["PONG", PoolNotFound(pool="p")])
def test_it_is_said_once_that_redis_is_away_and_that_it_answers_again(
    answer: DispatcherError | str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_OUTAGE_S", 0.0)
    patience = Patience(Client(BrokerUnavailable("away"), BrokerUnavailable("away"), answer))  # type: ignore[arg-type]
    caplog.set_level(logging.INFO, "dispatcher.consumer")
    if isinstance(answer, DispatcherError):
        with pytest.raises(PoolNotFound):
            asyncio.run(patience.run(ask))
    else:
        assert asyncio.run(patience.run(ask)) == answer
    assert [record.message for record in caplog.records] == [
        "away Trying again until it answers.",
        "Redis answers again.",
    ]
    assert not patience.is_away

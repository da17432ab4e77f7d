"""How an operation becomes a method of both clients: its signature is written once, and each client drives it.

`name = verb(operation)` in a class that both clients have makes a method with the operation's own parameters, which
returns its result from a `Client` and an awaitable of it from an `AsyncClient`. A `Namespace` holds verbs of one noun.
The first verb of a client looks whether its Redis is one that work may be entrusted to.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from dispatcher.aio import AsyncClient
    from dispatcher.call import Call, Flow
    from dispatcher.client import Client

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
D_co = TypeVar("D_co", covariant=True)


class Trust:
    """Whether a client's Redis was looked at. `allows_unsafe`: one that may evict keys will do."""

    def __init__(self, *, is_given: bool = False, allows_unsafe: bool = False) -> None:
        self.is_given = is_given
        self.allows_unsafe = allows_unsafe


class Driver(Protocol):
    """What a verb needs of a client."""

    trust: Trust

    def run(self, operation: Any) -> Any: ...


class Namespace(Generic[D_co]):
    """The verbs of one noun, bound to a client."""

    def __init__(self, driver: D_co) -> None:
        self.driver = driver


class Verb(Generic[P, R_co]):
    """A method of both clients."""

    def __init__(self, operation: Callable[P, Call[R_co] | Flow[R_co]]) -> None:
        self._operation = operation
        self.__doc__ = operation.__doc__

    @overload
    def __get__(self, owner: Client | Namespace[Client], kind: type) -> Callable[P, R_co]: ...

    @overload
    def __get__(
        self, owner: AsyncClient | Namespace[AsyncClient], kind: type
    ) -> Callable[P, Coroutine[Any, Any, R_co]]: ...

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[P, Call[R_co] | Flow[R_co]]: ...

    def __get__(self, owner: Any, kind: type) -> Any:
        operation = self._operation
        if owner is None:  # for `help(Client)`
            return operation
        driver: Driver = owner.driver if isinstance(owner, Namespace) else owner

        @wraps(operation)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return driver.run(_trusting(driver.trust, operation(*args, **kwargs)))

        return method


def verb(operation: Callable[P, Call[R] | Flow[R]]) -> Verb[P, R]:
    """Makes the operation a method; see the module."""
    return Verb(operation)


def _trusting(trust: Trust, operation: Call[R] | Flow[R]) -> Flow[R]:
    if not trust.is_given:
        from dispatcher.ops import broker_facts

        yield from broker_facts.check(allow_unsafe=trust.allows_unsafe)
        trust.is_given = True
    return (yield from operation)

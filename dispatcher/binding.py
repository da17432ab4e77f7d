"""How an operation becomes a method of both clients: its signature is written once, and each client drives it.

`name = verb(operation)` in a class that both clients have makes a method with the operation's own parameters, which
returns its result from a `Client` and an awaitable of it from an `AsyncClient`. A `Namespace` holds verbs of one noun.
The first verb of a client looks whether its Redis is one that work may be entrusted to.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import Parameter, Signature, iscoroutinefunction, signature
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

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
    """A method of both clients; an async one where the client's `run` is."""

    def __init__(self, operation: Callable[P, Call[R_co] | Flow[R_co]]) -> None:
        self._operation = operation
        self._made: dict[bool, Callable[..., Any]] = {}
        self.__doc__ = operation.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: Client | Namespace[Client], kind: type) -> Callable[P, R_co]: ...

    @overload
    def __get__(
        self, owner: AsyncClient | Namespace[AsyncClient], kind: type
    ) -> Callable[P, Coroutine[Any, Any, R_co]]: ...

    @overload
    def __get__(self, owner: None, kind: type) -> Callable[Concatenate[Any, P], Any]: ...

    def __get__(self, owner: Any, kind: type) -> Any:
        is_async = iscoroutinefunction(getattr(kind if owner is None else _driver(owner), "run", None))
        if is_async not in self._made:
            self._made[is_async] = self._method(kind, is_async)
        function = self._made[is_async]
        return function if owner is None else MethodType(function, owner)

    def _method(self, kind: type, is_async: bool) -> Callable[..., Any]:
        operation = self._operation

        def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            driver = _driver(self)
            return driver.run(_trusting(driver.trust, operation(*args, **kwargs)))

        async def awaited(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            return await method(self, *args, **kwargs)

        made: Any = awaited if is_async else method
        made.__name__, made.__qualname__ = self._name, f"{kind.__name__}.{self._name}"
        made.__module__, made.__doc__ = kind.__module__, operation.__doc__
        made.__signature__ = _as_method(signature(operation))
        return cast("Callable[..., Any]", made)


def _driver(owner: Any) -> Driver:
    found: Driver = owner.driver if isinstance(owner, Namespace) else owner
    return found


def _as_method(told: Signature) -> Signature:
    """The operation's signature as that of a method, which returns what the `Call` or `Flow` comes to."""
    returned = str(told.return_annotation)
    for kind in ("Call[", "Flow["):
        if returned.startswith(kind):
            returned = returned.removeprefix(kind)[:-1]
    of_its_own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    return Signature([of_its_own, *told.parameters.values()], return_annotation=returned)


def verb(operation: Callable[P, Call[R] | Flow[R]]) -> Verb[P, R]:
    """Makes the operation a method; see the module."""
    return Verb(operation)


def _trusting(trust: Trust, operation: Call[R] | Flow[R]) -> Flow[R]:
    if not trust.is_given:
        from dispatcher.ops import broker_facts

        yield from broker_facts.check(allow_unsafe=trust.allows_unsafe)
        trust.is_given = True
    return (yield from operation)

"""`@flow`: marks a function and says how it wants to be run.

The function itself comes back, so it is called, typed and tested as before; any plain function can be deployed
without the mark. What it says are defaults: a deployment, or an option of `dispatcher run`, says otherwise. Only
`deploy` and `run` read them, by way of `agent/inspection.py`; a run that was submitted carries its own.

Every run of a marked flow imports this file, so it imports nothing that takes a millisecond: no typing, no
dataclasses; the rest of ours only when it is needed. A new fact is an argument of `flow`, a slot of `Facts` and a
field of `dispatcher/signature.py`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for it would cost milliseconds; type checkers know the name
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Any, Final, TypeVar, overload

    Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__dispatcher_flow__"  # the attribute that holds a function's `Facts`
_MOST_S = 10 * 365 * 86_400.0  # any longer is a slip: milliseconds, or an instant


class Facts:
    """What `@flow` says of a function; None: it does not say."""

    __slots__ = ("name", "retries", "retry_delay_s", "timeout_s")

    def __init__(
        self, name: str | None, retries: int | None, retry_delay_s: float | None, timeout_s: float | None
    ) -> None:
        self.name: Final = name
        self.retries: Final = retries
        self.retry_delay_s: Final = retry_delay_s
        self.timeout_s: Final = timeout_s


if TYPE_CHECKING:

    @overload
    def flow(function: Function, /) -> Function: ...

    @overload
    def flow(
        *,
        name: str | None = None,
        retries: int | None = None,
        retry_delay: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
    ) -> Callable[[Function], Function]: ...


def flow(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    retries: int | None = None,
    retry_delay: float | timedelta | None = None,
    timeout: float | timedelta | None = None,
) -> Function | Callable[[Function], Function]:
    """Marks a function as a flow and gives it back, unchanged but for the mark.

    `@flow` or `@flow(name="load", retries=2, retry_delay=30, timeout=timedelta(hours=1))`, on a function of a module,
    sync or async. `name` stands in `flow/deployment` instead of the function's name; blanks and underscores of either
    become dashes. The others are the defaults of its deployments and runs; lengths are seconds or timedeltas. Raises
    `BadName` and `BadValue`.
    """
    facts = Facts(
        None if name is None else _name(name),
        None if retries is None else _retries(retries),
        None if retry_delay is None else _seconds("retry_delay", retry_delay),
        None if timeout is None else _seconds("timeout", timeout),
    )
    if facts.timeout_s == 0:
        raise _refused("timeout of @flow is 0: give more than 0, or leave it out for a run without an end.")

    def mark(marked: Function) -> Function:
        if not callable(marked):
            raise _refused(f"@flow marks a function, found {marked!r}: write @flow above a `def` or `async def`.")
        try:
            setattr(marked, MARK, facts)
        except (AttributeError, TypeError):  # a builtin, something with slots
            raise _refused(f"@flow cannot mark {marked!r}: write a function of your own that calls it.") from None
        return marked

    return mark if function is None else mark(function)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise _refused(f"name of @flow is {name!r}: give text.")
    from dispatcher.keyspace import checked_name

    return checked_name("Flow", "-".join(name.split()).strip("_").replace("_", "-"))


def _retries(retries: object) -> int:
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise _refused(f"retries of @flow is {retries!r}: give a whole number, 0 or more.")
    return retries


def _seconds(argument: str, length: Any) -> float:
    seconds = length.total_seconds() if hasattr(length, "total_seconds") else length
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= _MOST_S:
        raise _refused(f"{argument} of @flow is {length!r}: give seconds or a timedelta, 0 or more, 10 years at most.")
    return float(seconds)


def _refused(detail: str) -> Exception:
    from dispatcher.errors import BadValue

    return BadValue(detail)

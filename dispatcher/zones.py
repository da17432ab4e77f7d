"""Time zones: which data says what they are, and which instants are a local time.

The data is that of the tzdata package, never the host's own: all hosts with the same installation make the same times
of a schedule, and a host's old zone files change none. A name is known if that package lists it.

Twice a year most zones have local times that do not exist (the clock jumps over a gap) or happen twice (the clock goes
back, a fold). `instants` is the one place that decides what becomes of them; who asks says which rule. No clock is
read here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

# What becomes of a local time that does not exist: nothing, the end of the gap, or as much later as the gap is long.
Gap = Literal["skip", "end", "forward"]
# Which of the two instants of a local time that happens twice.
Fold = Literal["first", "both"]

EPOCH = datetime(1970, 1, 1)
MILLISECOND = timedelta(milliseconds=1)
DAY_MS = 86_400_000
YEARS = (1900, 2199)  # what a date may be that somebody writes


def names() -> frozenset[str]:
    return _names()


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    from importlib import resources

    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


def version() -> str:
    """Of the data: `2026.6` is the sixth of that year, which IANA calls 2026f."""
    from importlib import metadata

    return metadata.version("tzdata")


def nearest(name: str) -> str | None:
    """The known name that was probably meant: for `europe/berlin`, `Berlin` or `Europe/Berlim`."""
    from difflib import get_close_matches

    wanted = name.strip().lower().replace(" ", "_")
    known = {one.lower(): one for one in sorted(names())}
    cities = {one.rpartition("/")[2]: one for one in sorted(known, reverse=True)}
    if wanted in known:
        return known[wanted]
    if wanted in cities:
        return known[cities[wanted]]
    if close := get_close_matches(wanted, known, n=1, cutoff=0.75):
        return known[close[0]]
    close = get_close_matches(wanted, cities, n=1, cutoff=0.75)
    return known[cities[close[0]]] if close else None


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Raises `KeyError` for a name that is not known."""
    from importlib import resources
    from zoneinfo import ZoneInfo

    if name not in names():
        raise KeyError(name)
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def wall(of: ZoneInfo, text: str) -> datetime:
    """A local time of the zone from ISO 8601; one with an offset or `Z` is an instant, and becomes what a clock on the
    wall shows then. Raises `ValueError`."""
    found = datetime.fromisoformat(text)
    if not YEARS[0] <= found.year <= YEARS[1]:
        raise ValueError(f"the year {found.year} is not within {YEARS[0]} to {YEARS[1]}")
    if found.microsecond % 1000:
        raise ValueError("it is finer than a millisecond")
    return found if found.tzinfo is None else found.astimezone(of).replace(tzinfo=None)


def local(of: ZoneInfo, at_ms: int) -> datetime:
    """The instant in the zone, with its offset."""
    return (EPOCH + at_ms * MILLISECOND).replace(tzinfo=UTC).astimezone(of)


def naive(of: ZoneInfo, at_ms: int) -> datetime:
    """What a clock on the wall shows at the instant."""
    return local(of, at_ms).replace(tzinfo=None)


def earliest(of: ZoneInfo, after_ms: int) -> datetime:
    """Every local time which `instants` makes an instant after `after_ms` of is after this one.

    A gap or a fold lasts a day at most, so the offsets a day before and a day after are all that can play a part.
    """
    offsets = [local(of, after_ms + days * DAY_MS).utcoffset() or timedelta() for days in (-1, 0, 1)]
    return EPOCH + after_ms * MILLISECOND + min(offsets)


def instants(of: ZoneInfo, times: Iterable[datetime], *, gap: Gap, fold: Fold) -> Iterator[int]:
    """The instants, in ms, of ascending local times: ascending, each once, and those of `earliest` at the beginning
    that may lie before the instant which was asked for."""
    # What a gap moved, or what happens for the second time, comes later than local times that follow: it waits here.
    held: deque[int] = deque()
    last: int | None = None
    for time in times:
        first = time.replace(tzinfo=of).utcoffset() or timedelta()
        second = time.replace(tzinfo=of, fold=1).utcoffset() or timedelta()
        at_ms = (time - first - EPOCH) // MILLISECOND
        if first < second:  # PEP 495: in a gap the offset before it, then the one after it
            if gap == "end":
                at_ms = _change_ms(of, time - second, time - first)
            if gap != "skip" and (not held or held[-1] < at_ms):
                held.append(at_ms)
            continue
        while held and held[0] <= at_ms:
            if last is None or held[0] > last:
                last = held[0]
                yield last
            held.popleft()
        if last is None or at_ms > last:
            last = at_ms
            yield last
        if first > second and fold == "both":
            held.append((time - second - EPOCH) // MILLISECOND)
    for at_ms in held:
        if last is None or at_ms > last:
            last = at_ms
            yield last


def _change_ms(of: ZoneInfo, before: datetime, after: datetime) -> int:
    """When the offset changes between two instants (in UTC) on either side of the one change between them."""
    low = (before - EPOCH) // MILLISECOND // 1000
    high = (after - EPOCH) // MILLISECOND // 1000
    old = local(of, low * 1000).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if local(of, middle * 1000).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high * 1000

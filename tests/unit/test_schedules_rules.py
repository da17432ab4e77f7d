"""Recurrence rules: the same times as python-dateutil by itself makes, but in bounded time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from itertools import islice

import pytest
from dateutil import rrule as dateutil
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dispatcher import recurrences, rrules, schedules, timings, zones
from dispatcher.errors import ScheduleInvalid
from dispatcher.models import Schedule

UTC = zones.zone("UTC")
NOW_MS = 1_795_300_000_000
YEAR_MS = 365 * zones.DAY_MS


def read(text: str) -> recurrences.Recurrence:
    return rrules.read(text, UTC, None, datetime(2020, 1, 1))


def some(values: range) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(list(values)), min_size=1, max_size=5).map(lambda found: ",".join(map(str, found)))


@st.composite
def rules(draw: st.DrawFn) -> tuple[str, timedelta]:
    """A rule, and how long after its beginning it is asked for its times."""
    frequency = draw(st.sampled_from(recurrences.FREQUENCIES))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 40 if frequency in recurrences.UNIT_S else 5))}"]
    is_long = frequency in ("YEARLY", "MONTHLY")
    choices = {
        "BYMONTH": some(range(1, 13)),
        "BYMONTHDAY": some(range(1, 29)),
        "BYDAY": st.sampled_from(["MO", "TU,TH", "MO,TU,WE,TH,FR", "SU", *(["1MO", "-1FR,2SU"] if is_long else [])]),
        "BYHOUR": some(range(24)),
        "BYMINUTE": some(range(60)),
        "BYSECOND": some(range(60)),
        "WKST": st.sampled_from(["MO", "SU", "WE"]),
        "COUNT": st.integers(1, 200).map(str),
    }
    if frequency == "YEARLY":
        choices |= {"BYYEARDAY": some(range(1, 366)), "BYWEEKNO": some(range(1, 53))}
    if frequency not in recurrences.UNIT_S:
        choices["BYSETPOS"] = st.sampled_from(["1", "-1", "2,-2"])
    chosen = draw(st.lists(st.sampled_from(sorted(choices)), unique=True, max_size=4))
    assume(not ("BYWEEKNO" in chosen and "BYDAY" in chosen))
    parts += [f"{name}={draw(choices[name])}" for name in chosen]
    days = {"YEARLY": 9000, "MONTHLY": 3000, "WEEKLY": 800, "DAILY": 400, "HOURLY": 60, "MINUTELY": 3, "SECONDLY": 1}
    start = draw(st.datetimes(datetime(2015, 1, 1), datetime(2026, 1, 1))).replace(microsecond=0)
    later = timedelta(seconds=draw(st.integers(-100_000, days[frequency] * 86_400)))
    return f"DTSTART:{start:%Y%m%dT%H%M%S} RRULE:{';'.join(parts)}", later


@settings(max_examples=300, deadline=None, derandomize=True)
@given(rules())
def test_the_same_times_as_dateutil(rule_and_later: tuple[str, timedelta]) -> None:
    text, later = rule_and_later
    recurrence = read(text)
    after = recurrence.rules[0].start + later
    try:
        found = list(islice(recurrences.occurrences(recurrence, after), 5))
    except ScheduleInvalid:
        assume(False)  # dateutil looks until the year 9999
    assume(recurrence.rules[0].count is not None or len(found) == 5)  # and here too
    if recurrence.rules[0].count is not None:
        assume(len(list(recurrences.occurrences(recurrence, datetime.min))) == recurrence.rules[0].count)
    try:
        expected = list(islice((at for at in dateutil.rrulestr(text) if at > after), 5))
    except ValueError:  # it says so when INTERVAL and BY... never meet; we find none
        expected = []
    assert found == expected


def test_several_rules_dates_and_exceptions() -> None:
    text = "DTSTART:20260101T090000\nRRULE:FREQ=DAILY;COUNT=4\nRRULE:FREQ=WEEKLY;BYDAY=FR\nRDATE:20260103T120000"
    found = recurrences.occurrences(read(f"{text}\nEXDATE:20260102T090000,20260104T090000"), datetime(2026, 1, 1))
    unique = list(dict.fromkeys(islice(found, 5)))
    assert [f"{at:%d %H}" for at in unique] == ["01 09", "03 09", "03 12", "09 09", "16 09"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
        ("FREQ=SECONDLY;BYHOUR=9;BYMONTH=4;BYMONTHDAY=31", "never fires"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=5", "no time was found within 100000 steps"),
        ("FREQ=SECONDLY;INTERVAL=60;BYSECOND=30", "no time was found within 100000 steps"),
        ("FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1", "no time was found within 100000 steps"),
        ("FREQ=YEARLY;COUNT=10000;BYMONTH=2;BYMONTHDAY=30", "never fires"),
        ("RRULE:FREQ=DAILY RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "its 2. RRULE never fires"),
        ("FREQ=DAILY;UNTIL=20191231T000000", "never fires"),
        ("FREQ=DAILY;COUNT=10001", "COUNT=10001 is not valid: 1 to 10000"),
        ("FREQ=DAILY;COUNT=1;UNTIL=20270101", "give one of them"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0 is not valid"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR=24 is not valid: 0 to 23"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY=0 is not valid: 1 to 31 or -1 to -31"),
        ("FREQ=DAILY;BYDAY=1MO", "FREQ=MONTHLY and YEARLY only"),
        ("FREQ=DAILY;BYDAY=XX", "'XX' is not a day of the week"),
        ("FREQ=SECONDLY;BYSETPOS=2", "BYSETPOS does not go with FREQ=SECONDLY"),
        ("FREQ=FORTNIGHTLY", "FREQ=FORTNIGHTLY is not known; it is one of YEARLY"),
        ("INTERVAL=2", "it has no FREQ"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ is there twice"),
        ("FREQ=DAILY;BYEASTER=1", "'BYEASTER' is not known"),
        ("FREQ=DAILY;COUNT", "'COUNT' is not NAME=VALUE"),
        ("", "it has no RRULE"),
        ("EXRULE:FREQ=DAILY", "'EXRULE' is not known"),
        ("DTSTART:yesterday RRULE:FREQ=DAILY", "'yesterday' is not a time"),
        ("DTSTART:99990101T000000 RRULE:FREQ=DAILY", "the year 9999 is not within 1900 to 2199"),
        ("DTSTART;TZID=Europe/Paris:20260101T000000 RRULE:FREQ=DAILY", "one schedule, one time zone"),
        ("RRULE:FREQ=DAILY EXDATE:20261224", "EXDATE '20261224' has no time of day"),
        ("FREQ=DAILY;BYHOUR=" + "9" * 4000, "longer than 4000 characters"),
        ("FREQ=DAILY;INTERVAL=" + "9" * 3000, "INTERVAL="),
        (" ".join(["RRULE:FREQ=DAILY"] * 11), "more than 10 RRULEs"),
    ],
)
def test_refused_soon_and_with_words(text: str, said: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ScheduleInvalid) as caught:
        schedules.checked(Schedule(rrule=text))
    assert said in str(caught.value)
    assert time.perf_counter() - start < 5, "seconds here are a spin that is not bounded"


@pytest.mark.parametrize(
    "text",
    [
        "DTSTART:19900101T000000 RRULE:FREQ=SECONDLY;INTERVAL=7",
        "DTSTART:19900101T000000 RRULE:FREQ=MINUTELY",
        "DTSTART:19900101T000000 RRULE:FREQ=HOURLY;INTERVAL=5;BYMINUTE=1,2,3",
        "DTSTART:19900101T000000 RRULE:FREQ=DAILY;BYHOUR=0,1,2,3;BYMINUTE=0,1,2,3;BYSECOND=0,1,2,3",
    ],
)
def test_an_old_rule_costs_no_more_than_a_new_one(text: str) -> None:
    schedule = Schedule(rrule=text)
    timings.preview(schedule, NOW_MS, 1)  # the libraries are loaded, the text is read

    def seconds() -> float:
        start = time.perf_counter()
        assert len(timings.preview(schedule, NOW_MS, 3)) == 3
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.1


def test_the_last_time_of_a_rule_by_the_second_is_found_without_walking() -> None:
    schedule = Schedule(rrule="FREQ=SECONDLY;BYHOUR=9")
    found = timings.latest(schedule, NOW_MS - 5 * YEAR_MS, NOW_MS)
    assert found is not None
    assert timings.local_iso(schedule, found) == "2026-11-21T09:59:59+00:00"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(
        [
            Schedule(cron="*/5 9-17 * * MON-FRI", timezone="Europe/Berlin"),
            Schedule(cron="30 2 * * *", timezone="Europe/Berlin"),
            Schedule(interval_s=7.5, timezone="Europe/Berlin"),
            Schedule(interval_s=86_400 * 3, anchor="2026-01-01T02:30", timezone="Europe/Berlin"),
            Schedule(rrule="FREQ=HOURLY;COUNT=9000", timezone="Europe/Berlin"),
            Schedule(rrule="FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9,17", timezone="Europe/Berlin"),
        ]
    ),
    st.integers(NOW_MS - YEAR_MS, NOW_MS),
    st.integers(0, 10 * zones.DAY_MS),
)
def test_the_last_time_is_the_last_of_all(schedule: Schedule, after_ms: int, length_ms: int) -> None:
    length_ms = length_ms if schedule.interval_s != 7.5 else length_ms // 1000
    listed = []
    for at_ms in timings.times(schedule, after_ms):
        if at_ms > after_ms + length_ms:
            break
        listed.append(at_ms)
    assert listed == sorted(set(listed))
    assert timings.latest(schedule, after_ms, after_ms + length_ms) == (listed[-1] if listed else None)

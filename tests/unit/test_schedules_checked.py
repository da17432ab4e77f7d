"""Which schedules are refused, in which words; and the times of plain ones, spelled out."""

from __future__ import annotations

import math
from datetime import datetime

import pytest

from dispatcher import schedules, timings, zones
from dispatcher.errors import ScheduleInvalid
from dispatcher.models import Schedule

BERLIN = "Europe/Berlin"


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def shown(schedule: Schedule, after: str, most: int) -> list[str]:
    return [timings.local_iso(schedule, at_ms) for at_ms in timings.preview(schedule, at(after), most)]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(), "exactly one of cron, interval and rrule, not 0"),
        (Schedule(cron="* * * * *", rrule="FREQ=DAILY"), "exactly one of cron, interval and rrule, not 2"),
        (Schedule(cron="61 * * * *"), "the minute field '61' is not valid (0-59)"),
        (Schedule(cron="0 24 * * *"), "the hour field '24' is not valid (0-23)"),
        (Schedule(cron="0 0 0 * *"), "the day-of-month field '0'"),
        (Schedule(cron="0 0 * FOO *"), "the month field 'FOO' is not valid (1-12 or JAN-DEC)"),
        (Schedule(cron="0 0 * * MON#6"), "the day-of-week field 'MON#6'"),
        (Schedule(cron="*/0 * * * *"), "the minute field '*/0'"),
        (Schedule(cron="9" * 50 + " * * * *"), "the minute field"),
        (Schedule(cron="1," * 200 + "1 * * * *"), "longer than 200 characters"),
        (
            Schedule(cron="0 0 4 * * *"),
            "a cron has 5 fields (minute, hour, day-of-month, month, day-of-week), this has 6",
        ),
        (Schedule(cron=""), "this has 0"),
        (Schedule(cron="@reboot"), "only these are known: @hourly, @daily"),
        (Schedule(cron="@Daily"), "only these are known: @hourly, @daily"),
        (Schedule(cron="0 0 31 2,4 *"), "it never fires"),
        (Schedule(cron="0 0 30 2 */2"), "it never fires"),
        (Schedule(cron="* * * * *", anchor="2026-01-01"), "a cron has no anchor"),
        (Schedule(interval_s=0), "an interval is 1 s to 3650 days long"),
        (Schedule(interval_s=0.999), "an interval is 1 s to 3650 days long"),
        (Schedule(interval_s=-60), "an interval is 1 s to 3650 days long"),
        (Schedule(interval_s=1e300), "an interval is 1 s to 3650 days long"),
        (Schedule(interval_s=math.nan), "an interval is a number of seconds"),
        (Schedule(interval_s=math.inf), "an interval is a number of seconds"),
        (Schedule(interval_s=1.0005), "a whole number of milliseconds"),
        (Schedule(interval_s=60, anchor="noon"), "the anchor 'noon' is not a time like 2026-01-31T09:00:00"),
        (Schedule(interval_s=60, anchor="0001-01-01"), "the year 1 is not within 1900 to 2199"),
        (Schedule(rrule="FREQ=DAILY", anchor="noon"), "the anchor 'noon'"),
        (Schedule(rrule="FREQ=DAILY", anchor="2026-01-01T00:00:00.5"), "counts whole seconds"),
        (Schedule(rrule="DTSTART:20260101T000000 RRULE:FREQ=DAILY", anchor="2026-01-01"), "give one of them"),
        (Schedule(cron="* * * * *", timezone="europe/berlin"), "did you mean 'Europe/Berlin'?"),
        (Schedule(cron="* * * * *", timezone="Berlin"), "did you mean 'Europe/Berlin'?"),
        (Schedule(cron="* * * * *", timezone="America/NewYork"), "did you mean 'America/New_York'?"),
        (Schedule(cron="* * * * *", timezone="../../etc/passwd"), "is not known"),
        (Schedule(cron="* * * * *", timezone=""), "is not known"),
        (Schedule(cron="* * * * *", catchup="some"), "catchup is one of latest, all, none, not 'some'"),
        (Schedule(cron="* * * * *", overlap="queue"), "overlap is one of allow, skip, cancel_running, not 'queue'"),
        (Schedule(cron="* * * * *", jitter_s=-1), "jitter_seconds is 0 to"),
        (Schedule(cron="* * * * *", jitter_s=math.nan), "jitter_seconds is 0 to"),
        (Schedule(cron="* * * * *", expires_s=0), "expires_seconds is more than 0"),
        (Schedule(cron="* * * * *", expires_s=math.inf), "expires_seconds is more than 0"),
    ],
)
def test_refused(schedule: Schedule, said: str) -> None:
    with pytest.raises(ScheduleInvalid) as caught:
        schedules.checked(schedule)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (
            Schedule(cron="61 25 * *", timezone="Europe/Berln", catchup="some", jitter_s=-1),
            ["this has 4", "did you mean 'Europe/Berlin'?", "catchup is one of", "jitter_seconds is 0 to"],
        ),
        (Schedule(cron="61 25 * * *", anchor="2026-01-01"), ["no anchor", "the minute field '61'", "the hour field"]),
        (Schedule(interval_s=0, anchor="noon", timezone="Mars/X"), ["1 s to 3650 days", "'noon'", "'Mars/X'"]),
        (Schedule(rrule="FREQ=NEVER", timezone="Mars/X"), ["FREQ=NEVER is not known", "'Mars/X'"]),
        (Schedule(timezone="Mars/X", overlap="queue"), ["not 0", "'Mars/X'", "overlap is one of"]),
    ],
)
def test_every_fault_is_told_at_once(schedule: Schedule, said: list[str]) -> None:
    with pytest.raises(ScheduleInvalid) as caught:
        schedules.checked(schedule)
    assert [words for words in said if words not in str(caught.value)] == [], caught.value


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(cron="0 4 * * *", timezone=BERLIN),
        Schedule(cron="*/5 9-17 * jan-mar,DEC mon-fri"),
        Schedule(cron="0 0 29 2 *"),
        Schedule(cron="0 0 L * *"),
        Schedule(cron="0 9 * * MON#1"),
        Schedule(interval_s=1),
        Schedule(interval_s=1.5, anchor="2026-01-01T09:00:00.250+02:00"),
        Schedule(interval_s=86_400 * 3650),
        Schedule(rrule="FREQ=DAILY", anchor="2026-01-01T09:00"),
        Schedule(
            rrule=f"DTSTART;TZID={BERLIN}:20260101T090000\nRRULE:FREQ=DAILY;UNTIL=20270101T000000Z", timezone=BERLIN
        ),
        Schedule(cron="* * * * *", jitter_s=0.5, expires_s=0.5, catchup="all", overlap="skip"),
    ],
)
def test_taken_as_it_is(schedule: Schedule) -> None:
    assert schedules.checked(schedule) is schedule


@pytest.mark.parametrize(("name", "fields"), timings.MACROS.items())
def test_a_name_in_place_of_the_fields(name: str, fields: str) -> None:
    named = schedules.checked(Schedule(cron=name, timezone=BERLIN))
    assert named.cron == name
    assert shown(named, "2026-01-01T00:30Z", 3) == shown(Schedule(cron=fields, timezone=BERLIN), "2026-01-01T00:30Z", 3)


def test_day_of_month_and_day_of_week_as_debian_has_them() -> None:
    either = Schedule(cron="0 0 13 * FRI")
    assert shown(either, "2026-11-12T12:00Z", 3) == [f"2026-11-{day}T00:00:00+00:00" for day in (13, 20, 27)]
    both = Schedule(cron="0 0 */13 * FRI")
    assert shown(both, "2026-11-12T12:00Z", 2) == ["2026-11-27T00:00:00+00:00", "2027-01-01T00:00:00+00:00"]


def test_whole_days_keep_their_time_of_day_and_hours_do_not() -> None:
    daily = Schedule(interval_s=86_400, anchor="2026-01-01T09:00", timezone=BERLIN)
    assert shown(daily, "2026-03-28T00:00Z", 2) == ["2026-03-28T09:00:00+01:00", "2026-03-29T09:00:00+02:00"]
    halves = Schedule(interval_s=43_200, anchor="2026-01-01T09:00", timezone=BERLIN)
    assert shown(halves, "2026-03-28T12:00Z", 2) == ["2026-03-28T21:00:00+01:00", "2026-03-29T10:00:00+02:00"]


def test_where_an_interval_counts_from() -> None:
    """Both ways from its anchor; without one from a fixed day, so that deploying again moves nothing."""
    assert shown(Schedule(interval_s=3600, anchor="2030-01-01T00:20"), "2026-01-01T00:00Z", 1) == [
        "2026-01-01T00:20:00+00:00"
    ]
    assert shown(Schedule(interval_s=7200, timezone="Asia/Kolkata"), "2026-01-01T00:00Z", 1) == [
        "2026-01-01T06:00:00+05:30"
    ]
    one_hour_of_two = Schedule(interval_s=7200, anchor="2026-10-25T02:30+01:00", timezone=BERLIN)
    assert shown(one_hour_of_two, "2026-10-25T01:29Z", 1) == ["2026-10-25T02:30:00+01:00"]


def test_where_a_rule_begins() -> None:
    daily = "RRULE:FREQ=DAILY;COUNT=2"
    for schedule in (
        Schedule(rrule=f"DTSTART:20260328T023000 {daily}", timezone=BERLIN),
        Schedule(rrule=f"DTSTART:20260328T013000Z {daily}", timezone=BERLIN),
        Schedule(rrule=daily, anchor="2026-03-28T02:30", timezone=BERLIN),
    ):
        assert shown(schedule, "2026-01-01T00:00Z", 9) == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:30:00+02:00"]
    until = Schedule(rrule="FREQ=DAILY;UNTIL=20260103T000000", timezone=BERLIN)
    assert shown(until, "2026-01-02T00:00Z", 9) == ["2026-01-03T00:00:00+01:00"]


def test_a_time_is_never_the_one_that_was_asked_from() -> None:
    for schedule in (Schedule(cron="* * * * *"), Schedule(interval_s=60), Schedule(rrule="FREQ=MINUTELY")):
        assert timings.first(schedule, at("2026-01-01T00:00Z")) == at("2026-01-01T00:01Z")
        assert timings.first(schedule, at("2026-01-01T00:00Z") - 1) == at("2026-01-01T00:00Z")


def test_the_zones_are_those_of_the_package() -> None:
    from importlib import metadata

    assert zones.version() == metadata.version("tzdata")
    assert zones.zone(BERLIN).key == BERLIN
    with pytest.raises(KeyError):
        zones.zone("../zones")

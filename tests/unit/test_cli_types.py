"""Durations, times and hours as they may be typed."""

import math

import click
import pytest

from cli.types import DURATION, HOURS, POSITIVE_DURATION, TIME, Duration, Hours, Time

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def read(kind: Duration | Hours | Time, text: str) -> int:
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0), ("90", 90 * SECOND), ("0.5", 500), ("90s", 90 * SECOND), ("30m", 30 * MINUTE), ("5h", 5 * HOUR),
        ("2d", 2 * DAY), ("1w", 7 * DAY), ("1h30m", 90 * MINUTE), ("1d 2h", 26 * HOUR), ("1.5H", 90 * MINUTE),
        ("PT1H30M", 90 * MINUTE), ("P1DT2H", 26 * HOUR), ("P2W", 14 * DAY), ("pt0.25s", 250), (" 7 ", 7 * SECOND),
    ],
)  # fmt: skip
def test_durations(text: str, ms: int) -> None:
    assert read(DURATION, text) == ms


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "1x", "-5", "+5", "1e9", "inf", "nan", "m", "1h30", "30m1h", "P", "PT", "P1H", "P1Y", "1,5h", "٣s"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration: give"):
        read(DURATION, text)


@pytest.mark.parametrize("text", ["99999999999d", "9" * 400, "60000w"])
def test_a_duration_that_nobody_means(text: str) -> None:
    with pytest.raises(click.BadParameter, match="longer than fifty years"):
        read(DURATION, text)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_times(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        noon_utc_ms = 1_795_262_400_000  # 2026-11-21T12:00Z
        assert read(TIME, "2026-11-21T12:00:00Z") == noon_utc_ms
        assert read(TIME, "2026-11-21T13:00+01:00") == noon_utc_ms
        assert read(TIME, "2026-11-21 13:00:00.250+01:00") == noon_utc_ms + 250
        local = noon_utc_ms - (0 if zone == "UTC" else HOUR)
        assert read(TIME, "2026-11-21T12:00") == local
        assert read(TIME, "2026-11-21") == local - 12 * HOUR
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "x", "tomorrow", "2026-13-01", "2026-11-21T25:00", "1795262400", "0001-01-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not"):
        read(TIME, text)


@pytest.mark.parametrize("text", ["1969-06-01", "2200-01-01", "9999-12-31T23:59:59-23:59"])
def test_times_beyond_what_is_kept(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"between 1970 and 2100|is not a time"):
        read(TIME, text)


def test_hours() -> None:
    assert [read(HOURS, text) for text in ("0", "1", "0.25", "48")] == [0, HOUR, 15 * MINUTE, 48 * HOUR]
    for text in ("-1", "nan", "inf", "x", "", str(math.pi * 1e9)):
        with pytest.raises(click.BadParameter, match="is not a number of hours from 0 to 438000"):
            read(HOURS, text)


def test_a_default_that_is_a_number_already() -> None:
    assert [kind.convert(5, None, None) for kind in (DURATION, TIME, HOURS)] == [5, 5, 5]


def test_the_least_duration() -> None:
    assert read(POSITIVE_DURATION, "0.5") == 500
    for text in ("0", "0s", "0.0001"):
        with pytest.raises(click.BadParameter, match="is too short: give more than 0"):
            read(POSITIVE_DURATION, text)

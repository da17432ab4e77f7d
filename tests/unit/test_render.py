"""Words that tables and details are made of."""

import pytest

from cli import render


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0.0s"), (400, "0.4s"), (9_999, "10.0s"), (10_000, "10s"), (59_999, "59s"), (60_000, "1m"),
        (185_000, "3m 5s"), (3_600_000, "1h"), (7_860_000, "2h 11m"), (349_200_000, "4d 1h"), (86_400_000, "1d"),
    ],
)  # fmt: skip
def test_duration(ms: int, words: str) -> None:
    assert render.duration(ms) == words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"), ("", "-"), (0, "0"), ("a b", "a b"), ("ü✓", "ü✓"), ("a\tb\nc\r", "a b c "),
        ("\x1b[2J", "\\x1b[2J"), ("\x9bX\x7f", "\\x9bX\\x7f"),
    ],
)  # fmt: skip
def test_clean(value: object, shown: str) -> None:
    assert render.clean(value) == shown


def test_limit_and_moment() -> None:
    assert [render.limit(0), render.limit(None), render.limit(7)] == ["0", "-", "7"]
    assert render.moment(None) == "-"
    assert len(render.moment(1_795_262_400_000)) == len("2026-11-21 12:00:00")


def test_table_of_nothing_and_without_marks(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(["A"], [], empty="nothing", legend="(**) x")
    render.table(["A", "Long name"], [("1", None)], empty="nothing", legend="(**) x")
    assert capsys.readouterr().out == "nothing\nA  LONG NAME\n1  -\n"

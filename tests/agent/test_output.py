"""Output on its way to the log: lines, batches, bounds; without Redis, with a log that the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.output import Output, cut, missing


class Log:
    """Takes batches, unless it is away: then a batch waits until it is back."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_wanted = True
        self.came = asyncio.Event()

    async def send(self, lines: list[str]) -> bool:
        await self.answers.wait()
        self.batches.append(lines)
        self.came.set()
        return self.is_wanted

    @property
    def is_away(self) -> bool:
        return not self.answers.is_set()

    @property
    def lines(self) -> list[str]:
        return [line for batch in self.batches for line in batch]


def played(play: Callable[[Output, Log], Awaitable[None]]) -> Log:
    """Runs `play` and closes the output."""

    async def whole() -> Log:
        log = Log()
        output = Output(log.send, lambda: log.is_away, None)
        async with asyncio.timeout(10):
            await play(output, log)
            await output.close()
        return log

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"o", b"ne\nt", b"wo"], ["one", "two"]),
        ([b"\n\n"], ["", ""]),
        ([b"dos\r\n"], ["dos"]),
        ([b"50%\r100%\n"], ["50%\r100%"]),
        ([b"\xff\xfe ok\n"], ["\ufffd\ufffd ok"]),
        (["grü".encode()[:3], "grü".encode()[3:] + b"\n"], ["grü"]),
        ([b"x" * 20_000 + b"\nend"], ["x" * 8192, "x" * 8192, "x" * 3616, "end"]),
        ([b""], []),
    ],
)
def test_bytes_become_lines(pieces: list[bytes], lines: list[str]) -> None:
    async def play(output: Output, _log: Log) -> None:
        for piece in pieces:
            await output.feed(piece)

    assert played(play).lines == lines


def test_a_cut_is_not_made_inside_a_character() -> None:
    text = "a" + "é" * 8000
    head, rest = cut(text.encode())
    assert head.decode() + rest.decode() == text
    assert len(head) == 8191


def test_lines_go_in_batches_of_a_hundred() -> None:
    async def play(output: Output, _log: Log) -> None:
        await output.feed(b"".join(b"%d\n" % number for number in range(250)))

    log = played(play)
    assert [len(batch) for batch in log.batches] == [100, 100, 50]
    assert log.lines == [str(number) for number in range(250)]


def test_a_single_line_is_written_without_waiting_for_more() -> None:
    async def play(output: Output, log: Log) -> None:
        await output.feed(b"alone\n")
        await log.came.wait()

    assert played(play).batches == [["alone"]]


def test_a_full_buffer_slows_the_run_down_while_the_log_answers() -> None:
    async def play(output: Output, log: Log) -> None:
        await output.feed(b"line\n" * 200_000)
        assert len(log.lines) >= 200_000 - 10_000

    assert len(played(play).lines) == 200_000


def test_the_oldest_lines_give_way_while_the_log_is_away() -> None:
    async def play(output: Output, log: Log) -> None:
        log.answers.clear()
        for number in range(30_000):
            await output.feed(b"%d\n" % number)  # never waits
        log.answers.set()

    lines = played(play).lines
    notes = [line for line in lines if "lines are missing here" in line]
    assert len(notes) == 1
    missing = int(notes[0].removeprefix("[").partition(" ")[0])
    assert len(lines) - 1 + missing == 30_000
    assert lines[-1] == "29999"


def test_one_line_is_no_lines() -> None:
    assert missing(1, "why") == "[1 line is missing here: why]"
    assert missing(2, "why") == "[2 lines are missing here: why]"


def test_what_waits_is_bounded_in_bytes_not_in_characters() -> None:
    line = "\u20ac" * 2000

    async def play(output: Output, log: Log) -> None:
        log.answers.clear()
        for _ in range(400):
            await output.feed(f"{line}\n".encode())
        log.answers.set()

    kept = played(play).lines.count(line)
    assert 0 < kept * len(line.encode()) <= 1 << 20


def test_nothing_more_is_sent_when_nobody_wants_it() -> None:
    async def play(output: Output, log: Log) -> None:
        log.is_wanted = False
        await output.feed(b"line\n" * 100_000)

    assert len(played(play).batches) == 1


def test_a_blocked_run_goes_on_when_the_output_is_abandoned() -> None:
    async def whole() -> None:
        log = Log()
        log.answers.clear()
        output = Output(log.send, lambda: False, None)
        feeding = asyncio.create_task(output.feed(b"line\n" * 100_000))
        await asyncio.sleep(0)
        assert not feeding.done()
        output.abandon()
        async with asyncio.timeout(5):
            await feeding

    asyncio.run(whole())


def test_lines_are_shown_as_they_come() -> None:
    async def whole() -> list[str]:
        shown: list[str] = []
        log = Log()
        output = Output(log.send, lambda: False, shown.append)
        await output.feed(b"a\nb")
        before = list(shown)
        await output.close()
        return [*before, "|", *shown]

    assert asyncio.run(whole()) == ["a", "|", "a", "b"]

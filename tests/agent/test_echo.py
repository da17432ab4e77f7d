"""The echo of output on a pipe whose reader is slow, gone, or has all the time of the world."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.echo import Echo

LINES = 50_000  # 100 characters each: more than the echo and the pipe hold together


class Pipe:
    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.echo = Echo(self.writing)

    def read(self) -> str:
        """Everything, when nothing more can come."""
        os.close(self.writing)
        with os.fdopen(self.reading, "rb") as file:
            return file.read().decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for descriptor in (pipe.reading, pipe.writing):
        try:
            os.close(descriptor)
        except OSError:
            pass


def test_lines_are_shown_in_their_order_and_the_end_waits_for_them(pipe: Pipe) -> None:
    for number in range(500):
        pipe.echo.show(f"{number} \u20ac")
    pipe.echo.close()
    assert pipe.read().splitlines() == [f"{number} \u20ac" for number in range(500)]


@pytest.mark.parametrize("blocks", [True, False])
def test_a_reader_that_stops_holds_nobody_up_and_is_told_what_is_missing(pipe: Pipe, blocks: bool) -> None:
    os.set_blocking(pipe.writing, blocks)
    for number in range(LINES):
        pipe.echo.show(f"{number:0100}")
    with os.fdopen(os.dup(pipe.reading), "r") as file:
        expected = missing = 0
        while expected < LINES:
            line = file.readline()
            if line.startswith("["):
                assert "lines are not shown here" in line
                dropped = int(line.removeprefix("[").partition(" ")[0])
                missing += dropped
                expected += dropped
            else:
                assert int(line) == expected, "each line is shown whole and in its place, or told to be missing"
                expected += 1
        assert expected == LINES
        assert missing > 0
        pipe.echo.show("again")
        assert file.readline() == "again\n"
    pipe.echo.close()


def test_a_reader_that_is_gone_is_no_trouble(pipe: Pipe) -> None:
    os.close(pipe.reading)
    for _ in range(3):
        pipe.echo.show("nobody hears this")
    pipe.echo.close()


def test_a_process_whose_reader_stopped_can_end() -> None:
    code = "from agent.echo import Echo\necho = Echo(1)\nfor _ in range(3000): echo.show('x' * 1000)\necho.close()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.wait(20) == 0

"""How results look: on a terminal, in a pipe, as JSON; and that what others wrote cannot steer a terminal."""

import os
import re
import subprocess
import sys

import pytest

from dispatcher.client import Client
from dispatcher.ops import pools
from tests.cli.conftest import Submit
from tests.cli.project import Project
from tests.cli.terminal import in_terminal

LS = ("work-pool", "ls")
LONG = "p" * 100


@pytest.fixture
def pool(client: Client) -> str:
    """A pool with the longest name."""
    return client.run(pools.create(LONG)).id


def test_a_terminal_gets_a_drawn_table_that_breaks_between_words_only(project: Project, client: Client) -> None:
    pool = client.run(pools.create("above-ground")).id
    code, shown = in_terminal(project, *LS, columns=86)
    assert code == 0
    assert "\x1b[1m" in shown
    assert "─" in shown
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 86
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.count("│") > 2]
    assert cells[-1] == ["above-ground", "agent", pool, "-", "0", "0"]
    assert "Concurrency limit" not in shown, "its heading is what gave way"
    assert "…" not in shown


def test_a_terminal_that_is_too_narrow_gets_whole_names_and_ids(
    project: Project, client: Client, submit: Submit, pool: str
) -> None:
    code, shown = in_terminal(project, *LS)
    assert code == 0
    assert shown.splitlines()[1].split() == [LONG, "agent", pool, "-", "0", "0"]
    client.run(pools.create("p"))
    run = submit("p", name="quick-brown-fox")
    _, shown = in_terminal(project, "flow-run", "ls")
    assert run in shown
    assert "quick-brown-fox" in shown


def test_no_color(project: Project, client: Client) -> None:
    pool = client.run(pools.create("p")).id
    _, shown = in_terminal(project, *LS, NO_COLOR="1")
    assert "─" in shown
    assert "\x1b[3" not in shown  # no colour; bold is not one
    assert pool in shown


def test_a_pipe_gets_plain_columns_as_wide_as_they_are(project: Project, pool: str) -> None:
    answer = project.done(*LS)
    assert answer.stdout.isascii()
    assert "\x1b" not in answer.stdout
    assert answer.stdout.splitlines()[1].split() == [LONG, "agent", pool, "-", "0", "0"]


def test_output_by_environment_and_setting(project: Project, pool: str) -> None:
    by_environment = Project(project.folder, project.redis_url, {"DISPATCHER_OUTPUT": "json"})
    assert by_environment.done(*LS).json[0]["id"] == pool
    assert by_environment.done(*LS, "-o", "table").stdout.startswith("NAME")
    assert "(environment) cannot be" in Project(
        project.folder, project.redis_url, {"DISPATCHER_OUTPUT": "xml"}
    ).refused(*LS)
    project.done("config", "set", "output=json")
    assert project.done(*LS).json[0]["id"] == pool


def test_what_others_wrote_cannot_steer_the_terminal(project: Project, client: Client, submit: Submit) -> None:
    client.run(pools.create("p", description="[red]x[/red] \x1b]0;owned\x07\x9b2J\nsecond"))
    submit("p", name="evil\x1b[2J\r[bold]name :smile:")
    for words in (("work-pool", "inspect", "p"), ("work-pool", "preview", "p")):
        _, shown = in_terminal(project, *words)
        bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)  # what rich itself puts there
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", bare)
    assert "[red]x[/red] \\x1b]0;owned\\x07\\x9b2J second" in project.done("work-pool", "inspect", "p").stdout
    assert "evil\\x1b[2J [bold]name :smile:" in project.done("work-pool", "preview", "p").stdout
    assert project.json("work-pool", "inspect", "p")["description"].startswith("[red]x[/red] \x1b]0;")


def test_a_terminal_is_asked_before_something_is_destroyed(project: Project, client: Client) -> None:
    client.run(pools.create("p"))
    for typed, code, left in ((b"n\n", 1, ["p"]), (b"\n", 1, ["p"]), (b"\x04", 1, ["p"]), (b"y\n", 0, [])):
        assert in_terminal(project, "work-pool", "delete", "p", typed=typed)[0] == code
        assert client.run(pools.names()) == left


def test_a_reader_that_goes_away_is_no_error(project: Project, pool: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", *LS],
        cwd=project.folder, env=project.environment(), stdout=writing, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_stdout_is_no_error(project: Project, client: Client) -> None:
    def typed(words: str) -> tuple[int, bytes]:
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -m dispatcher {words}"],
            cwd=project.folder, env=project.environment(), stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    assert typed("work-pool create p >&-") == (1, b"")
    assert client.run(pools.names()) == ["p"], "it was done nevertheless"
    for words in ("work-pool ls >&-", "work-pool ls <&- >&-", "work-pool ls >&- 2>&-", "--help >&-"):
        assert typed(words) == (1, b""), words
    code, stderr = typed("work-pool delete p <&- >&-")
    assert (code, b"give --yes" in stderr) == (1, True)
    assert typed("agent start --pool p --run-once --hide-welcome >&-")[0] == 0, "it has nothing to print"


def test_a_stream_that_cannot_hold_every_letter(project: Project, client: Client) -> None:
    client.run(pools.create("p", description="Grüße ✓"))
    limited = Project(project.folder, project.redis_url, {"PYTHONIOENCODING": "cp1252"})
    answer = subprocess.run(
        [sys.executable, "-m", "dispatcher", "work-pool", "inspect", "p"],
        cwd=project.folder,
        env=limited.environment(),
        capture_output=True,
        check=True,
    )
    assert "Grüße ?".encode("cp1252") in answer.stdout
    assert limited.json("work-pool", "inspect", "p")["description"] == "Grüße ✓"

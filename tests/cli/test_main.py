"""The command itself: help, version, wrong usage, exit codes, and what is told of a bug."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli import main
from dispatcher import errors
from tests.cli.project import ROOT, Project


@pytest.fixture
def nowhere(tmp_path: Path) -> Project:
    """A project in which no command can reach a Redis."""
    return Project(tmp_path, "unix:///no/such/socket")


def commands(group: click.Group, *words: str) -> list[tuple[tuple[str, ...], click.Command]]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append(((*words, name), command))
        if isinstance(command, click.Group):
            found += commands(command, *words, name)
    return found


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*row, id=" ".join(row[0])) for row in commands(main.dispatcher)]
)
def test_every_command_says_what_it_does_and_shows_an_example(words: tuple[str, ...], command: click.Command) -> None:
    text = command.help or ""
    first, _, rest = text.partition("\n")
    assert first.endswith("."), "one line that says what it does"
    assert "Example:\n" in rest
    assert f"  dispatcher {' '.join(words)}" in rest or isinstance(command, click.Group)
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{param.name} is not explained"


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*row, id=" ".join(row[0])) for row in commands(main.dispatcher)]
)
def test_the_words_of_every_example_are_understood(
    words: tuple[str, ...], command: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("deployment.yaml", "template.json"):
        (tmp_path / name).write_text("{}")
    examples = re.findall(r"^ +dispatcher (.*)", (command.help or "").partition("Example:")[2], re.MULTILINE)
    assert examples
    for example in examples:
        found: click.Command | None = main.dispatcher
        typed = shlex.split(example)
        if typed[0] == "--profile":
            del typed[:2]
        while isinstance(found, click.Group):
            found = found.get_command(click.Context(found), typed.pop(0))
        assert found is not None, example
        with found.make_context(example, typed):
            pass


def test_help_lists_every_command_with_its_line(nowhere: Project) -> None:
    shown = nowhere.done("--help").stdout
    for name, command in main.COMMANDS.items():
        assert f"  {name} " in shown
        assert command.summary in shown
    assert nowhere.done("-h").stdout == shown


def test_version(nowhere: Project) -> None:
    assert nowhere.done("--version").stdout.startswith("dispatcher 0.")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("nonsense", "No such command 'nonsense'"),
        ("work-pool nonsense", "No such command 'nonsense'"),
        ("work-pool ls --nonsense", "No such option"),
        ("work-pool ls too much", "unexpected extra arguments"),
        ("work-pool inspect", "Missing argument 'NAME'"),
        ("--nonsense", "No such option"),
        ("--profile", "requires an argument"),
    ],
)
def test_wrong_usage(nowhere: Project, typed: str, said: str) -> None:
    assert said in nowhere.refused(*typed.split(), code=2)


@pytest.mark.parametrize("typed", ["", "work-pool", "work-queue", "config"])
def test_a_group_alone_shows_its_help(nowhere: Project, typed: str) -> None:
    assert "Usage: dispatcher" in nowhere.refused(*typed.split(), code=2)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.PoolNotFound(pool="p"), 1, "Work pool 'p' was not found"),
        (errors.LeaseLost(run="r", epoch=1), 1, "is not held"),
        (errors.BrokerDown("away"), 3, "away"),
        (errors.BrokerRefused("no"), 3, "refused the command: no"),
        (errors.BugFound("odd"), 1, "please report it: odd"),
        (click.UsageError("wrong"), 2, "wrong"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Permission denied: /x"),
        (ZeroDivisionError("division by zero"), 1, "please report it: ZeroDivisionError: division by zero"),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.dispatcher, "main", fail)
    monkeypatch.delenv("DISPATCHER_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        main.main()
    stdout, stderr = capsys.readouterr()
    assert (ended.value.code, stdout) == (code, "")
    assert said in stderr
    assert "Traceback" not in stderr
    monkeypatch.setenv("DISPATCHER_DEBUG", "1")
    with pytest.raises(SystemExit):
        main.main()
    assert ("Traceback" in capsys.readouterr().err) == (not isinstance(error, click.ClickException))


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (click.Abort(), 1)])
def test_ends_that_say_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main.dispatcher, "main", fail)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert (ended.value.code, capsys.readouterr()) == (code, ("", ""))


def test_every_error_of_ours_has_an_exit_code() -> None:
    kinds = [errors.DispatcherError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 20
    assert all(issubclass(kind, tuple(row[0] for row in main.EXIT_CODES)) for kind in kinds)


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (("work-pool", "ls"), {"pydantic", "rich", "yaml", "psutil", "platformdirs"}),
        (("work-queue", "ls", "-p", "p"), {"pydantic", "rich", "yaml", "psutil", "platformdirs"}),
        (("config", "view"), {"rich", "yaml", "psutil", "redis", "jsonschema"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_listing_imports(project: Project, words: tuple[str, ...], forbidden: set[str]) -> None:
    project.done("work-pool", "create", "p")
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['dispatcher', *{words!r}]\n"
        "from dispatcher.__main__ import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=project.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {name.partition(".")[0] for name in done.stderr.rpartition("LOADED")[2].split()}
    assert loaded & forbidden == set()
    assert "click" in loaded

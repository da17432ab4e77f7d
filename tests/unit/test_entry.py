"""The command beside a user's own `agent.py` and `cli.py`: ours are taken, whatever `sys.path` says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOOBY_TRAP = "raise SystemExit('the file of the user was loaded instead of ours')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with files of the same names as our packages."""
    for name in ("agent.py", "cli.py", "dispatcher_flows.py", "click_extras.py"):
        (tmp_path / name).write_text(BOOBY_TRAP)
    return tmp_path


def run_in(folder: Path, *command: str, python_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PYTHONPATH": str(python_path)} if python_path else {})}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


COMMANDS = {
    "console script": [str(Path(sys.executable).parent / "dispatcher")],
    "python -m": [sys.executable, "-m", "dispatcher"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("words", [("--help",), ("broker", "--help"), ("agent", "--help"), ("worker", "--help")])
@pytest.mark.parametrize("on_path", [False, True], ids=["in cwd", "on PYTHONPATH too"])
def test_ours_are_taken(project: Path, command: list[str], words: tuple[str, ...], on_path: bool) -> None:
    done = run_in(project, *command, *words, python_path=project if on_path else None)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: dispatcher" in done.stdout


def test_user_modules_that_were_loaded_before_are_put_aside(project: Path) -> None:
    # A sitecustomize or a plugin may have imported the user's modules before we came.
    (project / "agent.py").write_text("mine = True\n")
    code = (
        "import agent; assert agent.mine\n"
        "from dispatcher.__main__ import claim_own_packages\n"
        "claim_own_packages()\n"
        "import agent, agent.infrastructure, cli\n"
        "assert not hasattr(agent, 'mine')\n"
        "first = agent; claim_own_packages(); import agent; assert agent is first\n"
        "print('fine')"
    )
    (project / "cli.py").unlink()
    done = run_in(project, sys.executable, "-c", code)
    assert (done.stdout, done.stderr) == ("fine\n", "")

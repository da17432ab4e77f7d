"""The infrastructure `process` with real processes, without Redis: what runs, what is said of it, what is left."""

from __future__ import annotations

import asyncio
import json
import os
import py_compile
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.infrastructure.base import Ended
from agent.infrastructure.process import ProcessInfrastructure
from agent.infrastructure.process_job import ProcessJob
from dispatcher.states import State
from tests.consumers import FLOWS, is_dead
from tests.jobs import Runner
from tests.polling import poll_until


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the infrastructure makes its folders, so that a test sees what is left of them."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "flows.py").write_text(textwrap.dedent(FLOWS))
    return folder


@pytest.fixture
def run(project: Path, temporary: Path) -> Iterator[Runner]:
    yield Runner(project)
    assert list(temporary.iterdir()) == []


# What a flow is and how it ends


def test_a_function_gets_its_parameters_and_gives_its_result(run: Runner) -> None:
    assert run("hello", parameters={"name": "wörld"}) == Ended(0, State.COMPLETED, "", '{"greeted":"w\\u00f6rld"}')
    assert run.lines == ["hello wörld"]


def test_an_async_function_is_awaited(run: Runner) -> None:
    assert run("later", parameters={"value": 5}).result_json == "5"


def test_an_exception_is_failed_with_its_text_and_a_traceback_without_our_frames(run: Runner) -> None:
    assert run("fail") == Ended(1, State.FAILED, "ValueError: no luck")
    assert run.lines[0] == "Traceback (most recent call last):"
    assert run.lines[-1] == "ValueError: no luck"
    assert "child.py" not in run.printed.decode()


def test_an_error_while_importing_is_failed(run: Runner) -> None:
    (run.project / "broken.py").write_text("import not_there_at_all\ndef main(): pass\n")
    ended = run("broken.py:main")
    assert (ended.said, ended.message) == (State.FAILED, "ModuleNotFoundError: No module named 'not_there_at_all'")
    (run.project / "syntax.py").write_text("def main(:\n")
    assert run("syntax.py:main").message.startswith("SyntaxError")


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_code_is_told(run: Runner, code: int) -> None:
    assert run("leave", parameters={"code": code}) == Ended(code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_is_told(run: Runner, number: signal.Signals) -> None:
    assert run("kill_itself", parameters={"number": int(number)}) == Ended(-number)


def test_a_command_runs_with_its_exit_code_and_output(run: Runner) -> None:
    assert run(command=("sh", "-c", "echo out; echo err >&2; pwd; exit 4")) == Ended(4)
    assert run.lines == ["out", "err", str(run.project)]


def test_a_command_is_looked_up_in_the_code_folder(run: Runner) -> None:
    script = run.project / "load.sh"
    script.write_text("#!/bin/sh\necho $1\n")
    script.chmod(0o755)
    assert run(command=("./load.sh", "--full")) == Ended(0)
    assert run.lines == ["--full"]


@pytest.mark.parametrize(
    ("of", "what"),
    [
        ({"entrypoint": "flows.py:nothing"}, "there is no 'nothing' in 'flows.py'"),
        ({"entrypoint": "flows.py:sys"}, "'sys' in 'flows.py' is not a function"),
        ({"entrypoint": "gone.py:main"}, "there is no file"),
        ({"entrypoint": "not_there.at_all:main"}, "there is no module 'not_there'"),
        ({"entrypoint": "json.not_there:main"}, "there is no module 'json.not_there'"),
        ({"entrypoint": "flows.py"}, "is not of the form"),
        ({"command": ("no-such-program",)}, "the command 'no-such-program' was not found"),
        ({"command": ("./flows.py",)}, "cannot be executed: Permission denied"),
        ({"entrypoint": "flows.py:hello", "path": "/no/such/folder"}, "host myhost has no code folder"),
        ({"entrypoint": "flows.py:hello", "path": None}, "there is no file"),
    ],
)
def test_what_is_not_there_could_not_start_and_the_ways_out_are_told(
    run: Runner, of: dict[str, Any], what: str
) -> None:
    ended = run(**of)
    assert what in ended.could_not_start
    for fact in ("myhost", "--path", "package.module:function", "same path on every host"):
        assert fact in ended.could_not_start
    assert ended.exit_code is None


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _replaced(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    folder.chmod(0o777)


@pytest.mark.parametrize("clean", [shutil.rmtree, _emptied, _replaced])
def test_a_folder_that_was_cleaned_away_is_made_again_and_is_private(
    run: Runner, temporary: Path, clean: Callable[[Path], None]
) -> None:
    class Cleaned(ProcessInfrastructure):
        def _prepared(self, *args: Any) -> ProcessJob | Ended:
            clean(self._folder)
            return super()._prepared(*args)

    run.infrastructure = Cleaned
    assert run(command=("sh", "-c", 'ls -ld "$(dirname "$DISPATCHER_PARAMETERS_FILE")/.."')) == Ended(0)
    assert run.lines[0].startswith("drwx------")


def test_a_cache_that_is_removed_meanwhile_changes_nothing(run: Runner, tmp_path: Path) -> None:
    class Tidied(ProcessInfrastructure):
        def _spawn(self, *args: Any) -> tuple[subprocess.Popen[bytes], socket.socket]:
            ours = tmp_path / "tmp"
            assert Path(self._program).is_relative_to(ours), "what runs is not what any clean-up of the source removes"
            return super()._spawn(*args)

    run.infrastructure = Tidied
    assert run("hello").exit_code == 0


def test_where_nothing_can_be_compiled_the_source_is_run(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(py_compile, "compile", fail)
    assert run("hello").exit_code == 0


def test_an_environment_that_no_process_can_have_could_not_start(run: Runner) -> None:
    assert "env.A must be text without NUL" in run("hello", job={"env": {"A": "nul\0"}}).could_not_start


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("return {1, 2}", "result not kept: it is not JSON (Object of type set is not JSON serializable)"),
        ("return float('nan')", "result not kept: it is not JSON"),
        ("return 'x' * 300_000", "result not kept: it has 300002 bytes, 262144 are allowed"),
        ("a = []; a.append(a); return a", "result not kept: it is not JSON"),
    ],
)
def test_a_result_that_cannot_be_kept_is_noted(run: Runner, code: str, note: str) -> None:
    (run.project / "big.py").write_text(f"def main():\n    {code}\n")
    ended = run("big.py:main")
    assert (ended.exit_code, ended.said, ended.result_json) == (0, State.COMPLETED, "")
    assert ended.message.startswith(note)


def test_the_end_is_noticed_without_process_descriptors(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert run("leave", parameters={"code": 3}) == Ended(3)


# Where it runs


def test_a_run_starts_in_its_code_folder_with_the_environment_of_the_run(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_THE_CONSUMER", "yes")
    monkeypatch.setenv("FROM_THE_CONSUMER_TOO", "yes")
    (run.project / "show.py").write_text(
        "import json, os, sys\n"
        "def main(**parameters):\n"
        "    file = os.environ['DISPATCHER_PARAMETERS_FILE']\n"
        "    return {'cwd': os.getcwd(), 'env': dict(os.environ), 'argv': sys.argv, 'stdin': sys.stdin.read(),\n"
        "            'file': json.load(open(file)), 'mode': os.stat(os.path.dirname(file)).st_mode & 0o777,\n"
        "            'session': os.getsid(0) == os.getpid() == os.getpgrp(), 'path': sys.path[0]}\n"
    )
    parameters = {"secret": "s3cret"}
    asked = {"EXTRA": 1, "DISPATCHER_RUN_ID": "x", "DISPATCHER_CONSUMER_ID": "x", "FROM_THE_CONSUMER_TOO": "asked"}
    ended = run("show.py:main", parameters=parameters, job={"env": asked})
    seen = json.loads(ended.result_json)
    assert (seen["cwd"], seen["path"]) == (str(run.project), str(run.project))
    assert seen["file"] == parameters
    assert (seen["mode"], seen["session"], seen["stdin"]) == (0o700, True, "")
    assert "s3cret" not in " ".join(seen["argv"])
    expected = {
        "FROM_THE_CONSUMER": "yes",
        "FROM_THE_CONSUMER_TOO": "asked",
        "EXTRA": "1",
        "DISPATCHER_CONSUMER_ID": "CONSUMER",
        "DISPATCHER_RUN_ID": "RUN",
        "DISPATCHER_RUN_EPOCH": "7",
        "DISPATCHER_RUN_ATTEMPT": "3",
        "DISPATCHER_RUN_NAME": "brave-fox",
        "DISPATCHER_DEPLOYMENT": "etl/nightly",
    }
    assert {name: seen["env"].get(name) for name in expected} == expected


def test_without_a_code_folder_it_runs_in_an_empty_one_that_is_removed(run: Runner) -> None:
    assert run(command=("sh", "-c", "pwd; ls -A; touch left-behind"), path=None) == Ended(0)
    (folder,) = run.lines
    assert not Path(folder).exists()


def test_a_file_is_found_by_its_absolute_path_without_a_code_folder(run: Runner) -> None:
    assert run(f"{run.project}/flows.py:hello", path=None).result_json == '{"greeted":"world"}'


def test_an_installed_module_needs_no_code_folder(run: Runner) -> None:
    assert run("os.path:basename", path=None, parameters={"p": "a/b"}).result_json == '"b"'


def test_a_file_in_a_folder_finds_its_neighbours_and_the_code_folder(run: Runner) -> None:
    folder = run.project / "loads"
    folder.mkdir()
    (run.project / "shared.py").write_text("word = 'shared'\n")
    (folder / "beside.py").write_text("word = 'beside'\n")
    (folder / "etl-load.py").write_text(
        "import beside, shared\ndef main(): return [beside.word, shared.word, __name__]\n"
    )
    (folder / "etl.py").write_text(
        "import beside, shared\nfrom . import beside as again\ndef main(): return [again.word, shared.word, __name__]\n"
    )
    assert json.loads(run("loads/etl.py:main").result_json) == ["beside", "shared", "loads.etl"]
    assert json.loads(run("loads/etl-load.py:main").result_json) == ["beside", "shared", "etl_load_py"]


@pytest.mark.parametrize("on_path", [False, True], ids=["in the code folder", "on PYTHONPATH"])
@pytest.mark.parametrize("entrypoint", ["dispatcher_flows.py:main", "dispatcher_flows:main", "agent.py:main"])
def test_a_flow_imports_the_users_modules_not_ours(
    run: Runner, monkeypatch: pytest.MonkeyPatch, entrypoint: str, on_path: bool
) -> None:
    for name in ("cli", "agent", "child", "guardian"):
        (run.project / f"{name}.py").write_text(f"word = 'my {name}'\ndef main(): return ['my cli', 'my agent']\n")
    (run.project / "dispatcher_flows.py").write_text(
        "import agent, cli, child, guardian\ndef main(): return [cli.word, agent.word]\n"
    )
    of: dict[str, Any] = {}
    if on_path:
        monkeypatch.setenv("PYTHONPATH", str(run.project))
        of["path"] = None
        entrypoint = entrypoint.replace("dispatcher_flows.py", f"{run.project}/dispatcher_flows.py")
        entrypoint = entrypoint.replace("agent.py", f"{run.project}/agent.py")
    assert json.loads(run(entrypoint, **of).result_json) == ["my cli", "my agent"]


def test_processes_of_a_flow_are_made_as_anywhere_else(run: Runner) -> None:
    (run.project / "many.py").write_text(
        "import multiprocessing\n"
        "def double(n): return 2 * n\n"
        "def main():\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        return pool.map(double, [1, 2])\n"
    )
    assert run("many.py:main").result_json == "[2,4]", run.lines


# Stopping, and what is left


def test_user_code_waits_for_the_word(run: Runner, project: Path) -> None:
    async def act(job: ProcessJob) -> None:
        assert not (project / "tidy-started").exists()
        job.stop(force=True)

    assert run("tidy", act) == Ended(-signal.SIGKILL)
    assert not (project / "tidy-started").exists()


def test_the_word_comes_too_late_for_a_process_that_has_ended(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        job.stop(force=True)
        assert await job.wait() == Ended(-signal.SIGKILL)
        job.start()

    assert run("tidy", act) == Ended(-signal.SIGKILL)


def test_sigterm_lets_a_flow_clean_up(run: Runner, project: Path) -> None:
    async def act(job: ProcessJob) -> None:
        job.start()
        await asyncio.to_thread(written, project / "tidy-started")
        job.stop(force=False)

    assert run("tidy", act) == Ended(128 + signal.SIGTERM)
    assert (project / "tidy-cleaned").exists()


def test_sigkill_ends_a_stubborn_flow(run: Runner, project: Path) -> None:
    async def act(job: ProcessJob) -> None:
        job.start()
        await asyncio.to_thread(written, project / "stubborn")
        job.stop(force=False)
        job.stop(force=True)

    assert run("stubborn", act) == Ended(-signal.SIGKILL)


def test_grandchildren_die_with_the_run(run: Runner, project: Path) -> None:
    async def act(job: ProcessJob) -> None:
        job.start()
        await asyncio.to_thread(written, project / "held")
        job.stop(force=True)

    run("hold", act)
    grandchild = int((project / "held").read_text().split()[1])
    poll_until(lambda: is_dead(grandchild), 5, "the grandchild is dead")


def test_grandchildren_do_not_outlive_a_run_that_completes(run: Runner) -> None:
    assert run(command=("sh", "-c", "sleep 600 & echo $!")).exit_code == 0
    poll_until(lambda: is_dead(int(run.lines[0])), 5, "the grandchild is dead")


def test_a_process_that_left_the_group_does_not_keep_the_run_from_ending(run: Runner, project: Path) -> None:
    (project / "daemon.py").write_text(
        "import subprocess, sys\n"
        "def main():\n"
        "    beside = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    print('last words')\n"
        "    return beside.pid\n"
    )
    ended = run("daemon.py:main")
    os.kill(int(ended.result_json), signal.SIGKILL)
    assert ended.said is State.COMPLETED
    assert run.lines == ["last words"]


def test_stopping_after_the_end_hits_nobody(run: Runner) -> None:
    async def act(job: ProcessJob) -> None:
        job.start()
        assert (await job.wait()).exit_code == 0
        job.stop(force=True)

    run("hello", act)


def test_all_output_is_read_also_of_a_run_that_ends_with_much(run: Runner) -> None:
    code = "import sys; sys.stdout.write('x' * 99 + '\\n' * 1); [print('y' * 99) for _ in range(30_000)]"
    assert run(command=(sys.executable, "-c", code)).exit_code == 0
    assert len(run.lines) == 30_001


def written(path: Path) -> None:
    poll_until(path.exists, 20, f"{path.name} is written")

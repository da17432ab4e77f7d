"""Modules of the user named like ours, also on PYTHONPATH: every command works there, and flows import the user's."""

from pathlib import Path

import pytest

from tests.cli.project import Project

NAMES = ("agent", "cli", "dispatcher_flows")


@pytest.fixture
def project(tmp_path: Path, redis_url: str) -> Project:
    project = Project(tmp_path, redis_url, {"PYTHONPATH": str(tmp_path)})
    for name in NAMES:
        project.write(f"{name}.py", f"WHOSE = {name!r} + ' of the user'\n")
    project.write(
        "flows.py",
        "import agent, cli, dispatcher_flows\n"
        "def whose():\n    return [agent.WHOSE, cli.WHOSE, dispatcher_flows.WHOSE]\n",
    )
    project.write("dispatcher_flows.py", "WHOSE = 'dispatcher_flows of the user'\ndef whose():\n    return WHOSE\n")
    return project


def test_every_command_works_and_flows_find_their_own(project: Project) -> None:
    project.done("--help")
    project.done("work-pool", "create", "p")
    project.done("work-queue", "create", "high", "-p", "p")
    project.done("work-pool", "ls")
    project.done("deploy", "flows.py:whose", "-n", "mine", "-p", "p", "-q", "high")
    project.done("deploy", "dispatcher_flows:whose", "-n", "installed", "-p", "p")
    project.done("deployment", "ls")
    project.done("deployment", "run", "mine", "--name", "by-file")
    project.done("deployment", "run", "installed", "--name", "by-module")
    project.work("p")
    project.done("agent", "ls")
    project.done("worker", "ls")
    project.done("config", "view")
    project.done("profile", "ls")
    project.done("broker", "stop")
    project.done("flow-run", "ls")
    by_file = project.json("flow-run", "inspect", "by-file")
    assert by_file["result"] == [f"{name} of the user" for name in NAMES], by_file["message"]
    assert project.json("flow-run", "inspect", "by-module")["result"] == "dispatcher_flows of the user"

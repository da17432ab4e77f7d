"""Ten commands that deploy at once: the same file, and two files that disagree about the pool."""

import itertools
import subprocess
from collections import Counter

import pytest

from dispatcher.client import Client
from dispatcher.models import Run
from dispatcher.ops import deployments, pools, runs
from dispatcher.states import State
from dispatcher.upkeep import duties
from tests.cli.project import PATIENCE_S, Project
from tests.polling import poll_until

AT_ONCE = 10
TWO = """deployments:
  - name: nightly
    entrypoint: etl.py:load
    work_pool: {name: above, work_queue_name: high}
    schedules:
      - {cron: "0 4 * * *", timezone: Europe/Berlin}
      - {interval: 1h, parameters: {day: hourly}}
  - name: hourly
    entrypoint: etl.py:load
    schedules: [{interval: 1h}]
"""
IN_A_POOL = """name: nightly
entrypoint: etl.py:load
work_pool: {name: POOL, work_queue_name: high}
schedules: [{interval: 1h}]
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.write("etl.py", "def load(day='today'): return day\n")
    project.done("work-pool", "create", "above")
    project.done("work-pool", "create", "below")
    return project


def ended(started: "list[subprocess.Popen[str]]") -> None:
    """All of them have to succeed."""
    for process in started:
        stdout, stderr = process.communicate(timeout=4 * PATIENCE_S)
        assert process.returncode == 0, stdout + stderr


def waiting(client: Client, pool: str, deployment: str) -> list[Run]:
    found = client.run(runs.list_pool(pool, deployment=deployment, most=1000))
    return [run for run in found if run.state is State.SCHEDULED]


def test_the_same_file(project: Project, client: Client) -> None:
    project.write("deployment.yaml", TWO)
    ended([project.start("deploy") for _ in range(AT_ONCE)])
    found = project.json("deployment", "ls")
    assert [one["name"] for one in found] == ["load/hourly", "load/nightly"]
    assert [len(one["schedules"]) for one in found] == [1, 2]
    for one in found:
        made = Counter((run.schedule, run.due_at_ms) for run in waiting(client, one["work_pool_name"], one["name"]))
        assert set(made.values()) == {1}, "no time has two runs"
        assert set(Counter(schedule for schedule, _ in made)) == {schedule["id"] for schedule in one["schedules"]}
        assert all(len(schedule["next_times"]) == 3 for schedule in one["schedules"])


def test_two_files_that_move_it_between_two_pools(project: Project, client: Client) -> None:
    for pool in ("above", "below"):
        project.write(f"{pool}.yaml", IN_A_POOL.replace("POOL", pool))
    project.done("deploy", "-f", "above.yaml")
    submitted = {project.json("deployment", "run", "nightly", "--start-in", "2h")["id"] for _ in range(3)}
    files = itertools.islice(itertools.cycle(["below.yaml", "above.yaml"]), AT_ONCE)
    ended([project.start("deploy", "-f", file) for file in files])
    here = project.json("deployment", "inspect", "nightly")["work_pool_name"]
    [away] = {"above", "below"} - {here}

    def all_arrived() -> bool:
        """As a consumer or scheduler does: what a command left undone, since another one was quicker, is a duty."""
        for pool in ("above", "below"):
            client.run(duties.perform(pool, client.run(pools.duties(pool))[0]))
        return not waiting(client, away, "load/nightly")

    poll_until(all_arrived, PATIENCE_S, f"no run waits in {away} any more")
    left = waiting(client, here, "load/nightly")
    assert submitted <= {run.id for run in left}
    made = Counter(run.due_at_ms for run in left if run.schedule)
    assert len(made) >= 3
    assert set(made.values()) == {1}
    assert [one.pool for one in client.run(deployments.list_all())] == [here]

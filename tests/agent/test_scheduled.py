"""Runs of schedules on workers that claim them before their time, and that come and go meanwhile."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

from dispatcher.models import Run, RunInput, Schedule
from dispatcher.ops import deployments, runs
from dispatcher.states import State
from tests.consumers import POOL, Scene
from tests.deploying import NAME, deployment
from tests.polling import poll_until

STEP_MS = 1000
SLACK_MS = 2  # the server cuts its clock to milliseconds
FLOW = """
import os, time

def main():
    now, run, epoch = time.time_ns(), os.environ["DISPATCHER_RUN_ID"], os.environ["DISPATCHER_RUN_EPOCH"]
    with open("journal", "a") as file:
        file.write(f"{run} {epoch} {now}\\n")
"""


@dataclass(frozen=True, slots=True)
class Begun:
    run: str
    epoch: int
    at_ms: float


def journal(scene: Scene) -> list[Begun]:
    """What was executed, in the order of the file."""
    path = scene.folder / "journal"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [Begun(run, int(epoch), int(at_ns) / 1e6) for run, epoch, at_ns in lines]


def kept(scene: Scene) -> dict[str, Run]:
    """The schedule's runs, the earliest first."""
    found = scene.client.run(runs.list_pool(POOL, deployment=NAME, most=1000))
    return {run.id: run for run in found[::-1]}


def test_each_time_is_executed_and_not_before_it_although_workers_come_and_go(scene: Scene) -> None:
    (scene.folder / "timed.py").write_text(FLOW)
    given = RunInput(entrypoint="timed.py:main", path=str(scene.folder))
    began_ms = time.time() * 1000
    scene.client.run(deployments.save(deployment(Schedule(interval_s=STEP_MS / 1000), pool=POOL, input=given)))

    def executed(more: int) -> None:
        wanted = len(journal(scene)) + more
        poll_until(lambda: len(journal(scene)) >= wanted, 30, f"{wanted} runs were executed")

    first = scene.start("--name", "one")
    executed(3)
    poll_until(lambda: any(run.state is State.PENDING for run in kept(scene).values()), 10, "some are claimed early")
    first.kill()
    second = scene.start("--name", "one")
    executed(3)
    second.signal(signal.SIGTERM)
    scene.start("--name", "two")
    assert second.exit_code() == 0
    executed(3)
    last_ms = max(kept(scene)[begun.run].due_at_ms for begun in journal(scene))
    past = [run for run in kept(scene).values() if run.due_at_ms <= last_ms]
    for run in past:
        assert scene.finished(run.id).state is State.COMPLETED

    past = [kept(scene)[run.id] for run in past]
    starts = [run.due_at_ms for run in past]
    assert starts == list(range(starts[0], last_ms + 1, STEP_MS)), "a time is missing, or there twice"
    assert starts[0] <= began_ms + 2 * STEP_MS
    due = {run.id: run.due_at_ms for run in past}
    lines = [begun for begun in journal(scene) if begun.run in due]
    assert {begun.run for begun in lines} == set(due)
    assert [begun for begun in lines if begun.at_ms < due[begun.run] - SLACK_MS] == [], "one began before its time"
    claimed_ms = {event.fields["run"]: event.at_ms for event in scene.events("claimed")}  # the last time
    epochs = {run.id: run.epoch for run in past}
    early = [one for one in lines if one.epoch == epochs[one.run] and claimed_ms[one.run] < due[one.run]]
    assert early, "none was claimed before its time"
    assert [due[begun.run] for begun in early] == sorted(due[begun.run] for begun in early), "not in their order"
    # Who was killed may have begun a run without a word about its end.
    for run in past:
        assert sum(begun.run == run.id for begun in lines) <= 1 + run.lost

"""The demo's order of events: set up, deploy, start a worker, submit, follow to the end, judge.

Whether a promise was kept is read from the replay of the event stream, never from what the demo meant to do.
"""

from __future__ import annotations

import time

from rich.console import Console

from cli.demo_replay import POOL as WHOLE_POOL
from cli.demo_replay import Replay
from cli.demo_show import Show, summarize
from cli.demo_stage import POOL, POOL_LIMIT, QUEUES, Part, Stage
from dispatcher.ops import runs, views
from dispatcher.states import TERMINAL, State

LIMIT_S = 45.0  # the whole demo answers within a minute, the clean-up included
LOOK_MS = 1_000  # how long it sleeps at most before it looks whether the worker still lives


def play(console: Console) -> bool:
    """Plays and tells; True: every promise was kept."""
    started_s = time.monotonic()
    replay = Replay()
    with Stage() as stage:
        console.print(f"Embedded broker in {stage.folder}", highlight=False, soft_wrap=True)
        stage.make_queues()
        lanes = ", ".join(f"{name} (priority {rank}, {_limit(limit)})" for name, rank, limit in QUEUES)
        console.print(f"Work pool 'demo' (limit {POOL_LIMIT}) with the queues {lanes}", highlight=False, soft_wrap=True)
        deployments = stage.deploy()
        console.print(f"Deployed from the examples: {', '.join(deployments)}", highlight=False, soft_wrap=True)
        stage.start_worker()
        with Show(console) as show:
            parts = show.parts = stage.submit(deployments)
            is_done = _follow(stage, replay, show, parts, started_s + LIMIT_S)
        findings = judged(replay, parts, stage.stop_worker() if is_done else None)
        if not all(kept for kept, _ in findings):
            console.print(f"The end of the worker's output:\n{stage.worker_log_end()}", highlight=False, markup=False)
    summarize(console, replay, parts, findings, time.monotonic() - started_s)
    return all(kept for kept, _ in findings)


def _limit(limit: int | None) -> str:
    return "no limit" if limit is None else f"limit {limit}"


def _follow(stage: Stage, replay: Replay, show: Show, parts: dict[str, Part], end_s: float) -> bool:
    """Feeds the replay until every run is finished, cancelling on the way. False: too late, or the worker is gone."""
    after = "0-0"
    to_cancel = {run for run, part in parts.items() if part.is_cancelled}
    while time.monotonic() < end_s and stage.is_worker_alive():
        events = stage.client.run(views.next_events(POOL, after=after, waits_ms=LOOK_MS))
        replay.feed(events)
        after = events[-1].id if events else after
        show.update(replay)
        for run in [run for run in to_cancel if _is_time_to_cancel(replay, run, parts[run])]:
            to_cancel.discard(run)
            stage.client.run(runs.cancel(POOL, run))
        if all(run in replay.runs and replay.runs[run].state in TERMINAL for run in parts):
            return True
    return False


def _is_time_to_cancel(replay: Replay, run: str, part: Part) -> bool:
    """One is cancelled as soon as it runs, the other, whose start is far off, as soon as any run has ended."""
    if part.delay_ms:
        return any(course.ends for course in replay.runs.values())
    return run in replay.runs and replay.runs[run].state is State.RUNNING


def judged(replay: Replay, parts: dict[str, Part], worker_code: int | None) -> list[tuple[bool, str]]:
    """Every promise, with whether it was kept. `worker_code`: the worker's exit code, None when it did not leave."""
    played = [(part, replay.runs[run]) for run, part in parts.items() if run in replay.runs]
    right = sum(course.state is part.ends for part, course in played)
    once = sum(course.ends == 1 and not course.lost for _, course in played)
    retried = sum(course.starts > 1 for _, course in played)
    gave_up = sum(course.starts > 1 and course.state is State.FAILED for _, course in played)
    cancelled = sum(course.state is State.CANCELLED for _, course in played)
    all_of_them = len(parts)
    found = [
        (right == all_of_them, f"{right} of {all_of_them} runs ended as they should"),
        (once == all_of_them, f"{once} of {all_of_them} runs ended exactly once, and none was lost"),
        (
            (retried, gave_up) == (3, 1),
            f"{retried} failing runs were tried again, {gave_up} of them gave up in the end",
        ),
        (cancelled == 2, f"{cancelled} runs were cancelled, one while it ran, one while it waited"),
    ]
    for name in (WHOLE_POOL, *(queue for queue, _, _ in QUEUES)):
        lane = replay.lanes.get(name)
        if lane is not None and lane.limit is not None:
            title = f"queue {name}" if name else "the pool"
            found.append((not lane.exceeded, f"{title}: at most {lane.most} at once, the limit is {lane.limit}"))
    found.append((worker_code == 0, "the worker drained and left with exit code 0"))
    return found

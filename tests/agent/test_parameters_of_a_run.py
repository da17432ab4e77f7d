"""What a flow is given, in a real process: JSON as it is, or what its annotations ask for; and what it can ask."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from agent.infrastructure.process_job import ProcessJob
from dispatcher.states import State
from tests.jobs import Runner
from tests.polling import poll_until

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"pydantic", "typing", "inspect", "json", "dispatcher", "asyncio", "redis", "dataclasses"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    project = tmp_path / "project"
    project.mkdir()
    return Runner(project)


def given(run: Runner, code: str, **parameters: Any) -> Any:
    """What `main` of `code` returned."""
    (run.project / "flows.py").write_text(textwrap.dedent(code))
    ended = run("main", parameters=parameters)
    assert ended.said is State.COMPLETED, (ended, run.lines)
    return json.loads(ended.result_json or "null")


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
def test_plain_annotations_cost_nothing_and_change_nothing(run: Runner, future: str) -> None:
    code = f"""
        {future}
        import sys
        before = set(sys.modules)
        def main(
            a, n: int, x: float, s: str, b: bool, items: list, rows: list[dict[str, int]], table: dict[str, list[int]],
            maybe: int | None, free: dict | None = None, **more: int
        ):
            return [sorted(set(sys.modules) - before), sorted({HEAVY!r} & set(sys.modules)), [n, x, s, b, rows, table]]
    """
    values = {"n": "5", "x": 1, "s": 2, "b": "no", "rows": 3, "table": 4, "items": 5, "maybe": 6, "a": 7, "other": 8}
    new, heavy, seen = given(run, code, **values)
    assert (new, heavy) == ([], []), "a simple flow pays for no import"
    assert seen == ["5", 1, 2, "no", 3, 4], "and is given what was submitted"


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
def test_what_typing_says_plainly_needs_no_pydantic(run: Runner, future: str) -> None:
    code = f"""
        {future}
        import sys
        from typing import Any, Dict, List, Literal, Optional, Union
        def main(a: Any, b: Optional[int], c: Dict[str, Any], d: List[str], e: Union[int, str], f: Literal["x"]):
            return ["pydantic" in sys.modules, a, b, c, d, e, f]
    """
    values = {"a": 1, "b": "2", "c": {"c": 3}, "d": 4, "e": None, "f": "y"}
    assert given(run, code, **values) == [False, *values.values()]


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
def test_values_become_what_the_annotations_ask_for(run: Runner, future: str) -> None:
    code = f"""
        {future}
        import dataclasses, datetime, enum, uuid
        from pathlib import Path
        from typing import TypedDict
        from pydantic import BaseModel
        class Source(BaseModel):
            url: str
            tries: int = 3
        class Level(enum.Enum):
            LOW = "low"
        @dataclasses.dataclass
        class Window:
            first: datetime.date
        class Row(TypedDict):
            at: datetime.date
        def main(source: Source, sources: list[Source], level: Level, window: Window, row: Row, day: datetime.date,
                 at: "datetime.datetime | None", names: set[str], pair: tuple[int, str], counts: dict[int, str],
                 key: uuid.UUID, place: Path, plain: int):
            return [source.tries, sources[0].url, level is Level.LOW, window.first.year, row["at"].year, day.month,
                    at.hour, isinstance(names, set), pair[1], counts[1], key.version, place.name, plain]
    """
    assert given(
        run,
        code,
        source={"url": "u"},
        sources=[{"url": "u"}],
        level="low",
        window={"first": "2026-11-21"},
        row={"at": "2026-11-21"},
        day="2026-11-21",
        at="2026-11-21T07:00:00Z",
        names=["a", "a"],
        pair=[1, "x"],
        counts={"1": "one"},
        key="6f2c4a86-6b58-44f5-8d0e-1c6b9f6ef3c5",
        place="/srv/data",
        plain="as it is",
    ) == [3, "u", True, 2026, 2026, 11, 7, True, "x", "one", 4, "data", "as it is"]


def test_all_values_that_do_not_fit_are_told_without_a_traceback(run: Runner) -> None:
    code = """
        import datetime
        from pydantic import BaseModel
        class Source(BaseModel):
            url: str
        def main(day: datetime.date, sources: list[Source]): print("called")
    """
    (run.project / "flows.py").write_text(textwrap.dedent(code))
    ended = run("main", parameters={"day": "soon", "sources": [{"url": "u"}, {"url": 5}]})
    assert (ended.said, ended.exit_code) == (State.FAILED, 1)
    assert ended.message.startswith("The parameters do not fit the flow 'main': day: input should be a valid date")
    assert 'found "soon"' in ended.message
    assert "; sources.1.url: input should be a valid string, found 5" in ended.message
    assert run.lines == [ended.message]


def test_an_error_in_a_users_type_is_shown_as_the_users(run: Runner) -> None:
    code = """
        from pydantic import BaseModel, field_validator
        class Source(BaseModel):
            url: str
            @field_validator("url")
            @classmethod
            def known(cls, url):
                raise KeyError("my own slip")
        def main(source: Source): ...
    """
    (run.project / "flows.py").write_text(textwrap.dedent(code))
    ended = run("main", parameters={"source": {"url": "u"}})
    assert (ended.said, ended.message) == (State.FAILED, "KeyError: 'my own slip'")
    assert "annotations.py" not in run.printed.decode()
    assert "child.py" not in run.printed.decode()


def test_what_nobody_can_make_of_json_is_passed_as_it_came(run: Runner) -> None:
    code = """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from far import Away
        class Mine: ...
        def main(mine: Mine, away: Away, strange: []): return [mine, away, strange]
    """
    assert given(run, code, mine=1, away=2, strange=3) == [1, 2, 3]


def test_a_users_own_pydantic_is_left_alone(run: Runner) -> None:
    (run.project / "pydantic.py").write_text("WHOSE = 'mine'\n")
    code = """
        import datetime
        def main(day: datetime.date):
            import pydantic
            return [day, pydantic.WHOSE]
    """
    assert given(run, code, day="2026-11-21") == ["2026-11-21", "mine"]


def test_methods_and_objects_are_given_the_same(run: Runner) -> None:
    code = """
        import datetime
        class Load:
            def __call__(self, day: datetime.date, n: int = 1): return day.year
            def run(self, day: datetime.date): return day.month
        main = Load()
    """
    assert given(run, code, day="2026-11-21") == 2026
    assert run("flows.py:main.run", parameters={"day": "2026-11-21"}).result_json == "11"


ASK = """
    from dispatcher import current_run
    run = current_run()
    told = [run.id, run.name, run.epoch, run.attempt, run.deployment, run.parameters, run.cancel_requested]
"""


def test_a_flow_knows_its_run(run: Runner) -> None:
    code = textwrap.dedent(ASK) + "import datetime\ndef main(day: datetime.date): return [day.year, *told]\n"
    known = ["RUN", "brave-fox", 7, 1, "etl/nightly", {"day": "2026-11-21"}, False]
    found = given(run, code, day="2026-11-21")
    assert found[0] == 2026
    assert found[1:4] + found[5:] == known[:3] + known[4:]
    assert found[4] >= 1


def test_a_script_knows_its_run(run: Runner) -> None:
    (run.project / "script.py").write_text(textwrap.dedent(ASK) + "print(told[0], told[4], told[5], told[6])\n")
    run(command=(sys.executable, "script.py"), parameters={"day": "today"})
    assert run.lines == ["RUN etl/nightly {'day': 'today'} False"]


@pytest.mark.parametrize("early", [True, False], ids=["asked before", "first asked while cleaning up"])
def test_a_flow_that_is_asked_to_stop_knows_it_in_every_thread(run: Runner, early: bool) -> None:
    code = f"""
        import threading, time
        from pathlib import Path
        {"from dispatcher import current_run" if early else ""}
        def mark(name): Path(__file__).with_name(name).touch()
        def watch():
            from dispatcher import current_run
            mark("started")
            while not current_run().cancel_requested:
                time.sleep(0.01)
            mark("thread-knows")
        def main():
            try:
                if {early}:
                    assert not current_run().cancel_requested
                    threading.Thread(target=watch).start()
                else:
                    mark("started")
                while True:  # a signal right before one long sleep would be noticed after it
                    time.sleep(0.01)
            finally:
                from dispatcher import current_run as ask
                if ask().cancel_requested:
                    mark("main-knows")
    """
    (run.project / "flows.py").write_text(textwrap.dedent(code))

    async def act(job: ProcessJob) -> None:
        job.start()
        started = run.project / "started"
        await asyncio.to_thread(poll_until, started.exists, 20, "the flow has started")
        job.stop(force=False)

    assert run("main", act).exit_code == 128 + signal.SIGTERM
    assert (run.project / "main-knows").exists()
    assert (run.project / "thread-knows").exists() is early

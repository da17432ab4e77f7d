"""What `inspection.py` reports of a flow: its parameters as a JSON schema, its name and what it says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent import inspection
from dispatcher import signature
from dispatcher.errors import EntrypointInvalid

ROOT = Path(inspection.__file__).parents[1]


def inspected(folder: Path, entrypoint: str, code: str, *, site: bool = True) -> dict[str, Any]:
    """The report on `code`, as the file flows.py; `site` False: in a Python that has nothing installed."""
    (folder / "flows.py").write_text(textwrap.dedent(code))
    report = folder / "report.json"
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"entrypoint": entrypoint, "path": str(folder), "report": str(report)}))
    flags = ["-P"] if site else ["-P", "-S"]
    words = [sys.executable, *flags, inspection.__file__, str(spec)]
    subprocess.run(words, check=True, capture_output=True, cwd=folder, env={"PYTHONPATH": str(ROOT)} if site else {})
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def schema_of(folder: Path, code: str, **how: Any) -> dict[str, Any]:
    """The schema of the parameters of `main`, which has to be a valid one."""
    report = inspected(folder, "flows.py:main", code, **how)
    assert report["ok"], report["error"]
    schema: dict[str, Any] = report["parameters"]
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    return schema


@pytest.mark.parametrize("site", [True, False], ids=["with pydantic", "with nothing installed"])
@pytest.mark.parametrize(
    ("signature", "properties", "required", "anything"),
    [
        ("", {}, [], False),
        ("day", {"day": {"title": "day"}}, ["day"], False),
        (
            "day: str, n: int = 3, x: float = 0.5, b: bool = True",
            {
                "day": {"title": "day", "type": "string"},
                "n": {"title": "n", "type": "integer", "default": 3},
                "x": {"title": "x", "type": "number", "default": 0.5},
                "b": {"title": "b", "type": "boolean", "default": True},
            },
            ["day"],
            False,
        ),
        (
            "rows: list, names: 'dict', none: None, other: object = None",
            {
                "rows": {"title": "rows", "type": "array"},
                "names": {"title": "names", "type": "object"},
                "none": {"title": "none", "type": "null"},
                "other": {"title": "other", "default": None},
            },
            ["rows", "names", "none"],
            False,
        ),
        ("when=object(), *, nan=float('nan')", {"when": {"title": "when"}, "nan": {"title": "nan"}}, [], False),
        ("*args, **more", {}, [], True),
        ("strange: []", {"strange": {"title": "strange"}}, ["strange"], False),
        ("a: 'NotThere', n: 'int'", {"a": {"title": "a"}, "n": {"title": "n", "type": "integer"}}, ["a", "n"], False),
    ],
)  # fmt: skip
def test_a_signature_becomes_a_schema(
    tmp_path: Path, signature: str, properties: dict[str, Any], required: list[str], anything: bool, site: bool
) -> None:
    found = schema_of(tmp_path, f"def main({signature}): raise SystemExit('not called')", site=site)
    assert found == {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": anything,
    }


TYPED = """
    {future}
    import dataclasses, datetime, enum, uuid
    from pathlib import Path
    from typing import Annotated, Any, Callable, Literal, Optional, TypedDict
    from pydantic import BaseModel, Field

    class Source(BaseModel):
        url: str
        tries: int = 3

    class Level(enum.Enum):
        LOW = "low"
        HIGH = "high"

    @dataclasses.dataclass
    class Window:
        first: datetime.date
        last: Optional[datetime.date] = None

    class Row(TypedDict, total=False):
        n: int

    def main(
        source: Source,
        sources: list[Source],
        level: Level,
        window: Window,
        row: Row,
        day: datetime.date,
        at: datetime.datetime | None,
        kind: Literal["a", "b"],
        numbers: list[int],
        share: Annotated[float, Field(gt=0, le=1)],
        place: Path,
        key: uuid.UUID,
        call: Callable[[], None],
        labels: dict[str, Any],
        since: datetime.date = datetime.date(2026, 1, 1),
    ): ...
"""
FITTING = {
    "source": {"url": "x"},
    "sources": [{"url": "x", "tries": 1}],
    "level": "low",
    "window": {"first": "2026-11-21"},
    "row": {"n": 1},
    "day": "2026-11-21",
    "at": None,
    "kind": "a",
    "numbers": [1],
    "share": 0.5,
    "place": "/srv",
    "key": "6f2c4a86-6b58-44f5-8d0e-1c6b9f6ef3c5",
    "call": "anything",
    "labels": {"a": [1]},
}


@pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
def test_types_that_pydantic_knows(tmp_path: Path, future: str) -> None:
    schema = schema_of(tmp_path, TYPED.format(future=future))
    assert set(schema["$defs"]) == {"Source", "Level", "Window", "Row"}
    assert schema["properties"]["source"] == {"title": "source", "$ref": "#/$defs/Source"}
    assert schema["properties"]["call"] == {"title": "call"}, "what has no schema is anything"
    assert "default" not in schema["properties"]["since"], "what is not JSON is not shown"
    assert schema["required"] == list(FITTING)
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(FITTING)) == []
    for name, wrong in (
        ("source", {"tries": 1}),
        ("sources", [{}]),
        ("level", "middle"),
        ("window", {"last": None}),
        ("row", {"n": "one"}),
        ("day", 5),
        ("at", 5.5),
        ("kind", "c"),
        ("numbers", ["one"]),
        ("share", 1.5),
        ("place", 1),
        ("labels", []),
    ):
        assert list(validator.iter_errors({**FITTING, name: wrong})) != [], f"{name}: {wrong}"


def test_types_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("from pydantic import BaseModel\nclass Source(BaseModel):\n    path: str\n")
    code = """
        import other
        from pydantic import BaseModel
        class Source(BaseModel):
            url: str
        def main(a: Source, b: other.Source): ...
    """
    validator = Draft202012Validator(schema_of(tmp_path, code))
    assert validator.is_valid({"a": {"url": "x"}, "b": {"path": "y"}})
    assert not validator.is_valid({"a": {"url": "x"}, "b": {"url": "y"}})


def test_without_pydantic_a_list_of_numbers_is_a_list(tmp_path: Path) -> None:
    code = """
        import datetime
        def main(numbers: list[int], day: datetime.date, maybe: int | None = None): ...
    """
    assert schema_of(tmp_path, code, site=False)["properties"] == {
        "numbers": {"title": "numbers", "type": "array"},
        "day": {"title": "day"},
        "maybe": {"title": "maybe", "default": None},
    }


@pytest.mark.parametrize("imported", [False, True])
def test_a_users_own_modules_do_not_get_in_the_way(tmp_path: Path, imported: bool) -> None:
    for name in ("agent", "cli", "child", "annotations", "inspection", "pydantic", "decimal"):
        (tmp_path / f"{name}.py").write_text(f"WHOSE = {name!r}\n")
    names = "agent, cli, child, annotations, inspection, pydantic"
    imports = f"import {names}\nassert [one.WHOSE for one in ({names})]\n" if imported else ""
    code = f"{imports}import datetime\ndef main(day: datetime.date, n: int): ...\n"
    day = {"title": "day"}
    assert schema_of(tmp_path, code)["properties"] == {"day": day, "n": {"title": "n", "type": "integer"}}
    (tmp_path / "pydantic.py").unlink()
    if not imported:
        day |= {"type": "string", "format": "date"}
        assert schema_of(tmp_path, code)["properties"]["day"] == day, "their decimal is not what pydantic gets"


def test_how_a_text_is_spelt_is_told_only_where_no_code_of_the_user_reads_it(tmp_path: Path) -> None:
    code = """
        from datetime import date
        from typing import Annotated
        from uuid import UUID
        from pydantic import BaseModel, BeforeValidator
        Day = Annotated[date, BeforeValidator(lambda text: date(2026, 1, 1) if text == "today" else text)]
        class Order(BaseModel):
            day: Day
            format: str
        def main(plain: date | None, many: list[UUID], day: Day, order: Order): ...
    """
    schema = schema_of(tmp_path, code)
    found = schema["properties"]
    assert found["plain"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert found["many"]["items"] == {"type": "string", "format": "uuid"}
    assert found["day"] == {"title": "day", "type": "string"}
    order = schema["$defs"]["Order"]
    assert order["properties"]["day"] == {"title": "Day", "type": "string"}
    assert order["required"] == ["day", "format"]
    assert "format" in order["properties"]


def test_an_async_function_and_a_class_are_flows_too(tmp_path: Path) -> None:
    code = """
        import functools
        class Load:
            def __call__(self, a): pass
            async def run(self, b): pass
        load = Load()
        run = load.run
        def two(a: "int", b): pass
        part = functools.partial(two, b=1)
    """
    assert inspected(tmp_path, "flows.py:load", code)["parameters"]["required"] == ["a"]
    assert inspected(tmp_path, "flows:run", code)["parameters"]["required"] == ["b"]
    assert inspected(tmp_path, "flows:load.run", code)["flow_name"] == "run"
    assert inspected(tmp_path, "flows:Load", code)["description"] == ""
    found = inspected(tmp_path, "flows:part", code)["parameters"]
    assert found["properties"]["a"] == {"title": "a", "type": "integer"}


def test_a_decorated_function_is_what_it_wraps(tmp_path: Path) -> None:
    (tmp_path / "timing.py").write_text(
        "import functools\n"
        "def timed(function):\n"
        "    @functools.wraps(function)\n"
        "    def wrapper(*args, **more):\n        return function(*args, **more)\n"
        "    return wrapper\n"
    )
    code = """
        from __future__ import annotations
        import datetime
        from timing import timed
        from dispatcher import flow
        @timed
        @flow(retries=1)
        def main(day: datetime.date): ...
    """
    found = inspected(tmp_path, "flows.py:main", code)
    assert found["parameters"]["properties"]["day"]["format"] == "date"
    assert (found["flow_name"], found["retries"]) == ("main", 1)


def test_what_a_flow_says_of_itself(tmp_path: Path) -> None:
    code = '''
        from datetime import timedelta
        from dispatcher import flow

        @flow(name="Nightly.load", retries=0, retry_delay=timedelta(minutes=1), timeout=90)
        async def load_day(day):
            """
            Loads one day.

            Slowly.
            """

        def _my_flow(): "Plain."
    '''
    said = {"description": "Loads one day.", "retries": 0, "retry_delay_s": 60.0, "timeout_s": 90.0}
    found = inspected(tmp_path, "flows.py:load_day", code)
    assert {name: found[name] for name in said} == said
    assert found["flow_name"] == "Nightly.load"
    nothing = {
        "flow_name": "my-flow",
        "description": "Plain.",
        "retries": None,
        "retry_delay_s": None,
        "timeout_s": None,
    }
    found = inspected(tmp_path, "flows.py:_my_flow", code)
    assert {name: found[name] for name in nothing} == nothing


@pytest.mark.parametrize(
    ("name", "flow_name"),
    [
        ("short", "short"),
        ("_my_part", "my-part"),
        ("load", "load"),
        ("Load.plain", "plain"),
        ("Load.of_class", "of-class"),
    ],
)
def test_a_flow_without_a_name_of_its_own_is_called_as_the_entrypoint_does(
    tmp_path: Path, name: str, flow_name: str
) -> None:
    code = """
        import functools
        short = lambda: 1
        _my_part = functools.partial(print, "1")
        class Load:
            def __call__(self): pass
            @staticmethod
            def plain(): pass
            @classmethod
            def of_class(cls): pass
        load = Load()
    """
    (tmp_path / "flows.py").write_text(textwrap.dedent(code))
    assert signature.of_entrypoint(f"flows.py:{name}", str(tmp_path)).flow_name == flow_name


@pytest.mark.parametrize(
    ("entrypoint", "code", "error"),
    [
        ("flows.py:main", "def main(a, /): pass", "its parameter 'a' is positional-only"),
        ("flows.py:main", "other = 1", "there is no 'main' in 'flows.py'"),
        ("flows.py:main", "main = 1", "'main' in 'flows.py' is not a function"),
        ("flows.py:main", "1/0", "importing it failed: ZeroDivisionError: division by zero"),
        ("flows.py:main", "import not_there", "importing it failed: ModuleNotFoundError: No module named 'not_there'"),
        ("flows.py:main", "def main(:", "importing it failed: SyntaxError"),
        (
            "flows.py:main",
            "from dispatcher import flow\n@flow(name='a/b')\ndef main(): pass",
            "Flow name 'a/b' is not valid: it must start",
        ),
        ("flows.py:main", "def main(): yield", "it is a generator function"),
        ("flows.py:main", "async def main(): yield", "it is a generator function"),
        ("flows.py:main", "import functools\ndef a(n): yield\nmain = functools.partial(a, 1)", "it is a generator"),
        ("flows.py:main", "class A:\n    def __call__(self): yield\nmain = A()", "it is a generator function"),
        ("flows.py:A.main", "class A:\n    def main(self): pass", "it is a method of class 'A' and needs an instance"),
        (
            "flows:A.B.main",
            "class A:\n    class B:\n        async def main(self, n): pass",
            "it is a method of class 'A.B'",
        ),
        ("nothing.py:main", "", "there is no file"),
        ("nothing:main", "", "there is no module 'nothing'"),
    ],
)
def test_what_cannot_be_a_flow_is_told(tmp_path: Path, entrypoint: str, code: str, error: str) -> None:
    found = inspected(tmp_path, entrypoint, code)
    assert not found["ok"]
    assert error in found["error"]


@pytest.mark.parametrize("code", ["import not_there", "def main(:"])
def test_the_traceback_of_a_file_that_cannot_be_imported_is_the_users_alone(tmp_path: Path, code: str) -> None:
    (tmp_path / "flows.py").write_text(code)
    with pytest.raises(EntrypointInvalid) as told:
        signature.of_entrypoint("flows.py:main", str(tmp_path))
    assert f'File "{tmp_path}/flows.py", line 1' in str(told.value)
    assert "inspection.py" not in str(told.value)
    assert "child.py" not in str(told.value)


@pytest.mark.parametrize(
    ("call", "does"), [("submit(main)", "submits"), ("submit_many(main, [])", "submits"), ("deploy(main)", "deploys")]
)
def test_what_a_file_does_at_its_top_level_is_told_in_one_message(
    tmp_path: Path, redis_url: str, call: str, does: str
) -> None:
    code = f"from dispatcher import Client\ndef main(): pass\nClient({redis_url!r}).{call}\n"
    found = inspected(tmp_path, "flows.py:main", code)
    assert (found["ok"], found["is_sure"]) == (False, True)
    assert found["error"].startswith(f"flows.py is being loaded to find its flow, and {does} at the same time")

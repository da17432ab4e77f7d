"""The header of each Lua file, held against its code, its Python function and the table of moves.

`tests/headers.py` says how a header is read; `tests/recording.py` holds each call and each reply of the whole test run
against it. What is left, and stands here, is what can be seen without running anything.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from dispatcher.call import FRAGMENTS
from dispatcher.errors import REASONS
from dispatcher.states import TRANSITIONS, State
from tests import headers
from tests.headers import LUA, HeaderBroken, header

OPS = LUA.parent / "ops"
SCRIPTS, PARTS = headers.names(), headers.names(fragments=True)
# What a key may be built with: `_pool.lua` defines all of these from KEYS[1].
KEY = re.compile(r"(?:[A-Z_]+|[a-z]+_key\([^()]+(?:\[[^]]*\])?\)|base \.\. '[^']*')(?: ?\.\. ?[^,()]+)?")
PARAMETERS = {"key", "index"}  # of functions that are given a key; what they are given is looked at as well
GIVEN = {"list": 0, "set_fields": 0, "full": 1, "matching": 1}  # such functions, and which argument the key is


@pytest.mark.parametrize("name", SCRIPTS)
def test_header_can_be_read(name: str) -> None:
    found = header(name)
    assert found.purpose
    assert found.twice
    assert found.cost
    assert found.keys == [("pool", "hash")], "a script is given the pool's key and builds every other one from it"


@pytest.mark.parametrize("name", PARTS)
def test_fragment_says_what_it_is_for(name: str) -> None:
    assert header(name).purpose[0]
    assert name in FRAGMENTS, "a fragment that no script is built with"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- Says nothing before.\n", "first line must be `#!lua`"),
        ("#!lua\n-- It does.\n-- KEYS[1] pool: hash\n-- Moves: none\n", "the order is"),
        ("#!lua\n-- It does.\n-- Moves: claim SCHEDULED PENDING\n", "is not `<name> <BEFORE...> -> <AFTER...>`"),
        ("#!lua\n-- It does.\n-- Moves: none\n-- KEYS[2] pool: hash\n", r"is not `KEYS\[1\]"),
        ("#!lua\n-- It does.\n-- Moves: none\n-- KEYS[1] pool: hash\n-- ARGV[3] run\n", r"is not `ARGV\[2\]"),
        ("#!lua\n-- It does.\n-- Moves: none\n-- KEYS[1] pool: hash\n-- ARGV: none\n-- Twice: x\n", "no Returns line"),
        ("#!lua\n-- It does.\n-- Moves: none\n-- KEYS[1] p: hash\n-- ARGV: none\n-- Returns: a b:float\n", "types are"),
    ],
)
def test_broken_header_is_told(
    text: str, complaint: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("lua")
    (folder / "broken.lua").write_text(text)
    monkeypatch.setattr(headers, "LUA", folder)
    with pytest.raises(HeaderBroken, match=complaint):
        header.__wrapped__("broken")


def test_moves_of_all_headers_are_the_table() -> None:
    found = {
        (State(before), name, State(after)) for part in [*SCRIPTS, *PARTS] for before, name, after in header(part).moves
    }
    assert found == {tuple(move) for move in TRANSITIONS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_words_are_known(name: str) -> None:
    for shape in header(name).returns:
        assert shape.word.islower() or shape.word in REASONS, f"{shape.word} has no class in errors.REASONS"
    assert [shape.word for shape in header(name).returns if shape.word.islower()], "how does it say that all is well?"


def test_every_reason_is_given_by_a_script() -> None:
    given = {shape.word for name in SCRIPTS for shape in header(name).returns}
    assert set(REASONS) <= given


@pytest.mark.parametrize("name", SCRIPTS)
def test_words_of_the_code_are_those_of_the_header(name: str) -> None:
    code = headers.body(name)
    said = set(re.findall(r"(?:return|reply(?:, \w+)* =) (?:.*?, )?\{ '(\w+)'", code))
    assert said == {shape.word for shape in header(name).returns}


@pytest.mark.parametrize("name", SCRIPTS)
def test_arguments_of_the_code_are_those_of_the_header(name: str) -> None:
    found, code = header(name), headers.body(name)
    used = {int(index) for index in re.findall(r"ARGV\[(\d+)\]", code)} - {1}
    assert used == set(range(2, found.fixed + 2))
    starts = re.findall(r"(?:= |unpack\(ARGV, )\d+, (?:#ARGV|last)|unpack\(ARGV, \d+\)", code)
    assert bool(starts) == (found.group != 0), "repeated arguments are walked, and nothing else is"
    steps = [int(step) for step in re.findall(r"#ARGV, (\d+)", code)]
    if found.group:
        assert all(step == found.group for step in steps)
        assert steps or found.group == 1 or (found.group == 2 and "set_fields(" in code), "by whom are they walked?"


def functions_naming(script: str) -> list[str]:
    return [
        f"{path.stem}.{function.name}"
        for path in sorted(OPS.glob("*.py"))
        for function in ast.parse(path.read_text()).body
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and node.value == script
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_one_function_of_ops_for_each_script(name: str) -> None:
    assert len(functions_naming(name)) == 1, f"{functions_naming(name)} name the script {name}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_python_reads_the_success_words(name: str) -> None:
    module = functions_naming(name)[0].partition(".")[0]
    tree = ast.parse((OPS / f"{module}.py").read_text())
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {shape.word for shape in header(name).returns if shape.word.islower()} <= constants


def called_keys(code: str) -> Iterator[str]:
    """The words of every `call(...)` that name keys, as they are written."""
    for match in re.finditer(r"\bcall\('([A-Z]+)', ", code):
        words = arguments(code[match.end() :])
        yield from words if match[1] in ("DEL", "EXISTS") else words[:1]


def arguments(text: str) -> list[str]:
    """The arguments at the beginning of `text`, up to the bracket that closes them."""
    words, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if depth < 0 or (depth == 0 and letter == ","):
            words.append(" ".join(text[start:at].split()))
            start = at + 1
        if depth < 0:
            return words
    return words


def allowed(word: str, code: str) -> bool:
    if word in PARAMETERS:
        local = re.findall(rf"local {word} = (.*)", code)
        return all(KEY.fullmatch(said.strip()) for said in local)
    return bool(KEY.fullmatch(word))


@pytest.mark.parametrize("name", [*SCRIPTS, *PARTS])
def test_every_key_is_built_from_the_pools(name: str) -> None:
    code = headers.body(name)
    assert re.findall(r"\bredis\.(\w+)", code) == (["call"] if name == "_pool" else []), "commands go through `call`"
    wrong = [word for word in called_keys(code) if not allowed(word, code)]
    for function, place in GIVEN.items():
        given = re.finditer(rf"(?<!function )\b(?<!\.){function}\(", code)
        wrong += [word for match in given if not allowed(word := arguments(code[match.end() :])[place], code)]
    assert wrong == [], "keys outside the pool's slot, or not recognised as inside it"


def test_the_names_of_keys_come_from_the_pools_key() -> None:
    code = headers.body("_pool")
    assert "local POOL = KEYS[1]" in code
    assert "local base = string.sub(POOL, 1, -5)" in code
    for line in re.findall(r"local ([A-Z_, ]+ = base .*)", code):
        names, values = line.split(" = ")
        assert len(names.split(", ")) == len(re.findall(r"base \.\. '[a-z:-]+'", values))
    for line in re.findall(r"local function \w+_key\(.*", code):
        assert re.search(r"return base \.\. '[a-z:]+:' \.\. \w+( \.\. ':[a-z]*'( \.\. \w+)?)? end", line), line

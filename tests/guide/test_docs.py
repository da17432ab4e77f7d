"""README.md and docs/: what they tell to type works, and what they name exists.

Every fenced `bash` block is run, page by page, in a fresh folder with a copy of `examples/`, an empty broker and a
DISPATCHER_HOME of its own. Each line has to end with exit code 0, or with N where it ends in a comment `# exit N`. What
was started with `&` runs on; when the page is done it gets SIGTERM and has to end with 0. A `python` or `yaml` block
whose first line is a comment with a file name is that file; a `json` block has the name beside its kind. What is not to
be run, output above all, is a `text` block; there is no other kind.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

import click
import pytest

from cli.main import dispatcher
from dispatcher import broker

ROOT = Path(__file__).resolve().parents[2]
PAGES = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
PATIENCE_S = 100
FILES = ("python", "yaml", "json")


@dataclass(frozen=True)
class Block:
    language: str
    line: int  # of its first line of content, from 1
    lines: tuple[str, ...]
    beside: str  # what stands behind the language

    @property
    def file(self) -> str | None:
        """The name that it says, when it is to be written."""
        if self.language == "json":  # which has no comments
            return self.beside or None
        found = re.fullmatch(r"# ([\w./-]+\.\w+)", self.lines[0]) if self.language in FILES and self.lines else None
        return found[1] if found else None


def blocks(page: str) -> Iterator[Block]:
    language: str | None = None
    beside = ""
    start, held = 0, list[str]()
    for number, line in enumerate(page.splitlines(), 1):
        if not line.startswith("```"):
            held.append(line)
        elif language is None:
            language, _, beside = line[3:].partition(" ")
            start, held = number + 1, []
        else:
            yield Block(language, start, tuple(held), beside)
            language = None
    assert language is None, f"the block at line {start} does not end"


def script(name: str, found: list[Block]) -> str:
    """All blocks of a page as one bash script; 99 is its exit code when a line did not end as it should."""
    parts = ['fail() { echo "$1" >&2; kill $(jobs -p) 2>/dev/null; wait; exit 99; }']
    for block in found:
        if block.file is not None:
            end = "END-OF-FILE"
            parts += [
                f"mkdir -p {PurePath(block.file).parent}",
                f"cat > {block.file} <<'{end}' || fail {quoted(f'{name}: {block.file} cannot be written')}",
                *block.lines,
                end,
            ]
        if block.language != "bash":
            continue
        for number, line in enumerate(block.lines, block.line):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            assert not line.endswith("\\"), f"{name}:{number}: a command is one line"
            wanted = re.search(r"# exit (\d+)$", line)
            place = f"{name}:{number}: exit code $code, not {wanted[1] if wanted else 0}: {line}"
            parts += [line, f"code=$?; [ $code -eq {wanted[1] if wanted else 0} ] || fail {quoted(place)}"]
    parts += [
        "for started in $(jobs -p); do",
        "  kill -TERM $started 2>/dev/null; wait $started; code=$?",
        f"  [ $code -eq 0 ] || fail {quoted(f'{name}: exit code $code of what was left running')}",
        "done",
    ]
    return "\n".join(parts) + "\n"


def quoted(text: str) -> str:
    """In double quotes for bash, where `$code` alone is filled in."""
    escaped = re.sub(r'([\\"`])|\$(?!code\b)', lambda match: f"\\{match[0]}", text)
    return f'"{escaped}"'


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short name, because the path of a unix socket holds a hundred bytes; every broker below it is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="dsp-"))
    try:
        yield folder
    finally:
        for lock in folder.rglob("life.lock"):
            broker.stop(lock.parent.parent)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if "\n```bash\n" in page])
def test_what_a_page_tells_to_type_works(name: str, folder: Path, server_binary: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("DISPATCHER_", "PYTHON"))}
    process = subprocess.Popen(
        ["bash", "-c", script(name, list(blocks(PAGES[name])))],
        cwd=folder,
        env={
            **clean,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "DISPATCHER_HOME": str(folder / "home"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"{name} is not done after {PATIENCE_S} s:\n{output}")
    assert process.returncode == 0, output
    assert "Traceback" not in output, output


def test_pages_have_something_to_type() -> None:
    typed = {name for name, page in PAGES.items() if any(block.language == "bash" for block in blocks(page))}
    assert {"README.md", "docs/operations.md"} <= typed


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_of_a_known_kind(name: str) -> None:
    kinds = {block.language for block in blocks(PAGES[name])}
    assert kinds <= {"bash", "text", *FILES}
    nameless = [block.line for block in blocks(PAGES[name]) if block.language in FILES and block.file is None]
    assert nameless == [], "a block of a file says its name"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if target.startswith("https://"):
            continue
        file, _, heading = target.partition("#")
        place = (ROOT / name).parent / file if file else ROOT / name
        assert place.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)", place.read_text("utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], target


@pytest.mark.parametrize("name", PAGES)
def test_named_files_tests_and_commands_exist(name: str) -> None:
    missing = []
    for word in re.findall(r"`([^`\n]+)`", PAGES[name]):
        file, _, test = word.partition("::")
        if re.fullmatch(r"(dispatcher|agent|cli|tests|docs|examples)/[\w./-]*", file):
            path = ROOT / file
            if not path.exists() or (test and f"def {test}(" not in path.read_text("utf-8")):
                missing.append(word)
        elif word.startswith("dispatcher ") and not is_command(word.split()[1:]):
            missing.append(word)
    assert missing == []


def is_command(words: list[str]) -> bool:
    """Whether the words begin with a command, and go on, in a group, with one of its own."""
    found: click.Command | None = dispatcher
    for word in words:
        if not isinstance(found, click.Group) or word.startswith("-"):
            break
        found = found.get_command(click.Context(found), word)
    return found is not None

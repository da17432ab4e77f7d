"""The file of profiles: what a change keeps, that it is whole and private, that no writer loses another's change."""

import multiprocessing
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher import profiles as module
from dispatcher.errors import BadRequest, BadValue, NotFound
from dispatcher.profiles import Profiles

BY_HAND = """\
# of the team
active = "work" # for now

[profiles.work] # the office
# behind the firewall
DISPATCHER_REDIS_URL = "redis://a"
DISPATCHER_ALLOW_ENV = [ "A",
  # asked for by Ann
  "B" ]

# at home
[profiles.home]
DISPATCHER_STREAM_OUTPUT = false
"""


def home(tmp_path: Path, text: str = "") -> dict[str, str]:
    (tmp_path / "profiles.toml").write_text(text)
    return {"DISPATCHER_HOME": str(tmp_path)}


def text_of(environ: dict[str, str]) -> str:
    return (Path(environ["DISPATCHER_HOME"]) / "profiles.toml").read_text()


def test_a_change_keeps_comments_and_order(tmp_path: Path) -> None:
    environ = home(tmp_path, BY_HAND)
    with Profiles.changing(environ) as profiles:
        profiles.set_values("work", {"DISPATCHER_REDIS_URL": "redis://b", "DISPATCHER_OUTPUT": "json"})
        profiles.create("new")
    assert text_of(environ) == (
        BY_HAND.replace("redis://a", "redis://b").replace('"B" ]\n', '"B" ]\nDISPATCHER_OUTPUT = "json"\n')
        + "\n[profiles.new]\n"
    )
    with Profiles.changing(environ) as profiles:
        profiles.unset_values("work", ["DISPATCHER_OUTPUT"])
        profiles.set_values("work", {"DISPATCHER_REDIS_URL": "redis://a"})
        profiles.delete("new", "work")
    assert text_of(environ).rstrip() == BY_HAND.rstrip()


def test_a_renamed_profile_keeps_its_comments(tmp_path: Path) -> None:
    environ = home(tmp_path, BY_HAND)
    with Profiles.changing(environ) as profiles:
        profiles.rename("work", "of fice")
        profiles.set_values("of fice", {"X": "1"})
    assert tomllib.loads(text_of(environ))["active"] == "of fice"
    for kept in ("# of the team", "# for now", "# the office", "# behind the firewall", "# asked for by Ann"):
        assert kept in text_of(environ)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "profiles = {a = {X = '1'}}\n",
        "profiles.a.X = '1'\nprofiles.b.Y = '2'\n",
        "[profiles]\na = {X = '1'}\n[profiles.b]\nZ = 2020-01-01\n",
        "[profiles.a]\r\nX = '1'\r\n# c\r\n",
        '[profiles."a b".c]\nd = 1\n',
    ],
)
@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["set_values", "unset_values", "create", "use", "rename", "delete"]),
            st.sampled_from(["default", "a", "b", "c d"]),
            st.sampled_from(["a", "b", 'e"\\\x7fé', "X.Y"]),
        ),
        max_size=8,
    )
)
def test_whatever_the_form_of_the_file_a_change_is_what_was_asked(
    tmp_path_factory: pytest.TempPathFactory, text: str, steps: list[tuple[str, str, str]]
) -> None:
    environ = home(tmp_path_factory.mktemp("home"), text)
    for verb, profile, word in steps:
        argument: Any = {"set_values": {word: word}, "unset_values": [word], "create": None, "rename": word}.get(verb)
        try:
            with Profiles.changing(environ) as profiles:
                arguments = {"use": (), "delete": ("default",)}.get(verb, (argument,))
                getattr(profiles, verb)(profile, *arguments)
        except BadRequest:
            continue
        assert tomllib.loads(text_of(environ)) == profiles._content
        again = Profiles.read(environ)
        assert (again.active, again.names) == (profiles.active, profiles.names)


def use_both(environ: dict[str, str], *names: str) -> None:
    with Profiles.changing(environ) as profiles:
        for name in names:
            profiles.use(name)


def test_a_refused_or_empty_change_writes_nothing(tmp_path: Path) -> None:
    environ = home(tmp_path, BY_HAND)
    before = (tmp_path / "profiles.toml").stat()
    with pytest.raises(NotFound):
        use_both(environ, "home", "nowhere")
    with Profiles.changing(environ) as profiles:
        profiles.use("work")
    after = (tmp_path / "profiles.toml").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert sorted(os.listdir(tmp_path)) == ["profiles.toml", "profiles.toml.lock"]


def test_only_its_owner_may_read_it_and_a_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "profiles.toml"
    real.parent.mkdir()
    real.write_text(BY_HAND)
    real.chmod(0o644)
    link = tmp_path / "profiles.toml"
    link.symlink_to(real)
    with Profiles.changing({"DISPATCHER_HOME": str(tmp_path)}) as profiles:
        profiles.use("home")
    assert link.is_symlink()
    assert 'active = "home"' in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_text(tmp_path: Path) -> None:
    environ = home(tmp_path, BY_HAND)
    with pytest.raises(BadRequest, match="not valid UTF-8"), Profiles.changing(environ) as profiles:
        profiles.set_values("work", {"DISPATCHER_REDIS_URL": "redis://\udcff"})
    assert text_of(environ) == BY_HAND


def test_a_file_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    environ = home(tmp_path, "[")
    with pytest.raises(BadValue, match="not valid TOML"), Profiles.changing(environ):
        pass
    assert os.listdir(tmp_path) == ["profiles.toml"]


def write(folder: str, number: int, count: int) -> None:
    for index in range(count):
        with Profiles.changing({"DISPATCHER_HOME": folder}) as profiles:
            profiles.set_values("default", {f"K{number}_{index}": "x"})


def test_no_writer_loses_the_change_of_another(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(str(tmp_path), number, 10)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    held = Profiles.read({"DISPATCHER_HOME": str(tmp_path)}).of("default")
    assert held.keys() == {f"K{number}_{index}" for number in range(4) for index in range(10)}


def test_a_writer_that_never_ends_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_PATIENCE_S", 0.0)
    environ = home(tmp_path)
    with Profiles.changing(environ), pytest.raises(BadRequest, match="another command holds"):
        write(str(tmp_path), 0, 1)

"""`dispatcher profile`: sets of settings, made, used, renamed and deleted."""

from pathlib import Path

import pytest

from tests.cli.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """No Redis is needed here, and none is named."""
    return Project(tmp_path, "")


def file_of(project: Project) -> Path:
    return project.folder / ".home" / "profiles.toml"


def query_seconds(project: Project, *words: str) -> tuple[object, str]:
    found = project.done(*words, "config", "view", "-o", "json").json["settings"]["DISPATCHER_AGENT_QUERY_SECONDS"]
    return found["value"], found["source"]


def names(project: Project) -> list[tuple[str, bool]]:
    return [(of["name"], of["in_use"]) for of in project.json("profile", "ls")]


def test_without_a_file_there_is_the_empty_default(project: Project) -> None:
    assert project.json("profile", "ls") == [{"name": "default", "in_use": True}]
    assert project.done("profile", "inspect").stdout == "Profile 'default' sets nothing.\n"
    assert not file_of(project).exists()


def test_made_used_renamed_and_deleted(project: Project) -> None:
    project.done("config", "set", "agent_query_seconds=1")
    made = project.json("profile", "create", "my work", "--from", "default")
    assert made == {"name": "my work", "in_use": False}
    assert project.json("profile", "use", "my work") == {"name": "my work", "in_use": True}
    project.done("config", "set", "agent_query_seconds=2")
    assert query_seconds(project) == (2, "profile my work")
    assert query_seconds(project, "--profile", "default") == (1, "profile default")
    assert names(project) == [("default", False), ("my work", True)]
    assert project.done("profile", "ls").stdout.splitlines()[2].split() == ["my", "work", "yes", "1"]
    assert project.json("profile", "rename", "my work", "home") == {"name": "home", "in_use": True}
    assert project.json("profile", "inspect") == {
        "name": "home",
        "in_use": True,
        "settings": {"DISPATCHER_AGENT_QUERY_SECONDS": "2"},
    }
    assert project.json("profile", "inspect", "default")["in_use"] is False
    project.done("profile", "use", "default")
    project.done("profile", "create", "other", "--from", "home")
    deleted = project.json("profile", "delete", "other", "--yes")
    assert deleted == {"name": "other", "in_use": False, "settings": {"DISPATCHER_AGENT_QUERY_SECONDS": "2"}}
    assert project.done("profile", "delete", "home", "--yes").stdout == "Profile 'home' is deleted.\n"
    assert names(project) == [("default", True)]


def test_the_environment_and_the_option_name_another_one(project: Project) -> None:
    for name in ("a", "b"):
        project.done("profile", "create", name)
        project.done("--profile", name, "config", "set", f"healthcheck_host={name}")
    by_environment = Project(project.folder, "", {"DISPATCHER_PROFILE": "a"})
    assert by_environment.json("profile", "inspect")["name"] == "a"
    assert by_environment.json("config", "view")["settings"]["DISPATCHER_HEALTHCHECK_HOST"]["value"] == "a"
    assert by_environment.done("--profile", "b", "profile", "inspect", "-o", "json").json["name"] == "b"
    assert "names 'a', which goes first" in by_environment.done("profile", "use", "b").stderr
    assert names(by_environment) == [("a", True), ("b", False), ("default", False)]
    assert names(project) == [("a", False), ("b", True), ("default", False)]
    assert "it is active" in by_environment.refused("profile", "delete", "a", "--yes")
    assert "still names 'a'" in by_environment.done("profile", "rename", "a", "c").stderr


def test_a_profile_is_deleted_when_the_answer_is_yes(project: Project) -> None:
    project.done("profile", "create", "work")
    assert "give --yes" in project.refused("profile", "delete", "work", stdin="y\n")  # a pipe is no terminal
    assert ("work", False) in names(project)
    project.done("profile", "delete", "work", "-y")
    assert ("work", False) not in names(project)


def test_comments_of_other_profiles_stay(project: Project) -> None:
    text = "# ours\nactive = 'a'\n\n[profiles.a] # first\n# why\nDISPATCHER_OUTPUT = 'table'\n"
    file_of(project).parent.mkdir()
    file_of(project).write_text(text)
    project.done("profile", "create", "b")
    assert file_of(project).read_text() == f"{text}\n[profiles.b]\n"
    project.done("profile", "delete", "b", "--yes")
    assert file_of(project).read_text().rstrip() == text.rstrip()
    assert file_of(project).stat().st_mode & 0o777 == 0o600


REFUSALS = [
    ("profile use nope", 1, "There are: default, work."),
    ("profile use", 2, "Missing argument"),
    ("profile create default", 1, "exists already"),
    ("profile create work", 1, "exists already"),
    ("profile create new --from nope", 1, "was not found"),
    ("profile delete nope --yes", 1, "was not found"),
    ("profile delete default --yes", 1, "every file has it"),
    ("profile delete work --yes", 1, "it is active. Use another one first."),
    ("profile rename default new", 1, "every file has it"),
    ("profile rename work default", 1, "exists already"),
    ("profile rename work work", 1, "exists already"),
    ("profile rename nope new", 1, "was not found"),
    ("profile rename work", 2, "Missing argument"),
    ("profile inspect nope", 1, "was not found"),
    ("--profile nope profile inspect", 1, "was not found"),
]


@pytest.mark.parametrize(("typed", "code", "said"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refused_and_nothing_changed(project: Project, typed: str, code: int, said: str) -> None:
    assert "dispatcher profile use work" in project.done("profile", "create", "work").stdout
    project.done("profile", "use", "work")
    before = file_of(project).read_bytes()
    assert said in project.refused(*typed.split(), code=code)
    assert file_of(project).read_bytes() == before


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 101])
def test_odd_names(project: Project, name: str) -> None:
    assert "is not valid" in project.refused("profile", "create", "--", name)
    project.done("profile", "create", "fine")
    assert "is not valid" in project.refused("profile", "rename", "--", "fine", name)


def test_names_that_toml_has_to_quote(project: Project) -> None:
    for name in ("a.b", "ü", '"', "\\"):
        project.done("profile", "create", "--", name)
        project.done("--profile", name, "config", "set", "output=table")
        assert project.json("profile", "inspect", name)["settings"] == {"DISPATCHER_OUTPUT": "table"}


@pytest.mark.parametrize("words", ["config", "profile"])
def test_every_command_helps_with_an_example(project: Project, words: str) -> None:
    group = {
        "config": ("view", "set", "unset", "validate"),
        "profile": ("ls", "create", "use", "delete", "rename", "inspect"),
    }
    assert "Example:" in project.done(words, "--help").stdout
    for name in group[words]:
        shown = project.done(words, name, "--help").stdout
        assert f"dispatcher {words} {name}" in shown.partition("Example:")[2]
        assert ("--yes" if name == "delete" else "--output") in shown

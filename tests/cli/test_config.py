"""`dispatcher config` and `dispatcher profile`: what is kept, what is shown, what is refused."""

from pathlib import Path

import pytest

from tests.cli.project import Project

SECRET_URL = "redis://ann:hush@broker:6379/0?ssl_password=hush2"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """No Redis is needed here, and none is named."""
    return Project(tmp_path, "")


def file_of(project: Project) -> Path:
    return project.folder / ".home" / "profiles.toml"


def settings_of(project: Project, *words: str) -> dict[str, tuple[object, str]]:
    found = project.json("config", "view", *words)["settings"]
    return {name: (of["value"], of["source"]) for name, of in found.items()}


def test_view_tells_value_source_and_meaning(project: Project) -> None:
    assert settings_of(project) == {}
    assert "--show-defaults" in project.done("config", "view").stdout
    everything = settings_of(project, "--show-defaults")
    assert everything["DISPATCHER_WORKER_PREFETCH_SECONDS"] == (10, "default")
    assert len(everything) > 5
    assert "The Redis to use" in project.done("config", "view", "--show-defaults").stdout
    project.done("config", "set", "DISPATCHER_AGENT_QUERY_SECONDS=3", "agent_prefetch_seconds=0.5")
    env = Project(project.folder, "", {"DISPATCHER_AGENT_QUERY_SECONDS": "4"})
    assert settings_of(env) == {
        "DISPATCHER_AGENT_QUERY_SECONDS": (4, "environment"),
        "DISPATCHER_AGENT_PREFETCH_SECONDS": (0.5, "profile default"),
    }
    told = env.done("--redis-url", "redis://b", "config", "view", "-o", "json").json["settings"]
    assert told["DISPATCHER_REDIS_URL"] == {"value": "redis://b", "source": "command line"}


def test_secrets_are_shown_on_demand_only(project: Project) -> None:
    project.done("config", "set", f"redis_url={SECRET_URL}")
    for words in (("config", "view"), ("profile", "inspect")):
        for output in ("table", "json"):
            shown = project.done(*words, "-o", output).stdout
            assert "redis://ann:***@broker:6379/0?ssl_password=***" in shown
            assert "hush" not in shown
        assert SECRET_URL in project.done(*words, "--show-secrets").stdout
    assert file_of(project).stat().st_mode & 0o777 == 0o600


def test_set_says_when_the_environment_goes_first(project: Project) -> None:
    env = Project(project.folder, "", {"DISPATCHER_OUTPUT": "table"})
    answer = env.done("config", "set", "output=json")
    assert "DISPATCHER_OUTPUT is set in the environment too" in answer.stderr


def test_set_and_unset(project: Project) -> None:
    odd = 'redis://b/0?x="\\\t\x7fü'
    project.done("config", "set", f"redis_url={odd}", "output=json")
    assert settings_of(project, "--show-secrets")["DISPATCHER_REDIS_URL"] == (odd, "profile default")
    assert "does not set DISPATCHER_OUTPUT" in project.done("config", "unset", "output").stdout
    assert set(settings_of(project)) == {"DISPATCHER_REDIS_URL"}


REFUSALS = [
    ("config set redis_ulr=x", 1, "Did you mean DISPATCHER_REDIS_URL?"),
    ("config set zzz=x", 1, "Known are DISPATCHER_REDIS_URL, "),
    ("config set output=xml", 1, "give one of table, json"),
    ("config set agent_query_seconds=-1", 1, "give a number from 0"),
    ("config set agent_query_seconds=nan", 1, "give a number from 0"),
    ("config set allow_unsafe_broker=maybe", 1, "give true or false"),
    ("config set output", 2, "is not KEY=VALUE"),
    ("config set", 2, "Missing argument"),
    ("config set output=table redis_ulr=x", 1, "Did you mean"),
    ("config unset output", 1, "does not set DISPATCHER_OUTPUT"),
    ("config unset ouput", 1, "Did you mean DISPATCHER_OUTPUT?"),
    ("--profile nope config view", 1, "profile 'nope' was not found"),
    ("--profile nope work-pool ls", 1, "profile 'nope' was not found"),
    ("--profile nope config set output=json", 1, "profile 'nope' was not found"),
    ("profile use nope", 1, "There are: default, work."),
    ("profile create default", 1, "exists already"),
    ("profile create work", 1, "exists already"),
    ("profile create new --from nope", 1, "was not found"),
    ("profile delete nope --yes", 1, "was not found"),
    ("profile delete default --yes", 1, "every file has it"),
    ("profile delete work", 1, "give --yes"),
    ("profile rename default new", 1, "every file has it"),
    ("profile rename work default", 1, "exists already"),
    ("profile rename nope new", 1, "was not found"),
    ("profile inspect nope", 1, "was not found"),
]


@pytest.mark.parametrize(("typed", "code", "said"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refused_and_nothing_changed(project: Project, typed: str, code: int, said: str) -> None:
    assert "dispatcher profile use work" in project.done("profile", "create", "work").stdout
    before = file_of(project).read_bytes()
    assert said in project.refused(*typed.split(), code=code)
    assert file_of(project).read_bytes() == before
    assert [file.name for file in file_of(project).parent.iterdir()] == ["profiles.toml"]


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 101])
def test_odd_profile_names(project: Project, name: str) -> None:
    assert "is not valid" in project.refused("profile", "create", "--", name)


def test_profiles_are_made_used_renamed_and_deleted(project: Project) -> None:
    project.done("config", "set", "agent_query_seconds=1")
    made = project.json("profile", "create", "my work", "--from", "default")
    assert made == {"name": "my work", "in_use": False}
    project.done("profile", "use", "my work")
    project.done("config", "set", "agent_query_seconds=2")
    assert settings_of(project)["DISPATCHER_AGENT_QUERY_SECONDS"] == (2, "profile my work")
    assert project.json("profile", "ls") == [
        {"name": "default", "in_use": False},
        {"name": "my work", "in_use": True},
    ]
    assert project.done("profile", "ls").stdout.splitlines()[2].split("  ")[0] == "my work"
    assert "it is active" in project.refused("profile", "delete", "my work", "--yes")
    project.done("profile", "rename", "my work", "home")
    assert project.json("profile", "inspect") == {
        "name": "home", "in_use": True, "settings": {"DISPATCHER_AGENT_QUERY_SECONDS": "2"},
    }  # fmt: skip
    by_option = project.done("--profile", "default", "config", "view", "-o", "json").json
    assert by_option["settings"]["DISPATCHER_AGENT_QUERY_SECONDS"]["value"] == 1
    by_environment = Project(project.folder, "", {"DISPATCHER_PROFILE": "default"})
    assert settings_of(by_environment)["DISPATCHER_AGENT_QUERY_SECONDS"][0] == 1
    assert "which goes first" in by_environment.done("profile", "use", "home").stderr
    project.done("profile", "use", "default")
    project.done("profile", "delete", "home", "--yes")
    assert [profile["name"] for profile in project.json("profile", "ls")] == ["default"]
    assert (
        "sets nothing"
        in project.done("config", "unset", "agent_query_seconds").stdout + project.done("profile", "inspect").stdout
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("active = [", "is not valid TOML"),
        ("\xff", "is not valid TOML"),
        ("other = 1", "may hold `active` and tables `[profiles.NAME]` only"),
        ("active = 1", "may hold `active`"),
        ("profiles = 1", "may hold `active`"),
        ("[profiles]\ndefault = 1", "may hold `active`"),
    ],
)
def test_a_file_that_is_none(project: Project, text: str, said: str) -> None:
    file_of(project).parent.mkdir()
    file_of(project).write_bytes(text.encode("latin-1"))
    for words in (("config", "view"), ("config", "set", "output=json"), ("profile", "ls"), ("work-pool", "ls")):
        assert said in project.refused(*words)
    assert file_of(project).read_bytes() == text.encode("latin-1")


def test_a_file_written_by_hand(project: Project) -> None:
    file_of(project).parent.mkdir()
    file_of(project).write_text(
        "[profiles.default]\nDISPATCHER_ALLOW_UNSAFE_BROKER = true\nDISPATCHER_AGENT_QUERY_SECONDS = 7\n"
    )
    assert {name: of[0] for name, of in settings_of(project).items()} == {
        "DISPATCHER_ALLOW_UNSAFE_BROKER": True,
        "DISPATCHER_AGENT_QUERY_SECONDS": 7,
    }
    assert "All is well" in project.done("config", "validate").stdout


def test_a_misspelt_setting_in_the_file_stops_commands_and_can_be_taken_out(project: Project) -> None:
    file_of(project).parent.mkdir()
    file_of(project).write_text('[profiles.default]\nDISPATCHER_REDIS_ULR = "redis://b"\n')
    assert "Did you mean DISPATCHER_REDIS_URL?" in project.refused("work-pool", "ls")
    assert "profile default: setting 'DISPATCHER_REDIS_ULR'" in project.refused("config", "validate")
    project.done("config", "unset", "DISPATCHER_REDIS_ULR")
    project.done("config", "validate")


def test_validate_names_every_fault(project: Project) -> None:
    file_of(project).parent.mkdir()
    file_of(project).write_text('active = "gone"\n[profiles.x]\nDISPATCHER_OUTPUT = "xml"\n')
    env = {"DISPATCHER_REDIS_ULR": "x", "DISPATCHER_GRACE_SECONDS": "web", "DISPATCHER_RUN_ID": "R"}
    stderr = Project(project.folder, "", env).refused("config", "validate")
    for said in (
        "4 found",
        "the active profile 'gone' does not exist",
        "profile x: DISPATCHER_OUTPUT",
        "DISPATCHER_GRACE_SECONDS (environment)",
        "DISPATCHER_REDIS_ULR is not known. Did you mean DISPATCHER_REDIS_URL?",
    ):
        assert said in stderr


def test_a_home_that_is_a_file(project: Project) -> None:
    home = project.write(".home", "a file in the way")
    for words in (("config", "set", "output=json"), ("config", "view"), ("work-pool", "ls")):
        assert project.refused(*words) == (
            f"Error: DISPATCHER_HOME names {home}, which is not a folder: name a folder, or unset it.\n"
        )

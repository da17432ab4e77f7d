"""`dispatcher config`: what is kept, what is shown, what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.project import ROOT, Project

SECRET_URL = "redis://ann:hush@broker:6379/0?ssl_password=hush2"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """No Redis is needed here, and none is named."""
    return Project(tmp_path, "")


def file_of(project: Project) -> Path:
    return project.folder / ".home" / "profiles.toml"


def by_hand(project: Project, text: str) -> None:
    file_of(project).parent.mkdir(exist_ok=True)
    file_of(project).write_text(text)


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
    odd = '/tmp/"\\\t\x7fü'
    project.done("config", "set", f"redis_ca_file={odd}", "output=json")
    assert settings_of(project)["DISPATCHER_REDIS_CA_FILE"] == (odd, "profile default")
    told = project.done("config", "unset", "output", "-o", "table").stdout
    assert told == "Profile 'default' does not set DISPATCHER_OUTPUT any more.\n"
    assert set(settings_of(project)) == {"DISPATCHER_REDIS_CA_FILE"}


def test_set_and_unset_as_json(project: Project) -> None:
    told = project.json("config", "set", f"redis_url={SECRET_URL}", "allow_env=A,B", "grace_seconds=1h30m")
    assert told == {
        "name": "default",
        "in_use": True,
        "settings": {
            "DISPATCHER_ALLOW_ENV": "A,B",
            "DISPATCHER_GRACE_SECONDS": "1h30m",
            "DISPATCHER_REDIS_URL": "redis://ann:***@broker:6379/0?ssl_password=***",
        },
    }
    found = settings_of(project)
    assert found["DISPATCHER_ALLOW_ENV"] == (["A", "B"], "profile default")
    assert found["DISPATCHER_GRACE_SECONDS"] == (5400, "profile default")
    assert "A, B" in project.done("config", "view").stdout
    left = project.json("config", "unset", "redis_url", "DISPATCHER_GRACE_SECONDS")["settings"]
    assert left == {"DISPATCHER_ALLOW_ENV": "A,B"}


def test_a_short_name_in_the_file_is_the_same_setting(project: Project) -> None:
    by_hand(project, "[profiles.default]\noutput = 'json'\n")
    assert settings_of(project)["DISPATCHER_OUTPUT"] == ("json", "profile default")
    assert project.json("config", "set", "output=table")["settings"] == {"DISPATCHER_OUTPUT": "table"}
    by_hand(project, "[profiles.default]\noutput = 'json'\n")
    assert project.json("config", "unset", "DISPATCHER_OUTPUT")["settings"] == {}


def test_comments_stay(project: Project) -> None:
    by_hand(project, "# ours\n[profiles.default] # of the team\n# fast\nDISPATCHER_GRACE_SECONDS = 1\n")
    project.done("config", "set", "grace_seconds=2", "output=table")
    assert file_of(project).read_text() == (
        '# ours\n[profiles.default] # of the team\n# fast\nDISPATCHER_GRACE_SECONDS = "2"\n'
        'DISPATCHER_OUTPUT = "table"\n'
    )


def test_commands_at_once_lose_nothing(project: Project) -> None:
    names = ["grace_seconds", "agent_query_seconds", "worker_query_seconds", "worker_prefetch_seconds"]
    started = [project.start("config", "set", f"{name}=7") for name in names]
    started += [project.start("profile", "create", f"p{number}") for number in range(4)]
    for process in started:
        assert process.communicate()[1] == ""
    assert {name: of[0] for name, of in settings_of(project).items()} == {
        f"DISPATCHER_{name.upper()}": 7 for name in names
    }
    assert len(project.json("profile", "ls")) == 5


@pytest.mark.parametrize(
    "words",
    [
        ("--redis-url", "redis://ann:hu?sh@b", "config", "view"),
        ("--redis-url", "http://ann:hush@b", "work-pool", "ls"),
        ("--redis-url", "redis://:hu/sh@b", "work-pool", "ls"),
        ("config", "set", "redis_url=http://ann:hush@b"),
        ("config", "set", "redis_url=redis://:hush@b?x=hush"),
        ("config", "set", "grace_seconds=redis://:hush@b"),
        ("config", "set", "redis://:hush@b"),
        ("config", "set", "redis://:hush=x@b"),
        ("config", "unset", "redis://:hush@b"),
    ],
    ids=" ".join,
)
def test_no_refusal_shows_a_password(project: Project, words: tuple[str, ...]) -> None:
    answer = project.typed(*words)
    assert answer.code in (1, 2)
    assert "hu" not in answer.stdout + answer.stderr


def test_nothing_shows_the_value_of_a_misspelt_secret(project: Project) -> None:
    by_hand(project, "[profiles.default]\nDISPATCHER_REDIS_ULR = 'redis://:hush@b'\nDISPATCHER_OUTPUT = 'xml'\n")
    for words in (("profile", "inspect"), ("config", "view"), ("config", "validate"), ("config", "set", "output=json")):
        answer = project.typed(*words)
        assert "hush" not in answer.stdout + answer.stderr


def test_where_a_wrong_value_came_from(project: Project) -> None:
    by_hand(project, "[profiles.work]\nDISPATCHER_AGENT_QUERY_SECONDS = 'soon'\n")
    wanted = "cannot be 'soon': give a number above 0, in seconds, or a duration such as 90s, 30m or 1h30m."
    said = project.refused("--profile", "work", "work-pool", "ls")
    assert said == f"Error: DISPATCHER_AGENT_QUERY_SECONDS (profile work) {wanted}\n"
    env = Project(project.folder, "", {"DISPATCHER_AGENT_QUERY_SECONDS": "soon"})
    assert f"DISPATCHER_AGENT_QUERY_SECONDS (environment) {wanted}" in env.typed("config", "view").stderr
    assert (
        "DISPATCHER_REDIS_URL (command line): the" in project.typed("--redis-url", "nowhere", "config", "view").stderr
    )


def test_view_shows_what_is_wrong_beside_what_is_not(project: Project) -> None:
    env = Project(project.folder, "", {"DISPATCHER_OUTPUT": "xml", "DISPATCHER_GRACE_SECONDS": "7"})
    table = env.typed("config", "view")
    assert table.code == 1
    assert "not valid" in table.stdout
    assert "DISPATCHER_GRACE_SECONDS" in table.stdout
    assert "DISPATCHER_OUTPUT (environment) cannot be 'xml': give one of table, json." in table.stderr
    told = env.typed("config", "view", "-o", "json")
    assert told.code == 1
    assert told.json["settings"] == {
        "DISPATCHER_GRACE_SECONDS": {"value": 7.0, "source": "environment"},
        "DISPATCHER_OUTPUT": {
            "value": None,
            "source": "environment",
            "fault": "DISPATCHER_OUTPUT (environment) cannot be 'xml': give one of table, json.",
        },
    }


def test_an_option_goes_before_a_faulty_variable(project: Project, redis_url: str) -> None:
    env = Project(project.folder, redis_url, {"DISPATCHER_OUTPUT": "xml"})
    assert "cannot be 'xml'" in env.refused("work-pool", "ls")
    assert env.done("work-pool", "ls", "-o", "json").json == []
    assert env.done("work-pool", "ls", "-o", "table").stdout
    env = Project(project.folder, "", {"DISPATCHER_REDIS_URL": "http://b"})
    assert env.done("--redis-url", redis_url, "work-pool", "ls", "-o", "json").json == []


def test_wrong_settings_do_not_stop_what_mends_them(project: Project) -> None:
    by_hand(project, "active = 'work'\n[profiles.work]\nDISPATCHER_OUTPUT = 'xml'\nDISPATCHER_REDIS_ULR = 'x'\n")
    assert "setting 'DISPATCHER_REDIS_ULR' is not known" in project.typed("config", "view").stderr
    assert "DISPATCHER_OUTPUT" in project.done("profile", "inspect").stdout
    project.done("profile", "ls")
    project.done("config", "unset", "DISPATCHER_REDIS_ULR")
    project.done("config", "set", "output=table")
    assert settings_of(project) == {"DISPATCHER_OUTPUT": ("table", "profile work")}


def test_a_variable_that_looks_misspelt_is_warned_about(project: Project) -> None:
    env = Project(project.folder, "", {"DISPATCHER_REDIS_ULR": "redis://:hush@b"})
    said = env.done("config", "view").stderr
    assert said == "Warning: DISPATCHER_REDIS_ULR is not a setting. Did you mean DISPATCHER_REDIS_URL?\n"


def test_ls_does_not_load_the_model(project: Project, redis_url: str) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr))\n"
        "sys.argv = ['dispatcher', 'work-pool', 'ls']\n"
        "from dispatcher.__main__ import main\nmain()"
    )
    environment = Project(project.folder, redis_url, {"DISPATCHER_OUTPUT": "json"}).environment()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert {"redis", "dispatcher"} <= set(done.stderr.split())
    assert {"pydantic", "pydantic_settings", "tomlkit", "rich"} & set(done.stderr.split()) == set()


REFUSALS = [
    ("config set redis_ulr=x", 1, "Did you mean DISPATCHER_REDIS_URL?"),
    ("config set DISPATCHER_GRACE=1", 1, "Did you mean DISPATCHER_GRACE_SECONDS?"),
    ("config set zzz=x", 1, "List them: dispatcher config view --show-defaults"),
    ("config set output=xml", 1, "give one of table, json"),
    ("config set output=", 1, "give one of table, json"),
    ("config set agent_query_seconds=-1", 1, "give a number above 0"),
    ("config set agent_query_seconds=0", 1, "give a number above 0"),
    ("config set agent_query_seconds=nan", 1, "give a number above 0"),
    ("config set allow_unsafe_broker=maybe", 1, "give true or false"),
    ("config set healthcheck_port=65536", 1, "give a whole number from 0 to 65535"),
    ("config set allow_env=A-B", 1, "give names of environment variables"),
    ("config set redis_url=sentinel://a,b/c", 1, "not supported yet"),
    ("config set output=xml grace_seconds=soon", 1, "DISPATCHER_GRACE_SECONDS (command line)"),
    ("config set output", 2, "'output' is not KEY=VALUE"),
    ("config set output=json output=table", 2, "'output' is given twice"),
    ("config set", 2, "Missing argument"),
    ("config set output=table redis_ulr=x", 1, "Did you mean"),
    ("config unset output", 1, "does not set DISPATCHER_OUTPUT"),
    ("config unset ouput", 1, "Did you mean DISPATCHER_OUTPUT?"),
    ("config unset", 2, "Missing argument"),
    ("config view -o xml", 2, "'xml' is not one of"),
    ("--profile nope config view", 1, "profile 'nope' was not found"),
    ("--profile nope config validate", 1, "profile 'nope' was not found"),
    ("--profile nope config unset output", 1, "profile 'nope' was not found"),
    ("--profile nope work-pool ls", 1, "profile 'nope' was not found"),
    ("--profile nope config set output=json", 1, "profile 'nope' was not found"),
]


@pytest.mark.parametrize(("typed", "code", "said"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_refused_and_nothing_changed(project: Project, typed: str, code: int, said: str) -> None:
    assert "dispatcher profile use work" in project.done("profile", "create", "work").stdout
    before = file_of(project).read_bytes()
    assert said in project.refused(*typed.split(), code=code)
    assert file_of(project).read_bytes() == before
    assert {file.name for file in file_of(project).parent.iterdir()} == {"profiles.toml", "profiles.toml.lock"}


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
    by_hand(
        project,
        'active = "gone"\n[profiles.x]\nDISPATCHER_OUTPUT = "xml"\n[profiles.y]\noutptu = "hush"\n'
        'DISPATCHER_REDIS_URL = "http://:hush@b"\n',
    )
    env = {
        "DISPATCHER_REDIS_ULR": "x",
        "DISPATCHER_GRACE_SECONDS": "web",
        "DISPATCHER_RUN_ID": "R",
        "DISPATCHER_XYZZY": "1",
    }
    faulty = Project(project.folder, "", env)
    stderr = faulty.refused("config", "validate")
    for said in (
        "7 found",
        "the active profile 'gone' does not exist",
        "DISPATCHER_OUTPUT (profile x) cannot be 'xml'",
        "profile y: setting 'outptu' is not known. Did you mean DISPATCHER_OUTPUT?",
        "DISPATCHER_REDIS_URL (profile y): the Redis URL 'http://:***@b' is not valid",
        "DISPATCHER_GRACE_SECONDS (environment)",
        "DISPATCHER_REDIS_ULR is not known. Did you mean DISPATCHER_REDIS_URL?",
        "DISPATCHER_XYZZY is not known. List the settings: dispatcher config view --show-defaults",
    ):
        assert said in stderr
    assert "hush" not in stderr
    answer = faulty.typed("config", "validate", "-o", "json")
    assert (answer.code, answer.json["file"], len(answer.json["faults"])) == (1, str(file_of(project)), 7)


def test_validate_looks_at_the_environment_even_when_the_file_is_none(project: Project) -> None:
    by_hand(project, "[")
    stderr = Project(project.folder, "", {"DISPATCHER_OUTPUT": "xml"}).refused("config", "validate")
    assert "2 found" in stderr
    assert "is not valid TOML" in stderr
    assert "DISPATCHER_OUTPUT (environment)" in stderr


def test_validate_says_that_all_is_well(project: Project) -> None:
    assert "All is well" in project.done("config", "validate").stdout
    assert project.json("config", "validate") == {"file": str(file_of(project)), "faults": []}


def test_a_home_that_is_a_file(project: Project) -> None:
    home = project.write(".home", "a file in the way")
    for words in (("config", "set", "output=json"), ("config", "view"), ("work-pool", "ls")):
        assert project.refused(*words) == (
            f"Error: DISPATCHER_HOME names {home}, which is not a folder: name a folder, or unset it.\n"
        )

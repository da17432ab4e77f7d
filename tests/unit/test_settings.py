"""The settings model: what may be given, where a value comes from, what is said of a wrong one."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dispatcher import settings
from dispatcher.errors import BadValue, NotFound
from dispatcher.profiles import variable
from dispatcher.settings import SETTINGS, Settings, examined, faults, masked, misspelt, resolve, strangers


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import os

    for name in [name for name in os.environ if name.startswith("DISPATCHER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DISPATCHER_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, text: str) -> None:
    (home / "profiles.toml").write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("redis_url", "unix:///a b", "unix:///a b"),
        ("redis_url", "", ""),
        ("output", "json", "json"),
        ("allow_unsafe_broker", "Yes", True),
        ("stream_output", "0", False),
        ("grace_seconds", "0", 0),
        ("grace_seconds", "0.5", 0.5),
        ("grace_seconds", "1h30m", 5400),
        ("grace_seconds", "PT90S", 90),
        ("allow_env", "", ()),
        ("allow_env", "A, b_2 ,,C", ("A", "b_2", "C")),
        ("healthcheck_host", "::1", "::1"),
        ("healthcheck_port", "0", 0),
        ("healthcheck_port", "65535", 65_535),
    ],
)
@pytest.mark.parametrize("place", ["profile", "environment", "command line"])
def test_what_may_be_given(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object, place: str
) -> None:
    if place == "profile":
        write(home, f"[profiles.default]\n{variable(name)} = '{text}'\n")
    elif place == "environment":
        monkeypatch.setenv(variable(name), text)
    found = resolve(given={name: text} if place == "command line" else {})
    assert getattr(found.settings, name) == value
    is_set = text or place != "environment"  # an empty variable counts as not set
    assert found.sources[name] == ({"profile": "profile default"}.get(place, place) if is_set else "default")


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("output", "xml", "cannot be 'xml': give one of table, json."),
        ("allow_unsafe_broker", "maybe", "give true or false."),
        *[
            ("agent_query_seconds", text, "give a number above 0, in seconds, or a duration such as 90s, 30m or 1h30m.")
            for text in ("0", "0s", "-1", "nan", "inf", "1e9", "x", "100y", "999999999999d")
        ],
        *[("healthcheck_port", text, "give a whole number from 0 to 65535.") for text in ("-1", "65536", "web", "1.5")],
        *[
            ("allow_env", text, "give names of environment variables with commas between.")
            for text in ("A B", "1A", "$A", "A=1")
        ],
        ("redis_url", "http://:hush@a", "the Redis URL 'http://:***@a' is not valid"),
        ("grace_seconds", "redis://:hush@a", "cannot be 'redis://:***@a': give a number"),
    ],
)
def test_what_may_not(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, wanted: str) -> None:
    key = variable(name)
    (said,) = faults({name: text}, "somewhere")
    assert said.startswith(f"{key} (somewhere)")
    assert wanted in said
    write(home, f"[profiles.x]\n{key} = '{text}'\n")
    with pytest.raises(BadValue, match=r"\(profile x\)"):
        resolve("x")
    monkeypatch.setenv(key, text)
    with pytest.raises(BadValue, match=r"\(environment\)"):
        resolve("x")
    with pytest.raises(BadValue, match=r"\(command line\)") as refused:
        resolve("x", {name: text})
    assert "hush" not in said + str(refused.value)


def test_option_before_environment_before_profile_before_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {}

    def looked_up() -> float:
        found = resolve(given=given)
        sources[found.settings.grace_seconds] = found.sources["grace_seconds"]
        return found.settings.grace_seconds

    given: dict[str, Any] = {}
    assert looked_up() == 10
    write(home, "[profiles.default]\nDISPATCHER_GRACE_SECONDS = 3\n")
    assert looked_up() == 3
    monkeypatch.setenv("DISPATCHER_GRACE_SECONDS", "2")
    assert looked_up() == 2
    given["grace_seconds"] = 1
    assert looked_up() == 1
    assert sources == {10: "default", 3: "profile default", 2: "environment", 1: "command line"}


def test_values_of_the_file_may_be_of_tomls_own_kinds(home: Path) -> None:
    write(
        home,
        '[profiles.default]\nDISPATCHER_ALLOW_ENV = ["A", "B"]\nDISPATCHER_STREAM_OUTPUT = false\n'
        "DISPATCHER_HEALTHCHECK_PORT = 9\nDISPATCHER_GRACE_SECONDS = 1.5\noutput = 'json'\n",
    )
    found = resolve().settings
    assert (found.allow_env, found.stream_output, found.healthcheck_port) == (("A", "B"), False, 9)
    assert (found.grace_seconds, found.output) == (1.5, "json")


@pytest.mark.parametrize("value", ["['json']", "{a = 1}", "2020-01-01", "true", "1"])
def test_values_of_a_wrong_kind(home: Path, value: str) -> None:
    write(home, f"[profiles.default]\nDISPATCHER_OUTPUT = {value}\nDISPATCHER_REDIS_URL = {value}\n")
    with pytest.raises(BadValue) as refused:
        resolve()
    assert "give one of table, json" in str(refused.value)
    assert "DISPATCHER_REDIS_URL (profile default): " in str(refused.value)


def test_which_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "active = 'a'\n" + "".join(f"[profiles.{n}]\nDISPATCHER_HEALTHCHECK_HOST = '{n}'\n" for n in "abc"))
    assert (resolve().profile, Settings().healthcheck_host) == ("a", "a")
    monkeypatch.setenv("DISPATCHER_PROFILE", "b")
    assert (resolve().settings.healthcheck_host, Settings().healthcheck_host) == ("b", "b")
    assert resolve("c").settings.healthcheck_host == "c"
    with pytest.raises(NotFound, match="There are: a, b, c, default"):
        resolve("d")


def test_every_fault_is_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "[profiles.default]\nDISPATCHER_OUTPUT = 'xml'\n")
    monkeypatch.setenv("DISPATCHER_GRACE_SECONDS", "web")
    with pytest.raises(BadValue) as refused:
        resolve(given={"redis_url": "nowhere"})
    assert len(str(refused.value).splitlines()) == 3
    assert len(faults({"outptu": "x", "zzz": "y", "output": "xml", "DISPATCHER_OUTPUT": "json"}, "here")) == 3


def test_an_unknown_name_is_refused_and_a_value_in_its_place_not_shown(home: Path) -> None:
    with pytest.raises(BadValue, match=r"setting 'redis_ulr' is not known\. Did you mean DISPATCHER_REDIS_URL\?"):
        settings.known("redis_ulr")
    with pytest.raises(BadValue) as refused:
        settings.known("redis://:hush@b")
    assert "hush" not in str(refused.value)
    write(home, "[profiles.default]\nDISPATCHER_REDIS_ULR = 'redis://:hush@b'\n")
    with pytest.raises(BadValue, match="Did you mean DISPATCHER_REDIS_URL"):
        resolve()
    assert masked("DISPATCHER_REDIS_ULR", "redis://:hush@b") == "***"
    assert masked("DISPATCHER_REDIS_URL", ["hush"]) == "***"


def test_a_secret_is_in_no_representation() -> None:
    assert "hush" not in repr(Settings(redis_url="redis://:hush@b"))
    with pytest.raises(ValidationError) as refused:
        Settings(redis_url="http://:hush@b")
    assert "hush" not in str(refused.value)


def test_misspelt_variables() -> None:
    environ = dict.fromkeys(["DISPATCHER_REDIS_ULR", "DISPATCHER_RUN_ID", "DISPATCHER_HOMES", "DISPATCHER_OUTPUT"], "x")
    assert misspelt(environ) == [
        ("DISPATCHER_HOMES", "DISPATCHER_HOME"),
        ("DISPATCHER_REDIS_ULR", "DISPATCHER_REDIS_URL"),
    ]


def test_a_variable_without_our_prefix_is_somebody_elses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("output", "xml")
    assert resolve().settings.output == "table"


def test_variables_that_mean_nothing() -> None:
    environ = dict.fromkeys(["DISPATCHER_OUTPT", "DISPATCHER_XYZZY", "DISPATCHER_RUN_ID", "OTHER"], "x")
    assert strangers(environ) == [("DISPATCHER_OUTPT", "DISPATCHER_OUTPUT"), ("DISPATCHER_XYZZY", None)]


def test_a_faulty_value_is_not_in_the_way_of_the_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "[profiles.default]\ngrace_seconds = 'soon'\noutput = 'json'\nouptut = 'x'\n")
    monkeypatch.setenv("DISPATCHER_OUTPUT", "xml")
    found = examined(given={"allow_unsafe_broker": True})
    assert found.faults.keys() == {"grace_seconds", "output"}
    assert "(profile default) cannot be 'soon'" in found.faults["grace_seconds"]
    assert "(environment) cannot be 'xml'" in found.faults["output"]
    assert len(found.strange) == 1
    assert found.values["allow_unsafe_broker"] is True
    assert found.values.keys() == SETTINGS.keys() - found.faults.keys()


def test_tls_files_become_options_of_the_url(home: Path) -> None:
    for name in ("ca", "cert", "key"):
        (home / name).touch()
    ca, cert, key = (str(home / name) for name in ("ca", "cert", "key"))
    found = Settings(redis_ca_file=ca, redis_cert_file=cert, redis_key_file=key)
    tls = f"ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}"
    assert found.url_with_tls("rediss://a") == f"rediss://a?{tls}"
    assert found.url_with_tls("rediss://a?ssl_ca_certs=/x") == f"rediss://a?ssl_ca_certs=/x&{tls.partition('&')[2]}"
    for url in ("redis://a", "unix:///a"):
        assert found.url_with_tls(url) == url
    assert Settings().url_with_tls("rediss://a") == "rediss://a"
    with pytest.raises(BadValue, match="ssl_keyfile needs ssl_certfile"):
        Settings(redis_key_file=key).url_with_tls("rediss://a")
    with pytest.raises(BadValue, match="DISPATCHER_REDIS_CA_FILE names '/no/ca', which is not a file"):
        Settings(redis_ca_file="/no/ca").url_with_tls("rediss://a")

"""The short way to the settings that every command asks for gives what the model gives, or nothing."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from dispatcher import shortcut
from dispatcher.errors import BadRequest, NotFound
from dispatcher.settings import SETTINGS, Settings, resolve

VARIABLES = ["DISPATCHER_REDIS_URL", "DISPATCHER_OUTPUT", "DISPATCHER_ALLOW_UNSAFE_BROKER", "DISPATCHER_GRACE_SECONDS"]
TEXTS = ["", "json", "table", "xml", "redis://a", "rediss://u:p@b", "redis://a?x=1", "http://a", "true", "7", " json"]
layers = st.dictionaries(
    st.sampled_from([*VARIABLES, "output", "DISPATCHER_OUTPTU"]), st.sampled_from(TEXTS), max_size=3
)
options = st.fixed_dictionaries(
    {}, optional={"redis_url": st.sampled_from(TEXTS), "allow_unsafe_broker": st.just(True)}
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("DISPATCHER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DISPATCHER_HOME", str(tmp_path))
    return tmp_path


def not_needed() -> Settings:
    raise AssertionError("the model is not needed")


@hypothesis(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=layers, environment=layers, given=options)
@example(held={"DISPATCHER_REDIS_URL": "redis://a"}, environment={"DISPATCHER_REDIS_URL": "redis://b"}, given={})
def test_it_gives_what_the_model_gives(
    home: Path, held: dict[str, str], environment: dict[str, str], given: dict[str, Any]
) -> None:
    (home / "profiles.toml").write_text("[profiles.p]\n" + "".join(f"{key} = '{held[key]}'\n" for key in held))
    with pytest.MonkeyPatch.context() as patched:
        for key, text in environment.items():
            patched.setenv(key, text)
        quick = shortcut.quick("p", given)
        if quick is None:
            return
        model = resolve("p", given).settings
    assert quick == {name: getattr(model, name) for name in shortcut.QUICK}
    assert all(getattr(model, name) == SETTINGS[name].default for name in SETTINGS.keys() - shortcut.QUICK.keys())


def test_it_is_taken_where_only_texts_are_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "profiles.toml").write_text("[profiles.default]\nDISPATCHER_OUTPUT = 'json'\n")
    monkeypatch.setenv("DISPATCHER_RUN_ID", "r")
    monkeypatch.setenv("DISPATCHER_GRACE_SECONDS", "")
    found = shortcut.settings(None, {"redis_url": "redis://a"}, not_needed)
    assert (found.output, found.redis_url, found.allow_unsafe_broker) == ("json", "redis://a", False)
    assert found.url_with_tls("rediss://a") == "rediss://a"


def test_the_model_answers_for_the_rest() -> None:
    loaded = []

    def load() -> Settings:
        loaded.append(resolve().settings)
        return loaded[-1]

    found = shortcut.settings(None, {}, load)
    assert (found.output, loaded) == ("table", [])
    assert found.healthcheck_port == 8080
    assert loaded != []
    assert not hasattr(found, "nothing")


@pytest.mark.parametrize(
    ("key", "text"), [("DISPATCHER_GRACE_SECONDS", "1"), ("DISPATCHER_OUTPUT", "xml"), ("DISPATCHER_REDIS_ULR", "x")]
)
def test_the_model_answers_for_what_is_not_plain(monkeypatch: pytest.MonkeyPatch, key: str, text: str) -> None:
    monkeypatch.setenv(key, text)
    assert shortcut.quick(None, {}) is None


def test_what_stops_the_model_stops_it(home: Path) -> None:
    with pytest.raises(NotFound):
        shortcut.quick("nope", {})
    (home / "profiles.toml").write_text("[")
    with pytest.raises(BadRequest, match="not valid TOML"):
        shortcut.quick(None, {})


def test_its_defaults_are_those_of_the_model() -> None:
    assert {name: SETTINGS[name].default for name in shortcut.QUICK} == shortcut.QUICK

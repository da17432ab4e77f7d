"""Redis URLs: which are valid, and that no way of writing a password wrongly shows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.urls import fault, masked_url, tls_fault, with_options


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://ann:hush@b:6379/0", "redis://ann:***@b:6379/0"),
        ("redis://:hush@b", "redis://:***@b"),
        ("redis://ann@b", "redis://ann@b"),
        ("redis://a:b:hush@c@d", "redis://a:***@d"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("rediss://h?ssl_ca_certs=/a/b.pem&ssl_password=hush", "rediss://h?ssl_ca_certs=/a/b.pem&ssl_password=***"),
        ("redis://h?passw%6Frd=hush", "redis://h?passw%6Frd=***"),
        ("redis://h/0?db=0;password=hush", "redis://h/0?db=***"),
        ("unix:///tmp/a b?db=1", "unix:///tmp/a b?db=1"),
        ("ann:hush@b:6379", "ann:***@b:6379"),
        ("redis:/:hush@b", "redis:***@b"),
        ("http://me:hush@a", "http://me:***@a"),
        ("redis://:hush", "redis://:***"),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    assert masked_url(url) == shown
    assert "hush" not in (fault(url) or "")


@given(
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
    form=st.sampled_from(
        ["redis://ann:{}@b:6379/0", "rediss://:{}@b", "sentinel://:{}@b,c/d", "ann:{}@b", "x://:{}@b"]
    ),
)
def test_no_password_is_ever_shown(password: str, form: str) -> None:
    secret = f"hush{password}hush"
    for said in (masked_url(form.format(secret)), fault(form.format(secret)) or ""):
        assert "hush" not in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "it starts with redis://"),
        ("localhost:6379", "it starts with redis://"),
        ("REDIS://a", "it starts with redis://"),
        ("sentinel://a,b/main", "Redis Sentinel URLs (sentinel://) are not supported yet"),
        ("cluster://a", "Redis Cluster URLs (cluster://) are not supported yet"),
        ("redis://a:port", "host and port cannot be read"),
        ("redis://a:65536", "host and port cannot be read"),
        ("redis://:pa/ss@a", "host and port cannot be read"),
        ("redis://a/zero", "no number of a database"),
        ("redis://a?db=zero", "its option db is no number"),
        ("redis://a/0#1", "it has a '#'"),
        ("redis://a\n", "control characters"),
        ("unix://", "it names no socket"),
        ("redis://a?socket_timeout=1", "unknown option 'socket_timeout'; known are db, "),
        ("redis://a?!=1", "unknown option; known are db, "),
    ],
)
def test_what_is_not_valid(url: str, said: str) -> None:
    assert said in (fault(url) or "")


@pytest.mark.parametrize(
    "url",
    ["redis://", "redis://a", "redis://a:1/0/", "redis://u:p%2F@[::1]:1/2?db=3", "unix://u:p@/s?db=1", "rediss://a"],
)
def test_what_is_valid(url: str) -> None:
    assert (fault(url), tls_fault(url)) == (None, None)


def test_tls_options_are_for_tls() -> None:
    assert "ssl_ca_certs is for rediss:// only" in (tls_fault("redis://a?ssl_ca_certs=/x") or "")
    assert "ssl_keyfile needs ssl_certfile" in (tls_fault("rediss://a?ssl_keyfile=/x") or "")
    assert tls_fault("rediss://a?ssl_keyfile=/x&ssl_certfile=/y&ssl_password=z") is None


def test_options_are_added_unless_they_are_there() -> None:
    assert with_options("rediss://a", {}) == "rediss://a"
    assert with_options("rediss://a", {"ssl_certfile": ""}) == "rediss://a"
    assert with_options("rediss://a", {"ssl_ca_certs": "/a b&c"}) == "rediss://a?ssl_ca_certs=/a%20b%26c"
    assert with_options("rediss://a?db=1", {"db": "2", "ssl_ca_certs": "/a"}) == "rediss://a?db=1&ssl_ca_certs=/a"
    assert with_options("rediss://a?", {"ssl_ca_certs": "/a"}) == "rediss://a?ssl_ca_certs=/a"

"""Redis URLs: which are valid, how one is shown without its secrets, how TLS files are added to it.

A message about a URL may quote it masked only. A password with an unescaped `/`, `?` or `#` makes a URL whose parts
are not what they look like: `masked_url` hides too much rather than too little, and `fault` never quotes a part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from urllib.parse import quote, unquote, urlsplit

SCHEMES = ("redis", "rediss", "unix")
COMES_LATER = {"sentinel": "Redis Sentinel", "cluster": "Redis Cluster"}
TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
# redis-py would let other query options of a URL override the settings that the drivers rely on.
OPTIONS = frozenset({"db", "username", "password", "ssl_password", *TLS_OPTIONS})
_SHOWN_OPTIONS = OPTIONS - {"password", "ssl_password"}
_PLACE = re.compile(r"(\[[^\]]*\]|[^:/]*)(:\d*)?(/.*)?")
_PLAIN = re.compile(r"[\w./%~+-]*")


def masked_url(url: str) -> str:
    """`url` without the passwords in its user information and query."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    place, question, query = rest.partition("?")
    if "@" not in place and "@" in rest and not _PLACE.fullmatch(place):
        place, question, query = rest, "", ""  # the question mark is one of the password
    access, at, host = place.rpartition("@")
    if at and ":" in access:
        access = f"{access.partition(':')[0]}:***"
    elif not at and not _PLACE.fullmatch(place):
        host = f"{place.partition(':')[0]}:***"
    return f"{scheme}{separator}{access}{at}{host}{question}{'&'.join(map(_masked_option, query.split('&')))}"


def _masked_option(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return name if not name or unquote(name) in OPTIONS else "***"
    is_shown = unquote(name) in _SHOWN_OPTIONS and _PLAIN.fullmatch(value)
    return f"{name if _PLAIN.fullmatch(name) else '***'}={value if is_shown else '***'}"


def fault(url: str) -> str | None:
    """What is wrong with a URL and what to do, as a sentence without secrets; None: it is valid."""
    scheme, separator, _ = url.partition("://")
    if separator and scheme in COMES_LATER:
        return f"{COMES_LATER[scheme]} URLs ({scheme}://) are not supported yet. Name one server: redis://host:port."
    why = _why(url, scheme) if separator and scheme in SCHEMES else "it starts with redis://, rediss:// or unix://."
    return why and f"the Redis URL {masked_url(url)!r} is not valid: {why}"


def _why(url: str, scheme: str) -> str | None:
    if re.search(r"[\x00-\x1f\x7f]", url):
        return "it has control characters. Write them as %0A and so on."
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read for its check
    except ValueError:
        return "host and port cannot be read. Write '/', '?', '#' and '@' in a password as %2F, %3F, %23 and %40."
    if parts.fragment:
        return "it has a '#'. Write it as %23."
    if scheme == "unix" and not parts.path:
        return "it names no socket: unix:///path/to/socket."
    if scheme != "unix" and not re.fullmatch(r"/?[0-9]*/?", parts.path):
        return "what follows the host is no number of a database: redis://host:port/0."
    return _option_fault(parts.query)


def _asked(query: str) -> dict[str, str]:
    return {unquote(name): value for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)}


def _option_fault(query: str) -> str | None:
    asked = _asked(query)
    if unknown := sorted(asked.keys() - OPTIONS):
        named = f" {unknown[0]!r}" if re.fullmatch(r"[a-z_]+", unknown[0]) else ""
        return f"it has the unknown option{named}; known are {', '.join(sorted(OPTIONS))}."
    if not asked.get("db", "0").isdecimal():
        return "its option db is no number."
    return None


def tls_fault(url: str) -> str | None:
    """What keeps a valid URL from being connected to, because of its TLS options; None: nothing."""
    scheme, _, rest = url.partition("://")
    why = _tls_why(scheme, _asked(rest.partition("?")[2]).keys())
    return why and f"the Redis URL {masked_url(url)!r} is not valid: {why}"


def _tls_why(scheme: str, asked: Set[str]) -> str | None:
    if scheme != "rediss" and (tls := sorted(name for name in asked if name.startswith("ssl_"))):
        return f"{tls[0]} is for rediss:// only."
    if "ssl_keyfile" in asked and "ssl_certfile" not in asked:
        return "ssl_keyfile needs ssl_certfile."
    return None


def with_options(url: str, options: Mapping[str, str]) -> str:
    """`url` with these query options, except those that it has already."""
    query = url.partition("?")[2]
    has = _asked(query)
    added = [f"{name}={quote(value, safe='/')}" for name, value in options.items() if value and name not in has]
    return url if not added else f"{url}{'&' if query else '' if url.endswith('?') else '?'}{'&'.join(added)}"

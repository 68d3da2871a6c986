"""Which servers a `libsql` entry of the configuration, or the environment, names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from buntime_plugin_database.shared.urls import shown

URL_VARIABLES = ("DATABASE_LIBSQL_URL", "DATABASE_LIBSQL_REPLICAS", "LIBSQL_URL")
TOKEN_VARIABLE = "DATABASE_LIBSQL_AUTH_TOKEN"  # noqa: S105 - its name, not the token

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_NUMBERED = re.compile(r"LIBSQL_URL_(\d+)")
_SERVER_SCHEMES = ("http", "https", "ws", "wss", "libsql")


def is_file(url: str) -> bool:
    """Whether the URL is a path, which the embedded engine serves."""
    scheme = _SCHEME.match(url)
    return scheme is None or scheme[1].lower() in ("file", "sqlite")


def check_servers(urls: Iterable[str]) -> str | None:
    """What is wrong with the URLs of a `libsql` entry, or None."""
    first, *others = urls
    if is_file(first):
        if others:
            return f"libsql adapter: {shown(first)} is a file, which has no replicas"
        return None
    from buntime_plugin_database.engines.libsql.transport import (
        check_url,  # needs the client library
    )

    for url in (first, *others):
        scheme = _SCHEME.match(url)
        if scheme is None or scheme[1].lower() not in _SERVER_SCHEMES:
            return f"libsql adapter: {shown(url)} is not the URL of a libSQL server"
        problem = check_url(url)
        if problem is not None:
            return f"libsql adapter: {shown(url)}: {problem}"
    return None


def check_admin(url: str | None) -> str | None:
    """What is wrong with the URL of the admin listener, or None."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    return None if good else f"libsql adapter: adminUrl {shown(url)} is not an HTTP URL"


def distinct(urls: Iterable[str]) -> tuple[str, ...]:
    """The URLs without blank ones and repetitions, in their order."""
    return tuple(dict.fromkeys(stripped for url in urls if (stripped := url.strip())))


def servers_of_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The primary and its replicas that variables name, in the newest spelling that is used.

    Replicas without a primary are nothing: one of them would be taken for it.
    """
    if environ.get("DATABASE_LIBSQL_URL", "").strip():
        replicas = environ.get("DATABASE_LIBSQL_REPLICAS", "").split(",")
        return distinct((environ["DATABASE_LIBSQL_URL"], *replicas))
    numbered = {
        int(match[1]): environ[match[0]] for match in map(_NUMBERED.fullmatch, environ) if match
    }
    if numbered.get(0, "").strip():
        return distinct(numbered[number] for number in sorted(numbered))
    if environ.get("LIBSQL_URL", "").strip():
        replicas = [environ[name] for name in sorted(environ) if name.startswith("LIBSQL_REPLICA_")]
        return distinct((environ["LIBSQL_URL"], *replicas))
    return ()

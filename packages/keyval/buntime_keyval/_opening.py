"""Reads the URL of a store."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from buntime_keyval.embedded import MEMORY, Location
from buntime_keyval.wire import InvalidInput

_SERVERS = ("http", "https")
_DATABASES = ("libsql", "rqlite", "postgresql", "postgres")
_DEFAULT_PATH = "/keyval/api"
_HOST_AND_PORT = re.compile(r"(?:[\w-]+\.)*[\w-]+:\d+(?:/.*)?|\[[0-9a-fA-F:.]+\](?::\d+)?(?:/.*)?")


def is_server(url: str | os.PathLike[str]) -> bool:
    """Whether a server has the store, rather than this process."""
    return isinstance(url, str) and url.partition("://")[0].lower() in _SERVERS


def server_url(
    url: str | os.PathLike[str],
    database: Mapping[str, Any] | None,
    keyval: Mapping[str, Any] | None,
    clock: object,
) -> str:
    """The URL of the API of a server; one without a path stands for the usual one.

    Raises `InvalidInput` for options that a server has of its own.
    """
    if database is not None or keyval is not None:
        raise InvalidInput("a server has its own options: leave database and keyval out")
    if clock is not None:
        raise InvalidInput("a server has its own clock: clock is for a store in this process")
    url = str(url)
    try:
        has_path = urlsplit(url).path not in ("", "/")
    except ValueError:  # which the client tells as it does of any URL
        return url
    return url if has_path else url.rstrip("/") + _DEFAULT_PATH


def location_of(
    url: str | os.PathLike[str],
    token: object,
    database: Mapping[str, Any] | None,
    keyval: Mapping[str, Any] | None,
    clock: Callable[[], float] | None,
) -> Location:
    """The place of the data of a store in this process. Raises `InvalidInput`."""
    location = Location(_checked(url), database or {}, keyval or {}, clock)
    if token is not None:
        raise InvalidInput("token is for a server; that of a database is one of its options")
    if clock is not None and not callable(clock):
        raise InvalidInput(
            f"clock must be a function that returns epoch seconds, such as time.time, received"
            f" {clock!r:.50}"
        )
    return location


def problem_of_path(path: str) -> str | None:
    """Why a text is not taken as a path, though it could be one; None if it is.

    As in a relative URL, a colon before the first slash begins something else: a path that has one
    is written with `./`. A mistyped URL would be the name of a new file.
    """
    first = re.split(r"[/\\]", path, maxsplit=1)[0]
    if ":" not in first or (os.name == "nt" and len(first.partition(":")[0]) == 1):
        return None
    scheme, _, rest = path.partition(":")
    meant = None
    is_secret = "@" in path  # the part before may be a password
    if is_secret:
        path, rest = f"{scheme}:…", "…"
    if "memory" in first.lower() and not first.replace(":", "").lower().replace("memory", ""):
        meant = MEMORY
    elif _HOST_AND_PORT.fullmatch(path):
        meant = f"http://{path}"
    elif scheme.lower() in (*_SERVERS, *_DATABASES):
        meant = f"{scheme.lower()}://{rest.lstrip('/')}"
    elif scheme.lower() == "sqlite":
        meant = rest
    hint = "." if meant is None else f"; did you mean {meant}?"
    found = f"{path!r:.200} is neither a URL nor a path{hint}"
    return found if is_secret else f"{found} A file of this name is ./{path:.200}"


def _checked(url: object) -> str:
    path_of = os.fspath(url) if isinstance(url, os.PathLike) else url
    if not isinstance(path_of, str):
        kind = type(path_of).__name__
        raise InvalidInput(f"url must be a text or a path, received one of type {kind}")
    if "\0" in path_of or not _is_text(path_of):
        raise InvalidInput(
            f"url holds a character that no path and no URL can have: {path_of!r:.100}"
        )
    if isinstance(url, os.PathLike):
        return _url_of_path(path_of)
    url = path_of
    if not url:
        raise InvalidInput("url is empty: give the URL of a server, a path, or :memory:")
    if url == MEMORY:
        return url
    scheme, separator, rest = url.partition(":")
    if separator and scheme.lower() == "file":
        path, question, query = rest.partition("?")
        if path == MEMORY:
            raise InvalidInput(f"url: a store in memory is {MEMORY}, not {url!r:.100}")
        if not path.strip("/"):
            raise InvalidInput(f"url names no file: {url!r:.100}")
        # Of the forms file:a, file:/a, file:///a only the first one is relative.
        return f"file:{Path(path).absolute()}{question}{query}" if path[:1] != "/" else url
    if "://" in url:
        if scheme.lower() not in _DATABASES:
            known = ", ".join(f"{it}://" for it in (*_SERVERS, *_DATABASES))
            raise InvalidInput(f"url: {scheme}:// is not known; use {known}, a path or :memory:")
        return url
    problem = problem_of_path(url)
    if problem is not None:
        raise InvalidInput(f"url: {problem}")
    return _url_of_path(url)


def _url_of_path(path: str) -> str:
    absolute = str(Path(path).absolute())
    if "?" in absolute:
        # URLs of files have parameters behind it, so that another file would be meant.
        raise InvalidInput(f"url: a path with a ? in it cannot be opened: {absolute!r:.200}")
    return f"file:{absolute}"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # such as a name of a file that is not UTF-8
        return False
    return True

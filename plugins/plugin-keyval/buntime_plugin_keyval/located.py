"""Locations of stores as people type them: the database, its file, and obstacles to opening it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buntime_database import DatabaseError
from buntime_host import BuntimeError, OptionError
from buntime_keyval.embedded import MEMORY

_SERVERS = {
    "libsql": "libsql",
    "postgres": "postgres",
    "postgresql": "postgres",
    "rqlite": "rqlite",
}
"""The engine for each scheme of URLs; anything else is a file."""

_OF_THE_HOST = re.compile(r"^(?:required plugin \S+: )?(?:adapters\[0\]: )?")
"""The beginning of a host's message about a wrong option, left out if it has only this store."""

_FILES = ("sqlite://", "sqlite:", "file:")
"""The beginnings of URLs of files, the longest first."""


def adapter_of(url: str) -> dict[str, Any]:
    """The entry of `adapters` for a URL; without a location if the URL leaves the server to other
    options.
    """
    scheme, _, rest = url.partition("://")
    engine = _SERVERS.get(scheme, "sqlite")
    if engine != "sqlite" and not rest:
        return {"type": engine}
    if engine == "rqlite":
        return {"type": engine, "urls": [f"http://{rest}"]}
    return {"type": engine, "url": url}


def reason_of(error: BaseException) -> str:
    """The reason why a store cannot be opened, without the host's words around it: an error of the
    database, or of an option.
    """
    while isinstance(error.__cause__, BuntimeError | DatabaseError | OptionError):
        error = error.__cause__
    return _OF_THE_HOST.sub("", str(error))


def file_of(adapter: Mapping[str, Any], base_dir: Path) -> Path | None:
    """The file of the root database of an entry of `adapters`; None if it is not in a file."""
    if adapter.get("type") not in ("sqlite", "libsql"):
        return None
    url = str(adapter.get("url") or "")
    for scheme in _FILES:
        if url.startswith(scheme):
            url = url.removeprefix(scheme)
            break
    if url == MEMORY or "://" in url:
        return None
    if url:
        return base_dir / url
    folder = adapter.get("baseDir")
    return base_dir / str(folder) / "_default.db" if folder else None


def what_hinders(file: Path) -> str | None:
    """The reason why a store cannot be opened in a file that was typed; None if it can be tried.

    A server creates the folders of its configuration. In a typed path, a missing folder is a typing
    mistake.
    """
    try:
        if not file.parent.is_dir():
            return f"there is no folder {file.parent}: create it, or correct the path"
        return f"{file} is a folder: name a file in it" if file.is_dir() else None
    except OSError as error:  # the name is too long, or a folder is not accessible
        return f"{file}: {error.strerror}"

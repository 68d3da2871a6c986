"""Where a store is, as somebody has typed it: its database, its file, and what hinders it."""

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
"""Which engine serves which kind of URL; all others are files."""

_OF_THE_HOST = re.compile(r"^(?:required plugin \S+: )?(?:adapters\[0\]: )?")
"""Where an option is that is wrong, as a host says it: one that has this store alone does not."""

_FILES = ("sqlite://", "sqlite:", "file:")
"""What a URL of a file may begin with, the longest first."""


def adapter_of(url: str) -> dict[str, Any]:
    """The entry of `adapters` for a URL; without a place for that of a server that it leaves to
    other options.
    """
    scheme, _, rest = url.partition("://")
    engine = _SERVERS.get(scheme, "sqlite")
    if engine != "sqlite" and not rest:
        return {"type": engine}
    if engine == "rqlite":
        return {"type": engine, "urls": [f"http://{rest}"]}
    return {"type": engine, "url": url}


def reason_of(error: BaseException) -> str:
    """Why a store cannot be opened, without the parts of the host around that: what a database
    said, or what is wrong with an option.
    """
    while isinstance(error.__cause__, BuntimeError | DatabaseError | OptionError):
        error = error.__cause__
    return _OF_THE_HOST.sub("", str(error))


def file_of(adapter: Mapping[str, Any], base_dir: Path) -> Path | None:
    """The file of the root database of an entry of `adapters`; None where it is in no file."""
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
    """Why no store can be opened in a file that somebody has typed; None if it can be tried.

    A server makes the folders of its configuration. In a path that was typed, a folder that is
    missing is a misspelt one.
    """
    try:
        if not file.parent.is_dir():
            return f"there is no folder {file.parent}: make it, or correct the path"
        return f"{file} is a folder: name a file in it" if file.is_dir() else None
    except OSError as error:  # a name that is too long, a folder that may not be entered
        return f"{file}: {error.strerror}"

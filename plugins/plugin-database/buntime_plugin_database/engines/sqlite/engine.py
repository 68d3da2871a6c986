"""The embedded engine as the plugin finds it: options of an entry, root database, tenants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
from buntime_host import StartupError

from buntime_plugin_database.engines.sqlite.adapter import SqliteAdapter
from buntime_plugin_database.engines.sqlite.connection import MEMORY, SqliteOptions
from buntime_plugin_database.engines.sqlite.files import too_open
from buntime_plugin_database.engines.sqlite.tenants import FileTenants
from buntime_plugin_database.shared.engine import (
    Completed,
    ConfigError,
    Engine,
    EngineOptions,
    Opening,
)

logger = logging.getLogger("plugin:@buntime/plugin-database")


class SqliteEntry(EngineOptions, frozen=True):
    """An entry for a file, or for a database in memory."""

    url: str | None = None
    """The root database: a path, `file:…`, `sqlite://…` or `:memory:`."""
    base_dir: str | None = None
    """Folder of the tenants' files; without `url` also of the root file `_default.db`."""
    synchronous: Literal["off", "normal", "full", "extra"] = "full"
    busy_timeout: Annotated[int, msgspec.Meta(ge=0)] = 5000
    """Milliseconds that a write waits for another process's lock."""
    statement_timeout: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    """Milliseconds that a read or a write may run; 0 for ever."""
    cache_size: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Page cache of each connection, in MiB."""
    readers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """Threads that scan."""
    reserve: Annotated[int, msgspec.Meta(ge=0)] = 4
    """MiB beside the root database that are given up when the disk is full."""

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        if not (self.url or self.base_dir):
            raise ConfigError(f"URL is required for {self.type} adapter (or baseDir)")
        return super().completed(environ)

    def root(self, base_dir: Path) -> str:
        """Path of the root database, or `MEMORY`; relative paths start at `base_dir`.

        Raises `ConfigError` for a URL of something else than a file.
        """
        if self.url:
            return _path(self.url, base_dir)
        return str(base_dir / (self.base_dir or "") / "_default.db")

    def settings(self) -> SqliteOptions:
        """How the databases behave."""
        return SqliteOptions(
            synchronous=self.synchronous,
            busy_timeout_ms=self.busy_timeout,
            statement_timeout_ms=self.statement_timeout,
            cache_bytes=self.cache_size * 1024 * 1024,
            readers=self.readers,
            reserve_bytes=self.reserve * 1024 * 1024,
        )


async def open_root(entry: SqliteEntry, opening: Opening) -> SqliteAdapter:
    """Open the root database.

    Raises `StartupError` for several workers with a database in memory, since each would have
    one of its own.
    """
    path = entry.root(opening.base_dir)
    workers = opening.workers
    if path == MEMORY:
        if workers.count > 1:
            raise StartupError(
                f"the {entry.type} database is in memory, which workers cannot share: give it a"
                " file, or use one worker"
            )
    elif workers.number == 0 and (warning := too_open(Path(path))) is not None:
        logger.warning("%s", warning)
    return await asyncio.to_thread(
        SqliteAdapter,
        path,
        options=entry.settings(),
        counters=workers.numbers(f"database.{opening.name}.commits", 3),
        asking=workers.numbers(f"database.{opening.name}.asking", 2),
    )


def tenants(entry: SqliteEntry, root: SqliteAdapter, opening: Opening) -> FileTenants:
    """A file for each tenant in `base_dir`."""
    folder = opening.base_dir / entry.base_dir if entry.base_dir else None
    return FileTenants(entry.type, folder, root, entry.settings())


ENGINE = Engine("sqlite", SqliteEntry, open_root, tenants)


def _path(url: str, base_dir: Path) -> str:
    path = url
    for scheme in ("sqlite://", "sqlite:", "file:"):
        if url.startswith(scheme):
            path = url.removeprefix(scheme)
            break
    if "://" in path:
        raise ConfigError(f"{url} is not the URL of an SQLite file")
    if path != url and "?" in path:
        raise ConfigError(f"{url}: parameters of the URL are not supported")
    return MEMORY if path == MEMORY else str(base_dir / path)

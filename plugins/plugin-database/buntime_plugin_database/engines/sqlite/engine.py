"""The embedded engine as the plugin finds it: options of an entry, root database, tenants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from buntime_host import Duration, OptionError, StartupError, option

from buntime_plugin_database.engines.sqlite.adapter import SqliteAdapter
from buntime_plugin_database.engines.sqlite.connection import MEMORY, SqliteOptions
from buntime_plugin_database.engines.sqlite.files import too_open
from buntime_plugin_database.engines.sqlite.tenants import FileTenants
from buntime_plugin_database.shared.engine import Completed, Engine, EngineOptions, Opening
from buntime_plugin_database.shared.urls import is_path, shown

logger = logging.getLogger("plugin:@buntime/plugin-database")


class SqliteEntry(EngineOptions, frozen=True):
    """An entry for a file, or for a database in memory."""

    url: Annotated[
        str | None,
        option(
            "The root database",
            "A path, file:…, sqlite://… or :memory:",
            doc="the root database; see below",
        ),
    ] = None
    base_dir: Annotated[
        str | None,
        option(
            "Folder of the tenants' databases",
            "Without url it also holds the root database, _default.db",
            doc="folder of the tenants' databases; without `url` it also holds the root database,"
            " `_default.db`",
        ),
    ] = None
    synchronous: Annotated[
        Literal["off", "normal", "full", "extra"],
        option(
            "What an acknowledged write survives",
            doc="what an acknowledged write survives; see below",
        ),
    ] = "full"
    busy_timeout: Annotated[
        Duration,
        option(
            "How long a write waits while another process holds the lock",
            "If a Hrana or HTTP transaction holds it, at least as long as that may last",
        ),
    ] = Duration("5s")
    statement_timeout: Annotated[
        Duration,
        option(
            "How long a read or write may run before it is stopped and rolled back",
            "0 sets no limit",
        ),
    ] = Duration("10s")
    cache_size: Annotated[int, option("Page cache of each connection, in MiB", least=1)] = 64
    readers: Annotated[
        int,
        option(
            "Threads for reads that may scan",
            "Reads by key need none. One of several threads is reserved for bounded reads",
            least=1,
            most=64,
        ),
    ] = 3
    reserve: Annotated[
        int,
        option(
            "MiB of disk space reserved in a file, which is deleted when the disk is full",
            "0 reserves none",
            doc="MiB of disk space reserved in a file beside the root database, which is deleted"
            " when the disk is full; 0 reserves none. See [below](#when-the-disk-is-full)",
            least=0,
        ),
    ] = 4

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        if not (self.url or self.base_dir):
            raise OptionError(f"URL is required for {self.type} adapter (or baseDir)")
        return super().completed(environ)

    def root(self, base_dir: Path) -> str:
        """Path of the root database, or `MEMORY`; relative paths start at `base_dir`.

        Raises `OptionError` for a URL of something else than a file.
        """
        if self.url:
            return _path(self.url, base_dir)
        return str(base_dir / (self.base_dir or "") / "_default.db")

    def settings(self) -> SqliteOptions:
        """Options of the databases."""
        return SqliteOptions(
            synchronous=self.synchronous,
            busy_timeout_ms=self.busy_timeout.milliseconds,
            statement_timeout_ms=self.statement_timeout.milliseconds,
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
    if "://" in path or (path == url and path != MEMORY and not is_path(path)):
        raise OptionError(
            f"{shown(url)} is not the URL of an SQLite file: use a path such as ./data.db,"
            f" file:data.db or {MEMORY}"
        )
    if path != url and "?" in path:
        raise OptionError(f"{url}: parameters of the URL are not supported")
    return MEMORY if path == MEMORY else str(base_dir / path)

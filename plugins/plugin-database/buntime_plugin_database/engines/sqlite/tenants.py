"""Tenants of the embedded engine: a file each."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buntime_database import DatabaseUnavailable, InvalidStatement

from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.files import make_file, make_folder, too_open
from buntime_plugin_database.shared.tenants import (
    InvalidTenant,
    TenantNotFound,
    check_tenant_id,
    is_tenant_id,
)

logger = logging.getLogger("plugin:@buntime/plugin-database")

LOCK_FILE = ".tenants.lock"
"""Name of the lock file in the folder of the databases, for all processes that use it."""


class FileTenants:
    """The tenants of one folder, as `shared.tenants.Tenants`."""

    def __init__(
        self, type: str, folder: Path | None, root: SqliteAdapter, options: SqliteOptions
    ) -> None:
        """Without a folder every call is refused with `InvalidStatement`."""
        self._type = type
        self._folder = folder
        self._root = root
        # One reserve is enough to empty the disk; thousands would fill it.
        self._options = options._replace(reserve_bytes=0)
        self._told: set[str] = set()

    def check(self, tenant: str) -> None:
        """Raise `InvalidTenant` for an invalid id, or one that means the root database's file."""
        self._path(tenant)

    async def create(self, tenant: str) -> None:
        """Make the tenant's file; nothing happens if it exists."""
        await asyncio.to_thread(self._create, self._path(tenant))

    async def delete(self, tenant: str) -> bool:
        """Delete the tenant's files; False if there were none."""
        return await asyncio.to_thread(self._delete, self._path(tenant))

    async def list(self) -> list[str]:
        """Ids of the tenants that have a file, sorted."""
        folder = self._required_folder()
        found = await asyncio.to_thread(list_tenant_files, folder)
        return [tenant for tenant in found if not self._is_root(folder / f"{tenant}.db")]

    async def prepare(self, tenant: str, *, create: bool) -> None:
        """Nothing: opening does it all."""

    async def open(self, tenant: str, *, create: bool) -> SqliteAdapter:
        """Open the tenant's file, which must exist unless it may be made."""
        return await asyncio.to_thread(self._open, self._path(tenant), tenant, create)

    def _create(self, path: Path) -> None:
        with _only_one(path.parent):
            create_tenant_file(path)

    def _delete(self, path: Path) -> bool:
        with _only_one(path.parent):
            return delete_tenant_file(path)

    def _open(self, path: Path, tenant: str, create: bool) -> SqliteAdapter:
        with _only_one(path.parent):
            if not create and not path.exists():
                raise TenantNotFound(f"Tenant not found: {tenant}")
            self._warn(path, tenant)
            return SqliteAdapter(str(path), options=self._options, tenant=tenant)

    def _warn(self, path: Path, tenant: str) -> None:
        """Warn once about a tenant's file that others can open."""
        warning = too_open(path)
        if warning is not None and tenant not in self._told:
            self._told.add(tenant)
            logger.warning("%s", warning)

    def _required_folder(self) -> Path:
        if self._folder is None:
            raise InvalidStatement(f"The {self._type} adapter has no baseDir to keep tenants in")
        return self._folder

    def _path(self, tenant: str) -> Path:
        path = tenant_file(self._required_folder(), tenant)
        if self._is_root(path):
            raise InvalidTenant(f"Invalid tenant id {tenant!r}: the root database's file")
        return path

    def _is_root(self, path: Path) -> bool:
        """Whether the root database is among the tenants' files, under that name."""
        return path.resolve() == Path(self._root.path).resolve()


def tenant_file(folder: Path, tenant: str) -> Path:
    """The path of a tenant's database."""
    return folder / f"{check_tenant_id(tenant)}.db"


def list_tenant_files(folder: Path) -> list[str]:
    """Ids of the tenants that have a file in `folder`, sorted."""
    return sorted(path.stem for path in folder.glob("*.db") if is_tenant_id(path.stem))


def create_tenant_file(path: Path) -> None:
    """Make an empty database, which SQLite fills at the first write; an old one is left alone.

    Raises `DatabaseUnavailable` when the folder or the file cannot be made.
    """
    try:
        make_folder(path.parent)
        make_file(path)
    except OSError as error:
        raise DatabaseUnavailable(f"cannot create database {path}: {error.strerror}") from error


def delete_tenant_file(path: Path) -> bool:
    """Remove a tenant's database with its write-ahead log; False if there was none."""
    existed = path.exists()
    # The database last: a log without one looks like the remains of a loss.
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return existed


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Keep other processes from making, opening or deleting a tenant's database meanwhile.

    A database is several files: opening one that is half deleted, or deleting one that was just
    made again, would mix two of them.
    """
    if sys.platform == "win32" or not folder.is_dir():
        yield
        return
    import fcntl

    make_file(folder / LOCK_FILE)
    with (folder / LOCK_FILE).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""Tenants of the embedded engine: a file each."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buntime_database import InvalidStatement

from buntime_plugin_database import tenants
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.files import make_file, too_open

logger = logging.getLogger("plugin:@buntime/plugin-database")

LOCK_FILE = ".tenants.lock"
"""In the folder of the databases, for all processes that use it."""


class FileTenants:
    """The tenants of one folder; implements `buntime_plugin_database.tenants.Tenants`."""

    def __init__(
        self, type: str, folder: Path | None, root: SqliteAdapter, options: SqliteOptions
    ) -> None:
        """Without a folder every call is refused with `InvalidStatement`."""
        self._type = type
        self._folder = folder
        self._root = root
        # One reserve lets the disk be emptied; thousands would fill it.
        self._options = options._replace(reserve_bytes=0)
        self._told: set[str] = set()

    def check(self, tenant: str) -> None:
        """Raise `InvalidTenant` for what is no id, or means the root database's file."""
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
        found = await asyncio.to_thread(tenants.list_tenant_files, folder)
        return [tenant for tenant in found if not self._is_root(folder / f"{tenant}.db")]

    async def prepare(self, tenant: str, *, create: bool) -> None:
        """Nothing: opening does it all."""

    async def open(self, tenant: str, *, create: bool) -> SqliteAdapter:
        """Open the tenant's file, which must exist unless it may be made."""
        return await asyncio.to_thread(self._open, self._path(tenant), tenant, create)

    def _create(self, path: Path) -> None:
        with _only_one(path.parent):
            tenants.create_tenant_file(path)

    def _delete(self, path: Path) -> bool:
        with _only_one(path.parent):
            return tenants.delete_tenant_file(path)

    def _open(self, path: Path, tenant: str, create: bool) -> SqliteAdapter:
        with _only_one(path.parent):
            if not create and not path.exists():
                raise tenants.TenantNotFound(f"Tenant not found: {tenant}")
            self._warn(path, tenant)
            return SqliteAdapter(str(path), options=self._options, tenant=tenant)

    def _warn(self, path: Path, tenant: str) -> None:
        """Tell once of a tenant's file that others can open."""
        warning = too_open(path)
        if warning is not None and tenant not in self._told:
            self._told.add(tenant)
            logger.warning("%s", warning)

    def _required_folder(self) -> Path:
        if self._folder is None:
            raise InvalidStatement(f"The {self._type} adapter has no baseDir to keep tenants in")
        return self._folder

    def _path(self, tenant: str) -> Path:
        path = tenants.tenant_file(self._required_folder(), tenant)
        if self._is_root(path):
            raise tenants.InvalidTenant(f"Invalid tenant id {tenant!r}: the root database's file")
        return path

    def _is_root(self, path: Path) -> bool:
        """Whether the root database is among the tenants' files, under that name."""
        return path.resolve() == Path(self._root.path).resolve()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let no other process make, open or delete a tenant's database meanwhile.

    A database is several files: who opens one that is half deleted, or deletes one that was just
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

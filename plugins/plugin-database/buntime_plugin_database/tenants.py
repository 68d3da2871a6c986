"""Tenants: their names, what an engine does for them, and their files on the embedded engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol

from buntime_database import (
    Adapter,
    DatabaseUnavailable,
    InvalidStatement,
    Session,
    SessionLimits,
)

from buntime_plugin_database.engines.sqlite import files

_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class InvalidTenant(InvalidStatement):
    """The tenant id is not one that every engine can carry."""

    code = "INVALID_TENANT"


class TenantNotFound(InvalidStatement):
    """No such tenant, and tenants are not created on first use."""

    code = "TENANT_NOT_FOUND"


class TenancyNotSupported(InvalidStatement):
    """The engine, or its configuration, cannot do this for tenants."""

    code = "TENANCY_NOT_SUPPORTED"


class CountedSession(Session, Protocol):
    """A session that says when it ends."""

    def when_closed(self, call: Callable[[], object]) -> None:
        """Have `call` called once the session is closed."""
        ...


class OpenDatabase(Adapter, Protocol):
    """What an engine opens for a tenant."""

    def is_current(self) -> bool:
        """Whether it is still the tenant's: another process may have deleted that."""
        ...

    async def open_session(self, limits: SessionLimits | None = None) -> CountedSession: ...


class Tenants(Protocol):
    """The tenants of one engine. Methods raise `DatabaseError`, `TenancyNotSupported` included.

    `check` is asked first; the other methods get only what it accepts.
    """

    def check(self, tenant: str) -> None:
        """Raise `InvalidTenant` for a name that no tenant may have."""
        ...

    async def create(self, tenant: str) -> None:
        """Make the tenant's database; nothing happens if it exists."""
        ...

    async def delete(self, tenant: str) -> bool:
        """Delete the tenant's database, which is closed; False if there was none."""
        ...

    async def list(self) -> list[str]:
        """Ids of the tenants that have a database, sorted."""
        ...

    async def prepare(self, tenant: str, *, create: bool) -> None:
        """What takes its time before `open`, whose callers wait for each other."""
        ...

    async def open(self, tenant: str, *, create: bool) -> OpenDatabase:
        """Open the tenant's database. Raises `TenantNotFound` unless it may be made."""
        ...


class NoTenants:
    """An engine without tenants; implements `Tenants`, and refuses everything."""

    def check(self, tenant: str) -> None:
        check_tenant_id(tenant)
        self._refuse()

    async def create(self, tenant: str) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    async def delete(self, tenant: str) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    async def list(self) -> NoReturn:
        self._refuse()

    async def prepare(self, tenant: str, *, create: bool) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    async def open(self, tenant: str, *, create: bool) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TenancyNotSupported("The libsql adapter needs adminUrl to have tenants")


def check_tenant_id(tenant: str) -> str:
    """Return the id as it is; ids are refused, never rewritten, so no two can meet.

    Raises `InvalidTenant` unless it is 1 to 63 letters, digits, `_` or `-`, the first of them a
    letter or digit.
    """
    if not _TENANT_ID.fullmatch(tenant):
        raise InvalidTenant(
            f"Invalid tenant id {tenant[:80]!r}: use 1 to 63 letters, digits, '_' or '-', "
            "starting with a letter or digit"
        )
    return tenant


def tenant_file(folder: Path, tenant: str) -> Path:
    """Where a tenant's database is."""
    return folder / f"{check_tenant_id(tenant)}.db"


def list_tenant_files(folder: Path) -> list[str]:
    """Ids of the tenants that have a file in `folder`, sorted."""
    return sorted(path.stem for path in folder.glob("*.db") if _TENANT_ID.fullmatch(path.stem))


def create_tenant_file(path: Path) -> None:
    """Make an empty database, which SQLite fills at the first write; an old one is left alone.

    Raises `DatabaseUnavailable` when the folder or the file cannot be made.
    """
    try:
        files.make_folder(path.parent)
        files.make_file(path)
    except OSError as error:
        raise DatabaseUnavailable(f"cannot create database {path}: {error.strerror}") from error


def delete_tenant_file(path: Path) -> bool:
    """Remove a tenant's database with its write-ahead log; False if there was none."""
    existed = path.exists()
    # The database last: a log without one looks like what is left of a loss.
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return existed

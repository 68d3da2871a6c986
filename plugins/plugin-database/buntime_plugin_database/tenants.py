"""Names of tenants and the files that hold their data on the embedded engine."""

from __future__ import annotations

import re
from pathlib import Path

from buntime_database import DatabaseUnavailable, InvalidStatement

_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class InvalidTenant(InvalidStatement):
    """The tenant id is not one that every engine can carry."""

    code = "INVALID_TENANT"


class TenantNotFound(InvalidStatement):
    """No such tenant, and tenants are not created on first use."""

    code = "TENANT_NOT_FOUND"


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
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise DatabaseUnavailable(f"cannot create database {path}: {error.strerror}") from error


def delete_tenant_file(path: Path) -> bool:
    """Remove a tenant's database with its write-ahead log; False if there was none."""
    existed = path.exists()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return existed

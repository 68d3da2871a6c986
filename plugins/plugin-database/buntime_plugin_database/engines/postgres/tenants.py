"""Tenants on a PostgreSQL server: a schema each, beside that of the root database."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter, PostgresServer
from buntime_plugin_database.engines.postgres.connections import quoted
from buntime_plugin_database.shared.tenants import (
    InvalidTenant,
    TenantNotFound,
    check_tenant_id,
    is_tenant_id,
)

_MOST_BYTES = 63
"""Limit of a name; PostgreSQL cuts longer ones, and two tenants would share a schema."""


class SchemaTenants:
    """The tenants of one `postgres` entry, as `shared.tenants.Tenants`."""

    def __init__(self, server: PostgresServer, root: str) -> None:
        """Names of schemas begin with that of the root database, so that other schemas are left
        alone.
        """
        self._server = server
        self._prefix = f"{root}-"  # no name of a root database has a hyphen
        self._root = PostgresAdapter(server, schema=root)

    def check(self, tenant: str) -> None:
        """Raise `InvalidTenant` for an invalid id, or one too long beside the prefix."""
        check_tenant_id(tenant)
        most = _MOST_BYTES - len(self._prefix)
        if len(tenant) > most:
            raise InvalidTenant(
                f"Invalid tenant id {tenant!r}: PostgreSQL's schemas have names of up to"
                f" {_MOST_BYTES} bytes, which leaves {most} for the id"
            )

    async def create(self, tenant: str) -> None:
        """Make the schema; nothing happens if it exists."""
        await self._root.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._prefix + tenant)}")

    async def delete(self, tenant: str) -> bool:
        """Drop the schema with all that is in it; False if there was none."""
        if not await self._exists(tenant):
            return False
        name = quoted(self._prefix + tenant)
        await self._root.batch([Statement(f"DROP SCHEMA IF EXISTS {name} CASCADE")])
        return True

    async def list(self) -> list[str]:
        """Ids of the tenants that have a schema, sorted."""
        rows = await self._root.query(
            "SELECT substr(nspname, ?) FROM pg_namespace WHERE starts_with(nspname, ?)",
            (len(self._prefix) + 1, self._prefix),
        )
        return sorted(str(name) for (name,) in rows if is_tenant_id(str(name)))

    async def prepare(self, tenant: str, *, create: bool) -> None:
        """Make sure that the tenant's schema is there."""
        if await self._exists(tenant):
            return
        if not create:
            raise TenantNotFound(f"Tenant not found: {tenant}")
        await self.create(tenant)

    async def open(self, tenant: str, *, create: bool) -> PostgresAdapter:  # noqa: ARG002 - prepared
        """The adapter; nothing is sent."""
        return PostgresAdapter(self._server, schema=self._prefix + tenant, tenant=tenant)

    async def _exists(self, tenant: str) -> bool:
        name = self._prefix + tenant
        return bool(await self._root.query("SELECT 1 FROM pg_namespace WHERE nspname = ?", (name,)))

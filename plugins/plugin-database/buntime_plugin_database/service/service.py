"""The database service: opens adapters once and hands them out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from buntime_database import Adapter, DatabaseClosed, DatabaseError, InvalidStatement
from buntime_host import Workers

from buntime_plugin_database.service.config import DatabaseConfig, Entry, parse_config
from buntime_plugin_database.service.tenant_adapters import TenantAdapters, TenantKey
from buntime_plugin_database.shared.engine import Opening, RootDatabase
from buntime_plugin_database.shared.tenants import OpenDatabase, Tenants

MOST_DAMAGES = 10
"""Most damages of one file that are named; further ones are mostly of the same kind."""


async def open_service(
    config: DatabaseConfig, base_dir: Path, workers: Workers | None = None
) -> Databases:
    """Open every root database; relative paths start at `base_dir`.

    `workers` are the processes that open the same ones, by default this one alone.

    Raises `OptionError` for an engine that this version does not serve, and `DatabaseUnavailable`
    when a database cannot be opened; opened ones are closed again.
    """
    workers = workers or Workers.alone()
    roots: dict[str, RootDatabase] = {}
    try:
        for entry in config.adapters:
            opening = Opening(entry.type, base_dir, workers)
            roots[entry.type] = await entry.engine.open_root(entry.options, opening)
    except BaseException as error:
        for failure in await _close_all(roots.values()):
            error.add_note(f"closing what was open failed as well: {failure}")
        raise
    return Databases(config, base_dir, roots, workers)


class Databases:
    """Root databases, opened at once, and tenants' databases, opened when asked for.

    Made by `open_service`. Implements `buntime_database.DatabaseService`.
    """

    def __init__(
        self,
        config: DatabaseConfig,
        base_dir: Path,
        roots: Mapping[str, RootDatabase],
        workers: Workers,
    ) -> None:
        self._config = config
        self._base_dir = base_dir
        self._workers = workers
        self._roots = roots
        self._others: list[RootDatabase] = []
        """Root databases of plugins that brought options of their own."""
        self._tenants_of = {
            entry.type: entry.engine.tenants(
                entry.options, roots[entry.type], Opening(entry.type, base_dir, workers)
            )
            for entry in config.adapters
        }
        self._tenants = TenantAdapters(self._open_tenant, max_open=config.tenancy.max_tenants)
        self._closed = False

    def get_root_adapter(self, type: str | None = None) -> Adapter:
        """The root database of an engine, or of the default engine."""
        return self._roots[self._entry(type).type]

    async def get_adapter(self, type: str | None = None, tenant: str | None = None) -> Adapter:
        """The database of a tenant; without a tenant the root database.

        Raises `InvalidTenant` for a bad id, `TenantNotFound` when it has no database and
        `tenancy.autoCreate` is off, `TenancyNotSupported` where there are no tenants.
        """
        entry = self._entry(type)
        if not tenant:
            return self._roots[entry.type]
        engine = self._engine(entry, tenant)
        key = TenantKey(entry.type, tenant)
        if self._tenants.opened(key) is None:
            await engine.prepare(tenant, create=self._config.tenancy.auto_create)
        return await self._tenants.get(key)

    async def open_adapter(self, name: str, options: Mapping[str, Any]) -> Adapter:
        """A root database of the caller's own, described like an entry of `adapters`.

        Raises `OptionError` and `DatabaseUnavailable`.
        """
        self._refuse_closed()
        (entry,) = parse_config({"adapters": [options]}, engines=self._config.engines).adapters
        opening = Opening(name, self._base_dir, self._workers)
        root: RootDatabase = await entry.engine.open_root(entry.options, opening)
        self._others.append(root)
        return root

    async def create_tenant(self, tenant: str, type: str | None = None) -> None:
        """Make the tenant's database; nothing happens if it exists."""
        await self._engine(self._entry(type), tenant).create(tenant)

    async def delete_tenant(self, tenant: str, type: str | None = None) -> bool:
        """Close and delete the tenant's database; False if there was none."""
        entry = self._entry(type)
        engine = self._engine(entry, tenant)
        async with self._tenants.removed(TenantKey(entry.type, tenant)):
            return await engine.delete(tenant)

    async def list_tenants(self, type: str | None = None) -> list[str]:
        """Ids of the tenants that have a database, sorted.

        Raises `TenancyNotSupported` for an engine that cannot tell.
        """
        return await self._tenants_of[self._entry(type).type].list()

    def get_default_type(self) -> str:
        """The engine that is used when none is named."""
        return self._config.default

    def get_available_types(self) -> list[str]:
        """The configured engines, in the order of the configuration."""
        return list(self._roots)

    def problems(self) -> dict[str, str]:
        """Why root databases are unusable, by engine; empty if all are usable."""
        found = {engine: root.problem() for engine, root in self._roots.items()}
        return {engine: problem for engine, problem in found.items() if problem is not None}

    async def check(self) -> str | None:
        """The problem with any root database, checked now if unknown; or None."""
        found = await asyncio.gather(
            *(root.check() for root in (*self._roots.values(), *self._others))
        )
        return "; ".join(dict.fromkeys(problem for problem in found if problem)) or None

    async def diagnose(self) -> list[str]:
        """Damages in the files of root databases, of which SQLite reads every page."""
        found = []
        for engine, root in self._roots.items():
            can = root.capabilities
            if not (can.embedded and can.dialect == "sqlite"):
                continue
            try:
                rows = await root.query(f"PRAGMA quick_check({MOST_DAMAGES})")
            except DatabaseError as error:
                found.append(f"{engine}: {error}")
            else:
                found += [f"{engine}: {text!s}" for (text,) in rows if text != "ok"]
        return found

    async def close(self) -> None:
        """Close every adapter; raises what failed once all were tried. Idempotent."""
        self._closed = True
        failures = await _close_all(
            (*await self._tenants.close(), *self._others, *self._roots.values())
        )
        if failures:
            raise ExceptionGroup("closing databases", failures)

    def _entry(self, type: str | None) -> Entry:
        self._refuse_closed()
        wanted = type or self._config.default
        for entry in self._config.adapters:
            if entry.type == wanted:
                return entry
        raise InvalidStatement(
            f'Adapter type "{wanted}" not configured. Available: {", ".join(self._roots)}'
        )

    def _engine(self, entry: Entry, tenant: str) -> Tenants:
        """The tenants of the engine, if the id is one."""
        engine = self._tenants_of[entry.type]
        engine.check(tenant)
        return engine

    async def _open_tenant(self, key: TenantKey) -> OpenDatabase:
        create = self._config.tenancy.auto_create
        return await self._tenants_of[key.type].open(key.tenant, create=create)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise DatabaseClosed("the database plugin has shut down")


async def _close_all(adapters: Iterable[Adapter]) -> list[Exception]:
    """Close all, whatever happens, and return what went wrong."""
    results = await asyncio.gather(
        *(adapter.close() for adapter in adapters), return_exceptions=True
    )
    return [result for result in results if isinstance(result, Exception)]

"""A tenant's adapter behaves as its engine's own, whatever is closed and opened behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from buntime_database import (
    Adapter,
    DatabaseClosed,
    DatabaseUnavailable,
    Transaction,
    TransactionMisuse,
)
from buntime_database_conformance import (
    CASES,
    Case,
    EngineUnderTest,
    OpenAdapter,
    cases_lifecycle,
    run_case,
)
from buntime_plugin_database.engines.sqlite.adapter import CAPABILITIES
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config

pytestmark = pytest.mark.slow

OPTIONS = {
    "adapters": [{"type": "sqlite", "baseDir": "data"}],
    "tenancy": {"autoCreate": True, "maxTenants": 1},
}


def tenant_target(folder: Path) -> EngineUnderTest:
    """A tenant that each adapter reaches through a service of its own."""

    @asynccontextmanager
    async def database() -> AsyncIterator[OpenAdapter]:
        services: list[Databases] = []

        async def open_adapter() -> Adapter:
            services.append(await open_service(parse_config(OPTIONS), folder))
            adapter = await services[-1].get_adapter(None, "acme")
            await services[-1].get_adapter(None, "other")  # which takes the only place
            return adapter

        try:
            yield open_adapter
        finally:
            for service in services:
                await service.close()

    return EngineUnderTest("a tenant", CAPABILITIES, database)


@pytest.mark.parametrize(
    "case",
    # Closing is the service's business: one user of a tenant does not close it under the others.
    [
        case
        for case in CASES
        if case.run.__module__ != cases_lifecycle.__name__
        and case.name != "a_transaction_inside_another_is_refused"
        and not case.missing(tenant_target(Path()))
    ],
    ids=lambda case: case.name,
)
async def test_a_tenant(case: Case, tmp_path: Path) -> None:
    await run_case(case, tenant_target(tmp_path))


async def test_what_belongs_to_the_open_database(tmp_path: Path) -> None:
    service = await open_service(parse_config(OPTIONS), tmp_path)
    adapter = await service.get_adapter(None, "acme")
    assert adapter.statistics()
    await adapter.close()  # others may use it
    await adapter.execute("CREATE TABLE t (x)")
    await service.get_adapter(None, "other")
    assert adapter.statistics() == {}
    with pytest.raises(DatabaseUnavailable, match="run a statement first"):
        adapter.get_raw_client()
    await adapter.execute("SELECT 1")
    assert adapter.get_raw_client().db_filename("main").endswith("acme.db")
    with pytest.raises(DatabaseUnavailable, match="all of them in use"):
        await service.get_adapter(None, "other")
    await service.delete_tenant("acme")
    with pytest.raises(DatabaseClosed):
        adapter.get_raw_client()
    with pytest.raises(DatabaseClosed):
        await adapter.open_session()
    await service.close()


async def test_a_tenant_is_not_deleted_from_inside_its_own_transaction(tmp_path: Path) -> None:
    service = await open_service(parse_config(OPTIONS), tmp_path)
    adapter = await service.get_adapter(None, "acme")
    await adapter.execute("CREATE TABLE t (x)")

    async def delete(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(TransactionMisuse):
            await service.delete_tenant("acme")

    await adapter.transaction(delete)
    assert await adapter.query("SELECT x FROM t") == [(1,)]
    await service.close()

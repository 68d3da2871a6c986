"""Tenants: a file each."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from buntime_database import (
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    InvalidStatement,
    Statement,
    Transaction,
)
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config
from buntime_plugin_database.shared.tenants import InvalidTenant, TenantNotFound, check_tenant_id


class OpenService(Protocol):
    async def __call__(self, tenancy: dict[str, Any] | None = ..., **adapter: Any) -> Databases: ...


@pytest.fixture
async def open_tenants(tmp_path: Path) -> AsyncIterator[OpenService]:
    opened: list[Databases] = []

    async def open_one(tenancy: dict[str, Any] | None = None, **adapter: Any) -> Databases:
        entry = {"type": "sqlite", "baseDir": "data", **adapter}
        options = {"adapters": [entry], "tenancy": tenancy or {"autoCreate": True}}
        opened.append(await open_service(parse_config(options), tmp_path))
        return opened[-1]

    yield open_one
    for service in opened:
        await service.close()


GOOD = ["a", "A", "0", "a-b_c", "a" * 63, "acme"]
BAD = [
    "-a",
    "_a",
    "_default",
    ".",
    "..",
    "../a",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "a.b",
    "a b",
    "a\n",
    "a\0",
    "ä",
    "a" * 64,
    "%2e%2e",
    "a;b",
]


@pytest.mark.parametrize("tenant", GOOD)
def test_a_good_id_is_kept_as_it_is(tenant: str) -> None:
    assert check_tenant_id(tenant) == tenant


@pytest.mark.parametrize("tenant", BAD)
async def test_a_bad_id_is_refused_everywhere(
    tenant: str, open_tenants: OpenService, tmp_path: Path
) -> None:
    service = await open_tenants()
    for call in (service.create_tenant, service.delete_tenant):
        with pytest.raises(InvalidTenant, match="Invalid tenant id"):
            await call(tenant)
    with pytest.raises(InvalidTenant, match="Invalid tenant id"):
        await service.get_adapter(None, tenant)
    assert os.listdir(tmp_path) == ["data"]
    assert await service.list_tenants() == []


async def test_without_auto_create_a_tenant_must_be_made(open_tenants: OpenService) -> None:
    service = await open_tenants({"autoCreate": False})
    with pytest.raises(TenantNotFound, match="Tenant not found: acme"):
        await service.get_adapter(None, "acme")
    assert await service.list_tenants() == []
    await service.create_tenant("acme")
    await service.create_tenant("acme")
    assert (await service.get_adapter(None, "acme")).tenant == "acme"
    assert await service.list_tenants() == ["acme"]


async def test_tenants_do_not_see_each_other(open_tenants: OpenService) -> None:
    service = await open_tenants()
    for tenant in ("a", "b", ""):
        adapter = await service.get_adapter(None, tenant)
        await adapter.execute("CREATE TABLE t (name TEXT)")
        await adapter.execute("INSERT INTO t VALUES (?)", (tenant,))
    for tenant in ("a", "b", ""):
        adapter = await service.get_adapter(None, tenant)
        assert await adapter.query("SELECT name FROM t") == [(tenant,)]


async def test_first_uses_at_the_same_time_open_one_adapter(open_tenants: OpenService) -> None:
    service = await open_tenants()
    adapters = await asyncio.gather(*(service.get_adapter(None, "a") for _ in range(20)))
    assert len({id(adapter) for adapter in adapters}) == 1


async def test_the_list_has_tenants_only(open_tenants: OpenService, tmp_path: Path) -> None:
    service = await open_tenants()
    for tenant in ("b", "a"):
        await service.get_adapter(None, tenant)
    (tmp_path / "data" / "not a tenant.db").touch()
    (tmp_path / "data" / "notes.txt").touch()
    assert (tmp_path / "data" / "_default.db").exists()
    assert await service.list_tenants() == ["a", "b"]


async def test_deleting_removes_every_file(open_tenants: OpenService, tmp_path: Path) -> None:
    service = await open_tenants()
    adapter = await service.get_adapter(None, "a")
    await adapter.execute("CREATE TABLE t (x)")
    names = {"a.db", "a.db-wal", "a.db-shm"}
    assert names <= {path.name for path in (tmp_path / "data").iterdir()}
    assert await service.delete_tenant("a")
    assert not names & {path.name for path in (tmp_path / "data").iterdir()}
    with pytest.raises(DatabaseClosed):
        await adapter.execute("SELECT 1")
    assert not await service.delete_tenant("a")
    again = await service.get_adapter(None, "a")
    assert await again.query("SELECT count(*) FROM sqlite_schema") == [(0,)]


async def test_files_left_by_a_crash_are_removed_as_well(
    open_tenants: OpenService, tmp_path: Path
) -> None:
    service = await open_tenants()
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / "data" / f"a.db{suffix}").write_bytes(b"left behind")
    assert await service.delete_tenant("a")
    assert await service.list_tenants() == []
    adapter = await service.get_adapter(None, "a")
    await adapter.execute("CREATE TABLE t (x)")


async def test_the_least_recently_used_makes_room_and_is_opened_again(
    open_tenants: OpenService,
) -> None:
    service = await open_tenants({"autoCreate": True, "maxTenants": 2})
    adapters = {tenant: await service.get_adapter(None, tenant) for tenant in ("a", "b", "c")}
    for tenant, adapter in adapters.items():
        assert adapter.tenant == tenant
        await adapter.execute("CREATE TABLE t (name TEXT)")
        await adapter.execute("INSERT INTO t VALUES (?)", (tenant,))
    for tenant, adapter in adapters.items():
        assert await adapter.query("SELECT name FROM t") == [(tenant,)]


async def test_an_adapter_in_use_is_not_closed_to_make_room(open_tenants: OpenService) -> None:
    service = await open_tenants({"autoCreate": True, "maxTenants": 1})
    adapter = await service.get_adapter(None, "a")
    await adapter.execute("CREATE TABLE t (x)")

    async def insert_while_others_open(transaction: Transaction) -> None:
        await transaction.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseUnavailable, match="all of them in use"):
            await service.get_adapter(None, "b")
        await transaction.execute("INSERT INTO t VALUES (2)")

    await adapter.transaction(insert_while_others_open)
    assert (await service.get_adapter(None, "b")).tenant == "b"
    assert await adapter.query("SELECT x FROM t") == [(1,), (2,)]


async def test_a_session_keeps_its_database_open(open_tenants: OpenService) -> None:
    service = await open_tenants({"autoCreate": True, "maxTenants": 1})
    session = await (await service.get_adapter(None, "a")).open_session()
    await session.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="all of them in use"):
        await service.get_adapter(None, "b")
    await session.close()
    assert (await service.get_adapter(None, "b")).tenant == "b"


async def test_many_users_of_few_places(open_tenants: OpenService) -> None:
    service = await open_tenants({"autoCreate": True, "maxTenants": 3})
    names = [f"t{number}" for number in range(9)]
    for name in names:
        await (await service.get_adapter(None, name)).execute("CREATE TABLE t (x)")

    async def use(worker: int) -> None:
        for turn in range(10):
            adapter = await service.get_adapter(None, names[(worker * 7 + turn) % len(names)])
            await adapter.execute("INSERT INTO t VALUES (1)")

    await asyncio.gather(*(use(worker) for worker in range(3)))
    counts = [
        (await (await service.get_adapter(None, name)).query("SELECT count(*) FROM t"))[0][0]
        for name in names
    ]
    assert sum(int(str(count)) for count in counts) == 30


async def test_the_root_database_is_no_tenant(open_tenants: OpenService, tmp_path: Path) -> None:
    service = await open_tenants(url="data/../data/main.db")
    await service.get_root_adapter().execute("CREATE TABLE t (x)")
    assert (tmp_path / "data" / "main.db").exists()
    with pytest.raises(InvalidTenant, match="the root database's file"):
        await service.get_adapter(None, "main")
    with pytest.raises(InvalidTenant, match="the root database's file"):
        await service.delete_tenant("main")
    assert await service.list_tenants() == []


async def test_without_a_folder_there_are_no_tenants(open_tenants: OpenService) -> None:
    service = await open_tenants(baseDir=None, url=":memory:")
    with pytest.raises(InvalidStatement, match="no baseDir to keep tenants in"):
        await service.get_adapter(None, "a")


async def rows(service: Databases, tenant: str) -> list[tuple[Any, ...]]:
    return await (await service.get_adapter(None, tenant)).query("SELECT x FROM t ORDER BY x")


async def make(service: Databases, tenant: str, *values: int) -> None:
    adapter = await service.get_adapter(None, tenant)
    await adapter.execute("CREATE TABLE t (x)")
    for value in values:
        await adapter.execute("INSERT INTO t VALUES (?)", (value,))


async def test_a_tenant_that_another_process_deleted_is_gone(open_tenants: OpenService) -> None:
    tenancy = {"autoCreate": False}
    one, two = await open_tenants(tenancy), await open_tenants(tenancy)
    await one.create_tenant("acme")
    await make(one, "acme", 1)
    held = await two.get_adapter(None, "acme")
    assert await rows(two, "acme") == [(1,)]
    assert await one.delete_tenant("acme")
    with pytest.raises(TenantNotFound):
        await held.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(TenantNotFound):
        await two.get_adapter(None, "acme")
    await one.create_tenant("acme")
    await make(one, "acme", 3)
    # Nothing is written to a file without a name.
    await held.execute("INSERT INTO t VALUES (4)")
    assert await rows(one, "acme") == await rows(two, "acme") == [(3,), (4,)]


@pytest.mark.slow
async def test_processes_that_make_write_and_delete_one_tenant(
    open_tenants: OpenService, tmp_path: Path
) -> None:
    services = [await open_tenants({"autoCreate": True}) for _ in range(3)]

    async def work(service: Databases, number: int) -> None:
        for round_ in range(40):
            if (round_ + number) % 5 == 0:
                await service.delete_tenant("acme")
                continue
            adapter = await service.get_adapter(None, "acme")
            # Another one may delete it meanwhile; what is left is a database nevertheless.
            with contextlib.suppress(DatabaseError):
                await adapter.batch(
                    [
                        Statement("CREATE TABLE IF NOT EXISTS t (x)"),
                        Statement("INSERT INTO t VALUES (?)", (number,)),
                    ]
                )

    async with asyncio.TaskGroup() as group:
        for number, service in enumerate(services):
            group.create_task(work(service, number))
    await services[0].delete_tenant("acme")
    for service in services:
        adapter = await service.get_adapter(None, "acme")
        assert await adapter.query("PRAGMA integrity_check") == [("ok",)]
    await make(services[0], "acme", 1)
    assert await rows(services[1], "acme") == await rows(services[2], "acme") == [(1,)]
    await services[1].delete_tenant("acme")
    assert [path.name for path in (tmp_path / "data").glob("acme*")] == []

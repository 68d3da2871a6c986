"""Tenants on servers: a namespace each, on the primary and on its replicas."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import pytest
from buntime_database import Adapter, DatabaseClosed, DatabaseUnavailable, SessionsNotSupported
from buntime_database_conformance import (
    CASES,
    Case,
    EngineUnderTest,
    OpenAdapter,
    cases_lifecycle,
    run_case,
)
from buntime_host import OptionError
from buntime_plugin_database.engines.libsql import servers as servers_module
from buntime_plugin_database.engines.libsql.adapter import CAPABILITIES
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config
from buntime_plugin_database.shared.tenants import (
    InvalidTenant,
    TenancyNotSupported,
    TenantNotFound,
)
from database.test_tenants import BAD
from support.sqld import Sqld, free_port
from support.waiting import PATIENCE

_NUMBERS = itertools.count()


class OpenTenants(Protocol):
    async def __call__(self, tenancy: dict[str, Any] | None = ..., **adapter: Any) -> Databases: ...


@pytest.fixture
async def open_tenants(namespaced: list[Sqld]) -> AsyncIterator[OpenTenants]:
    opened: list[Databases] = []

    async def open_one(tenancy: dict[str, Any] | None = None, **adapter: Any) -> Databases:
        place = {
            "urls": [namespaced[0].url],
            "adminUrl": namespaced[0].admin_url,
            "readYourWrites": True,
        }
        entry = {"type": "libsql", **place, **adapter}
        config = parse_config({"adapters": [entry], "tenancy": tenancy or {}})
        opened.append(await open_service(config, Path()))
        return opened[-1]

    yield open_one
    for service in opened:
        await service.close()


@pytest.fixture
def tenants() -> tuple[str, str]:
    """Two names that no other test uses."""
    number = next(_NUMBERS)
    return f"Acme_{number}", f"other-{number}"


def websocket(server: Sqld) -> str:
    return server.url.replace("http", "ws")


async def copied_to(replica: Sqld, tenant: str) -> None:
    """Wait until the replica has the tables of the tenant."""
    deadline = monotonic() + PATIENCE
    while not replica.run("SELECT name FROM sqlite_schema", tenant)["rows"]:
        assert monotonic() < deadline, "the replica does not replicate"
        await asyncio.sleep(0.02)


async def write_a_name(adapter: Adapter, name: str) -> None:
    await adapter.execute("CREATE TABLE t (name TEXT)")
    await adapter.execute("INSERT INTO t VALUES (?)", (name,))


@pytest.mark.parametrize("routing", [None, "subdomain", "header"])
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_tenants_and_the_root_database_are_separate(
    routing: str | None,
    scheme: str,
    open_tenants: OpenTenants,
    namespaced: list[Sqld],
    tenants: tuple[str, str],
) -> None:
    urls = [websocket(namespaced[0]) if scheme == "ws" else namespaced[0].url, namespaced[1].url]
    service = await open_tenants(urls=urls, namespaceRouting=routing)
    root = service.get_root_adapter()
    await root.execute("DROP TABLE IF EXISTS t")
    adapters: dict[str, Adapter] = {"default": root}
    for tenant in tenants:
        await service.create_tenant(tenant)
        adapters[tenant] = await service.get_adapter("libsql", tenant)
        assert adapters[tenant].tenant == tenant
    for name, adapter in adapters.items():
        await write_a_name(adapter, name)
    for name, adapter in adapters.items():
        assert await adapter.query("SELECT name FROM t") == [(name,)]
        stored = namespaced[0].run("SELECT name FROM t", name)["rows"]
        assert stored == [[{"type": "text", "value": name}]]
    for tenant in tenants:
        assert await service.delete_tenant(tenant)


@pytest.mark.parametrize("routing", ["subdomain", "header"])
async def test_replicas_of_a_tenant(
    routing: str,
    open_tenants: OpenTenants,
    namespaced: list[Sqld],
    tenants: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers_module, "RESTART_SECONDS", 0)
    urls = [server.url for server in namespaced]
    service = await open_tenants({"autoCreate": True}, urls=urls, namespaceRouting=routing)
    for tenant in tenants:
        adapter = await service.get_adapter(None, tenant)
        await write_a_name(adapter, tenant)
        for _ in range(5):
            assert await adapter.query("SELECT name FROM t") == [(tenant,)]
        assert adapter.statistics()["replica_reads"] > 0


async def test_a_new_tenant_never_shows_what_a_deleted_one_of_its_name_had(
    open_tenants: OpenTenants, namespaced: list[Sqld], tenants: tuple[str, str]
) -> None:
    service = await open_tenants(urls=[server.url for server in namespaced])
    tenant = tenants[0]
    for _ in range(3):
        await service.create_tenant(tenant)
        adapter = await service.get_adapter(None, tenant)
        assert await adapter.query("SELECT name FROM sqlite_schema") == []
        assert adapter.statistics()["replica_reads"] == 0  # it may not know of the deletion yet
        await write_a_name(adapter, "secret")
        await copied_to(namespaced[1], tenant)
        assert await service.delete_tenant(tenant)
        with pytest.raises(DatabaseClosed, match="was deleted"):
            await adapter.query("SELECT 1")


async def test_the_life_of_a_tenant(open_tenants: OpenTenants, tenants: tuple[str, str]) -> None:
    service = await open_tenants()
    tenant = tenants[0]
    with pytest.raises(TenantNotFound, match=f"Tenant not found: {tenant}"):
        await service.get_adapter(None, tenant)
    for _ in range(2):
        await service.create_tenant(tenant)
    adapter = await service.get_adapter(None, tenant)
    await write_a_name(adapter, tenant)
    with pytest.raises(SessionsNotSupported):
        await adapter.open_session()
    with pytest.raises(TenancyNotSupported, match="cannot list"):
        await service.list_tenants()
    assert await service.delete_tenant(tenant) is True
    assert await service.delete_tenant(tenant) is False
    with pytest.raises(TenantNotFound):
        await service.get_adapter(None, tenant)


async def test_tenants_that_are_made_when_they_are_asked_for(
    open_tenants: OpenTenants, tenants: tuple[str, str]
) -> None:
    service = await open_tenants({"autoCreate": True, "maxTenants": 1})
    found = await asyncio.gather(*(service.get_adapter(None, tenants[0]) for _ in range(5)))
    assert len({id(adapter) for adapter in found}) == 1
    other = await service.get_adapter(None, tenants[1])  # which closes the first
    assert found[0].statistics() == {}
    for name, adapter in (("a", found[0]), ("b", other)):
        await write_a_name(adapter, name)
    assert await found[0].query("SELECT name FROM t") == [("a",)]
    assert await other.query("SELECT name FROM t") == [("b",)]


@pytest.mark.parametrize("auto_create", [False, True])
async def test_a_tenant_that_another_host_deletes(
    auto_create: bool, open_tenants: OpenTenants, tenants: tuple[str, str]
) -> None:
    ours, theirs = await open_tenants({"autoCreate": auto_create}), await open_tenants()
    await theirs.create_tenant(tenants[0])
    adapter = await ours.get_adapter(None, tenants[0])
    await write_a_name(adapter, "old")
    assert await theirs.delete_tenant(tenants[0])
    with pytest.raises(TenantNotFound):
        await adapter.execute("INSERT INTO t VALUES ('new')")
    if auto_create:
        adapter = await ours.get_adapter(None, tenants[0])
        assert await adapter.query("SELECT name FROM sqlite_schema") == []
    else:
        with pytest.raises(TenantNotFound):
            await ours.get_adapter(None, tenants[0])


@asynccontextmanager
async def admin(status: int, answer: Any = None) -> AsyncIterator[tuple[str, list[str]]]:
    """A listener that answers everything alike, and the first lines of what it was sent.

    The status 0 means no answer at all.
    """
    requests: list[str] = []
    body = "" if answer is None else json.dumps(answer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        requests.append(head.partition("\r\n")[0])
        if status:
            await reader.read(2 if "create" in head else 0)
            writer.write(
                f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\nlocation: /x\r\n"
                f"connection: close\r\n\r\n{body}".encode()
            )
            await writer.drain()
        else:
            await reader.read()  # until the client has had enough
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("tenant", [*BAD, "default"])
async def test_a_bad_id_goes_nowhere(tenant: str, open_tenants: OpenTenants) -> None:
    async with admin(200) as (url, requests):
        service = await open_tenants({"autoCreate": True}, adminUrl=url)
        for call in (service.create_tenant, service.delete_tenant):
            with pytest.raises(InvalidTenant, match="Invalid tenant id"):
                await call(tenant)
        with pytest.raises(InvalidTenant, match="Invalid tenant id"):
            await service.get_adapter(None, tenant)
        assert requests == []


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (500, {"error": "no room"}, "answered 500 no room"),
        (404, None, "answered 404"),  # the listener for data
        (400, {"error": "bad name"}, "answered 400 bad name"),
        (307, None, "answered 307"),
        (401, ["?"], "answered 401"),
        (0, None, "did not answer in time"),
    ],
)
async def test_an_admin_listener_that_refuses(
    status: int, answer: Any, message: str, open_tenants: OpenTenants, tenants: tuple[str, str]
) -> None:
    async with admin(status, answer) as (url, requests):
        service = await open_tenants(adminUrl=f"{url}/", operationTimeout=300)
        with pytest.raises(DatabaseUnavailable, match=message):
            await service.create_tenant(tenants[0])
        with pytest.raises(DatabaseUnavailable, match=message):
            await service.delete_tenant(tenants[0])
        path = f"/v1/namespaces/{tenants[0]}"
        assert requests == [f"POST {path}/create HTTP/1.1", f"DELETE {path} HTTP/1.1"]


async def test_an_admin_listener_with_a_key(tmp_path: Path, open_tenants: OpenTenants) -> None:
    server = Sqld(tmp_path / "sqld", "--admin-auth-key", "secret", namespaces=True)
    server.start()
    try:
        place: dict[str, Any] = {"urls": [server.url], "adminUrl": server.admin_url}
        wrong: list[dict[str, Any]] = [{}, {"authToken": "secret"}, {"adminToken": "wrong"}]
        for tokens in wrong:
            service = await open_tenants(**place, **tokens)
            with pytest.raises(DatabaseUnavailable, match="answered 401"):
                await service.create_tenant("acme")
        service = await open_tenants(**place, adminToken="secret", authToken="other")
        await service.create_tenant("acme")
        assert await (await service.get_adapter(None, "acme")).query("SELECT 1") == [(1,)]
        assert await service.delete_tenant("acme")
        await service.close()
    finally:
        server.kill()


async def test_a_tenant_that_could_not_be_deleted_is_still_there(
    open_tenants: OpenTenants, tenants: tuple[str, str]
) -> None:
    async with admin(500) as (url, _):
        await (await open_tenants()).create_tenant(tenants[0])
        service = await open_tenants(adminUrl=url)
        adapter = await service.get_adapter(None, tenants[0])
        with pytest.raises(DatabaseUnavailable):
            await service.delete_tenant(tenants[0])
        assert await adapter.query("SELECT 1") == [(1,)]


async def test_an_admin_listener_that_is_not_there(
    open_tenants: OpenTenants, tenants: tuple[str, str]
) -> None:
    service = await open_tenants(adminUrl=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        DatabaseUnavailable, match="listener of the libSQL server cannot be reached"
    ):
        await service.create_tenant(tenants[0])


async def test_a_server_that_has_one_database_for_all(
    pair: list[Sqld], open_tenants: OpenTenants, tenants: tuple[str, str], namespaced: list[Sqld]
) -> None:
    await (await open_tenants()).create_tenant(tenants[0])
    for urls in ([pair[0].url], [namespaced[0].url, pair[1].url]):
        for routing in ("subdomain", "header"):
            service = await open_tenants(urls=urls, namespaceRouting=routing)
            for call in (service.create_tenant, service.delete_tenant):
                with pytest.raises(TenancyNotSupported, match="--enable-namespaces"):
                    await call(tenants[0])
            with pytest.raises(TenancyNotSupported, match="--enable-namespaces"):
                await service.get_adapter(None, tenants[0])


async def test_a_replica_that_is_away_is_left_out(
    open_tenants: OpenTenants, namespaced: list[Sqld], tenants: tuple[str, str]
) -> None:
    urls = [namespaced[0].url, f"http://127.0.0.1:{free_port()}"]
    service = await open_tenants({"autoCreate": True}, urls=urls)
    adapter = await service.get_adapter(None, tenants[0])
    await write_a_name(adapter, "a")
    assert await adapter.query("SELECT name FROM t") == [("a",)]
    assert adapter.statistics()["replica_failures"] == 0


async def test_without_an_admin_listener_tenants_are_only_used(
    open_tenants: OpenTenants, tenants: tuple[str, str]
) -> None:
    await (await open_tenants()).create_tenant(tenants[0])
    service = await open_tenants({"autoCreate": True}, adminUrl=None, namespaceRouting="header")
    assert await (await service.get_adapter(None, tenants[0])).query("SELECT 1") == [(1,)]
    for wanted in (
        service.get_adapter(None, tenants[1]),
        service.create_tenant(tenants[1]),
        service.delete_tenant(tenants[0]),
    ):
        with pytest.raises(TenancyNotSupported, match="needs adminUrl"):
            await wanted


async def test_without_either_option_there_are_no_tenants(pair: list[Sqld]) -> None:
    entry = {"type": "libsql", "url": pair[0].url}
    service = await open_service(parse_config({"adapters": [entry]}), Path())
    for wanted in (
        service.get_adapter(None, "acme"),
        service.create_tenant("acme"),
        service.delete_tenant("acme"),
        service.list_tenants(),
    ):
        with pytest.raises(TenancyNotSupported, match="needs adminUrl"):
            await wanted
    with pytest.raises(InvalidTenant):
        await service.get_adapter(None, "a.b")
    await service.close()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"adminUrl": "one:8081"}, "adminUrl one:8081 is not an HTTP URL"),
        ({"adminUrl": "ws://one:8081"}, "is not an HTTP URL"),
        ({"adminUrl": "http://one:8081/?x=1"}, "is not an HTTP URL"),
        ({"adminUrl": "http://[one"}, "is not an HTTP URL"),
        ({"namespaceRouting": "path"}, "namespaceRouting"),
    ],
)
def test_a_wrong_configuration(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        parse_config({"adapters": [{"type": "libsql", "url": "http://one", **entry}]})
    assert message in str(raised.value)


def test_the_default_tenant_is_the_root_database() -> None:
    entry = {"type": "libsql", "url": "http://one", "adminUrl": "http://one:8081"}
    config = parse_config({"adapters": [entry], "tenancy": {"enabled": True}})
    assert "choose another" in config.warnings[0]
    config = parse_config({"adapters": [entry], "tenancy": {"enabled": True, "defaultTenant": "x"}})
    assert config.warnings == ()


def tenant_target(server: Sqld | None) -> EngineUnderTest:
    """A new tenant, which each adapter reaches through a service of its own."""

    @asynccontextmanager
    async def database() -> AsyncIterator[OpenAdapter]:
        assert server is not None
        services: list[Databases] = []
        entry = {"type": "libsql", "url": server.url, "adminUrl": server.admin_url}
        tenancy = {"autoCreate": True, "maxTenants": 1}
        tenant = f"case{next(_NUMBERS)}"

        async def open_adapter() -> Adapter:
            config = parse_config({"adapters": [entry], "tenancy": tenancy})
            services.append(await open_service(config, Path()))
            adapter = await services[-1].get_adapter(None, tenant)
            await services[-1].get_adapter(None, "other")  # which takes the only place
            return adapter

        try:
            yield open_adapter
        finally:
            for service in services:
                await service.close()

    return EngineUnderTest("a tenant on a server", CAPABILITIES, database)


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if case.run.__module__ != cases_lifecycle.__name__ and not case.missing(tenant_target(None))
    ],
    ids=lambda case: case.name,
)
async def test_an_adapter_of_a_tenant(case: Case, namespaced: list[Sqld]) -> None:
    await run_case(case, tenant_target(namespaced[0]))

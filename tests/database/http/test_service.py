"""`health`, `adapters`, `tenants`, and how a request finds its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.database import Api, database_server
from support.live import LiveServer


def test_adapters_and_health(api: Api) -> None:
    assert api.get("adapters") == {"adapters": ["sqlite"], "default": "sqlite"}
    assert api.get("adapters?details=true")["tenant"] is None
    assert api.get("health") == {"status": "healthy", "adapters": {"sqlite": "healthy"}}
    assert api.get("health?type=sqlite") == {"status": "healthy", "type": "sqlite"}
    error = api.get("health?type=mysql", 400)
    assert error["error"] == 'Adapter type "mysql" not configured. Available: sqlite'


def test_the_life_of_a_tenant(api: Api, api_server: LiveServer) -> None:
    created = {"ok": True, "id": "acme", "type": "sqlite"}
    for _ in range(2):
        assert api.post("tenants", {"id": "acme"}, 201) == created
    assert "acme" in api.get("tenants")["tenants"]
    api.sql("CREATE TABLE only_acme (x)", tenant="acme")
    assert (api_server.folder / "data" / "acme.db").exists()
    assert api.call("DELETE", "tenants/acme") == {"ok": True, "deleted": True}
    assert api.call("DELETE", "tenants/acme") == {"ok": True, "deleted": False}
    assert not list((api_server.folder / "data").glob("acme*"))
    assert "acme" not in api.get("tenants")["tenants"]


@pytest.mark.parametrize(
    "tenant", ["", None, 5, "_default", "..", "../x", "a/b", "a.b", "-a", "a" * 64, "ä", "a\u0000"]
)
def test_a_bad_tenant_is_refused(api: Api, api_server: LiveServer, tenant: object) -> None:
    before = sorted(api_server.folder.rglob("*.db"))
    error = api.post("tenants", {"id": tenant}, 400)
    assert error["code"] == "INVALID_TENANT"
    assert error["error"].startswith("Missing or invalid tenant id")
    assert sorted(api_server.folder.rglob("*.db")) == before


@pytest.mark.parametrize("tenant", ["..%2Fx", "%2e%2e", "_default", "a.b"])
def test_a_bad_tenant_is_refused_wherever_it_stands(api: Api, tenant: str) -> None:
    assert api.get(f"tables?tenant={tenant}", 400)["code"] == "INVALID_TENANT"
    header = {"x-database-namespace": tenant}
    assert api.get("tables", 400, **header)["code"] == "INVALID_TENANT"
    assert api.client.delete(f"{api.base}/tenants/{tenant}").status_code in (400, 404, 405)


def test_the_explicit_tenant_comes_first(api: Api) -> None:
    api.sql("CREATE TABLE of_query (x)", tenant="q")
    api.sql("CREATE TABLE of_header (x)")
    assert [t["name"] for t in api.get("tables")["tables"]] == ["of_header"]
    assert [t["name"] for t in api.get("tables?tenant=q")["tables"]] == ["of_query"]
    body = {"sql": "SELECT x FROM of_query", "tenant": "q"}
    assert api.post("query?tenant=q", body)["rowCount"] == 0
    refused = api.post("query?tenant=nobody", body, 400)
    assert refused["error"] == "tenant is given twice, and not as the same: nobody and q"


@pytest.mark.slow
def test_tenancy_by_header(tmp_path: Path) -> None:
    tenancy = {"enabled": True, "header": "x-org", "autoCreate": True}
    with database_server(tmp_path, api={"write": True}, tenancy=tenancy) as server:
        api = Api(server)
        for headers in ({"x-org": "acme"}, {}):
            api.call("POST", "execute", {"sql": "CREATE TABLE t (x)"}, 200, **headers)
        assert api.get("tenants")["tenants"] == ["acme", "default"]
        for headers, tenant in (({"x-org": "acme"}, "acme"), ({}, "default")):
            told = api.call("GET", "adapters?details=true", None, 200, **headers)
            assert told["tenant"] == tenant
        api.client.close()


@pytest.mark.slow
def test_a_tenant_that_does_not_exist(tmp_path: Path) -> None:
    with database_server(tmp_path, api={"write": True}) as server:
        api = Api(server)
        error = api.get("tables?tenant=acme", 404)
        assert (error["code"], error["error"]) == ("TENANT_NOT_FOUND", "Tenant not found: acme")
        api.post("v2/pipeline?tenant=acme", {"requests": []}, 404)
        assert api.get("tenants")["tenants"] == []
        api.post("tenants", {"id": "acme"}, 201)
        assert api.get("tables?tenant=acme")["tables"] == []
        api.client.close()


@pytest.mark.slow
def test_a_database_in_memory_says_what_it_cannot(tmp_path: Path) -> None:
    adapter = {"type": "sqlite", "url": ":memory:"}
    with database_server(tmp_path, adapters=[adapter], api={"write": True}) as server:
        api = Api(server)
        assert api.get("health")["status"] == "healthy"
        for path in ("query", "v2/pipeline"):
            body: dict[str, Any] = {"sql": "SELECT 1"} if path == "query" else {"requests": []}
            error = api.post(path, body, 501)
            assert error["code"] == "SESSIONS_NOT_SUPPORTED"
        api.client.close()

"""What somebody with a grant may do with databases: by routes, and by SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_host import HttpError, Principal, Workers
from buntime_host.access import Permissible, compile_grant
from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.config import ApiConfig
from buntime_plugin_database.faces.hrana.streams import StreamLimits, Streams
from buntime_plugin_database.faces.permissions import PERMISSIONS
from buntime_plugin_database.faces.routes import make_routes
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import TenancyConfig, parse_config
from buntime_plugin_database.shared.permissions import NotAuthorized, authorize
from keyval.service.world import until
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import Receive, Scope, Send
from support.waiting import PATIENCE

PERMISSIBLE = Permissible({"database": PERMISSIONS})
READ, WRITE, ADMIN = "database:read:sqlite", "database:write:sqlite", "database:admin:sqlite"
EVERY_READ = "database:read"


def someone(*scopes: str) -> Principal:
    return Principal("k1", "somebody", compile_grant(scopes, PERMISSIBLE))


class Door:
    """The routes of the plugin, asked by whom the header `x-grant` describes."""

    def __init__(self, routes: list[BaseRoute]) -> None:
        self._app = Router(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        grants = dict(scope["headers"]).get(b"x-grant", b"").decode()
        scope["state"] = {"principal": someone(*grants.split())}
        try:
            await self._app(scope, receive, send)
        except HttpError as error:
            body = {"error": error.message, "code": error.error_code}
            await JSONResponse(body, error.status)(scope, receive, send)


@pytest.fixture(scope="module")
def routes() -> list[BaseRoute]:
    nothing: Any = None
    access = Access((), write=True, authorize=lambda _: None)
    targets = Targets(TenancyConfig(), lambda: "sqlite")
    return make_routes(nothing, nothing, targets, access, ApiConfig())


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    adapters = {
        "adapters": [{"type": "sqlite", "baseDir": "data"}],
        "tenancy": {"autoCreate": True},
    }
    config = parse_config(adapters, {})
    service: Databases = await open_service(config, tmp_path, Workers.alone())
    streams = Streams(service, StreamLimits())
    access = Access(("a token of the plugin",), write=False, authorize=lambda _: None)
    targets = Targets(config.tenancy, service.get_default_type)
    app = Door(make_routes(service, streams, targets, access, ApiConfig()))
    for adapter in (service.get_root_adapter(), await service.get_adapter(tenant="acme")):
        await adapter.execute("CREATE TABLE t (x)")
        await adapter.execute("CREATE INDEX t_x ON t (x)")
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://database"
    ) as client:
        yield client
    await streams.close()
    await service.close()


def hrana(sql: str) -> dict[str, Any]:
    return {"requests": [{"type": "execute", "stmt": {"sql": sql}}, {"type": "close"}]}


Case = tuple[str, str, Any, str]
CASES: list[Case] = [
    ("GET", "/api/health", None, EVERY_READ),
    ("GET", "/api/health?type=sqlite", None, READ),
    ("GET", "/api/adapters", None, EVERY_READ),
    ("GET", "/api/tenants", None, ADMIN),
    ("POST", "/api/tenants", {"id": "new"}, ADMIN),
    ("DELETE", "/api/tenants/gone", None, ADMIN),
    ("GET", "/api/tables", None, READ),
    ("GET", "/api/tables/t/schema", None, READ),
    ("GET", "/api/tables/t/rows", None, READ),
    ("POST", "/api/tables/t/rows", {"row": {"x": 1}}, WRITE),
    ("PATCH", "/api/tables/t/rows", {"where": {"x": 1}, "set": {"x": 2}}, WRITE),
    ("DELETE", "/api/tables/t/rows", {"where": {"x": 1}}, WRITE),
    ("POST", "/api/tables/t/changes", {"insert": [{"x": 1}]}, WRITE),
    ("POST", "/api/query", {"sql": "SELECT 1"}, READ),
    ("POST", "/api/query", {"sql": "SELECT 1", "readonly": False}, WRITE),
    ("POST", "/api/execute", {"sql": "SELECT 1"}, WRITE),
    ("POST", "/api/batch", {"statements": [{"sql": "SELECT 1"}]}, WRITE),
    ("POST", "/api/pipeline", hrana("SELECT 1"), READ),
    *[
        ("POST", f"{prefix}{path}", body, READ)
        for prefix in ("/api", "")
        for path, body in (
            ("/v1/execute", {"stmt": {"sql": "SELECT 1"}}),
            ("/v1/batch", {"batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}}),
            ("/v2/pipeline", hrana("SELECT 1")),
            ("/v3/pipeline", hrana("SELECT 1")),
            ("/v3/cursor", {"batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}}),
        )
    ],
]
LESS = {EVERY_READ: READ, READ: "", WRITE: READ, ADMIN: WRITE}


async def ask(door: httpx2.AsyncClient, method: str, path: str, body: Any, grant: str) -> Any:
    content = None if body is None else json.dumps(body)
    return await door.request(method, path, content=content, headers={"x-grant": grant})


def test_each_route_is_asked_for(routes: list[BaseRoute]) -> None:
    public = ("/v1", "/v2", "/v3", "/v3-protobuf")
    told = {(method, path.partition("?")[0]) for method, path, *_ in CASES}
    for route in routes:
        if isinstance(route, WebSocketRoute):
            continue  # below
        assert isinstance(route, Route)
        path = (
            route.path.replace("/dev/{tenant}", "").replace("{name}", "t").replace("{id}", "gone")
        )
        if not path.endswith(public):
            methods = (route.methods or set()) - {"HEAD"}
            assert {(method, path) for method in methods} <= told, route.path


async def test_each_route_needs_its_scope_and_nothing_more(door: httpx2.AsyncClient) -> None:
    for method, path, body, scope in CASES:
        answer = await ask(door, method, path, body, scope)
        assert answer.status_code in (200, 201), (method, path, answer.text)
        assert 'error"' not in answer.text, (method, path, answer.text)
        refused = await ask(door, method, path, body, LESS[scope])
        assert refused.status_code == 403, (method, path, refused.text)
        assert refused.json()["code"] == "PERMISSION_DENIED"
        assert "Missing permission: database:" in refused.json()["error"]


@pytest.mark.parametrize(
    ("grant", "headers", "path", "status"),
    [
        ("database:read:sqlite/acme", {"x-database-namespace": "acme"}, "/api/tables", 200),
        ("database:read:sqlite/acme", {}, "/api/tables?tenant=acme", 200),
        ("database:read:sqlite/acme", {}, "/api/tables", 403),
        ("database:read:sqlite/acme", {}, "/api/tables?tenant=acme2", 403),
        ("database:read:sqlite/ac", {}, "/api/tables?tenant=acme", 403),
        ("database:read:sqlite", {}, "/api/tables?tenant=acme", 200),
        ("database:read:sql", {}, "/api/tables", 403),
        ("database:read:libsql", {}, "/api/tables", 403),
        ("keyval:read", {}, "/api/tables", 403),
    ],
)
async def test_a_grant_is_for_its_databases(
    door: httpx2.AsyncClient, grant: str, headers: dict[str, str], path: str, status: int
) -> None:
    scopes = "" if grant.startswith("keyval") else grant
    answer = await door.get(path, headers={"x-grant": scopes, **headers})
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "acme" not in answer.text or "acme" in path


CHANGES = ["INSERT INTO t VALUES (1)", "DELETE FROM t", "UPDATE t SET x = 1 RETURNING x"]
SCHEMAS = [
    "CREATE TABLE u (x)",
    "CREATE INDEX i ON t (x)",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
    "CREATE VIEW v AS SELECT 1",
    "ALTER TABLE t ADD COLUMN y",
    "DROP TABLE t",
    "REINDEX t",
    "ANALYZE",
    "VACUUM",
    "PRAGMA user_version = 7",
    "PRAGMA optimize",
]


async def test_sql_of_a_reader_writes_nothing_by_any_way(door: httpx2.AsyncClient) -> None:
    headers = {"x-grant": READ}
    for sql in (*CHANGES, *SCHEMAS):
        for path, body in (
            ("/api/query", {"sql": sql}),
            ("/api/v2/pipeline", hrana(sql)),
            ("/api/pipeline", hrana(sql)),
            ("/v3/cursor", {"batch": {"steps": [{"stmt": {"sql": sql}}]}}),
            ("/v2/pipeline", {"requests": [{"type": "sequence", "sql": sql}]}),
        ):
            answer = await door.post(path, json=body, headers=headers)
            assert 'error"' in answer.text, (path, sql, answer.text)
    stored = await door.post("/api/query", json={"sql": "SELECT * FROM t"}, headers=headers)
    assert stored.json()["rows"] == []


async def test_who_may_write_changes_no_schema(door: httpx2.AsyncClient) -> None:
    for sql in CHANGES:
        answer = await ask(door, "POST", "/api/execute", {"sql": sql}, WRITE)
        assert answer.status_code == 200, answer.text
    for sql in SCHEMAS:
        for path, body in (
            ("/api/execute", {"sql": sql}),
            ("/api/batch", {"statements": [{"sql": sql}]}),
            ("/api/v2/pipeline", hrana(sql)),
        ):
            answer = await ask(door, "POST", path, body, WRITE)
            assert 'error"' in answer.text, (path, sql, answer.text)
    for sql in SCHEMAS[:6]:
        answer = await ask(door, "POST", "/api/execute", {"sql": sql}, ADMIN)
        assert answer.status_code == 200, answer.text


async def test_a_stream_is_of_who_may_do_the_same(door: httpx2.AsyncClient) -> None:
    begin = {"requests": [{"type": "execute", "stmt": {"sql": "BEGIN"}}]}
    opened = await ask(door, "POST", "/api/v2/pipeline", begin, WRITE)
    more = {**hrana("SELECT 1"), "baton": opened.json()["baton"]}
    assert (await ask(door, "POST", "/api/v2/pipeline", more, READ)).status_code == 400
    assert (await ask(door, "POST", "/api/v2/pipeline", more, "")).status_code == 403
    assert (await ask(door, "POST", "/api/v2/pipeline", more, WRITE)).status_code == 200


@pytest.mark.parametrize("text", ["", "/", "/acme", "a/b/c"])
def test_what_is_no_database_is_no_resource(text: str) -> None:
    with pytest.raises(ValueError, match="an engine, or a tenant of one"):
        PERMISSIONS["read"].resource(text)  # type: ignore[misc] # it has one


@pytest.mark.parametrize("sql", SCHEMAS)
def test_on_servers_the_text_of_a_statement_tells(sql: str) -> None:
    with pytest.raises(Exception, match=r"not (authorized|allowed)") as told:
        authorize(sql, readonly=False, schema=False)
    assert sql in ("VACUUM", "PRAGMA optimize") or isinstance(told.value, NotAuthorized)
    for change in CHANGES:
        authorize(change, readonly=False, schema=False)


@pytest.mark.parametrize("path", ["/api", "/api/ws"])
async def test_a_websocket_ends_with_the_key_that_opened_it(
    routes: list[BaseRoute], path: str
) -> None:
    who = someone(READ)
    sent: list[Any] = []
    came: asyncio.Queue[Any] = asyncio.Queue()
    came.put_nowait({"type": "websocket.connect"})
    scope: Scope = {
        "type": "websocket", "path": path, "headers": [], "query_string": b"",
        "subprotocols": [], "state": {"principal": who},
    }  # fmt: skip

    async def send(message: Any) -> None:
        sent.append(message)

    serving = asyncio.create_task(Router(routes)(scope, came.get, send))
    await until(lambda: bool(sent))
    assert sent[0]["type"] == "websocket.accept"
    who.life.end()
    await asyncio.wait_for(serving, PATIENCE)
    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1008)

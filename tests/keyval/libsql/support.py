"""Stores on libSQL servers."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.schema import migrate
from database.libsql.support import wipe
from keyval.emptying import OBJECTS, statements_for_a_new_store
from keyval.service.world import LOGGER, FakeClock, World
from support.sqld import Sqld
from support.waiting import PATIENCE

LAG_SECONDS = 0.03
"""How far some replicas are behind."""


def config_of(
    servers: Sequence[Sqld], keyval: Mapping[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """The configuration of a host whose store is on these servers."""
    adapter = {"type": "libsql", "urls": [server.url for server in servers], **options}
    return {
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [adapter]}],
            ["@buntime/plugin-keyval", dict(keyval or {})],
        ]
    }


def run_sql(server: Sqld, *statements: str) -> list[list[Any]]:
    """Run statements past the store; the texts of the rows of the last one."""
    requests = [{"type": "execute", "stmt": {"sql": sql}} for sql in statements]
    request = urllib.request.Request(
        f"{server.url}/v2/pipeline",
        data=json.dumps({"requests": [*requests, {"type": "close"}]}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        results = json.load(answer)["results"]
    assert all(result["type"] == "ok" for result in results), results
    rows = results[len(statements) - 1]["response"]["result"]["rows"]
    return [[value.get("value") for value in row] for row in rows]


def empty(server: Sqld) -> None:
    """Let the store on a server be as if it were new; whatever else it has is dropped."""
    statements = statements_for_a_new_store(name for (name,) in run_sql(server, OBJECTS))
    if statements:
        run_sql(server, "BEGIN", *statements, "COMMIT")
    else:
        asyncio.run(wipe([server.url]))


@asynccontextmanager
async def open_libsql_world(
    servers: Sequence[Sqld], clock: FakeClock | None = None
) -> AsyncIterator[World]:
    """Open the store, without its background tasks; all is closed at the end."""
    async with open_server_world(LibsqlAdapter([one.url for one in servers]), clock) as world:
        yield world


@asynccontextmanager
async def open_server_world(adapter: Any, clock: FakeClock | None) -> AsyncIterator[World]:
    """Open the store of an adapter, which is closed with it."""
    clock = clock or FakeClock()
    try:
        store = Store(adapter, logger=LOGGER, clock=clock)
        await migrate(adapter, clock())
        service = KeyValService(parse_config({}), store)
        kv = LocalKv(service)
        yield World(clock, adapter, service, store, kv, adapter)
        await kv.close()
    finally:
        await adapter.close()

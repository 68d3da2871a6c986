"""Reads of one turn of the event loop travel together, but for those that ask for more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from buntime_database import ReadDemand, demanding
from buntime_keyval.wire import encode_key
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.rqlite.nodes import Nodes
from buntime_plugin_keyval.storage.database import database_of
from buntime_plugin_keyval.storage.dialects.reads import Short
from buntime_plugin_keyval.storage.schema import migrate
from keyval.engines import Servers
from keyval.rqlite.support import empty
from keyval.service.world import NOW_MS


async def test_a_strong_read_is_no_weaker_among_others(
    database_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = database_servers.node_of_worlds
    empty(node)
    adapter = RqliteAdapter([node.url])
    await migrate(adapter, NOW_MS)
    key = encode_key(("a",))
    row = (key, '["a"]', "1", "s")
    await adapter.execute(
        "INSERT INTO kv_entries (key, key_json, value, versionstamp) VALUES (?, ?, ?, ?)", row
    )
    get = database_of(adapter).get_short
    asked: list[str] = []
    query = Nodes.query

    async def noting(self: Nodes, statements: Sequence[Any], level: Any, **options: Any) -> Any:
        asked.append(level)
        return await query(self, statements, level, **options)

    async def strong() -> Short:
        with demanding(ReadDemand(strong=True)):
            return await get(key, NOW_MS)

    async def weak(name: str) -> Short:
        return await get(encode_key((name,)), NOW_MS)

    await asyncio.gather(strong(), weak("a"))  # the number of columns is known from here on
    monkeypatch.setattr(Nodes, "query", noting)
    found = await asyncio.gather(weak("a"), strong(), weak("b"), weak("a"))
    assert list(found) == [("1", "s"), ("1", "s"), None, ("1", "s")]
    assert sorted(asked) == ["linearizable", "weak"]
    await adapter.close()

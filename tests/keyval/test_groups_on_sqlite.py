"""A group in few statements comes to what all of its statements come to one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from database.rqlite.support import wipe
from keyval.engines import Servers
from keyval.groups_on_sqlite import compare
from keyval.service.world import FAST


@pytest.mark.parametrize("is_firm", [True, False])
async def test_on_files(tmp_path: Path, is_firm: bool) -> None:
    one, other = (SqliteAdapter(str(tmp_path / name), options=FAST) for name in ("one", "other"))
    await compare(one, other, 250, is_firm=is_firm)
    await one.close()
    await other.close()


@pytest.mark.parametrize("is_firm", [True, False])
async def test_on_a_node(tmp_path: Path, is_firm: bool, database_servers: Servers) -> None:
    node = database_servers.node_of_worlds
    wipe(node)
    one = RqliteAdapter([node.url])
    other = SqliteAdapter(str(tmp_path / "other"), options=FAST)
    await compare(one, other, 60, is_firm=is_firm)
    await one.close()
    await other.close()

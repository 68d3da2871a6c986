"""What threads read is prepared once: SQLite does it anew for variables that it looks into."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.model.where import parse_where
from buntime_plugin_keyval.storage.dialects.reads import Selecting
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.filters.compile import compile_where
from buntime_plugin_keyval.storage.ranges import listing_range
from buntime_plugin_keyval.storage.schema import migrate
from buntime_plugin_keyval.storage.selection import RowCondition, Selection

FILTER = {"group": 5, "name": {"$startsWith": "x"}, "age": {"$gt": 1}}
LISTS = ("rows", "short_rows", "stamps", "entries", "list_json", "page_json")


@pytest.mark.parametrize("name", LISTS)
async def test_a_list(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "store.db")
    adapter = SqliteAdapter(path)
    await migrate(adapter, 1)
    await adapter.close()
    printed = SQLITE.filter(compile_where(parse_where(FILTER), 1), adapter.capabilities)
    condition = RowCondition(printed.sql, printed.args)
    asked: list[object] = []

    def allow(*what: object) -> int:
        """SQLite asks what a statement may do when it prepares it."""
        asked.append(what)
        return apsw.SQLITE_OK

    list_of: Selecting = getattr(SQLITE.reads, name)
    with closing(apsw.Connection(path)) as connection:
        connection.authorizer = allow
        counts = []
        for limit in (10, 10, 500):
            selection = Selection(listing_range(b"", None, None), limit, condition=condition)
            connection.execute(*list_of(selection, 1)).fetchall()
            counts.append(len(asked))
    assert counts[0] > 0
    assert counts == [counts[0]] * 3

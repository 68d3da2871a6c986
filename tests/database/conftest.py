"""Fixtures of the database tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from database.support import OpenSqlite


@pytest.fixture
async def open_sqlite(tmp_path: Path) -> AsyncIterator[OpenSqlite]:
    """Opens adapters on files in the test's folder, and closes them at the end."""
    opened: list[SqliteAdapter] = []

    def open_one(name: str = "test.db", /, **options: Any) -> SqliteAdapter:
        path = name if name == ":memory:" else str(tmp_path / name)
        opened.append(SqliteAdapter(path, options=SqliteOptions(**options)))
        return opened[-1]

    yield open_one
    for adapter in opened:
        await adapter.close()

"""The tables of all dialects are the same, but for what one of them does not need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from buntime_database import Adapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.storage.dialects.postgres.dialect import POSTGRES
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.schema import load_migrations, migrate
from keyval.service.world import NOW_MS

# Long values are beside their rows; the server keeps its own there by itself.
OF_SQLITE = {"kv_long_values", "kv_moving", "sqlite_sequence"}
COLUMNS_OF_SQLITE = {"long_id", "long_size"}
# What became of the last groups of each writer, the engine's own notes among them; files are asked
# by nobody whose answer is lost.
OF_POSTGRES = {"kv_writers", "buntime_writers"}
# The words of an index are beside its keys, and its fields as the server reads them; FTS5 has both
# in tables of its own.
COLUMNS_OF_POSTGRES = {"kv_docs": {"words": True}, "kv_indexes": {"paths": True}}


class Table(NamedTuple):
    """What a table is, in whatever words."""

    columns: dict[str, bool]
    """Each with whether it takes NULL."""
    unique: set[frozenset[str]]


async def tables_of_sqlite(adapter: Adapter) -> dict[str, Table]:
    tables = {}
    for (name,) in await adapter.query("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        info = await adapter.query('SELECT name, "notnull", pk FROM pragma_table_info(?)', (name,))
        unique = {frozenset(str(column) for column, _, pk in info if pk)}
        for (index,) in await adapter.query(
            'SELECT name FROM pragma_index_list(?) WHERE "unique"', (name,)
        ):
            columns = await adapter.query("SELECT name FROM pragma_index_info(?)", (index,))
            unique.add(frozenset(str(column) for (column,) in columns))
        nullable = {str(column): not (must or pk) for column, must, pk in info}
        tables[str(name)] = Table(nullable, unique)
    return tables


async def tables_of_postgres(adapter: Adapter) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    columns = await adapter.query(
        """
SELECT table_name::text, column_name::text, (is_nullable = 'YES')::int
FROM information_schema.columns WHERE table_schema = current_schema()"""
    )
    for table, column, nullable in columns:
        tables.setdefault(str(table), Table({}, set())).columns[str(column)] = bool(nullable)
    indexes = await adapter.query(
        """
SELECT indrelid::regclass::text, string_agg(attname, ',')
FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
WHERE indisunique AND indrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r'
  AND relnamespace = current_schema()::regnamespace)
GROUP BY indexrelid, indrelid"""
    )
    for table, names in indexes:
        tables[str(table)].unique.add(frozenset(str(names).split(",")))
    return tables


@pytest.mark.engines("postgres")
async def test_they_have_the_same_tables(
    database_of: Callable[[str], Adapter], tmp_path: Path
) -> None:
    postgres, sqlite = database_of("kv"), SqliteAdapter(str(tmp_path / "kv.db"))
    await migrate(postgres, NOW_MS)
    await migrate(sqlite, NOW_MS)
    ours, theirs = await tables_of_sqlite(sqlite), await tables_of_postgres(postgres)
    await postgres.close()
    await sqlite.close()
    assert ours.keys() - OF_SQLITE == theirs.keys() - OF_POSTGRES
    for name in ours.keys() - OF_SQLITE:
        columns = {
            column: nullable
            for column, nullable in ours[name].columns.items()
            if column not in COLUMNS_OF_SQLITE
        }
        columns |= COLUMNS_OF_POSTGRES.get(name, {})
        assert (name, columns) == (name, theirs[name].columns)
        assert (name, ours[name].unique) == (name, theirs[name].unique)


def test_their_migrations_have_the_same_numbers_and_names() -> None:
    names = [
        [(step.version, step.name) for step in load_migrations(dialect.schema.migrations)]
        for dialect in (SQLITE, POSTGRES)
    ]
    assert names[0] == names[1]

"""What tables there are, and putting their names into SQL safely.

A name from outside is only ever compared with those of the catalogue; what goes into SQL is the
catalogue's own, quoted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from buntime_host import BadRequest, NotFound

from buntime_plugin_database.faces.http.sessions import SessionPart
from buntime_plugin_database.faces.http.values import to_json


class Table(NamedTuple):
    """A table or view that exists."""

    name: str
    type: str


class TableColumn(NamedTuple):
    """A column that exists."""

    name: str
    type: str
    nullable: bool
    default: Any
    pk_index: int
    """Place in the primary key from 1; 0 when it is not part of it."""


def quoted(name: str) -> str:
    """An identifier of the catalogue as SQL."""
    return '"' + name.replace('"', '""') + '"'


async def list_tables(connection: SessionPart) -> list[Table]:
    """Tables and views by name, without SQLite's own, this plugin's, and shadow tables."""
    result = await connection.execute(
        "SELECT name, CASE type WHEN 'view' THEN 'view' ELSE 'table' END FROM pragma_table_list"
        " WHERE schema = 'main' AND type IN ('table', 'view', 'virtual')"
        " AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, 8) <> 'buntime_' ORDER BY name"
    )
    return [Table(str(name), str(kind)) for name, kind in result.rows]


async def find_table(connection: SessionPart, name: str) -> Table:
    """The table of that exact name. Raises `NotFound`."""
    for table in await list_tables(connection):
        if table.name == name:
            return table
    raise NotFound(f"Table not found: {name[:80]}", code="TABLE_NOT_FOUND")


async def list_columns(connection: SessionPart, table: Table) -> list[TableColumn]:
    """Columns in their order, generated ones included, those of virtual tables' insides not."""
    result = await connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)'
        " WHERE hidden <> 1 ORDER BY cid",
        (table.name,),
    )
    return [
        TableColumn(str(name), str(decltype), not notnull, default, int(str(pk)))
        for name, decltype, notnull, default, pk in result.rows
    ]


def find_column(columns: list[TableColumn], name: str) -> str:
    """The quoted column of that exact name. Raises `BadRequest`."""
    for column in columns:
        if column.name == name:
            return quoted(column.name)
    raise BadRequest(f"Column not found: {name[:80]}", code="COLUMN_NOT_FOUND")


async def describe_table(connection: SessionPart, table: Table) -> dict[str, Any]:
    """Columns, indexes, foreign keys and the SQL of a table."""
    columns = await list_columns(connection, table)
    indexes = await connection.execute(
        'SELECT l.name, l."unique", l.origin, i.name'
        " FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i"
        " ORDER BY l.seq, i.seqno",
        (table.name,),
    )
    keys = await connection.execute(
        'SELECT id, "from", "table", "to", on_update, on_delete'
        " FROM pragma_foreign_key_list(?) ORDER BY id, seq",
        (table.name,),
    )
    sql = await connection.execute(
        "SELECT sql FROM sqlite_schema WHERE name = ? AND type IN ('table', 'view')",
        (table.name,),
    )
    by_name: dict[str, dict[str, Any]] = {}
    for name, unique, origin, column in indexes.rows:
        index = by_name.setdefault(
            str(name),
            {"name": name, "unique": bool(unique), "origin": origin, "columns": []},
        )
        index["columns"].append(column)
    return {
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "nullable": column.nullable,
                "pk": column.pk_index > 0,
                "pkIndex": column.pk_index,
                "default": to_json(column.default),
            }
            for column in columns
        ],
        "indexes": list(by_name.values()),
        "foreignKeys": [
            {
                "id": number,
                "column": column,
                "table": target,
                "to": to,
                "onUpdate": on_update,
                "onDelete": on_delete,
            }
            for number, column, target, to, on_update, on_delete in keys.rows
        ],
        "sql": sql.rows[0][0] if sql.rows else None,
    }

"""The existing tables, and the safe use of their names in SQL.

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


ROW_ID = "$rowid"
"""The name in requests and answers for the place of a row of a table without a primary key."""


def quoted(name: str) -> str:
    """An identifier of the catalogue as SQL."""
    return '"' + name.replace('"', '""') + '"'


async def list_tables(connection: SessionPart) -> list[Table]:
    """Tables and views by name, without the engine's own and this plugin's."""
    result = await connection.ask(connection.family.tables)
    return [Table(str(name), str(kind)) for name, kind in result.rows]


async def find_table(connection: SessionPart, name: str) -> Table:
    """The table of that exact name. Raises `NotFound`."""
    for table in await list_tables(connection):
        if table.name == name:
            return table
    raise NotFound(f"Table not found: {name[:80]}", code="TABLE_NOT_FOUND")


async def list_columns(connection: SessionPart, table: Table) -> list[TableColumn]:
    """Columns in their order."""
    result = await connection.ask(connection.family.columns, (table.name,))
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


def row_id(connection: SessionPart, table: Table, columns: list[TableColumn]) -> str | None:
    """The name of a row in SQL for a table without a primary key; None if there is none, or it is
    not needed.
    """
    if table.type != "table" or any(column.pk_index for column in columns):
        return None
    taken = {column.name.lower() for column in columns}
    return next((name for name in connection.family.row_ids if name not in taken), None)


async def describe_table(connection: SessionPart, table: Table) -> dict[str, Any]:
    """Columns, indexes, foreign keys and the SQL of a table."""
    columns = await list_columns(connection, table)
    family = connection.family
    indexes = await connection.ask(family.indexes, (table.name,))
    keys = await connection.ask(family.foreign_keys, (table.name,))
    sql = await connection.ask(family.definition, (table.name,))
    by_name: dict[str, dict[str, Any]] = {}
    for name, unique, origin, column in indexes.rows:
        index = by_name.setdefault(
            str(name), {"name": name, "unique": bool(unique), "origin": origin, "columns": []}
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

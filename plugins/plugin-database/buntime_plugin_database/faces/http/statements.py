"""The SQL of the table routes: quoted names of the catalogue, and bound values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buntime_database import Value as SqlValue
from buntime_host import BadRequest

from buntime_plugin_database.faces.families import Family
from buntime_plugin_database.faces.http.catalogue import ROW_ID, TableColumn, find_column
from buntime_plugin_database.faces.http.values import from_json

_OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "like": "LIKE"}


def where(
    family: Family, columns: list[TableColumn], wanted: Mapping[str, Any], row_id: str | None = None
) -> tuple[str, list[SqlValue]]:
    """A condition and its arguments of `{"column": value}` or `{"column": {"gt": value}}`.

    With `row_id`, the name of rows in SQL, `{"$rowid": value}` is one as well.

    Raises `BadRequest` for unknown columns and operators.
    """
    parts: list[str] = []
    args: list[SqlValue] = []
    operators = {"eq": family.equals, "ne": family.differs, **_OPERATORS}
    for name, value in wanted.items():
        named = row_id if name == ROW_ID else None
        column = named or find_column(columns, name)
        tests = value if isinstance(value, dict) and not _is_value(value) else {"eq": value}
        for operator, operand in tests.items():
            if operator not in operators:
                known = ", ".join(operators)
                raise BadRequest(f"Unknown operator {operator[:40]}: use one of {known}")
            parts.append(f"{column} {operators[operator]} ?")
            args.append(from_json(operand))
    return " AND ".join(parts), args


def _is_value(value: dict[str, Any]) -> bool:
    return "$blob" in value or "$int" in value


def assignments(
    columns: list[TableColumn], values: Mapping[str, Any]
) -> tuple[list[str], list[SqlValue]]:
    """Quoted columns and their new values. Raises `BadRequest`."""
    names = [find_column(columns, name) for name in values]
    return names, [from_json(value) for value in values.values()]


def select_rows(table: str, condition: str, order: str, row_id: str | None = None) -> str:
    """A page of rows; its last two arguments are limit and offset.

    With `row_id`, the name of rows in SQL, that is a column before the others.
    """
    shown = "*" if row_id is None else f'{row_id} AS "{ROW_ID}", *'
    filtered = f" WHERE {condition}" if condition else ""
    ordered = f" ORDER BY {order}" if order else ""
    return f"SELECT {shown} FROM {table}{filtered}{ordered} LIMIT ? OFFSET ?"


def count_rows(table: str, condition: str = "") -> str:
    """The number of rows."""
    return f"SELECT count(*) FROM {table}" + (f" WHERE {condition}" if condition else "")


def insert_row(table: str, names: list[str], *, returns: bool = True) -> str:
    """Insert a row, and return it as stored unless that is not wanted."""
    returning = " RETURNING *" if returns else ""
    if not names:
        return f"INSERT INTO {table} DEFAULT VALUES{returning}"
    places = ", ".join("?" for _ in names)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places}){returning}"


def update_rows(table: str, names: list[str], condition: str) -> str:
    """New values for the rows of a condition."""
    changes = ", ".join(f"{name} = ?" for name in names)
    return f"UPDATE {table} SET {changes} WHERE {condition}"


def delete_rows(table: str, condition: str) -> str:
    """Removal of the rows of a condition."""
    return f"DELETE FROM {table} WHERE {condition}"

"""Examines a statement before it runs: its parameters, its columns, its effects."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

import apsw
from buntime_database import Column, Description, InvalidStatement

from buntime_plugin_database.shared.parameters import parameters_of

# Possessive, so that no text can make it try again and again.
_NOTHING = re.compile(r"(?:\s|;|--[^\n]*+(?:\n|\Z)|/\*(?>.*?(?:\*/|\Z)))*+", re.DOTALL)

NO_VALUES: apsw.Bindings = getattr(apsw, "_null_bindings")  # noqa: B009 - absent from its stubs
"""Binds NULL to every parameter, to examine a statement whose parameters are unknown."""


class NoStatement(InvalidStatement):
    """The text holds only blanks and comments."""

    code = "SQL_NO_STATEMENT"


class ManyStatements(InvalidStatement):
    """The text holds more than the one statement that is allowed."""

    code = "SQL_MANY_STATEMENTS"


def describe_now(connection: apsw.Connection, sql: str) -> Description:
    """The effects of exactly one statement with the present schema.

    Raises `NoStatement`, `ManyStatements` and apsw's errors.
    """
    # A connection learns that another one has changed the schema when it runs something.
    connection.execute("SELECT 1 FROM sqlite_schema LIMIT 0").fetchall()
    return describe(connection, sql, cached=False)


def describe(connection: apsw.Connection, sql: str, *, cached: bool = True) -> Description:
    """Prepare exactly one statement without running it.

    Its columns are those of the time when it was prepared, which may be long ago for a cached one:
    SQLite prepares again after changes of the schema, but not before it runs.

    Raises `NoStatement`, `ManyStatements` and apsw's errors.
    """
    cursor = connection.cursor()
    found: list[Description] = []

    def stop_before_running(cursor: apsw.Cursor, first: str, _: apsw.Bindings | None) -> bool:
        if not cursor.has_vdbe:
            raise NoStatement("the SQL text holds no statement")
        if not _NOTHING.fullmatch(sql, len(first)):
            raise ManyStatements("one statement at a time: there is more after the first ;")
        found.append(
            Description(
                _full_names(first, cursor.bindings_names),
                tuple(Column(*column) for column in cursor.get_description()),
                cursor.is_explain != 0,
                cursor.is_readonly,
            )
        )
        return False

    cursor.exec_trace = stop_before_running
    with contextlib.suppress(apsw.ExecTraceAbort):
        cursor.execute(sql, NO_VALUES, can_cache=cached)
    return found[0]


def columns_of(cursor: apsw.Cursor, connection: apsw.Connection, sql: str) -> tuple[Column, ...]:
    """The columns of a cursor's only statement, which has run and has columns.

    They are those of the statement as it ran: before its first step they may be those of an older
    schema.
    """
    try:
        found = cursor.get_description()
    except apsw.ExecutionCompleteError:  # there was no row, and nothing is left to be asked
        return describe(connection, sql).columns
    return tuple(Column(*column) for column in found)


def _full_names(sql: str, bare: Sequence[str | None]) -> tuple[str | None, ...]:
    """Names with the prefix that SQLite's driver has cut off."""
    names: list[str | None] = [None] * len(bare)
    for token, place in parameters_of(sql):
        # Of several names of one place SQLite keeps the first: that of `SELECT :a, ?1` is `:a`.
        if token["name"] != "?" and place <= len(names) and names[place - 1] is None:
            names[place - 1] = token["name"]
    return tuple(names)

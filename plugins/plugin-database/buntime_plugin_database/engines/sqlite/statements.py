"""Runs one statement on a connection and collects its results."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
from buntime_database import ResultSet, ResultTooLarge, Value

from buntime_plugin_database.engines.sqlite.prepared import columns_of
from buntime_plugin_database.shared.statements import classify


def run(connection: apsw.Connection, sql: str, args: Sequence[Value]) -> ResultSet:
    """Run one classified statement and gather all that it gives. Raises apsw's errors."""
    if classify(sql) == "silent":
        connection.execute(sql, args)
        changed = connection.changes()
        rowid = connection.last_insert_rowid() or None if changed else None
        return ResultSet((), [], changed, rowid)
    before = connection.total_changes()
    columns: tuple[str, ...] = ()
    rows: list[tuple[Value, ...]] = []
    cursor = connection.cursor()
    has_columns = False

    def look(cursor: apsw.Cursor, *_: object) -> bool:
        # Only here it is known even if no row follows. The names may be of an older schema.
        nonlocal has_columns
        if cursor.has_vdbe:  # a comment after the statement is traced as well
            has_columns = bool(cursor.description)
        return True

    cursor.exec_trace = look
    cursor.execute(sql, args)
    if has_columns:
        columns = tuple(column.name for column in columns_of(cursor, connection, sql))
        rows = rows_of(cursor)
    if connection.total_changes() == before:
        return ResultSet(columns, rows, 0)
    return ResultSet(columns, rows, connection.changes(), connection.last_insert_rowid() or None)


LARGE_BYTES = 1024 * 1024
"""From which a result is large."""

MOST_MEASURED = 1000
"""Rows whose size is checked: answers have no more."""


def size_of_rows(rows: Sequence[Sequence[Value]]) -> int:
    """Bytes or characters of the texts and blobs of the first rows."""
    return sum(
        len(value)
        for row in rows[:MOST_MEASURED]
        for value in row
        if isinstance(value, str | bytes)
    )


def forget_large(connection: apsw.Connection, size: int) -> None:
    """Let a connection release its pages of the file, after a large result.

    They are megabytes, in each connection, that the system has in memory anyway.
    """
    if size >= LARGE_BYTES:
        connection.release_memory()


class AtMost:
    """No text or blob gets longer than that in the body; None for no limit. `ResultTooLarge`."""

    __slots__ = ("_connection", "_max_bytes", "_usual")

    def __init__(self, connection: apsw.Connection, max_bytes: int | None) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._usual = 0

    def __enter__(self) -> None:
        if self._max_bytes is not None:
            self._usual = self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, self._max_bytes)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._max_bytes is not None:
            self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, self._usual)
            if isinstance(error, apsw.TooBigError):
                raise too_large(self._max_bytes) from error


def too_large(max_bytes: int) -> ResultTooLarge:
    """The error for a result with a longer text or blob."""
    return ResultTooLarge(f"a text is longer than {max_bytes} bytes")


def rows_of(cursor: apsw.Cursor) -> list[tuple[Value, ...]]:
    """Fetch all rows; a statement that fails in the middle of them is ended.

    Otherwise it would keep its place, and with it the snapshot or the transaction, for as long as
    the error is referenced.
    """
    try:
        return cursor.fetchall()
    except Exception:
        cursor.close(True)
        raise

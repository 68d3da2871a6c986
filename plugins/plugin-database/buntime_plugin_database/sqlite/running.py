"""A statement under way on a session's connection, in the thread that has its turn."""

from __future__ import annotations

import time

import apsw
from buntime_database import Column, ResultTooLarge, SessionResult, Value

_VALUE_OVERHEAD_BYTES = 16


class Running:
    """One statement, from its first step to its counts."""

    def __init__(
        self,
        connection: apsw.Connection,
        sql: str,
        values: tuple[Value, ...],
        columns: tuple[Column, ...],
    ) -> None:
        self.columns = columns
        self._connection = connection
        self._started = time.perf_counter()
        self._size = 0
        self._changes = connection.total_changes()
        self._cursor = connection.cursor()
        self._cursor.execute(sql, values)

    def fetch(self, max_rows: int | None, max_bytes: int | None) -> list[tuple[Value, ...]]:
        """Up to `max_rows` rows. Raises `ResultTooLarge`."""
        rows: list[tuple[Value, ...]] = []
        if max_rows == 0:
            return rows
        for row in self._cursor:
            rows.append(row)
            self._size += _VALUE_OVERHEAD_BYTES * len(row)
            self._size += sum(len(value) for value in row if isinstance(value, str | bytes))
            if max_bytes is not None and self._size > max_bytes:
                self.close()
                raise ResultTooLarge(f"the rows are larger than {max_bytes} bytes")
            if len(rows) == max_rows:
                break
        return rows

    def exhaust(self, *, all_of_them: bool) -> bool:
        """Whether rows are left; a statement that writes must step through them to its end."""
        left = False
        for _ in self._cursor:
            left = True
            if not all_of_them:
                break
        return left

    def close(self) -> None:
        """End the statement. Rows that it had left are not read."""
        self._cursor.close(True)

    def result(self, rows: list[tuple[Value, ...]], *, truncated: bool = False) -> SessionResult:
        """The rows with the counts of the statement."""
        changed = self._connection.total_changes() != self._changes
        return SessionResult(
            self.columns,
            rows,
            self._connection.changes() if changed else 0,
            (self._connection.last_insert_rowid() or None) if changed else None,
            truncated,
            time.perf_counter() - self._started,
            self._size,
        )

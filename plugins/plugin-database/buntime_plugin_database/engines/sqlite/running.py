"""A statement under way on a session's connection, in the thread that has its turn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import apsw
from buntime_database import (
    Column,
    DatabaseDamaged,
    InvalidStatement,
    ResultTooLarge,
    SessionResult,
    Value,
)

from buntime_plugin_database.engines.sqlite.prepared import columns_of
from buntime_plugin_database.shared.statements import inserts

_VALUE_OVERHEAD_BYTES = 16


def size_of(row: tuple[Value, ...]) -> int:
    """Approximate bytes of a row."""
    texts = sum(len(value) for value in row if isinstance(value, str | bytes))
    return _VALUE_OVERHEAD_BYTES * len(row) + texts


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
        """Columns of the statement as it runs; earlier ones may be of an older schema."""
        self._connection = connection
        self._started = time.perf_counter()
        self.size = 0
        """Approximate bytes of the rows that were fetched."""
        self._changes = connection.total_changes()
        self._inserts = inserts(sql)
        self._cursor = connection.cursor()
        self._ahead: deque[tuple[Value, ...]] | None = None
        """The rows that are left, where all were read ahead."""
        self._cursor.execute(sql, values)
        if columns:
            self.columns = columns_of(self._cursor, connection, sql)

    def fetch(self, max_rows: int | None, max_bytes: int | None) -> list[tuple[Value, ...]]:
        """Up to `max_rows` rows. Raises `ResultTooLarge`."""
        rows: list[tuple[Value, ...]] = []
        if max_rows == 0:
            return rows
        for row in self._rows():
            rows.append(row)
            self.size += size_of(row)
            if max_bytes is not None and self.size > max_bytes:
                self.close()
                raise ResultTooLarge(f"the rows are larger than {max_bytes} bytes")
            if len(rows) == max_rows:
                break
        return rows

    def fetch_some(self, max_rows: int, enough_bytes: int) -> list[tuple[Value, ...]]:
        """Up to `max_rows` rows, and no further one once they have so many bytes."""
        rows: list[tuple[Value, ...]] = []
        size = 0
        for row in self._rows():
            rows.append(row)
            size += size_of(row)
            if len(rows) == max_rows or size >= enough_bytes:
                break
        self.size += size
        return rows

    def read_ahead(self, max_bytes: int) -> None:
        """Run the statement to its end, and keep its rows. Raises `ResultTooLarge`."""
        rows = self.fetch(None, max_bytes)
        self.close()
        self.size = 0  # they are counted again
        self._ahead = deque(rows)

    def _rows(self) -> Iterator[tuple[Value, ...]]:
        if self._ahead is not None:
            while self._ahead:
                yield self._ahead.popleft()
            return
        try:
            # Not `yield from`: that would close the cursor while the next row is not needed yet.
            for row in self._cursor:  # noqa: UP028 - see above
                yield row
        except UnicodeDecodeError as error:
            # No certain sign of damage: SQL may make such a text, and may have stored it.
            text = f"a text of the result is not UTF-8: {error.reason}"
            stored = any(column.decltype is not None for column in self.columns)
            raise (DatabaseDamaged if stored else InvalidStatement)(text) from error

    def exhaust(self, *, all_of_them: bool) -> bool:
        """Whether rows are left; a statement that writes must step through them to its end."""
        left = False
        for _ in self._rows():
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
            self._connection.last_insert_rowid() if self._inserts else None,
            truncated,
            time.perf_counter() - self._started,
            self.size,
        )

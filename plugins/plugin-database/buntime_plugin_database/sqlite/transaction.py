"""The interactive transaction of the embedded engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from buntime_database import ResultSet, TransactionMisuse, Value

from buntime_plugin_database.sqlite.statements import run

if TYPE_CHECKING:
    from buntime_plugin_database.sqlite.writer import Writer


class SqliteTransaction:
    """An open transaction on the writer's connection."""

    def __init__(self, writer: Writer) -> None:
        self.open = True
        self.writer = writer

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        """Run one statement and return its rows as dictionaries."""
        return (await self.execute_result(sql, args)).as_dicts()

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        """Run one statement and return its first row, or None."""
        rows = await self.execute(sql, args)
        return rows[0] if rows else None

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Run one statement and return rows, column names and counts.

        A statement that is still running when the task is cancelled is interrupted, and SQLite
        then rolls the whole transaction back.
        """
        if not self.open:
            raise TransactionMisuse("the transaction has ended")
        with self.writer.condition.translated():
            return await self.writer.in_thread(self._run, sql, args, interrupt=True)

    def _run(self, sql: str, args: Sequence[Value]) -> ResultSet:
        self.writer.check_transaction()
        return run(self.writer.connection, sql, args)

"""The interactive transaction of the embedded engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from buntime_database import ResultSet, TransactionMisuse, Value

from buntime_plugin_database.shared.executing import Executing


class SqliteTransaction(Executing):
    """An open transaction on the writer's connection."""

    def __init__(self, run: Callable[[str, Sequence[Value]], Awaitable[ResultSet]]) -> None:
        """`run` runs one statement on that connection."""
        self.open = True
        self._run = run

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Run one statement and return rows, column names and counts.

        A statement that is still running when the task is cancelled is interrupted, and SQLite
        then rolls the whole transaction back.
        """
        if not self.open:
            raise TransactionMisuse("the transaction has ended")
        return await self._run(sql, args)

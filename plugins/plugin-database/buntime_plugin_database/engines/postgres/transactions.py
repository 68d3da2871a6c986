"""The interactive transaction of a PostgreSQL server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from buntime_database import ResultSet, TransactionMisuse, Value

from buntime_plugin_database.shared.executing import Executing


class PostgresTransaction(Executing):
    """An open transaction; statements one at a time."""

    def __init__(
        self, owner: object, run: Callable[[str, Sequence[Value]], Awaitable[ResultSet]]
    ) -> None:
        """`owner` is the session that opened it, and `run` runs one statement of it."""
        self.open = True
        self.owner = owner
        self._run = run
        self._turn = asyncio.Lock()

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Run one statement and return rows, column names and counts.

        After one that failed in the server all further ones fail, and nothing is written.
        """
        async with self._turn:
            if not self.open:
                raise TransactionMisuse("the transaction has ended")
            return await self._run(sql, args)


inside: ContextVar[tuple[PostgresTransaction, ...]] = ContextVar("inside_postgres", default=())
"""The transactions that the current task is in."""

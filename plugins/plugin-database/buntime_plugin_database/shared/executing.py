"""The two short ways to run a statement, for whatever gives a `ResultSet` of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from buntime_database import ResultSet, Value


class Executing(ABC):
    """An adapter, or a transaction of one."""

    @abstractmethod
    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Run one statement and return rows, column names and counts."""

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        """Run one statement and return its rows as dictionaries."""
        return (await self.execute_result(sql, args)).as_dicts()

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        """Run one statement and return its first row, or None."""
        rows = await self.execute(sql, args)
        return rows[0] if rows else None

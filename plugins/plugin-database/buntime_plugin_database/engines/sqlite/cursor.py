"""The rows of one statement of a session, fetched piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from buntime_database import Column, SessionResult, Value

from buntime_plugin_database.engines.sqlite.running import Running

FETCHED_BYTES = 256 * 1024
"""Most bytes of a cursor's rows that are fetched at once: further rows are left to the next
fetch."""

T = TypeVar("T")


class InTurn(Protocol):
    """Does a piece of work of a session in its thread, when it is its turn."""

    async def __call__(self, work: Callable[..., T], *args: object) -> T:
        """The result of the work."""


class SqliteCursor:
    """Implements `buntime_database.SessionCursor`."""

    def __init__(self, in_turn: InTurn, running: Running) -> None:
        self._in_turn = in_turn
        self._running = running

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rows."""
        return self._running.columns

    async def fetch(self, max_rows: int) -> list[tuple[Value, ...]]:
        """The next rows, fewer than asked for where they are long; none at the end."""
        return await self._in_turn(self._running.fetch_some, max_rows, FETCHED_BYTES)

    async def finish(self) -> SessionResult:
        """End the statement and return its counts."""

        def finish() -> SessionResult:
            self._running.close()
            return self._running.result([])

        return await self._in_turn(finish)

"""A database connection for the length of one request of the JSON API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from buntime_database import DatabaseService, Session, SessionLimits

from buntime_plugin_database.hrana.streams import Target

MAX_AT_A_TIME = 64
"""Further requests wait: each session may need a thread."""


class RequestSessions:
    """Opens sessions with the configured limits."""

    def __init__(self, service: DatabaseService, limits: SessionLimits) -> None:
        self._service = service
        self._limits = limits
        self._free = asyncio.Semaphore(MAX_AT_A_TIME)

    @asynccontextmanager
    async def open(self, target: Target, *, readonly: bool) -> AsyncIterator[Session]:
        """A session that is rolled back and closed at the end. Raises `DatabaseError`."""
        async with self._free:
            adapter = await self._service.get_adapter(target.type, target.tenant)
            session = await adapter.open_session(self._limits._replace(readonly=readonly))
            try:
                yield session
            finally:
                await session.close()

    @asynccontextmanager
    async def transaction(self, target: Target) -> AsyncIterator[Session]:
        """A session inside a transaction, which commits unless the body raises."""
        async with self.open(target, readonly=False) as session:
            await session.execute("BEGIN IMMEDIATE")
            yield session
            await session.execute("COMMIT")

    def engine(self, target: Target) -> str:
        """The engine that a target means."""
        return target.type or self._service.get_default_type()

"""All sessions of one database file, and the threads that they run in."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from buntime_database import DatabaseClosed, SessionLimits

from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.connection import SqliteOptions
from buntime_plugin_database.engines.sqlite.queue import LockQueue
from buntime_plugin_database.engines.sqlite.room import Room
from buntime_plugin_database.engines.sqlite.session import SqliteSession

MAX_THREADS = 512
"""Far above the number of sessions: a thread that waits for a lock must never keep another
session, perhaps the one that has the lock, from running. Threads are made as they are needed."""
CACHE_BYTES = 8 * 1024 * 1024


class Sessions:
    """The sessions of one database file, and the threads that they run in."""

    def __init__(
        self,
        path: str,
        options: SqliteOptions,
        condition: FileCondition,
        room: Room,
        queue: LockQueue,
    ) -> None:
        self._path = path
        self._room = room
        self._queue = queue
        self._condition = condition
        self._options = options._replace(cache_bytes=CACHE_BYTES)
        self._threads: ThreadPoolExecutor | None = None
        self._open: set[SqliteSession] = set()
        self._closed = False

    async def open(self, limits: SessionLimits) -> SqliteSession:
        """Open a session. Raises `DatabaseError`."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        self._condition.check_commit()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="sqlite-session")
        session = SqliteSession(self._threads, limits, self._condition, self._room, self._queue)
        if not limits.readonly:
            session.when_closed(self._queue.expect(limits))
        self._open.add(session)
        session.when_closed(lambda: self._open.discard(session))
        try:
            await session.start(self._path, self._options)
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        """Close every session and end the threads. Idempotent."""
        self._closed = True
        await asyncio.gather(*(session.close() for session in list(self._open)))
        if self._threads is not None:
            self._threads.shutdown()

"""A lock that reads in quick succession share, so that none of them has to ask the system for it.

Every read of SQLite takes a shared lock of its place in the log and gives it back: two system
calls, which are more than half the cost of a read by key. Connections of one process share that
lock. So one of them keeps it for some milliseconds while many read. Each of the reads checks by
itself, in memory, for commits of any process: it is as fresh as ever.
"""

from __future__ import annotations

import asyncio

import apsw

from buntime_plugin_database.engines.sqlite.condition import FileCondition

FROM_READS = 8
"""Number of reads before it is kept for later ones: otherwise it costs more than it saves."""

KEPT_SECONDS = 0.005
"""Seconds that it is kept. The log is copied only up to it, so this is short."""


class ReadLock:
    """The lock of one database file. Used on the event loop."""

    def __init__(self, path: str, condition: FileCondition) -> None:
        self._path = path
        self._condition = condition
        self._connection: apsw.Connection | None = None
        """Opened when it is wanted for the first time: few tenants read so much."""
        self._reading: apsw.Cursor | None = None
        """A statement at its first row, which has the lock."""
        self._until: asyncio.TimerHandle | None = None
        self.reads = 0
        """Since it was last let go; the readers count it up."""

    def keep(self) -> None:
        """Keep it for a moment. Where that does not work, reads go on without."""
        self._until = asyncio.get_running_loop().call_later(KEPT_SECONDS, self.let_go)
        try:
            if self._connection is None:
                self._connection = apsw.Connection(self._path, apsw.SQLITE_OPEN_READWRITE)
            self._reading = self._connection.execute("PRAGMA user_version")
        except apsw.Error:
            pass  # the next read meets it, and tells

    def let_go(self) -> None:
        """Give it back: it is old, or a commit has made it useless."""
        self.reads = 0
        if self._until is not None:
            self._until.cancel()
            self._until = None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close(True)

    def close(self) -> None:
        """Give it back for good."""
        self.let_go()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._condition.close(connection)

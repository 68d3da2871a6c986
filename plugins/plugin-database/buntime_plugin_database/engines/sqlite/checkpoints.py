"""Copies the log into the database while others write.

By default, SQLite does it in the COMMIT that finds the log long, and writers wait: for a tenth of a
second where ten million entries make each page go to another place of the file. So a thread with a
connection of its own copies, in passes, beside the commits. Writers wait only while the log starts
over, since no writer may append to it then; the passes before leave little to copy.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from typing import NamedTuple

import apsw
from buntime_database import DatabaseError

from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.files import descriptors_of
from buntime_plugin_database.engines.sqlite.thread import WorkResult, WorkThread
from buntime_plugin_database.engines.sqlite.writer import Writer

PASS_PAGES = 2000
"""Pages written, from which on they are copied: 8 MB.

Copying waits for the disk twice and writes each page once, however often it is in the log, so doing
it less often is cheaper; but the more there is to copy, the more the disk has to do at once.
"""
LOG_PAGES = 8000
"""Length of the log from which on it starts over. By itself it does so whenever nobody writes until
a pass has ended."""
REST_PAGES = 400
"""Pages that may be left to copy when writers are made to wait."""
PASSES = 8
"""Most passes, each over the pages written during the previous one, until the rest is small."""
PATIENCE_SECONDS = 0.02
"""Time that writers wait for reads that need the log, and for writers of other processes, before
the log goes on as it is."""
POLL_SECONDS = 0.0003
AGAIN = 1.5
"""Then it has to become so many times longer before it is tried again."""

logger = logging.getLogger("plugin:@buntime/plugin-database")


class Copied(NamedTuple):
    """SQLite's result of copying."""

    pages: int
    """Pages in the log, when it began."""
    copied: int
    """Copied pages, from the first one on; a reader may still need those behind."""


class Checkpoints:
    """Keeps the log of one database file short. Used on the event loop.

    Nothing is opened before there is something to copy: most tenants never have that much.
    """

    def __init__(
        self, path: str, synchronous: str, condition: FileCondition, writer: Writer
    ) -> None:
        writer.when_written = self._look
        self._writer = writer
        self._path = path
        self._synchronous = synchronous
        self._condition = condition
        self._thread: WorkThread | None = None
        self._connection: apsw.Connection | None = None
        self._descriptor: int | None = None
        """Descriptor of the connection's file. One of our own would not do: when a process closes
        any descriptor of a file, it loses all locks on it, those of SQLite too."""
        self._running: asyncio.Task[None] | None = None
        self._ahead: asyncio.Future[None] | None = None
        """Done once the writers are too far ahead of a pass."""
        self._may_write = 0
        """Total of written pages at which the next pass begins."""
        self._written = 0
        """Pages that the writer has written in all."""
        self._noted = 0
        """The total when the length of the log was noted."""
        self._length = 0
        """Length of the log then, in pages."""
        self._rest = 0
        """Pages of the log that were not copied then."""
        self._begins_at = LOG_PAGES
        """Length from which on the log starts over."""
        self._patient_until = 0.0
        self._fails = False
        self._closed = False

    def _look(self) -> None:
        """The writer has committed: copy, if that is much by now."""
        self._written = self._writer.connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]
        if self._running is None:
            if self._written - self._noted >= PASS_PAGES and not self._closed:
                self._running = asyncio.get_running_loop().create_task(self._run())
        elif self._written >= self._may_write and self._ahead and not self._ahead.done():
            self._ahead.set_result(None)

    async def close(self) -> None:
        """Wait for the present pass, and close the connection. Idempotent."""
        self._closed = True
        if self._running is not None:
            await asyncio.wait((self._running,))
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.submit(self._end)
            thread.close()

    @property
    def _log_pages(self) -> int:
        """About so many are in the log."""
        return self._length + self._written - self._noted

    async def _run(self) -> None:
        try:
            for _ in range(PASSES):
                rest = await self._pass()
                if rest is None or self._log_pages < self._begins_at:
                    return
                if rest <= REST_PAGES:
                    break
            async with self._writer.turn:
                await self._begin_anew()
        finally:
            self._running = self._ahead = None

    async def _pass(self) -> int | None:
        """Copy beside the writers, which wait for the end of it once they are too far ahead."""
        began = self._written
        to_copy = began - self._noted + self._rest
        is_near_end = self._log_pages >= self._begins_at
        least = REST_PAGES if is_near_end else PASS_PAGES
        self._may_write = began + max(to_copy // 2, least)
        self._ahead = asyncio.get_running_loop().create_future()
        passing = self._copy(apsw.SQLITE_CHECKPOINT_PASSIVE)
        await asyncio.wait((passing, self._ahead), return_when=asyncio.FIRST_COMPLETED)
        if not passing.done():
            async with self._writer.turn:
                await asyncio.wait((passing,))
        return self._note(passing.result(), began)

    async def _begin_anew(self) -> None:
        """Copy the rest. The next one to write then begins at the beginning."""
        restarted = await self._copy(apsw.SQLITE_CHECKPOINT_RESTART, PATIENCE_SECONDS)
        if self._note(restarted, self._written, alone=True) is not None:
            return
        # A lasting read needs the log, or other processes write or copy without a pause.
        with suppress(DatabaseError):  # which those who write are told
            async with self._writer.excluding_others():
                copied = await self._copy(apsw.SQLITE_CHECKPOINT_PASSIVE, PATIENCE_SECONDS)
            if self._note(copied, self._written, alone=True):
                self._begins_at = max(LOG_PAGES, round(AGAIN * self._log_pages))

    def _note(self, outcome: WorkResult, began: int, *, alone: bool = False) -> int | None:
        """Note the length of the log after copying; return the pages left to copy, None if copying
        failed.

        `began` is the total of written pages before. If nobody wrote meanwhile the log may start
        over.
        """
        copied: Copied | None
        copied, failure = outcome
        if failure is not None:
            raise failure
        if copied is None:
            self._rest += self._written - self._noted
            self._length, self._noted = self._log_pages, self._written
            return None
        if copied.pages < LOG_PAGES:
            self._begins_at = LOG_PAGES
        begins_anew = alone and copied.copied == copied.pages
        self._length, self._noted = 0 if begins_anew else copied.pages, began
        self._rest = copied.pages - copied.copied
        return self._rest + self._written - began

    def _copy(self, mode: int, seconds: float = 0) -> asyncio.Future[WorkResult]:
        if self._thread is None:
            self._thread = WorkThread("sqlite-checkpoint")
        return self._thread.submit(partial(self._copy_now, mode, seconds))

    # The following runs in the thread.

    def _copy_now(self, mode: int, seconds: float) -> Copied | None:
        """Copy the pages that no reader needs any more; None if that failed, which is harmless so
        far.

        It waits that long for others.
        """
        if not self._condition.is_current():
            return None  # the file with this name is another one
        self._patient_until = monotonic() + seconds
        copied = None
        try:
            if self._connection is None:
                self._connection = self._open()
            while copied is None:
                copied = self._try(self._connection, mode)
                if copied is None and not self._waits_on(0):
                    return None
            if mode == apsw.SQLITE_CHECKPOINT_PASSIVE:
                self._flush()
        except apsw.Error as error:
            self._tell(self._condition.translate(error))
            return None
        self._fails = False
        return copied

    def _try(self, connection: apsw.Connection, mode: int) -> Copied | None:
        """None if another process copies it, or a lasting read needs it."""
        try:
            return Copied(*connection.wal_checkpoint(mode=mode))
        except apsw.BusyError:
            return None

    def _flush(self) -> None:
        """Make the disk take the copied pages, while nobody waits for it.

        SQLite does not do so if others wrote meanwhile: the last pass would wait for all of it.
        """
        if self._descriptor is not None and self._synchronous != "off":
            try:
                os.fdatasync(self._descriptor)
            except OSError:  # SQLite will meet it, and tell
                self._descriptor = None

    def _open(self) -> apsw.Connection:
        others = descriptors_of(self._path)
        connection = apsw.Connection(self._path, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.wal_autocheckpoint(0)
            connection.set_busy_handler(self._waits_on)
            connection.pragma("synchronous", self._synchronous)
            # Before its first read it does not know that there is a log.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except BaseException:
            self._condition.close(connection)
            raise
        now = descriptors_of(self._path)
        self._descriptor = min(now - others or now, default=None)
        return connection

    def _waits_on(self, _: int) -> bool:
        """Wait a little for a lock that another connection has; False to give up."""
        # SQLite's own handler waits for longer each time, and misses the moments between writes.
        if monotonic() >= self._patient_until:
            return False
        sleep(POLL_SECONDS)
        return True

    def _end(self) -> None:
        if self._connection is not None:
            self._condition.close(self._connection)
            self._connection = self._descriptor = None

    def _tell(self, error: DatabaseError) -> None:
        if not self._fails:
            self._fails = True
            logger.warning("the log of database %s cannot be copied into it: %s", self._path, error)

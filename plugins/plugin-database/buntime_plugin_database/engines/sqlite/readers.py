"""Connections that only read: one for the event loop, a few for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import apsw
from buntime_database import DatabaseClosed, DatabaseError, InvalidStatement, ResultSet, Value

from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.connection import SqliteOptions, open_connection
from buntime_plugin_database.engines.sqlite.deadline import Deadline, DeadlineWatch
from buntime_plugin_database.engines.sqlite.read_lock import FROM_READS, ReadLock
from buntime_plugin_database.engines.sqlite.statements import (
    AtMost,
    forget_large,
    run,
    size_of_rows,
    too_large,
)
from buntime_plugin_database.shared.statements import classify

_INLINE_BUSY_TIMEOUT_MS = 0

INLINE_BYTES = 1024 * 1024
"""Longest text that is read or made on the event loop: with a longer one a read by key goes to a
thread after all."""

READ_AHEAD = 2
"""Reads that wait for a thread, or for the event loop to take their rows, beside those that run."""


class Readers:
    """Reads of one database file, each seeing the newest commit when it starts."""

    def __init__(self, path: str, options: SqliteOptions, condition: FileCondition) -> None:
        self._condition = condition
        self._shrinkings = 0
        # A read by key costs about 4 µs, and any hop to a thread costs 60 or more.
        self._connections = [open_connection(path, options, writes=False)]
        try:
            for _ in range(options.readers):
                self._connections.append(open_connection(path, options, writes=False))
        except BaseException:
            self._close_connections()
            raise
        self._inline, *scanning = self._connections
        seconds = options.statement_timeout_ms / 1000
        self._idle = [(connection, Deadline(connection, seconds)) for connection in scanning]
        self._deadlines = [deadline for _, deadline in self._idle]
        self._watch = DeadlineWatch(self._look)
        self._inline.set_busy_timeout(_INLINE_BUSY_TIMEOUT_MS)
        self._inline.limit(apsw.SQLITE_LIMIT_LENGTH, INLINE_BYTES)
        # Otherwise SQLite would prepare a statement again for each value of its `LIMIT ?`, which
        # takes longer than such a read itself.
        self._inline.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        self._cursor = self._inline.cursor()
        self._lock = ReadLock(path, condition)
        self._threads = ThreadPoolExecutor(options.readers, thread_name_prefix="sqlite-reader")
        self._in_hand = asyncio.Semaphore(options.readers + READ_AHEAD)
        self._closed = False

    async def query(
        self, sql: str, args: Sequence[Value], *, point: bool, max_bytes: int | None = None
    ) -> list[tuple[Value, ...]]:
        """Rows of one query, on the loop if `point`, else in a thread; see `Adapter.query`."""
        if point:
            rows = self.query_now(sql, args, max_bytes)
            if rows is not None:
                return rows
        return (await self.result(sql, args, max_bytes)).rows

    def query_now(
        self, sql: str, args: Sequence[Value] = (), max_bytes: int | None = None
    ) -> list[tuple[Value, ...]] | None:
        """Rows of a bounded query; None if it is to be run in a thread after all."""
        lock = self._lock
        lock.reads += 1
        try:
            self._condition.check()
            if self._closed:
                raise DatabaseClosed("the database is closed")
            if lock.reads == FROM_READS:
                lock.keep()
            if self._condition.shrinkings != self._shrinkings:
                self._forget_pages()
            classify(sql)
            if max_bytes is None or max_bytes == INLINE_BYTES:  # the usual limit
                return self._cursor.execute(sql, args).fetchall()
            with AtMost(self._inline, max_bytes):
                return self._cursor.execute(sql, args).fetchall()
        except apsw.BusyError:
            return None  # another process recovers the WAL: wait for it in a thread
        except apsw.TooBigError:
            self._give_up()
            if max_bytes is not None:
                raise too_large(max_bytes) from None
            return None  # no text of that length may hold up the others
        except DatabaseError:
            self._give_up()
            raise
        except Exception as error:
            self._give_up()
            raise _refusal(error, self._condition) from error

    def _give_up(self) -> None:
        """End a statement that failed in the middle of its rows.

        Otherwise it would keep its place in the log, which then could not be copied.
        """
        self._cursor.close(True)
        if not self._closed:
            self._cursor = self._inline.cursor()

    def committed(self) -> None:
        """Another connection to the file has committed."""
        self._lock.let_go()

    async def result(
        self, sql: str, args: Sequence[Value], max_bytes: int | None = None
    ) -> ResultSet:
        """Rows and columns of one query, run in a thread; interrupted if the task is cancelled."""
        # Held until the caller has the rows: uncollected results must not pile up.
        async with self._in_hand:
            if self._closed:
                raise DatabaseClosed("the database is closed")
            self._condition.check()
            scan = _Scan()
            loop = asyncio.get_running_loop()
            with refusing_writes(self._condition):
                try:
                    with self._watch:
                        return await loop.run_in_executor(
                            self._threads, self._run, scan, sql, args, max_bytes
                        )
                except asyncio.CancelledError:
                    scan.abandon()
                    raise

    def data_version(self) -> int | None:
        """SQLite's value for this; None while another process recovers the log."""
        self._condition.check()
        try:
            return int(str(self._inline.execute("PRAGMA data_version").get))
        except apsw.BusyError:
            return None
        except apsw.Error as error:
            raise self._condition.translate(error) from error

    async def close(self) -> None:
        """Wait for the reads under way and close all connections. Idempotent."""
        self._closed = True
        self._lock.close()
        await asyncio.to_thread(self._end)

    def _run(
        self, scan: _Scan, sql: str, args: Sequence[Value], max_bytes: int | None
    ) -> ResultSet:
        idle = self._idle.pop()  # as many connections as threads, so one is always there
        connection, deadline = idle
        try:
            with scan.on(connection), deadline.running(), AtMost(connection, max_bytes):
                result = run(connection, sql, args)
            forget_large(connection, size_of_rows(result.rows))
            return result
        finally:
            self._idle.append(idle)

    def _look(self) -> None:
        for deadline in self._deadlines:
            deadline.look()

    def _end(self) -> None:
        self._threads.shutdown()
        self._close_connections()  # the last one of all copies the log into the file

    def _forget_pages(self) -> None:
        self._shrinkings = self._condition.shrinkings
        self._inline.pragma("shrink_memory")

    def _close_connections(self) -> None:
        for connection in self._connections:
            self._condition.close(connection)


class _Scan:
    """One read in a thread, which the loop may interrupt."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection: apsw.Connection | None = None

    @contextmanager
    def on(self, connection: apsw.Connection) -> Iterator[None]:
        self._connection = connection
        try:
            yield
        finally:
            with self._lock:  # once it is let go, the connection may serve another read
                self._connection = None

    def abandon(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()


@contextmanager
def refusing_writes(condition: FileCondition) -> Iterator[None]:
    """Translate errors of a reading connection, on which any write is the caller's mistake."""
    try:
        yield
    except DatabaseError:
        raise
    except Exception as error:
        raise _refusal(error, condition) from error


def _refusal(error: Exception, condition: FileCondition) -> DatabaseError:
    if isinstance(error, apsw.ReadOnlyError):
        return InvalidStatement("query() only reads: use execute() or batch() to write")
    return condition.translate(error)

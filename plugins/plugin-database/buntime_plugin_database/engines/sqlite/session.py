"""A connection of one's own, for SQL that comes from outside.

Each session runs in a thread, one statement at a time. A statement ends at its deadline; a
transaction that keeps the write lock, for which everyone else waits, ends at its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeVar

import apsw
from buntime_database import (
    DatabaseClosed,
    DatabaseError,
    Description,
    InvalidStatement,
    MoreThanAsked,
    ResultTooLarge,
    SessionLimits,
    SessionResult,
    StatementTimeout,
    TransactionTimeout,
    Value,
)

from buntime_plugin_database.engines.sqlite.checkpoints import LOG_PAGES
from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.connection import SqliteOptions, open_connection
from buntime_plugin_database.engines.sqlite.cursor import SqliteCursor
from buntime_plugin_database.engines.sqlite.deadline import DeadlineWatch
from buntime_plugin_database.engines.sqlite.permissions import Permissions, restrict
from buntime_plugin_database.engines.sqlite.prepared import NO_VALUES, describe, describe_now
from buntime_plugin_database.engines.sqlite.queue import LockQueue
from buntime_plugin_database.engines.sqlite.room import Room, statement_makes_room
from buntime_plugin_database.engines.sqlite.running import Running
from buntime_plugin_database.engines.sqlite.statement_time import WRITING, StatementTime
from buntime_plugin_database.engines.sqlite.statements import forget_large
from buntime_plugin_database.shared.parameters import bind
from buntime_plugin_database.shared.statements import first_word

T = TypeVar("T")

MAX_VALUE_BYTES = 64 * 1024 * 1024
_PROGRESS_STEPS = 20_000
_VACUUM = re.compile(r"(?:\s|--[^\n]*+\n|/\*(?>.*?\*/))*+VACUUM\b", re.IGNORECASE | re.DOTALL)
_ROLLBACK = re.compile(r"\s*ROLLBACK(?:\s+TRANSACTION)?[\s;]*", re.IGNORECASE)
_WRITES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})


class _Asked(NamedTuple):
    """Which rows of a statement are wanted."""

    want_rows: bool
    max_rows: int | None
    max_bytes: int | None


class _Around(NamedTuple):
    """The frame around a statement that writes, so that it can be undone."""

    begin: str
    keep: str
    undo: str


_ALONE = _Around("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
_IN_TRANSACTION = _Around(
    "SAVEPOINT one_statement",
    "RELEASE one_statement",
    "ROLLBACK TO one_statement; RELEASE one_statement",
)


class SqliteSession:
    """Implements `buntime_database.Session`."""

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        limits: SessionLimits,
        condition: FileCondition,
        room: Room,
        queue: LockQueue,
    ) -> None:
        self._room = room
        self._threads = threads
        self._condition = condition
        self._limits = limits
        self._when_closed: list[Callable[[], object]] = []
        self._turn = asyncio.Lock()
        self._time = StatementTime(queue)
        self._watch = DeadlineWatch(self._interrupt_late)
        self._closed = False
        # From here on only the thread that has the turn changes these.
        self._connection: apsw.Connection
        self._permissions: Permissions
        self._lost: Exception | None = None
        self.rollback_at: float | None = None
        """When the transaction will have kept the write lock for long enough."""
        self.autocommit = True
        """Whether no transaction is open."""
        self._busy_seconds = 0.0
        self._gives_little = False
        """Whether the present statement may return fewer bytes than others."""
        self._around: _Around | None = None
        """The frame of such a statement that writes, until it has ended."""

    async def start(self, path: str, options: SqliteOptions) -> None:
        """Open the connection."""
        await self._call(self._open, path, options)

    async def execute(
        self,
        sql: str,
        args: Sequence[Value] = (),
        named: Mapping[str, Value] | None = None,
        *,
        want_rows: bool = True,
        max_rows: int | None = None,
        max_bytes: int | None = None,
    ) -> SessionResult:
        """Run exactly one statement and gather its rows."""
        asked = _Asked(want_rows, max_rows, max_bytes)
        return await self._call(self._execute, sql, args, named or {}, asked)

    async def open_cursor(
        self, sql: str, args: Sequence[Value] = (), named: Mapping[str, Value] | None = None
    ) -> SqliteCursor:
        """Start exactly one statement whose rows are fetched piece by piece."""
        running = await self._call(self._start_cursor, sql, args, named or {})
        return SqliteCursor(self._call, running)

    async def sequence(self, sql: str) -> None:
        """Run all statements of a text, split by SQLite itself."""
        await self._call(self._sequence, sql)

    async def describe(self, sql: str) -> Description:
        """Parse exactly one statement without running it."""
        return await self._call(self._describe, sql)

    async def roll_back(self, reason: Exception) -> None:
        """Undo the open transaction; statements fail with `reason` until a ROLLBACK."""
        await self._call(self._lose, reason)

    async def close(self) -> None:
        """Interrupt what runs, roll back and release the connection. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._time.interrupted = True
        try:
            async with self._turn:
                if hasattr(self, "_connection"):
                    await _uncancelled(asyncio.wrap_future(self._threads.submit(self._end)))
        finally:
            for callback in self._when_closed:
                callback()

    def when_closed(self, callback: Callable[[], object]) -> None:
        """Call back once the session is closed, by whomever."""
        self._when_closed.append(callback)

    async def _call(self, work: Callable[..., T], *args: object) -> T:
        async with self._turn:
            if self._closed:
                raise DatabaseClosed("the session is closed")
            self._time.interrupted = False
            future = asyncio.wrap_future(self._threads.submit(self._guarded, work, *args))
            with self._watch:
                try:
                    return await asyncio.shield(future)
                except asyncio.CancelledError:
                    self._time.interrupted = True
                    await _uncancelled(future)
                    raise
                finally:
                    # An error has this frame, which would have the future, which has the error: the
                    # results of callers would stay in memory until the garbage collector finds the
                    # cycle.
                    del future

    def _interrupt_late(self) -> None:
        """Interrupt a statement that is over its time, or whose client has gone."""
        if hasattr(self, "_connection"):
            self._time.interrupt_late(self._connection)

    # The following runs in a thread.

    def _open(self, path: str, options: SqliteOptions) -> None:
        connection = open_connection(path, options, writes=False)
        if not self._limits.readonly:
            connection.pragma("synchronous", options.synchronous)
            connection.pragma("query_only", False)
            # In its own thread and at its own cost, where no other writer has the log copied first.
            connection.wal_autocheckpoint(LOG_PAGES)
        self._busy_seconds = options.busy_timeout_ms / 1000
        connection.set_busy_handler(self._time.waits_on)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        _sort_in_files(connection, Path(path).parent)
        connection.set_progress_handler(self._time.must_stop, _PROGRESS_STEPS)
        self._permissions = restrict(
            connection, readonly=self._limits.readonly, schema=self._limits.schema
        )
        self._connection = connection

    def _describe(self, sql: str) -> Description:
        self._permissions.text = sql
        return describe_now(self._connection, sql)

    def _guarded(self, work: Callable[..., T], *args: object) -> T:
        """Do the work before its deadline, translate its errors, see what became of the state."""
        now = time.monotonic()
        deadline = now + self._limits.statement_seconds
        if self.rollback_at is not None:
            deadline = min(deadline, self.rollback_at)
        self._time.begin(deadline, now + self._busy_seconds)
        in_transaction = not self.autocommit
        try:
            return work(*args)
        except apsw.InterruptError as error:
            raise self._stopped(in_transaction) from error
        except apsw.BusyError as error:
            if self._time.interrupted:
                raise self._stopped(in_transaction) from error
            raise self._condition.translate(error) from error
        except DatabaseError:
            raise
        except UnicodeDecodeError as error:
            # A name or a message: for rows see `Running`. SQL may produce invalid ones.
            raise InvalidStatement(f"a text is not UTF-8: {error.reason}") from error
        except Exception as error:
            raise self._condition.translate(error) from error
        finally:
            self._time.end()
            if hasattr(self, "_connection"):
                self._look()

    def _stopped(self, in_transaction: bool) -> DatabaseError:
        """The error of an interrupted statement, and its effect on the transaction."""
        if self._time.interrupted:
            return DatabaseClosed("the statement was interrupted")
        error: DatabaseError
        if self.rollback_at is not None and time.monotonic() >= self.rollback_at:
            error = self._transaction_timeout()
            self._time.is_late = True
            self._undo()
        else:
            error = StatementTimeout(f"the statement ran for {self._limits.statement_seconds:g} s")
        if in_transaction and not self._connection.in_transaction:
            self._lost = error  # SQLite itself undoes it all when a write is interrupted
        return error

    def _transaction_timeout(self) -> TransactionTimeout:
        return TransactionTimeout(
            f"the transaction kept the write lock for {self._limits.transaction_seconds:g} s"
            " and was rolled back"
        )

    def _look(self) -> None:
        self.autocommit = not self._connection.in_transaction
        if self._connection.txn_state("main") != WRITING:
            self.rollback_at = None
        elif self.rollback_at is None and not self.autocommit:
            self.rollback_at = self._time.asked_at + self._limits.transaction_seconds

    def _lose(self, reason: Exception) -> None:
        if self._connection.in_transaction:
            self._time.is_late = True
            self._undo()
            self._lost = reason

    def _undo(self, how: str = "ROLLBACK") -> None:
        if self._connection.in_transaction:
            self._time.lift_deadline()  # a rollback is not to be interrupted
            self._connection.execute(how)

    def _knows_loss(self, sql: str) -> bool:
        """Whether this is the ROLLBACK of a client whose transaction has already ended."""
        if self._lost is None:
            return False
        if not _ROLLBACK.fullmatch(sql):
            raise self._lost
        self._lost = None
        return True

    def _execute(
        self, sql: str, args: Sequence[Value], named: Mapping[str, Value], asked: _Asked
    ) -> SessionResult:
        try:
            return self._run(sql, args, named, asked)
        except apsw.FullError:
            alone = self.autocommit and not self._connection.in_transaction
            self._room.give_up(self._connection)
            if not (alone and statement_makes_room(sql, args)):
                raise
        return self._run(sql, args, named, asked)

    def _run(
        self, sql: str, args: Sequence[Value], named: Mapping[str, Value], asked: _Asked
    ) -> SessionResult:
        max_rows = asked.max_rows if asked.want_rows else 0
        most = self._limits.max_bytes
        fewer = asked.max_bytes if asked.max_bytes is not None and asked.max_bytes < most else None
        try:
            running = self._start(sql, args, named, fewer)
            try:
                rows = running.fetch(max_rows, fewer if self._gives_little else most)
                truncated = False
                if max_rows is not None:
                    truncated = running.exhaust(all_of_them=not self._limits.readonly)
            finally:
                running.close()
        except (ResultTooLarge, apsw.TooBigError) as error:
            if self._around is not None:
                around, self._around = self._around, None
                self._undo(around.undo)
                self._connection.release_memory()
            if self._gives_little:
                raise MoreThanAsked(f"the rows are larger than {fewer} bytes") from error
            raise
        finally:
            if self._gives_little:
                self._gives_little = False
                self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
            if self._around is not None:
                around, self._around = self._around, None
                self._keep(around)
        forget_large(self._connection, running.size)
        return running.result(rows, truncated=truncated and asked.want_rows)

    def _start(
        self,
        sql: str,
        args: Sequence[Value],
        named: Mapping[str, Value],
        max_bytes: int | None = None,
    ) -> Running:
        if self._knows_loss(sql):
            return Running(self._connection, "SELECT 1 WHERE 0", (), ())
        self._condition.check_commit()
        self._permissions.text = sql
        self._permissions.vacuuming = False
        description = describe(self._connection, sql)
        if not description.is_readonly:
            self._room.check_statement(self._connection, sql, args, alone=self.autocommit)
        gives_written = not description.is_readonly and _has_returning(sql, description)
        if max_bytes is not None and (description.is_readonly or gives_written):
            self._gives_little = True
            self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, max_bytes)
        self._permissions.vacuuming = _VACUUM.match(sql) is not None
        values = bind(description.parameters, args, named)
        with self._time.queued(self._connection, is_readonly=description.is_readonly):
            if self._gives_little and gives_written:
                around = _ALONE if self.autocommit else _IN_TRANSACTION
                self._connection.execute(around.begin)
                self._around = around
            return Running(self._connection, sql, values, description.columns)

    def _keep(self, around: _Around) -> None:
        """Keep the statement's writes, as SQLite does without a frame around it.

        After an error too: with `OR FAIL`, the rows before it stay.
        """
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute(around.keep)
        except apsw.Error:
            self._undo(around.undo)
            raise

    def _start_cursor(self, sql: str, args: Sequence[Value], named: Mapping[str, Value]) -> Running:
        running = self._start(sql, args, named)
        if not describe(self._connection, sql).is_readonly:
            # A slow reader of its rows would keep the lock.
            running.read_ahead(self._limits.max_bytes)
        return running

    def _sequence(self, sql: str) -> None:
        if self._knows_loss(sql):
            return
        self._condition.check_commit()
        self._permissions.text = sql
        self._permissions.vacuuming = False
        cursor = self._connection.cursor()
        with ExitStack() as turn:

            def before_each(cursor: apsw.Cursor, statement: str, _: apsw.Bindings | None) -> bool:
                if cursor.bindings_count:
                    raise InvalidStatement("a sequence of statements takes no arguments")
                self._permissions.vacuuming = _VACUUM.match(statement) is not None
                turn.close()  # the frame of the previous statement
                turn.enter_context(
                    self._time.queued(self._connection, is_readonly=cursor.is_readonly)
                )
                return True

            cursor.exec_trace = before_each
            for _ in cursor.execute(sql, NO_VALUES):
                pass

    def _end(self) -> None:
        self._time.interrupted = False
        self._undo()
        self._condition.close(self._connection)


def _sort_in_files(connection: apsw.Connection, folder: Path) -> None:
    """Let sorts that do not fit the cache use files that have no name.

    In memory they would be as large as a statement makes them before its deadline.
    """
    connection.pragma("temp_store", "file")
    if not connection.pragma("temp_store_directory"):  # of the whole process: the first one stays
        connection.pragma("temp_store_directory", str(folder.absolute()))


def _has_returning(sql: str, description: Description) -> bool:
    """Whether a statement that writes gives rows of a table, unlike a PRAGMA."""
    return bool(description.columns) and first_word(sql) in _WRITES


async def _uncancelled(future: asyncio.Future[T]) -> None:
    """Wait for the end of a thread's work, however often this task is cancelled."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    future.exception()
    if cancelled:
        raise asyncio.CancelledError

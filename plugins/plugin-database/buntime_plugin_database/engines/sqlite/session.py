"""A connection of one's own, for SQL that comes from outside.

Each session runs in a thread, one statement at a time. A statement ends at its deadline; a
transaction that keeps the write lock, for which everyone else waits, ends at its own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import NamedTuple, TypeVar

import apsw
from buntime_database import (
    Column,
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
from buntime_plugin_database.engines.sqlite.deadline import DeadlineWatch
from buntime_plugin_database.engines.sqlite.permissions import Permissions, restrict
from buntime_plugin_database.engines.sqlite.prepared import NO_VALUES, describe, describe_now
from buntime_plugin_database.engines.sqlite.queue import LockQueue, QueuePlace
from buntime_plugin_database.engines.sqlite.room import Room, statement_makes_room, statement_size
from buntime_plugin_database.engines.sqlite.running import Running
from buntime_plugin_database.engines.sqlite.statements import forget_large
from buntime_plugin_database.shared.parameters import bind
from buntime_plugin_database.shared.statements import first_word

T = TypeVar("T")

MAX_THREADS = 512
"""Far above the number of sessions: a thread that waits for a lock must never keep another
session, perhaps the one that has the lock, from running. Threads are made as they are needed."""
LOCK_POLL_SECONDS = 0.005
"""Pause between two attempts to get a lock."""
CACHE_BYTES = 8 * 1024 * 1024
MAX_VALUE_BYTES = 64 * 1024 * 1024
FETCHED_BYTES = 256 * 1024
"""Of the rows of a cursor that are fetched at once: with more the next row is the next fetch's."""
_PROGRESS_STEPS = 20_000
_VACUUM = re.compile(r"(?:\s|--[^\n]*+\n|/\*(?>.*?\*/))*+VACUUM\b", re.IGNORECASE | re.DOTALL)
_ROLLBACK = re.compile(r"\s*ROLLBACK(?:\s+TRANSACTION)?[\s;]*", re.IGNORECASE)
_WRITES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})
_WRITING = 2  # what SQLite calls SQLITE_TXN_WRITE


class _Asked(NamedTuple):
    """Which rows of a statement are wanted."""

    want_rows: bool
    max_rows: int | None
    max_bytes: int | None


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
        self._queue = queue
        self._threads = threads
        self._condition = condition
        self._limits = limits
        self._when_closed: list[Callable[[], object]] = []
        self._turn = asyncio.Lock()
        self._watch = DeadlineWatch(self._interrupt_late)
        self._closed = False
        # From here on only the thread that has the turn touches these.
        self._connection: apsw.Connection
        self._permissions: Permissions
        self._deadline = float("inf")
        self._ending = Lock()
        """Held while the deadline is taken back: then nothing interrupts what comes next."""
        self._interrupted = False
        self._lost: Exception | None = None
        self._rollback_at: float | None = None
        self._autocommit = True
        self._place: QueuePlace | None = None
        """In the queue for the write lock."""
        self._asked_at = 0.0
        """When it last asked for that lock, which it has from then on if it has it."""
        self._busy_seconds = self._busy_until = 0.0
        self._is_late = False
        self._gives_little = False
        """Whether the statement under way may give fewer bytes than others."""
        self._began = False
        """Whether such a one writes: in a transaction that was begun for it, until it has ended."""

    async def start(self, path: str, options: SqliteOptions) -> None:
        """Open the connection."""
        await self._call(self._open, path, options)

    @property
    def autocommit(self) -> bool:
        """Whether no transaction is open."""
        return self._autocommit

    @property
    def rollback_at(self) -> float | None:
        """When the transaction will have kept the write lock for long enough."""
        return self._rollback_at

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
        return SqliteCursor(self, running)

    async def sequence(self, sql: str) -> None:
        """Run all statements of a text, split by SQLite itself."""
        await self._call(self._sequence, sql)

    async def describe(self, sql: str) -> Description:
        """Parse exactly one statement without running it."""
        return await self._call(lambda: describe_now(self._connection, sql))

    async def roll_back(self, reason: Exception) -> None:
        """Undo the open transaction; statements fail with `reason` until a ROLLBACK."""
        await self._call(self._lose, reason)

    async def close(self) -> None:
        """Interrupt what runs, roll back and release the connection. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._interrupted = True
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

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """Run a piece of work of this session's cursor."""
        return await self._call(work, *args)

    async def _call(self, work: Callable[..., T], *args: object) -> T:
        async with self._turn:
            if self._closed:
                raise DatabaseClosed("the session is closed")
            self._interrupted = False
            future = asyncio.wrap_future(self._threads.submit(self._guarded, work, *args))
            with self._watch:
                try:
                    return await asyncio.shield(future)
                except asyncio.CancelledError:
                    self._interrupted = True
                    await _uncancelled(future)
                    raise
                finally:
                    # An error has this frame, which would have the future, which has the error:
                    # what the callers had in hand would stay until somebody looks for such circles.
                    del future

    def _interrupt_late(self) -> None:
        """Interrupt a statement that is over its time, or that nobody waits for any more."""
        with self._ending:
            is_running = self._deadline < float("inf") and hasattr(self, "_connection")
            if is_running and self._must_stop():
                self._connection.interrupt()

    # What follows runs in a thread.

    def _open(self, path: str, options: SqliteOptions) -> None:
        connection = open_connection(path, options, writes=False)
        if not self._limits.readonly:
            connection.pragma("synchronous", options.synchronous)
            connection.pragma("query_only", False)
            # In its own thread and at its own cost, where no other writer has it copied before.
            connection.wal_autocheckpoint(LOG_PAGES)
        self._busy_seconds = options.busy_timeout_ms / 1000
        connection.set_busy_handler(self._waits_on)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.set_progress_handler(self._must_stop, _PROGRESS_STEPS)
        self._permissions = restrict(
            connection, readonly=self._limits.readonly, schema=self._limits.schema
        )
        self._connection = connection

    def _waits_on(self, _: int) -> bool:
        """Wait a little for a lock that somebody else has; False to give up."""
        return self._pause() and self._comes_next()

    def _comes_next(self) -> bool:
        """Wait until nobody comes before this session; False to give up."""
        while self._place is not None and not self._queue.is_next(self._place):
            if not self._pause():
                return False
        if self._place is not None:
            self._asked_at = time.monotonic()
        return True

    def _pause(self) -> bool:
        """Wait a little, which is not time that the statement takes; False to give up."""
        if self._interrupted or time.monotonic() >= self._busy_until:
            return False
        started = time.monotonic()
        time.sleep(LOCK_POLL_SECONDS)
        self._deadline += time.monotonic() - started
        return True

    @contextmanager
    def _queued(self, *, is_readonly: bool) -> Iterator[None]:
        """Wait for the turn at the write lock, unless the body needs none or has it.

        Raises `apsw.BusyError`.
        """
        if is_readonly or self._connection.txn_state("main") == _WRITING:
            yield
            return
        with self._queue.place(is_late=self._is_late) as place:
            self._place = place
            try:
                if not self._comes_next():
                    raise apsw.BusyError("database is locked")
                yield
            finally:
                self._place = None
        self._is_late = False

    def _must_stop(self) -> bool:
        return self._interrupted or time.monotonic() >= self._deadline

    def _guarded(self, work: Callable[..., T], *args: object) -> T:
        """Do the work before its deadline, translate its errors, see what became of the state."""
        self._deadline = time.monotonic() + self._limits.statement_seconds
        if self._rollback_at is not None:
            self._deadline = min(self._deadline, self._rollback_at)
        self._busy_until = time.monotonic() + self._busy_seconds
        in_transaction = not self._autocommit
        try:
            return work(*args)
        except apsw.InterruptError as error:
            raise self._stopped(in_transaction) from error
        except apsw.BusyError as error:
            if self._interrupted:
                raise self._stopped(in_transaction) from error
            raise self._condition.translate(error) from error
        except DatabaseError:
            raise
        except UnicodeDecodeError as error:
            # A name or a message: for rows see `Running`. SQL makes such ones as it likes.
            raise InvalidStatement(f"a text is not UTF-8: {error.reason}") from error
        except Exception as error:
            raise self._condition.translate(error) from error
        finally:
            with self._ending:
                self._deadline = float("inf")
            if hasattr(self, "_connection"):
                self._look()

    def _stopped(self, in_transaction: bool) -> DatabaseError:
        """The error of a statement that was interrupted, and what it means for the transaction."""
        if self._interrupted:
            return DatabaseClosed("the statement was interrupted")
        error: DatabaseError
        if self._rollback_at is not None and time.monotonic() >= self._rollback_at:
            error = self._transaction_timeout()
            self._is_late = True
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
        self._autocommit = not self._connection.in_transaction
        if self._connection.txn_state("main") != _WRITING:
            self._rollback_at = None
        elif self._rollback_at is None and not self._autocommit:
            self._rollback_at = self._asked_at + self._limits.transaction_seconds

    def _lose(self, reason: Exception) -> None:
        if self._connection.in_transaction:
            self._is_late = True
            self._undo()
            self._lost = reason

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._deadline = float("inf")  # a rollback is not to be interrupted
            self._connection.execute("ROLLBACK")

    def _knows_loss(self, sql: str) -> bool:
        """Whether this is the ROLLBACK of a client whose transaction is gone already."""
        if self._lost is None:
            return False
        if not _ROLLBACK.fullmatch(sql):
            raise self._lost
        self._lost = None
        return True

    def _execute(
        self,
        sql: str,
        args: Sequence[Value],
        named: Mapping[str, Value],
        asked: _Asked,
    ) -> SessionResult:
        try:
            return self._run(sql, args, named, asked)
        except apsw.FullError:
            alone = self._autocommit and not self._connection.in_transaction
            self._room.give_up(self._connection)
            if not (alone and statement_makes_room(sql, args)):
                raise
        return self._run(sql, args, named, asked)

    def _run(
        self,
        sql: str,
        args: Sequence[Value],
        named: Mapping[str, Value],
        asked: _Asked,
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
            if self._began:
                self._undo()
                self._connection.release_memory()
            if self._gives_little:
                raise MoreThanAsked(f"the rows are larger than {fewer} bytes") from error
            raise
        finally:
            if self._gives_little:
                self._gives_little = False
                self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
            if self._began:
                self._began = False
                self._commit_own()
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
        self._permissions.vacuuming = False
        description = describe(self._connection, sql)
        if not description.is_readonly:
            self._refuse_without_room(sql, args)
        own = not description.is_readonly and self._autocommit and _has_returning(sql, description)
        if max_bytes is not None and (description.is_readonly or own):
            self._gives_little = True
            self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, max_bytes)
        self._permissions.vacuuming = _VACUUM.match(sql) is not None
        values = bind(description.parameters, args, named)
        with self._queued(is_readonly=description.is_readonly):
            if self._gives_little and own:
                self._connection.execute("BEGIN IMMEDIATE")
                self._began = True
            return Running(self._connection, sql, values, description.columns)

    def _commit_own(self) -> None:
        """Commit what the statement has written, as SQLite does where it began no transaction.

        After an error too: with `OR FAIL`, the rows before it stay.
        """
        if not self._connection.in_transaction:
            return
        try:
            self._connection.execute("COMMIT")
        except apsw.Error:
            self._undo()
            raise

    def _start_cursor(self, sql: str, args: Sequence[Value], named: Mapping[str, Value]) -> Running:
        running = self._start(sql, args, named)
        if not describe(self._connection, sql).is_readonly:
            # Whoever reads its rows slowly would keep the lock.
            running.read_ahead(self._limits.max_bytes)
        return running

    def _refuse_without_room(self, sql: str, args: Sequence[Value]) -> None:
        """Raise `DatabaseFull` for what would fill up the reserve that was given up."""
        if not self._room.is_tight() or statement_makes_room(sql, args):
            return
        self._room.keep_log_short(self._connection)
        size = statement_size(sql, args)
        if self._room.admits(self._connection, size):
            return
        if self._autocommit:
            self._room.give_back(self._connection)
            if self._room.admits(self._connection, size):
                return
        raise self._room.refuse()

    def _sequence(self, sql: str) -> None:
        if self._knows_loss(sql):
            return
        self._condition.check_commit()
        self._permissions.vacuuming = False
        cursor = self._connection.cursor()
        with ExitStack() as turn:

            def before_each(cursor: apsw.Cursor, statement: str, _: apsw.Bindings | None) -> bool:
                if cursor.bindings_count:
                    raise InvalidStatement("a sequence of statements takes no arguments")
                self._permissions.vacuuming = _VACUUM.match(statement) is not None
                turn.close()  # that of the statement before
                turn.enter_context(self._queued(is_readonly=cursor.is_readonly))
                return True

            cursor.exec_trace = before_each
            for _ in cursor.execute(sql, NO_VALUES):
                pass

    def _end(self) -> None:
        self._interrupted = False
        self._undo()
        self._condition.close(self._connection)


class SqliteCursor:
    """Implements `buntime_database.SessionCursor`."""

    def __init__(self, session: SqliteSession, running: Running) -> None:
        self._session = session
        self._running = running

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the rows."""
        return self._running.columns

    async def fetch(self, max_rows: int) -> list[tuple[Value, ...]]:
        """The next rows, fewer than asked for where they are long; none at the end."""
        return await self._session.call(self._running.fetch_some, max_rows, FETCHED_BYTES)

    async def finish(self) -> SessionResult:
        """End the statement and return its counts."""

        def finish() -> SessionResult:
            self._running.close()
            return self._running.result([])

        return await self._session.call(finish)


def _has_returning(sql: str, description: Description) -> bool:
    """Whether a statement that writes gives rows of a table, unlike a PRAGMA."""
    return bool(description.columns) and first_word(sql) in _WRITES


async def _uncancelled(future: asyncio.Future[T]) -> None:
    """Wait for the end of what a thread does, however often this task is cancelled."""
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    future.exception()
    if cancelled:
        raise asyncio.CancelledError

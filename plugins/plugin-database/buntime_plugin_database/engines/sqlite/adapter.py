"""SQLite behind the adapter protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import apsw
from buntime_database import (
    Batch,
    Capabilities,
    DatabaseError,
    Guard,
    ResultSet,
    SessionLimits,
    SessionsNotSupported,
    Statement,
    Transaction,
    Value,
)

from buntime_plugin_database.engines.sqlite.checkpoints import Checkpoints
from buntime_plugin_database.engines.sqlite.condition import FileCondition
from buntime_plugin_database.engines.sqlite.connection import MEMORY, SqliteOptions, open_connection
from buntime_plugin_database.engines.sqlite.errors import translated
from buntime_plugin_database.engines.sqlite.queue import LockQueue
from buntime_plugin_database.engines.sqlite.readers import Readers, refusing_writes
from buntime_plugin_database.engines.sqlite.room import Room
from buntime_plugin_database.engines.sqlite.session import SqliteSession
from buntime_plugin_database.engines.sqlite.sessions import Sessions
from buntime_plugin_database.engines.sqlite.statements import AtMost, run
from buntime_plugin_database.engines.sqlite.write_notices import WriteNotices
from buntime_plugin_database.engines.sqlite.writer import Writer
from buntime_plugin_database.shared.counters import (
    Counters,
    LocalCounters,
    SharedNumbers,
    commit_statistics,
)
from buntime_plugin_database.shared.executing import Executing
from buntime_plugin_database.shared.statements import classify
from buntime_plugin_database.shared.vitals import Vitals

T = TypeVar("T")

CAPABILITIES = Capabilities(
    dialect="sqlite",
    embedded=True,
    interactive_transactions=True,
    full_text_search="fts5",
    cjk_tokenizer=True,
    scans_at_once=SqliteOptions().readers,
    casefold_function=True,
)


class SqliteAdapter(Executing):
    """One database file, or one database in memory.

    A file has one writing connection and several reading ones. A database in memory is one
    connection, since every further one would be a new, empty database.
    """

    type: Literal["sqlite"] = "sqlite"
    capabilities = CAPABILITIES
    """Writers and readers of a database with the usual number of readers."""

    def __init__(
        self,
        path: str,
        *,
        options: SqliteOptions | None = None,
        tenant: str | None = None,
        counters: Counters | None = None,
        asking: SharedNumbers | None = None,
    ) -> None:
        """Open the database. Raises `DatabaseUnavailable` with the path when that fails.

        `counters` count commits, also those of other workers that open the same database; `asking`
        lets their writers know of each other.
        """
        options = options or SqliteOptions()
        in_memory = path == MEMORY
        readers = None if in_memory else options.readers
        self.capabilities = self.capabilities._replace(
            scans_at_once=readers, reads_at_once=not in_memory
        )
        self.path = path
        self.tenant = tenant
        connection = open_connection(path, options, writes=True)
        try:
            self._condition = FileCondition(None if in_memory else path)
            self._readers = None if in_memory else Readers(path, options, self._condition)
            self._notices = None if in_memory else WriteNotices(path)
        except BaseException:
            connection.close()
            raise
        if self._readers is not None:
            # Handed through, as a read by key takes microseconds, and a frame a part of one.
            self.query_now = self._readers.query_now
        self._vitals = Vitals(f"database {path}")
        self._room = room = (
            None if in_memory else Room(path, self._condition, reserve_bytes=options.reserve_bytes)
        )
        self.queue = LockQueue(asking)
        """The queue for the write lock."""
        self._sessions = (
            None if room is None else Sessions(path, options, self._condition, room, self.queue)
        )
        self._writer = Writer(
            connection,
            condition=self._condition,
            room=room,
            queue=self.queue,
            busy_timeout_ms=options.busy_timeout_ms,
            statement_timeout_ms=options.statement_timeout_ms,
            threaded=not in_memory,
            counters=counters or LocalCounters(3),
        )
        self._checkpoints = (
            None
            if in_memory
            else Checkpoints(path, options.synchronous, self._condition, self._writer)
        )

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        with translated():
            kind = classify(sql)
        if kind == "read":
            return await self._read(sql, args)
        (result,) = await self.batch([Statement(sql, args)])
        return result

    # Not `async`: a read by key costs a few microseconds, and each frame around it a part of one.
    def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,
        fresh: bool = False,  # noqa: ARG002 - every read of a file is
        max_bytes: int | None = None,
    ) -> Coroutine[Any, Any, list[tuple[Value, ...]]]:
        if self._readers is not None:
            return self._readers.query(sql, args, point=point, max_bytes=max_bytes)
        return self._query_writer(sql, args, max_bytes)

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        self._writer.refuse_unfit()
        (outcome,) = await self._writer.join([Batch(steps)])
        self._noted([outcome])
        if isinstance(outcome, DatabaseError):
            raise outcome
        return outcome

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        writer = self._writer
        writer.refuse_unfit()
        # A caller with several batches has gathered them: they do not wait for others where nothing
        # needs it.
        commit = writer.commit if writer.is_free_for(batches) else writer.join
        outcomes = await commit(batches)
        self._noted(outcomes)
        return outcomes

    def _noted(self, outcomes: Sequence[list[ResultSet] | DatabaseError]) -> None:
        if self._readers is not None:
            self._readers.committed()
        for outcome in outcomes:
            if isinstance(outcome, DatabaseError):
                self._vitals.failed("writes", outcome)
            elif self._vitals.failing and not (self._room is not None and self._room.refuses):
                self._vitals.worked("writes")  # all of them, not only those that make room

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._writer.transaction(fn)

    async def open_session(self, limits: SessionLimits | None = None) -> SqliteSession:
        if self._sessions is None:
            raise SessionsNotSupported("a database in memory has no sessions: give it a file")
        return await self._sessions.open(limits or SessionLimits())

    def position(self) -> None:
        """None: there are no replicas."""

    def data_version(self) -> int | None:
        return None if self._readers is None else self._readers.data_version()

    def when_written(self, call: Callable[[], None]) -> bool:
        return self._notices is not None and self._notices.tell(call)

    def statistics(self) -> dict[str, float]:
        """`commits`, `batches`, `commit_seconds`, and for a file `file_bytes` and `wal_bytes`."""
        numbers = commit_statistics(self._writer.counters)
        if self._readers is not None:
            for name, path in (("file_bytes", self.path), ("wal_bytes", f"{self.path}-wal")):
                try:
                    numbers[name] = Path(path).stat().st_size
                except FileNotFoundError:
                    numbers[name] = 0
        return numbers

    def is_current(self) -> bool:
        """Whether the file still has its name: another process may have deleted it."""
        return self._condition.is_current()

    def problem(self) -> str | None:
        """Why the database is unusable, as a text for people; None if it is usable."""
        return self._condition.problem or self._vitals.problem()

    async def check(self) -> str | None:
        """The same; if writes fail, one that changes nothing is tried first."""
        if self._vitals.failing:
            with suppress(DatabaseError):  # which is remembered
                ((version,),) = await self.query("PRAGMA user_version")
                await self.batch([Statement(f"PRAGMA user_version = {version!s}")])
        return self.problem()

    def get_raw_client(self) -> apsw.Connection:
        """The writing connection."""
        return self._writer.connection

    async def close(self) -> None:
        self._writer.refuse_nesting()
        if self._notices is not None:
            self._notices.close()
        try:
            # First, since one of them may have the lock that the writer waits for.
            if self._sessions is not None:
                await self._sessions.close()
            await self._writer.close()
        finally:
            if self._checkpoints is not None:
                await self._checkpoints.close()
            if self._readers is not None:
                await self._readers.close()
            self._condition.end()

    async def _query_writer(
        self, sql: str, args: Sequence[Value], max_bytes: int | None
    ) -> list[tuple[Value, ...]]:
        return (await self._read(sql, args, max_bytes)).rows

    async def _read(
        self, sql: str, args: Sequence[Value], max_bytes: int | None = None
    ) -> ResultSet:
        if self._readers is not None:
            return await self._readers.result(sql, args)
        connection = self._writer.connection

        def read() -> ResultSet:
            with AtMost(connection, max_bytes):
                return run(connection, sql, args)

        with refusing_writes(self._condition):
            return await self._writer.reading(read)

"""A database on a PostgreSQL server behind the adapter protocol: one schema of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Literal, NoReturn, TypeVar

from buntime_database import (
    Batch,
    Capabilities,
    DatabaseClosed,
    DatabaseError,
    Guard,
    InvalidStatement,
    ResultSet,
    SessionLimits,
    SessionsNotSupported,
    Statement,
    Transaction,
    Value,
)

from buntime_plugin_database.engines.postgres.bells import NotifyBells
from buntime_plugin_database.engines.postgres.connections import LinkPool, run_alone
from buntime_plugin_database.engines.postgres.errors import DRIVER_ERRORS, is_lost, translate
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.engines.postgres.statements import parse
from buntime_plugin_database.engines.postgres.values import Arguments, check
from buntime_plugin_database.engines.postgres.writer import SchemaWriter
from buntime_plugin_database.shared.counters import Counters, LocalCounters, commit_statistics
from buntime_plugin_database.shared.vitals import Vitals

IDLE_SECONDS = 2.0
"""After which a server that nobody has asked is asked how it is."""
CHECK_SECONDS = 2.0
WRITERS = 2
"""LinkPool that write: one for batches, and one for a transaction that takes its time."""

T = TypeVar("T")

CAPABILITIES = Capabilities(
    dialect="postgres",
    embedded=False,
    interactive_transactions=True,
    full_text_search=None,
    cjk_tokenizer=False,
    scans_at_once=None,
    casefold_function=False,
    max_key_bytes=2600,
    bells=True,
)


class PostgresServer:
    """The connections of this process to one server, which its schemas share."""

    def __init__(self, url: str, options: PostgresOptions) -> None:
        """Nothing is sent before the first call; connections belong to the loop of that call."""
        self.options = options
        self.listen_url = options.listen_url or (url if options.statement_cache else None)
        """Where notifications come from; None behind a pooler, which delivers none."""
        self.reads = LinkPool(url, options, size=options.pool_size - WRITERS, writes=False)
        self.writes = LinkPool(url, options, size=WRITERS, writes=True)
        self.vitals = Vitals(self.reads.server)

    async def close(self) -> None:
        """Wait until nobody uses any connection, and close them all. Idempotent."""
        await self.writes.close()
        await self.reads.close()


class PostgresAdapter:
    """One schema of a database."""

    type: Literal["postgres"] = "postgres"
    capabilities = CAPABILITIES

    def __init__(
        self,
        server: PostgresServer,
        *,
        schema: str | None = None,
        tenant: str | None = None,
        commits: Counters | None = None,
    ) -> None:
        """The schema of the options without another one; then the server is closed with it."""
        self.tenant = tenant
        self.server = server
        self._is_root = schema is None
        self.schema = server.options.schema if schema is None else schema
        self._vitals = server.vitals
        self._writer = SchemaWriter(server.writes, self.schema, commits or LocalCounters(3))
        self._closed = False
        url = server.listen_url
        self.capabilities = self.capabilities._replace(bells=url is not None)
        self._bells = url and NotifyBells(url, server.reads.server, self.schema)

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        return (await self.execute_result(sql, args)).as_dicts()

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        rows = await self.execute(sql, args)
        return rows[0] if rows else None

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        if parse(sql).kind == "read":
            return await self._query(sql, args)
        (result,) = await self.batch([Statement(sql, args)])
        return result

    async def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,  # noqa: ARG002 - all reads cost a round trip
        fresh: bool = False,  # noqa: ARG002 - all reads are
        max_bytes: int | None = None,  # noqa: ARG002 - what comes has been read
    ) -> list[tuple[Value, ...]]:
        return (await self._query(sql, args)).rows

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        (outcome,) = await self.batch_each([Batch(steps)])
        if isinstance(outcome, DatabaseError):
            raise outcome
        return outcome

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        outcomes = await self._writer.batch_each(batches)
        for outcome in outcomes:
            if isinstance(outcome, DatabaseError):
                self._vitals.failed("writes", outcome)
            else:
                self._vitals.worked("writes")
        return outcomes

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._writer.transaction(fn)

    async def open_session(self, limits: SessionLimits | None = None) -> NoReturn:  # noqa: ARG002 - the seam's
        """Refuse: `SessionsNotSupported`, always."""
        raise SessionsNotSupported(
            "a PostgreSQL server has no sessions here: let clients connect to the server itself"
        )

    def position(self) -> None:
        """None: each read sees all that was committed before."""

    def data_version(self) -> None:
        """None: only the server could tell."""

    def hear(self, topic: str, call: Callable[[], None] | None) -> None:
        """See `buntime_database.Bells`."""
        if self._bells:
            self._bells.hear(topic, call)

    def ring(self, topic: str) -> None:
        """See `buntime_database.Bells`."""
        if self._bells and not self._closed:
            self._bells.ring(topic)

    def statistics(self) -> dict[str, float]:
        """`commits`, `batches`, `commit_seconds`, `connections`, `connections_in_use`."""
        pools = (self.server.reads, self.server.writes)
        return {
            **commit_statistics(self._writer.counters),
            "connections": sum(pool.made for pool in pools),
            "connections_in_use": sum(pool.in_use for pool in pools),
        }

    def is_current(self) -> bool:
        """Always: the server says itself when a schema is gone."""
        return True

    def problem(self) -> str | None:
        """What makes the server unfit to be used, as far as its last answers tell."""
        return self._vitals.problem()

    async def check(self) -> str | None:
        """The same; a server that fails, or was not asked for a while, is asked first."""
        idle = monotonic() - self._vitals.answered_at > IDLE_SECONDS
        if idle or self._vitals.failing:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self.query("SELECT 1")
                    if self._vitals.failing:
                        await self.batch([Statement("SELECT 1")])
            except TimeoutError:
                return f"no answer within {CHECK_SECONDS:g} s"
            except DatabaseError as error:
                return str(error)
        return self.problem()

    def get_raw_client(self) -> LinkPool:
        """The connections that read: `run(work)` lends one to a function, as `Link`."""
        return self.server.reads

    async def close(self) -> None:
        await self._writer.close()
        self._closed = True
        if self._bells:
            await self._bells.close()
        if self._is_root:
            await self.server.close()

    async def _query(self, sql: str, args: Arguments) -> ResultSet:
        parsed = parse(sql)
        if parsed.kind != "read":
            raise InvalidStatement("query() only reads: use execute() or batch() to write")
        check(args)
        if self._closed:
            raise DatabaseClosed("the database is closed")
        reads = self.server.reads
        try:
            try:
                result = await run_alone(reads, self.schema, parsed, args)
            except DRIVER_ERRORS as error:
                if not is_lost(error) or isinstance(error, TimeoutError):
                    raise
                # It had ended while nobody used it, as after a restart of the server.
                result = await run_alone(reads, self.schema, parsed, args)
        except DatabaseError as error:
            self._vitals.failed("reads", error)
            raise
        except DRIVER_ERRORS as error:
            failure = translate(error, reads.server)
            if getattr(error, "sqlstate", None) == "25006":  # here we ourselves forbid it
                failure = InvalidStatement("query() only reads: the statement would write")
                failure.__cause__ = error
            self._vitals.failed("reads", failure)
            raise failure from error
        self._vitals.worked("reads")
        return result

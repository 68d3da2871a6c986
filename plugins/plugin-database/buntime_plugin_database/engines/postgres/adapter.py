"""A database on a PostgreSQL server behind the adapter protocol: one schema of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

import asyncpg
from buntime_database import (
    Capabilities,
    DatabaseClosed,
    InvalidStatement,
    ResultSet,
    Statement,
    Transaction,
    Value,
)

from buntime_plugin_database.engines.postgres.bells import NotifyBells
from buntime_plugin_database.engines.postgres.connections import LinkPool, run_alone
from buntime_plugin_database.engines.postgres.errors import DRIVER_ERRORS, is_lost, translate
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.engines.postgres.statements import parse
from buntime_plugin_database.engines.postgres.values import check
from buntime_plugin_database.engines.postgres.writer import SchemaWriter
from buntime_plugin_database.shared.counters import Counters, LocalCounters, commit_statistics
from buntime_plugin_database.shared.server_adapter import ServerAdapter
from buntime_plugin_database.shared.vitals import Vitals

WRITERS = 2
"""Connections that write: one for batches, and one for a transaction that takes its time."""

T = TypeVar("T")

CAPABILITIES = Capabilities(
    dialect="postgres",
    embedded=False,
    interactive_transactions=True,
    full_text_search="tsvector",
    cjk_tokenizer=True,
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
        """The source of notifications; None behind a pooler, which delivers none."""
        self.reads = LinkPool(url, options, size=options.pool_size - WRITERS, writes=False)
        self.writes = LinkPool(url, options, size=WRITERS, writes=True)
        self.vitals = Vitals(self.reads.server)

    async def close(self) -> None:
        """Wait until all connections are free, and close them. Idempotent."""
        await self.writes.close()
        await self.reads.close()


class PostgresAdapter(ServerAdapter):
    """One schema of a database."""

    type: Literal["postgres"] = "postgres"
    capabilities = CAPABILITIES
    writer: SchemaWriter

    def __init__(
        self,
        server: PostgresServer,
        *,
        schema: str | None = None,
        tenant: str | None = None,
        commits: Counters | None = None,
    ) -> None:
        """The schema of the options without another one; then the server is closed with it."""
        super().__init__("a PostgreSQL server", server.reads.server)
        self.tenant = tenant
        self.server = server
        self._is_root = schema is None
        self.schema = server.options.schema if schema is None else schema
        self._vitals = server.vitals
        self.writer = SchemaWriter(server.writes, self.schema, commits or LocalCounters(3))
        self._closed = False
        url = server.listen_url
        self.capabilities = self.capabilities._replace(bells=url is not None)
        self._bells = url and NotifyBells(url, server.reads.server, self.schema)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self.writer.transaction(fn)

    def position(self) -> None:
        """None: each read sees everything that was committed before."""

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
            **commit_statistics(self.writer.counters),
            "connections": sum(pool.made for pool in pools),
            "connections_in_use": sum(pool.in_use for pool in pools),
        }

    def get_raw_client(self) -> LinkPool:
        """The connections that read: `run(work)` lends one to a function, as `Link`."""
        return self.server.reads

    async def close(self) -> None:
        await self.writer.close()
        self._closed = True
        if self._bells:
            await self._bells.close()
        if self._is_root:
            await self.server.close()

    def _reads(self, sql: str) -> bool:
        return parse(sql).kind == "read"

    async def _read(
        self,
        sql: str,
        args: Sequence[Value],
        *,
        fresh: bool,  # noqa: ARG002 - all reads are
        named: bool,  # noqa: ARG002 - all results name their columns
    ) -> ResultSet:
        parsed = parse(sql)
        check(args)
        if self._closed:
            raise DatabaseClosed("the database is closed")
        reads = self.server.reads
        try:
            try:
                return await run_alone(reads, self.schema, parsed, args)
            except DRIVER_ERRORS as error:
                if not is_lost(error) or isinstance(error, TimeoutError):
                    raise
            # It had ended while it was idle, as after a restart of the server.
            return await run_alone(reads, self.schema, parsed, args)
        except asyncpg.ReadOnlySQLTransactionError as error:  # here we ourselves forbid it
            raise InvalidStatement("query() only reads: the statement would write") from error
        except DRIVER_ERRORS as error:
            raise translate(error, reads.server) from error

    async def _try_writing(self) -> None:
        await self.batch([Statement("SELECT 1")])

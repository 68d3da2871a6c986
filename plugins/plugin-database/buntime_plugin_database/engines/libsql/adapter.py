"""A database on libSQL servers behind the adapter protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from buntime_database import Capabilities, ResultSet, Statement, Value

from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.libsql.positions import Positions
from buntime_plugin_database.engines.libsql.servers import Servers
from buntime_plugin_database.engines.libsql.values import encode_statement, read_result
from buntime_plugin_database.engines.libsql.writer import BatchWriter
from buntime_plugin_database.shared.counters import (
    Counters,
    LocalCounters,
    SharedNumbers,
    commit_statistics,
)
from buntime_plugin_database.shared.server_adapter import ServerAdapter

CAPABILITIES = Capabilities(
    dialect="sqlite",
    embedded=False,
    interactive_transactions=False,
    full_text_search="fts5",
    cjk_tokenizer=False,  # a server knows the tokenizers of its SQLite
    scans_at_once=None,
    casefold_function=False,
)


class LibsqlAdapter(ServerAdapter):
    """One database, on a primary that writes and on replicas that help it to read.

    Nothing is sent before the first call; every connection belongs to the loop of that call.
    """

    type: Literal["libsql"] = "libsql"
    capabilities = CAPABILITIES

    def __init__(
        self,
        urls: Sequence[str],
        *,
        options: LibsqlOptions | None = None,
        tenant: str | None = None,
        commits: Counters | None = None,
        reads: Counters | None = None,
        positions: SharedNumbers | None = None,
    ) -> None:
        """The first URL is the primary's.

        `commits` and `reads` are counters for a database that several workers use, `positions`
        is how they know of each other's writes.
        """
        options = options or LibsqlOptions()
        self.tenant = tenant
        self.capabilities = self.capabilities._replace(replicas=len(urls) > 1)
        counters = reads or LocalCounters(3)
        self._servers = Servers(
            urls, options, tenant=tenant, counters=counters, positions=Positions(positions)
        )
        super().__init__("a libSQL server", self._servers.primary.name)
        self.writer = BatchWriter(
            self._servers.write,
            self._servers.ask_on_new_connection,
            timeout_seconds=options.timeout_seconds,
            counters=commits or LocalCounters(3),
        )

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until the primary answers.

        Raises `DatabaseUnavailable` if it does not in time, and at once if it refuses the token.
        """
        await self._servers.wait_until_ready(seconds)

    async def _read(
        self,
        sql: str,
        args: Sequence[Value],
        *,
        fresh: bool,
        named: bool,  # noqa: ARG002 - it always names them
    ) -> ResultSet:
        statement = encode_statement(sql, args)
        return await read_result(await self._servers.read(statement, fresh=fresh))

    async def _try_writing(self) -> None:
        await self.batch([Statement("SELECT 1")])

    def position(self) -> int | None:
        """The known end of the primary's log; None without replicas."""
        return self._servers.position

    def statistics(self) -> dict[str, float]:
        """`commits`, `batches`, `commit_seconds`, reads of each kind, `replicas_benched`."""
        return {
            **commit_statistics(self.writer.counters),
            **self._servers.read_statistics(),
            "replicas_benched": self._servers.benched(),
        }

    def get_raw_client(self) -> Any:
        """The client of `libsql-client` for the primary."""
        self._servers.refuse_closed()
        return self._servers.primary.transport.client

    async def close(self) -> None:
        await self.writer.close()
        await self._servers.close()

"""A database on libSQL servers behind the adapter protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Literal, NoReturn, TypeVar

from buntime_database import (
    Batch,
    Capabilities,
    DatabaseError,
    Guard,
    InvalidStatement,
    ResultSet,
    SessionLimits,
    SessionsNotSupported,
    Statement,
    Transaction,
    TransactionMisuse,
    Value,
)

from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.libsql.positions import Positions
from buntime_plugin_database.engines.libsql.servers import Servers
from buntime_plugin_database.engines.libsql.values import decode_result, encode_statement
from buntime_plugin_database.engines.libsql.writer import BatchWriter
from buntime_plugin_database.shared.counters import (
    Counters,
    LocalCounters,
    SharedNumbers,
    commit_statistics,
)
from buntime_plugin_database.shared.statements import classify
from buntime_plugin_database.shared.vitals import Vitals

IDLE_SECONDS = 2.0
"""After which a server that nobody has asked is asked how it is."""
CHECK_SECONDS = 2.0

T = TypeVar("T")

CAPABILITIES = Capabilities(
    dialect="sqlite",
    embedded=False,
    interactive_transactions=False,
    full_text_search="fts5",
    cjk_tokenizer=False,  # a server knows the tokenizers of its SQLite
    scans_at_once=None,
    casefold_function=False,
)


class LibsqlAdapter:
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
        self._vitals = Vitals(self._servers.primary.name)
        self._writer = BatchWriter(
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

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        return (await self.execute_result(sql, args)).as_dicts()

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        rows = await self.execute(sql, args)
        return rows[0] if rows else None

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        statement = encode_statement(sql, args)
        if classify(sql) == "read":
            return decode_result(await self._servers.read(statement, fresh=False))
        (result,) = await self.batch([Statement(sql, args)])
        return result

    async def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,  # noqa: ARG002 - all reads cost a round trip
        fresh: bool = False,
        max_bytes: int | None = None,  # noqa: ARG002 - what comes has been read
    ) -> list[tuple[Value, ...]]:
        statement = encode_statement(sql, args)
        if classify(sql) != "read":
            raise InvalidStatement("query() only reads: use execute() or batch() to write")
        try:
            answer = await self._servers.read(statement, fresh=fresh)
        except DatabaseError as error:
            self._vitals.failed("reads", error)
            raise
        self._vitals.worked("reads")
        return decode_result(answer).rows

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

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> NoReturn:  # noqa: ARG002 - the seam's
        """Refuse: `TransactionMisuse`, always."""
        raise TransactionMisuse(
            "a libSQL server offers no interactive transactions here: use batch() with guards"
        )

    async def open_session(self, limits: SessionLimits | None = None) -> NoReturn:  # noqa: ARG002 - the seam's
        """Refuse: `SessionsNotSupported`, always."""
        raise SessionsNotSupported(
            "a libSQL server has no sessions here: let clients connect to the server itself"
        )

    def position(self) -> int | None:
        """How far the log of the primary goes, as far as it is known; None without replicas."""
        return self._servers.position

    def data_version(self) -> None:
        """None: only the server could tell."""

    def statistics(self) -> dict[str, float]:
        """`commits`, `batches`, `commit_seconds`, reads of each kind, `replicas_benched`."""
        return {
            **commit_statistics(self._writer.counters),
            **self._servers.read_statistics(),
            "replicas_benched": self._servers.benched(),
        }

    def is_current(self) -> bool:
        """Always: a server says itself when a tenant is gone."""
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
                    await self.query("SELECT 1", fresh=True)
                    if self._vitals.failing:
                        await self.batch([Statement("SELECT 1")])
            except TimeoutError:
                return f"no answer within {CHECK_SECONDS:g} s"
            except DatabaseError as error:
                return str(error)
        return self.problem()

    def get_raw_client(self) -> Any:
        """The client of `libsql-client` for the primary."""
        self._servers.refuse_closed()
        return self._servers.primary.transport.client

    async def close(self) -> None:
        await self._writer.close()
        await self._servers.close()

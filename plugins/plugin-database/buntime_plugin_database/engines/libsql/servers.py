"""The primary and its replicas: which of them a request goes to, and what happens if it fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from time import monotonic
from urllib.parse import urlsplit

from buntime_database import (
    DatabaseClosed,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
    read_demand,
)

from buntime_plugin_database.engines.libsql.errors import AccessRefused, NamespaceMissing, translate
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.libsql.positions import Positions
from buntime_plugin_database.engines.libsql.transport import (
    TRANSPORT_ERRORS,
    Json,
    ServerTransport,
    namespace_headers,
    open_transport,
)
from buntime_plugin_database.engines.libsql.values import position_of
from buntime_plugin_database.shared.counters import Counters
from buntime_plugin_database.shared.starting import until_it_answers
from buntime_plugin_database.shared.tenants import TenantNotFound

BENCH_SECONDS = 30.0
"""Time that a replica gets no reads after it failed."""
BEHIND_SECONDS = 1.0
"""The same after an answer without our position, as from a server that ignores it."""
REPLICA_SECONDS = 5.0
"""Longest time that a replica may need, which includes catching up with our own writes."""
PRIMARY_SECONDS = 1.0
"""Seconds that reads go to the primary after a write whose position in its log is unknown."""
RESTART_SECONDS = 30.0
"""Time that reads go to the primary after it was away. One that was killed may begin a new log
and count from the start; a replica that has not noticed yet seems to be ahead of it."""
RETRY_SECONDS = 0.05

_COMMENTS = r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*"
_REPLICABLE = re.compile(
    rf"{_COMMENTS}(?:(?:SELECT|VALUES|WITH|EXPLAIN)\b|PRAGMA\s+(?:\w+\.)?"
    r"(?:table_info|table_xinfo|table_list|index_list|index_info|index_xinfo|foreign_key_list)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""Reading statements that mean the same on a replica; any other goes to the primary."""

_PRIMARY_READS, _REPLICA_READS, _REPLICA_FAILURES = range(3)


class _Behind(DatabaseUnavailable):
    """The replica does not have the position that was demanded."""


class Server:
    """One server."""

    def __init__(self, url: str, options: LibsqlOptions, *, is_replica: bool = False) -> None:
        self._url = url
        self._token = options.auth_token
        self._headers = namespace_headers(url, options.namespace, options.routing)
        self._is_replica = is_replica
        self._transport: ServerTransport | None = None
        self.name = f"libSQL server {urlsplit(url).netloc.rpartition('@')[2]}"
        self.benched_until = 0.0

    @property
    def transport(self) -> ServerTransport:
        """Opened at first use, since it belongs to the loop that runs then."""
        if self._transport is None:
            self._transport = self.open_transport()
        return self._transport

    def open_transport(self) -> ServerTransport:
        """One more connection to it; close it after use."""
        return open_transport(
            self._url, self._token, for_reads=self._is_replica, headers=self._headers
        )

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()


class Servers:
    """All servers of one database; the first URL is the primary's."""

    def __init__(
        self,
        urls: Sequence[str],
        options: LibsqlOptions,
        *,
        tenant: str | None = None,
        counters: Counters,
        positions: Positions,
    ) -> None:
        self._options = options
        self._tenant = tenant
        primary, *replicas = urls
        self.primary = Server(primary, options)
        self._replicas = [Server(url, options, is_replica=True) for url in replicas]
        self._turn = 0
        self._positions = positions
        # A replica may still have the deleted data of an earlier tenant of the same name.
        if tenant is not None:
            positions.stay_on_primary(monotonic() + RESTART_SECONDS)
        self._primary_was_lost = False
        self._closed = False
        self._counters = counters

    async def read(self, statement: Json, *, fresh: bool) -> Json:
        """Run a reading statement on a replica or, if `fresh`, on the primary.

        It may be sent twice: to the primary if a replica fails, and once more if the connection
        broke. Raises `DatabaseError`.
        """
        demand = read_demand() if self._replicas else None
        demanded = None if demand is None else demand.position
        if demand is not None and (demand.strong or self._is_unheard_of(demanded)):
            fresh = True
        replica = None if fresh else self._choose_replica(statement["sql"])
        if replica is not None:
            try:
                answer = await self._read_replica(replica, statement, demanded)
            except InvalidStatement:
                pass  # perhaps it has not heard of a new table yet: the primary knows
            except _Behind:
                replica.benched_until = monotonic() + BEHIND_SECONDS
            except DatabaseUnavailable:
                replica.benched_until = monotonic() + BENCH_SECONDS
                self._counters.own[_REPLICA_FAILURES] += 1
            else:
                self._counters.own[_REPLICA_READS] += 1
                return answer
        self._counters.own[_PRIMARY_READS] += 1
        answer = await self._read_primary(statement)
        if demand is not None and self._is_unheard_of(demanded):
            demand.is_outdated = True
        return answer

    async def write(self, steps: list[Json]) -> Json:
        """Run a transaction on the primary, once. Raises `DatabaseError`."""
        before = self._positions.known
        answer = await self._ask(self.primary, steps)
        self._wrote(position_of(answer), before)
        return answer

    async def ask_on_new_connection(self, steps: list[Json], *, most_seconds: float) -> Json:
        """The same, without using any open connection, since one of them may hang."""
        before = self._positions.known
        transport = self.primary.open_transport()
        try:
            answer = await self._ask(
                self.primary, steps, most_seconds=most_seconds, transport=transport
            )
        finally:
            await transport.close()
        self._wrote(position_of(answer), before)
        return answer

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until the primary answers.

        Raises `DatabaseUnavailable` if it does not in time, and at once if it refuses the token.
        """
        question: Json = {"sql": "SELECT 1", "want_rows": True}
        await until_it_answers(
            lambda left: self._ask(self.primary, question, most_seconds=left),
            seconds,
            lambda error: (
                isinstance(error, DatabaseUnavailable) and not isinstance(error, AccessRefused)
            ),
        )

    @property
    def position(self) -> int | None:
        """The known end of the log, for clients; None without replicas."""
        return self._positions.told if self._replicas else None

    def read_statistics(self) -> dict[str, float]:
        """Reads of each kind."""
        names = ("primary_reads", "replica_reads", "replica_failures")
        return dict(zip(names, map(int, self._counters.totals()), strict=True))

    def benched(self) -> int:
        """Replicas that get no reads now."""
        now = monotonic()
        return sum(now < replica.benched_until for replica in self._replicas)

    async def close(self) -> None:
        """Close all connections; running requests fail. Idempotent."""
        self._closed = True
        for server in (self.primary, *self._replicas):
            await server.close()

    def refuse_closed(self) -> None:
        """Raise `DatabaseClosed` once it is closed."""
        if self._closed:
            raise DatabaseClosed("the database is closed")

    def _choose_replica(self, sql: str) -> Server | None:
        now = monotonic()
        if not self._replicas or now < self._positions.primary_until or not _REPLICABLE.match(sql):
            return None
        for _ in self._replicas:
            self._turn = (self._turn + 1) % len(self._replicas)
            if now >= self._replicas[self._turn].benched_until:
                return self._replicas[self._turn]
        return None

    def _is_unheard_of(self, demanded: int | None) -> bool:
        """Whether a position is beyond all that is known of the log: the primary is asked then.

        So a replica is never waited for in vain, should it be of a log that is no more.
        """
        known = self._positions.known
        return demanded is not None and (known is None or demanded > known)

    async def _read_replica(self, replica: Server, statement: Json, demanded: int | None) -> Json:
        # A demand is known, and so a part of the log.
        wanted = self._positions.known if self._options.read_your_writes is True else demanded
        if wanted is not None:
            # The replica waits until it has come so far.
            statement = {**statement, "replication_index": wanted}
        answer = await self._ask(replica, statement, most_seconds=REPLICA_SECONDS)
        position = position_of(answer)
        if wanted is not None and (position is None or position < wanted):
            raise _Behind(f"{replica.name} answered before it had caught up")
        self._positions.saw(position)
        return answer

    async def _read_primary(self, statement: Json) -> Json:
        before = self._positions.known
        try:
            answer = await self._ask(self.primary, statement)
        except DatabaseUnavailable as error:
            refused = isinstance(error, AccessRefused)
            if self._closed or refused or isinstance(error.__cause__, TimeoutError):
                raise
            await asyncio.sleep(RETRY_SECONDS)
            answer = await self._ask(self.primary, statement)
        self._is_at(position_of(answer), before)
        return answer

    async def _ask(
        self,
        server: Server,
        request: Json | list[Json],
        *,
        most_seconds: float = float("inf"),
        transport: ServerTransport | None = None,
    ) -> Json:
        self.refuse_closed()
        transport = transport or server.transport
        wrote = isinstance(request, list)
        try:
            async with asyncio.timeout(min(self._options.timeout_seconds, most_seconds)):
                if isinstance(request, list):
                    return await transport.batch(request)
                return await transport.execute(request)
        except TRANSPORT_ERRORS as error:
            ours = translate(error, server.name, wrote=wrote)
            if self._tenant is not None and isinstance(ours, NamespaceMissing):
                raise TenantNotFound(f"Tenant not found: {self._tenant}") from error
            lost = isinstance(ours, (DatabaseUnavailable, OutcomeUnknown))
            lost = lost and not isinstance(ours, AccessRefused)
            if server is self.primary and lost:
                self._primary_was_lost = True
            raise ours from error

    def _wrote(self, position: int | None, before: int | None) -> None:
        self._is_at(position, before)
        wanted = self._options.read_your_writes
        if wanted is not False and wanted is not True:
            self._positions.stay_on_primary(monotonic() + wanted)
        elif wanted and position is None:
            self._positions.stay_on_primary(monotonic() + PRIMARY_SECONDS)

    def _is_at(self, position: int | None, before: int | None) -> None:
        """The primary reported its position; `before` is the position known at the time of the
        request.
        """
        is_other_log = position is not None and before is not None and position < before
        if self._primary_was_lost or is_other_log:
            self._primary_was_lost = False
            self._positions.begin_log(position, new_until=monotonic() + RESTART_SECONDS)
        else:
            self._positions.saw(position)

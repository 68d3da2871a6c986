"""A database on an rqlite cluster behind the adapter protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from buntime_database import Capabilities, DatabaseError, ResultSet, Statement, Value, read_demand

from buntime_plugin_database.engines.rqlite.errors import error_of
from buntime_plugin_database.engines.rqlite.nodes import Level, Nodes
from buntime_plugin_database.engines.rqlite.options import RqliteOptions
from buntime_plugin_database.engines.rqlite.values import (
    Json,
    asking_names,
    bare_rows,
    decode_rows,
    encode_statement,
    is_other_width,
    is_wrapped,
    names_in,
    wrapped,
)
from buntime_plugin_database.engines.rqlite.writer import ClusterWriter
from buntime_plugin_database.shared.counters import Counters, LocalCounters, commit_statistics
from buntime_plugin_database.shared.server_adapter import ServerAdapter

KNOWN_WIDTHS = 2048
"""Most queries whose number of columns is remembered: that of any other costs a question."""

CAPABILITIES = Capabilities(
    dialect="sqlite",
    embedded=False,
    interactive_transactions=False,
    full_text_search="fts5",
    cjk_tokenizer=False,  # a node knows the tokenizers of its SQLite
    scans_at_once=None,
    casefold_function=False,
    rows_of_batches=False,
    dear_statements=True,
)


class RqliteAdapter(ServerAdapter):
    """One database, on nodes that elect a leader.

    Nothing is sent before the first call; every connection belongs to the loop of that call.
    """

    type: Literal["rqlite"] = "rqlite"
    capabilities = CAPABILITIES
    tenant: str | None = None
    writer: ClusterWriter

    def __init__(
        self,
        urls: Sequence[str],
        *,
        options: RqliteOptions | None = None,
        commits: Counters | None = None,
    ) -> None:
        """`urls` are nodes of the cluster, which tell of the others. `commits` are counters for a
        database that several workers use.
        """
        options = options or RqliteOptions()
        self._level: Level = options.read_level
        self.capabilities = self.capabilities._replace(replicas=self._level == "none")
        self._nodes = Nodes(urls, options)
        super().__init__("an rqlite cluster", self._nodes.name)
        self._widths: dict[str, int] = {}
        self.writer = ClusterWriter(
            self._nodes,
            timeout_seconds=options.timeout_seconds,
            counters=commits or LocalCounters(3),
        )

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until the cluster has a leader.

        Raises `DatabaseUnavailable` if it has none in time, and at once if access is refused.
        """
        await self._nodes.wait_until_ready(seconds)

    async def _read(
        self, sql: str, args: Sequence[Value], *, fresh: bool, named: bool
    ) -> ResultSet:
        statement = encode_statement(sql, args)
        demand = read_demand()
        strong = fresh or (demand is not None and demand.strong)
        level: Level = "linearizable" if strong else self._level
        if not is_wrapped(sql):
            (result,) = await self._ask([statement], level)
            return ResultSet(tuple(result.get("columns") or ()), bare_rows(result), 0)
        asked_names = [asking_names(statement)] if named else []
        while True:
            width = self._widths.get(sql)
            if width is None:
                (described,) = await self._ask([asking_names(statement)], level)
                width = self._keep_width(sql, len(names_in(described)))
            try:
                *told, result = await self._ask([*asked_names, wrapped(statement, width)], level)
            except DatabaseError as error:
                # The schema has changed, so the columns of `*` are unknown.
                if not is_other_width(str(error)):
                    raise
                self._widths.pop(sql, None)
                continue
            return ResultSet(names_in(told[0]) if told else (), decode_rows(result), 0)

    async def _ask(self, queries: list[Json], level: Level) -> list[dict[str, Any]]:
        """The results of queries, on a node that has all that this adapter wrote."""
        acknowledged = self.writer.acknowledged
        questions = [[self.writer.last_group], *queries] if acknowledged else queries
        results = await self._nodes.query(questions, level)
        if acknowledged and level != "linearizable" and not _has(results[0], acknowledged):
            # A follower that is behind, or a leader that was elected just now.
            results = await self._nodes.query(questions, "linearizable")
        results = results[-len(queries) :]
        for result in results:
            if "error" in result:
                raise error_of(str(result["error"]))
        return results

    def _keep_width(self, sql: str, width: int) -> int:
        if len(self._widths) >= KNOWN_WIDTHS:
            self._widths.clear()
        self._widths[sql] = width
        return width

    async def _try_writing(self) -> None:
        await self.batch([Statement("DELETE FROM buntime_writers WHERE 0")])

    def position(self) -> None:
        """None: a read sees writes of other hosts if it is `fresh`, or asks the leader."""

    def statistics(self) -> dict[str, float]:
        """`commits`, `batches`, `commit_seconds`, `leaders`: how often one was found."""
        return {**commit_statistics(self.writer.counters), "leaders": self._nodes.leaders}

    def get_raw_client(self) -> Any:
        """The HTTP session that the nodes are asked with."""
        return self._nodes.session

    async def close(self) -> None:
        await self.writer.close()
        await self._nodes.close()


def _has(result: dict[str, Any], group: int) -> bool:
    rows = result.get("values") or ()
    return any(int(row[0] or 0) >= group for row in rows)

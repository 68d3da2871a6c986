"""A database on a real node for each test: the node's, emptied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from buntime_database import Adapter, OutcomeUnknown
from buntime_database_conformance import EngineUnderTest, OpenAdapter
from buntime_plugin_database.engines.rqlite.adapter import CAPABILITIES, RqliteAdapter
from buntime_plugin_database.engines.rqlite.nodes import StatementResults
from buntime_plugin_database.engines.rqlite.values import Json
from support.rqlite import Rqlited

# A virtual table takes its shadow tables with it; of others the youngest come first, since older
# ones may be their parents.
_OBJECTS = """
SELECT type, name FROM sqlite_schema
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  AND name NOT LIKE 'buntime\\_%' ESCAPE '\\'
ORDER BY sql LIKE 'CREATE VIRTUAL%' DESC, rowid DESC"""


def wipe(node: Rqlited) -> None:
    """Drop everything."""
    found = node.rows(_OBJECTS)
    if found:
        node.run(*(f'DROP {kind} IF EXISTS "{name}"' for kind, name in found))


def lose_answers(adapter: RqliteAdapter) -> None:
    """Let the answer of every commit get lost, when it was carried out."""
    nodes = adapter._nodes
    execute = nodes.execute

    async def lose(
        statements: Sequence[Json], *, most_seconds: float = float("inf")
    ) -> StatementResults:
        results = await execute(statements, most_seconds=most_seconds)
        is_question = most_seconds != float("inf")
        if not is_question and not any("error" in result for result in results):
            raise OutcomeUnknown("gone")
        return results

    nodes.execute = lose  # type: ignore[method-assign]


def rqlite_target(name: str, node: Rqlited) -> EngineUnderTest:
    """Adapters on this node."""

    @asynccontextmanager
    async def database(*, loses_answers: bool = False) -> AsyncIterator[OpenAdapter]:
        opened: list[RqliteAdapter] = []

        async def open_adapter() -> Adapter:
            opened.append(RqliteAdapter([node.url]))
            if loses_answers:
                lose_answers(opened[-1])
            return opened[-1]

        wipe(node)
        try:
            yield open_adapter
        finally:
            for adapter in opened:
                await adapter.close()

    return EngineUnderTest(
        name, CAPABILITIES, database, losing_database=partial(database, loses_answers=True)
    )

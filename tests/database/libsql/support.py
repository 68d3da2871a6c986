"""A database on real servers for each test: theirs, emptied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from buntime_database import Adapter, Statement
from buntime_database_conformance import EngineUnderTest, OpenAdapter
from buntime_plugin_database.engines.libsql.adapter import CAPABILITIES, LibsqlAdapter
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.libsql.transport import Json

# A virtual table takes its shadow tables with it; of others the youngest come first, since older
# ones may be their parents.
_OBJECTS = """
SELECT type, name FROM sqlite_schema
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  AND name NOT LIKE 'libsql\\_%' ESCAPE '\\' AND name NOT LIKE 'buntime\\_%' ESCAPE '\\'
ORDER BY sql LIKE 'CREATE VIRTUAL%' DESC, rowid DESC"""


async def wipe(urls: Sequence[str]) -> None:
    """Drop everything."""
    adapter = LibsqlAdapter(urls[:1])
    try:
        found = await adapter.query(_OBJECTS)
        drops = [Statement(f'DROP {kind!s} IF EXISTS "{name!s}"') for kind, name in found]
        await adapter.batch([*drops, Statement("PRAGMA user_version = 0")])
    finally:
        await adapter.close()


def lose_answers(adapter: LibsqlAdapter) -> None:
    """Let the connection break after every commit, when it was carried out."""
    transport = adapter._servers.primary.transport
    send = transport.batch

    async def lose(steps: list[Json]) -> Json:
        answer = await send(steps)
        commit = next(n for n, step in enumerate(steps) if step["stmt"]["sql"] == "COMMIT")
        if answer["step_results"][commit] is not None:
            raise ConnectionResetError("gone")
        return answer

    transport.batch = lose  # type: ignore[method-assign]


def libsql_target(
    name: str, urls: Sequence[str], options: LibsqlOptions | None = None
) -> EngineUnderTest:
    """Adapters on these servers; only with a single one all reads show the newest."""

    @asynccontextmanager
    async def database(*, loses_answers: bool = False) -> AsyncIterator[OpenAdapter]:
        opened: list[LibsqlAdapter] = []

        async def open_adapter() -> Adapter:
            opened.append(LibsqlAdapter(urls, options=options))
            if loses_answers:
                lose_answers(opened[-1])
            return opened[-1]

        await wipe(urls)
        try:
            yield open_adapter
        finally:
            for adapter in opened:
                await adapter.close()

    return EngineUnderTest(
        name,
        CAPABILITIES,
        database,
        one_view=len(urls) == 1,
        losing_database=partial(database, loses_answers=True),
    )

"""PostgreSQL's explanation of a search."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Statement, Value

from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.search.queries import MATCH, asked
from buntime_plugin_keyval.storage.searching import Index


def matching(index: Index, match: str, limit: int) -> Statement:
    """The number of matching entries, up to a limit."""
    sql = f"""
SELECT count(*) FROM (SELECT 1 FROM kv_docs WHERE words @@ {MATCH} LIMIT ?) AS found"""
    return Statement(numbered(sql), (*asked(index, match), limit))


def explain(statement: Statement) -> Statement:
    """The steps of a statement; see `plan`."""
    sql, args = statement
    return Statement(f"EXPLAIN {sql}", args)


def plan(rows: Sequence[Sequence[Value]]) -> list[str]:
    """The lines of the server."""
    return [str(line) for (line,) in rows]

"""SQLite's explanation of a search."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Statement, Value

from buntime_plugin_keyval.storage.searching import Index


def matching(index: Index, match: str, limit: int) -> Statement:
    """The number of matching entries, up to a limit."""
    table = index.table
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ? LIMIT ?)"
    return Statement(sql, (match, limit))


def explain(statement: Statement) -> Statement:
    """The steps of a statement; see `plan`."""
    sql, args = statement
    return Statement(f"EXPLAIN QUERY PLAN {sql}", args)


def plan(rows: Sequence[Sequence[Value]]) -> list[str]:
    """A line for each step, further in where it belongs to the one above."""
    depths: dict[Value, int] = {}
    lines = []
    for step, above, _, detail in rows:
        depths[step] = depths.get(above, -1) + 1
        lines.append("  " * depths[step] + str(detail))
    return lines

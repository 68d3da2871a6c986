"""Reading where the engine's SQL cannot decide a filter exactly.

Engines without Unicode case folding get a condition that lets too many rows through, and each row
is checked again here. Slower, but the same answer on every engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from buntime_database import Adapter

from buntime_plugin_keyval.storage import statements as sql
from buntime_plugin_keyval.storage.selection import Selection

PAGE = 1000
"""Rows that are read and checked at a time."""


async def matching_rows(
    adapter: Adapter, selection: Selection, now_ms: int, *, told: str, fresh: bool = False
) -> AsyncIterator[tuple[bytes, str, str]]:
    """Key, value and what `told` says of the entries that really match, up to the limit."""
    recheck = selection.condition.recheck
    statement = sql.LIST.format(told=told, order=selection.order, where=selection.condition.sql)
    rest = selection._replace(limit=PAGE)
    left = selection.limit
    while True:
        rows = await adapter.query(statement, rest.args(now_ms), fresh=fresh)
        for row in rows:
            if recheck is None or recheck(str(row[1])):
                yield row  # type: ignore[misc] # as the schema says
                left -= 1
                if left == 0:
                    return
        if len(rows) < PAGE:
            return
        rest = rest.behind(rows[-1][0])  # type: ignore[arg-type] # a BLOB

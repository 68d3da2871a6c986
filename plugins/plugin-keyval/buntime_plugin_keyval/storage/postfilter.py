"""Reading where the engine's SQL cannot decide a filter exactly.

On engines without Unicode case folding, the SQL condition lets too many rows through, and each row
is checked again here. This is slower, but gives the same result on every engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import TypeVar

from buntime_host.http.rest import WORK_SECONDS, rest

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.reads import Selecting
from buntime_plugin_keyval.storage.selection import RowCondition, Selection

R = TypeVar("R", bound=Sequence[object])

PAGE = 1000
"""The most rows that are read and checked at a time."""

SLICE_SECONDS = WORK_SECONDS
"""How long rows are checked before other tasks and threads get their turn."""

INLINE_CHARS = 64 * 1024
INLINE_WORK = 8 * 1024 * 1024
"""The length of a value, times the number of the filter's arguments, from which a thread checks it:
it takes longer than a slice, and a thread can be switched within it."""


async def matching_rows(
    db: Database, selecting: Selecting, selection: Selection, now_ms: int, *, fresh: bool = False
) -> AsyncIterator[tuple[bytes, str, str]]:
    """Key, value and one more column of the entries that really match, up to the limit."""
    condition = selection.condition
    rest = selection._replace(limit=PAGE)
    left = selection.limit
    while True:
        rows = await db.adapter.query(*selecting(rest, now_ms), fresh=fresh)
        async for row in kept(rows, condition, value=1):
            yield row  # type: ignore[misc] # as the schema says
            left -= 1
            if left == 0:
                return
        if len(rows) < PAGE:
            return
        rest = rest.behind(rows[-1][0])  # type: ignore[arg-type] # a BLOB


async def kept(rows: Sequence[R], condition: RowCondition, *, value: int) -> AsyncIterator[R]:
    """The rows that really match, by the value in the column with this index.

    Other tasks run meanwhile, however many rows there are.
    """
    recheck = condition.recheck
    if recheck is None:
        for row in rows:
            yield row
        return
    weight = 1 + len(condition.args)
    until = perf_counter() + SLICE_SECONDS
    for row in rows:
        text = str(row[value])
        if len(text) > INLINE_CHARS or len(text) * weight > INLINE_WORK:
            matches = await asyncio.to_thread(recheck, text)
        else:
            matches = recheck(text)
        if matches:
            yield row
        if perf_counter() > until:
            await rest()
            until = perf_counter() + SLICE_SECONDS

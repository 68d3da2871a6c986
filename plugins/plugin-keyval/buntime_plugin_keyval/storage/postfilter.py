"""Reading where the engine's SQL cannot decide a filter exactly.

Engines without Unicode case folding get a condition that lets too many rows through, and each row
is checked again here. Slower, but the same answer on every engine.
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
"""Rows that are read and checked at a time."""

SLICE_SECONDS = WORK_SECONDS
"""How long rows are checked before others get their turn on the event loop, and the threads."""

INLINE_CHARS = 64 * 1024
INLINE_WORK = 8 * 1024 * 1024
"""Length of a value, and that times the filter's arguments, beyond which a thread checks it: it
takes more than a slice, and a thread gives others their turn within it."""


async def matching_rows(
    db: Database, selecting: Selecting, selection: Selection, now_ms: int, *, fresh: bool = False
) -> AsyncIterator[tuple[bytes, str, str]]:
    """What an operation reads of the entries that really match, up to the limit.

    Key, value and one more column.
    """
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
    """The rows that really match by the value in their column of that number.

    However many there are, and however long it takes, others run meanwhile.
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

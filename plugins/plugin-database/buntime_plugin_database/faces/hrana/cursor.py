"""Cursors: a batch whose results leave the server row by row."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from buntime_database import DatabaseError, SessionCursor

from buntime_plugin_database.faces.hrana.conditions import StepOutcome, holds
from buntime_plugin_database.faces.hrana.errors import error_object
from buntime_plugin_database.faces.hrana.messages import HranaBatch, Stmt
from buntime_plugin_database.faces.hrana.requests import (
    HRANA,
    STEPS_AT_ONCE,
    arguments,
    check_steps,
    encode_columns,
)
from buntime_plugin_database.faces.hrana.streams import StoredSql, Stream
from buntime_plugin_database.faces.rows_json import row_json

ROWS_AT_A_TIME = 200
_ENTRY_BYTES = 32


async def entries(
    stream: Stream, batch: HranaBatch, stored: StoredSql
) -> AsyncGenerator[dict[str, Any], None]:
    """The entries of the protocol: begin, rows and end of every step that runs, or its error."""
    outcomes: list[StepOutcome] = []
    try:
        check_steps(batch)
    except DatabaseError as error:
        yield {"type": "error", "error": error_object(error)}
        return
    for number, step in enumerate(batch.steps):
        if number % STEPS_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            if not holds(step.condition, outcomes, autocommit=stream.session.autocommit):
                outcomes.append(StepOutcome.SKIPPED)
                continue
        except DatabaseError as error:
            yield {"type": "error", "error": error_object(error)}
            return
        try:
            async with opened(stream, step.stmt, stored) as cursor:
                yield {"type": "step_begin", "step": number, "cols": encode_columns(cursor.columns)}
                while rows := await cursor.fetch(ROWS_AT_A_TIME):
                    if step.stmt.want_rows is False:
                        continue
                    left = deque(rows)
                    del rows  # each row leaves at once
                    while left:
                        yield {"type": "row", "row": await row_json(left.popleft(), HRANA)}
                result = await cursor.finish()
            yield {
                "type": "step_end",
                "affected_row_count": result.rowcount,
                "last_insert_rowid": (None if result.lastrowid is None else str(result.lastrowid)),
            }
            outcomes.append(StepOutcome.OK)
        except DatabaseError as error:
            outcomes.append(StepOutcome.ERROR)
            yield {"type": "step_error", "step": number, "error": error_object(error)}


def size_of(entry: dict[str, Any]) -> int:
    """Approximate bytes of an entry as JSON."""
    row = entry.get("row", ())
    if isinstance(row, msgspec.Raw):
        return _ENTRY_BYTES + memoryview(row).nbytes
    texts = (text for value in row for text in value.values())
    return _ENTRY_BYTES + sum(len(text) for text in texts if isinstance(text, str))


@asynccontextmanager
async def opened(stream: Stream, stmt: Stmt, stored: StoredSql) -> AsyncIterator[SessionCursor]:
    """A running statement, which ends even if its last rows are not read."""
    cursor = await stream.session.open_cursor(*arguments(stmt, stored))
    try:
        yield cursor
    finally:
        # Nothing to end if the whole session was closed meanwhile.
        with contextlib.suppress(DatabaseError):
            await cursor.finish()

"""Serves the requests that all transports share, on a stream that is used by one request at a
time.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any

import msgspec
from buntime_database import Column, DatabaseError, ResultTooLarge, SessionResult
from buntime_database import Value as SqlValue

from buntime_plugin_database.faces.amounts import MOST_ARGUMENTS, MOST_STATEMENTS
from buntime_plugin_database.faces.hrana.conditions import StepOutcome, holds
from buntime_plugin_database.faces.hrana.errors import RequestRefused, error_object
from buntime_plugin_database.faces.hrana.messages import (
    Describe,
    Execute,
    GetAutocommit,
    HranaBatch,
    RunBatch,
    Sequence,
    SqlRequest,
    Stmt,
)
from buntime_plugin_database.faces.hrana.streams import StoredSql, Stream
from buntime_plugin_database.faces.large import COLUMN_BYTES, answer_bytes, columns_bytes
from buntime_plugin_database.faces.rows_json import SMALL_BYTES, Form, rows_json
from buntime_plugin_database.shared.values import encode_rows, from_sql, to_sql

HRANA = Form(
    rows=encode_rows,
    value=from_sql,
    row=(b"[", b"]"),
    text=(b'{"type":"text","value":"', b'"}'),
    blob=(b'{"type":"blob","base64":"', b'"}'),
)
"""Rows as the protocol has them."""

STEPS_AT_ONCE = 100
"""Steps whose conditions are checked before others have their turn."""


async def serve(stream: Stream, request: SqlRequest, stored: StoredSql) -> dict[str, Any]:
    """The response to a request. Raises `DatabaseError` where the request fails as a whole."""
    match request:
        case Execute(stmt=stmt):
            return {"type": "execute", "result": await run_statement(stream, stmt, stored)}
        case RunBatch(batch=batch):
            return {"type": "batch", "result": await run_batch(stream, batch, stored)}
        case Sequence(sql=sql, sql_id=sql_id):
            await stream.session.sequence(stored.resolve(sql, sql_id))
            return {"type": "sequence"}
        case Describe(sql=sql, sql_id=sql_id):
            return {"type": "describe", "result": await describe(stream, sql, sql_id, stored)}
        case GetAutocommit():
            return {"type": "get_autocommit", "is_autocommit": stream.session.autocommit}


async def run_statement(stream: Stream, stmt: Stmt, stored: StoredSql) -> dict[str, Any]:
    """The result of one statement."""
    sql, args, named = arguments(stmt, stored)
    _check_room(stream)
    want_rows = stmt.want_rows is not False
    result = await stream.hand.run(
        lambda most: stream.session.execute(sql, args, named, want_rows=want_rows, max_bytes=most),
        lambda: stream.session.rollback_at is not None,
    )
    stream.bytes_left -= answer_bytes(result)
    return await statement_result(result)


async def run_batch(stream: Stream, batch: HranaBatch, stored: StoredSql) -> dict[str, Any]:
    """Results and errors of a batch, each at the place of its step."""
    check_steps(batch)
    results: list[dict[str, Any] | None] = []
    errors: list[dict[str, Any] | None] = []
    outcomes: list[StepOutcome] = []
    for number, step in enumerate(batch.steps):
        if number % STEPS_AT_ONCE == 0:
            await asyncio.sleep(0)  # steps whose conditions do not hold wait for nothing else
        result = error = None
        outcome = StepOutcome.SKIPPED
        if holds(step.condition, outcomes, autocommit=stream.session.autocommit):
            try:
                result = await run_statement(stream, step.stmt, stored)
                outcome = StepOutcome.OK
            except DatabaseError as failure:
                error = error_object(failure)
                outcome = StepOutcome.ERROR
        results.append(result)
        errors.append(error)
        outcomes.append(outcome)
    return {"step_results": results, "step_errors": errors}


def _check_room(stream: Stream) -> None:
    """Raise `ResultTooLarge` where the results of this request are as large as they may be."""
    if stream.bytes_left <= 0:
        raise ResultTooLarge("the results before this one are as large as an answer may be")


def check_steps(batch: HranaBatch) -> None:
    """Raise `RequestRefused` for a batch of too many steps."""
    if len(batch.steps) > MOST_STATEMENTS:
        what = f"the batch has {len(batch.steps)} steps, which are more than {MOST_STATEMENTS}"
        raise RequestRefused("TOO_MANY_STATEMENTS", what)


async def describe(
    stream: Stream, sql: str | None, sql_id: int | None, stored: StoredSql
) -> dict[str, Any]:
    """A description of a statement's effects."""
    _check_room(stream)
    found = await stream.session.describe(stored.resolve(sql, sql_id))
    stream.bytes_left -= columns_bytes(found.columns) + COLUMN_BYTES * len(found.parameters)
    return {
        "params": [{"name": name} for name in found.parameters],
        "cols": encode_columns(found.columns),
        "is_explain": found.is_explain,
        "is_readonly": found.is_readonly,
    }


def arguments(stmt: Stmt, stored: StoredSql) -> tuple[str, list[SqlValue], dict[str, SqlValue]]:
    """SQL text, positional and named arguments of a statement."""
    number = len(stmt.args or ()) + len(stmt.named_args or ())
    if number > MOST_ARGUMENTS:
        what = f"a statement has {number} arguments, which are more than {MOST_ARGUMENTS}"
        raise RequestRefused("ARGS_INVALID", what)
    named: dict[str, SqlValue] = {}
    for arg in stmt.named_args or ():
        if arg.name in named:
            raise RequestRefused("ARGS_INVALID", f"argument {arg.name} is given twice")
        named[arg.name] = to_sql(arg.value)
    return stored.resolve(stmt.sql, stmt.sql_id), [to_sql(v) for v in stmt.args or ()], named


async def statement_result(result: SessionResult) -> dict[str, Any]:
    """The protocol's object for the result of a statement."""
    is_small = result.size <= SMALL_BYTES
    rows = encode_rows(result.rows) if is_small else await rows_json(result.rows, HRANA)
    return {
        "cols": encode_columns(result.columns),
        "rows": rows,
        "affected_row_count": result.rowcount,
        "last_insert_rowid": None if result.lastrowid is None else str(result.lastrowid),
        "rows_read": len(result.rows),
        "rows_written": result.rowcount,
        "query_duration_ms": round(result.seconds * 1000, 3),
    }


@lru_cache(maxsize=64)
def encode_columns(columns: tuple[Column, ...]) -> msgspec.Raw:
    """Names and declared types as JSON; made once for a statement that is run again and again."""
    found = [{"name": column.name, "decltype": column.decltype} for column in columns]
    return msgspec.Raw(msgspec.json.encode(found))

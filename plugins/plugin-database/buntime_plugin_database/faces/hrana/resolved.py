"""Requests in which numbers of stored SQL texts are replaced by the texts."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from buntime_plugin_database.faces.hrana.messages import (
    BatchStep,
    Describe,
    Execute,
    HranaBatch,
    OpenCursor,
    RunBatch,
    Sequence,
    SocketRequest,
    Stmt,
)
from buntime_plugin_database.faces.hrana.streams import StoredSql

T = TypeVar("T", Stmt, Sequence, Describe)


def with_texts(request: SocketRequest, stored: StoredSql) -> SocketRequest:
    """The request with texts instead of their numbers.

    Raises `RequestRefused` for a number that has no text; a step of a batch keeps such a number,
    so that it is the step that fails.
    """
    match request:
        case Execute(stmt=stmt):
            return msgspec.structs.replace(request, stmt=_with_text(stmt, stored))
        case Sequence():
            return _with_text(request, stored)
        case Describe():
            return _with_text(request, stored)
        case RunBatch(batch=batch) | OpenCursor(batch=batch):
            return msgspec.structs.replace(request, batch=_with_step_texts(batch, stored))
        case _:
            return request


def _with_text(item: T, stored: StoredSql) -> T:
    sql = stored.resolve(item.sql, item.sql_id)
    return item if item.sql is not None else msgspec.structs.replace(item, sql=sql, sql_id=None)


def _with_step_texts(batch: HranaBatch, stored: StoredSql) -> HranaBatch:
    return HranaBatch(
        tuple(
            step
            if step.stmt.sql_id is None or not stored.has(step.stmt.sql_id)
            else BatchStep(_with_text(step.stmt, stored), step.condition)
            for step in batch.steps
        )
    )

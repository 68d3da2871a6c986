"""SQL values in the plain JSON of the API: values that JSON has unchanged, the rest as small
objects.

A blob is `{"$blob": base64}`. An integer that a double cannot hold is sent as decimal text; in
arguments it may be a JSON number or `{"$int": "…"}`.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from buntime_database import Column, SessionResult
from buntime_database import Value as SqlValue

from buntime_plugin_database.faces.rows_json import SMALL_BYTES, Form, rows_json
from buntime_plugin_database.shared.values import Blob, Integer, InvalidArgument, to_sql

BLOB_FORMS = ("base64", "text")
"""How an answer may show blobs, by the query parameter `blob`."""

MAX_SAFE_INTEGER = 2**53 - 1

VALUES_INLINE = 5_000
"""Values and names of columns that are made ready between other requests."""

T = TypeVar("T")


def to_json(value: SqlValue, *, blobs_as_text: bool = False) -> Any:
    """A value from the database as JSON."""
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, bytes):
        if blobs_as_text:
            return _as_text(value)
        return {"$blob": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def from_json(value: Any) -> SqlValue:
    """An argument from a request. Raises `InvalidArgument`."""
    match value:
        case None | str() | float():
            return value
        case bool():
            return int(value)
        case int():
            return to_sql(Integer(value))
        case {"$blob": str(text)} if len(value) == 1:
            return to_sql(Blob(text))
        case {"$int": str(text)} if len(value) == 1:
            return to_sql(Integer(text))
        case _:
            raise InvalidArgument(f"not a value for SQL: {str(value)[:40]}")


async def made_of(results: Sequence[SessionResult], make: Callable[[], T]) -> T:
    """The result of `make`, which runs in a thread if it takes long, so that others go on."""
    values = sum((len(result.rows) + 1) * len(result.columns) for result in results)
    return await asyncio.to_thread(make) if values > VALUES_INLINE else make()


async def rows_as_json(
    result: SessionResult, *, blobs_as_text: bool = False
) -> msgspec.Raw | list[dict[str, Any]]:
    """The rows as `row_objects` has them; large ones are encoded in turns with others."""
    if result.size <= SMALL_BYTES:
        return await made_of([result], lambda: row_objects(result, blobs_as_text=blobs_as_text))
    names = [msgspec.json.encode(name) + b":" for name in member_names(result.columns)]
    rows = result.rows
    if blobs_as_text:
        rows = [tuple(_as_text(value) for value in row) for row in rows]
    form = Form(
        rows=lambda some: row_objects(result._replace(rows=some)),
        value=to_json,
        row=(b"{", b"}"),
        text=(b'"', b'"'),
        blob=(b'{"$blob":"', b'"}'),
        names=names,
    )
    return await rows_json(rows, form)


def _as_text(value: SqlValue) -> SqlValue:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def row_objects(result: SessionResult, *, blobs_as_text: bool = False) -> list[dict[str, Any]]:
    """Rows as objects, whose members have the names of `member_names`."""
    names = member_names(result.columns)
    return [
        dict(zip(names, (to_json(v, blobs_as_text=blobs_as_text) for v in row), strict=True))
        for row in result.rows
    ]


def column_objects(columns: tuple[Column, ...]) -> list[dict[str, str | None]]:
    """Names and declared types of columns."""
    return [
        {"name": name, "type": column.decltype}
        for name, column in zip(member_names(columns), columns, strict=True)
    ]


def member_names(columns: tuple[Column, ...]) -> list[str]:
    """A name for each column that no other one has: a second `a` is called `a:1`, as SQLite does
    for the columns of a subquery. An object would hold just one of them."""
    names: dict[str, None] = {}
    counts: dict[str, int] = {}  # the number that was given last: all before it are taken
    for column in columns:
        name, count = column.name, counts.get(column.name, 0)
        while name in names:
            count += 1
            name = f"{column.name}:{count}"
        counts[column.name] = count
        names[name] = None
    return list(names)

"""Rows as JSON, in pieces: others have their turns while a large result is written.

The encoder holds Python's lock until it is done, in a thread as well, and ten megabytes of quotes
take it a tenth of a second.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from buntime_database import Value as SqlValue
from buntime_host.http.rest import WORK_SECONDS, rest

SMALL_BYTES = 64 * 1024
"""Bytes that are encoded at once, more or less: texts and blobs of rows, and characters of a long
one."""

VALUE_BYTES = 32
"""Bytes of a value beside its text."""

_BLOB_BYTES = SMALL_BYTES // 3 * 3
"""Largest part of a blob without padding behind it."""

_encode = msgspec.json.encode

Row = tuple[SqlValue, ...]
Around = tuple[bytes, bytes]


class Form(NamedTuple):
    """The form of rows in a network interface."""

    rows: Callable[[list[Row]], Sequence[object]]
    """Small rows, as the encoder takes them."""
    value: Callable[[SqlValue], object]
    """One value of a large row, in the same form."""
    row: Around
    """Texts around the values of a row."""
    text: Around
    """Texts around the characters of a long text, which are within quotes."""
    blob: Around
    """Texts around the base64 of a long blob."""
    names: Sequence[bytes] | None = None
    """Texts in front of each value of a row; None for none."""


async def rows_json(rows: Sequence[Row], form: Form) -> msgspec.Raw:
    """The rows of a result as a JSON array. Raises the exceptions of the form."""
    return await _joined(_pieces(rows, form))


async def row_json(row: Row, form: Form) -> object:
    """One row, in a form that the encoder takes. Raises as `rows_json`."""
    if size_of(row) > SMALL_BYTES:
        return await _joined(_pieces_of_row(row, form))
    (small,) = form.rows([row])
    return small


def size_of(row: Row) -> int:
    """About the bytes of a row."""
    texts = sum(len(value) for value in row if isinstance(value, str | bytes))
    return VALUE_BYTES * len(row) + texts


async def _joined(pieces: Iterable[bytes]) -> msgspec.Raw:
    """All pieces, with a turn of the loop after each that has some size."""
    written = bytearray()
    told = 0
    started = time.perf_counter()
    for piece in pieces:
        written += piece
        if len(written) - told < SMALL_BYTES:
            continue
        told = len(written)
        if time.perf_counter() - started > WORK_SECONDS:
            await rest()
            started = time.perf_counter()
        else:
            await asyncio.sleep(0)
    return msgspec.Raw(written)


def _pieces(rows: Iterable[Row], form: Form) -> Iterator[bytes]:
    """Small rows together, large ones value by value."""
    together: list[Row] = []
    size = 0
    opening = b"["
    for row in rows:
        bytes_of_row = size_of(row)
        if together and size + bytes_of_row > SMALL_BYTES:
            yield opening + _encode(form.rows(together))[1:-1]
            opening = b","
            together, size = [], 0
        if bytes_of_row > SMALL_BYTES:
            yield opening
            opening = b","
            yield from _pieces_of_row(row, form)
        else:
            together.append(row)
            size += bytes_of_row
    if together:
        yield opening + _encode(form.rows(together))[1:-1]
    elif opening == b"[":
        yield opening
    yield b"]"


def _pieces_of_row(row: Row, form: Form) -> Iterator[bytes]:
    opening, closing = form.row
    for number, value in enumerate(row):
        yield opening if form.names is None else opening + form.names[number]
        opening = b","
        if isinstance(value, str) and len(value) > SMALL_BYTES:
            yield form.text[0]
            for start in range(0, len(value), SMALL_BYTES):
                yield _encode(value[start : start + SMALL_BYTES])[1:-1]
            yield form.text[1]
        elif isinstance(value, bytes) and len(value) > SMALL_BYTES:
            yield form.blob[0]
            for start in range(0, len(value), _BLOB_BYTES):
                yield base64.b64encode(value[start : start + _BLOB_BYTES])
            yield form.blob[1]
        else:
            yield _encode(form.value(value))
    yield closing

"""Values, statements and results as the protocol writes them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

from buntime_database import DatabaseUnavailable, InvalidStatement, ResultSet, Value

from buntime_plugin_database.engines.libsql.answers import each_row
from buntime_plugin_database.engines.libsql.transport import Json
from buntime_plugin_database.shared.server_adapter import checked_text

_LEAST, _MOST = -(2**63), 2**63 - 1
_NULL: Json = {"type": "null"}
_PIECE = 256 * 1024
"""Characters of base64 that are decoded at once; a multiple of four."""
_VALUES = 2_000
"""Values that are read at once, which takes a millisecond."""


def encode_statement(sql: str, args: Sequence[Value], *, want_rows: bool = True) -> Json:
    """Encode one statement. Raises `InvalidStatement` for values that the protocol cannot carry."""
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise InvalidStatement(f"the arguments of a statement are a sequence, not {args!r:.80}")
    encoded = [_encode(value) for value in args]
    return {"sql": checked_text(sql), "args": encoded, "want_rows": want_rows}


def decode_result(result: Json) -> ResultSet:
    """Decode the result of one statement. Raises `DatabaseError` for a malformed answer."""
    try:
        return _with_rows(result, [tuple(map(_decode, row)) for row in each_row(result["rows"])])
    except _NONSENSE as error:
        raise _makes_no_sense(error) from error


async def read_result(result: Json) -> ResultSet:
    """The same for a result that may be large: others have their turns while it is read."""
    rows = []
    values = 0
    try:
        for row in each_row(result["rows"]):
            for value in row:
                text = value.get("base64", "")
                if len(text) > _PIECE:
                    value["base64"] = await _decode_in_turns(text)
            rows.append(tuple(map(_decode, row)))
            values += len(row) + 1
            if values > _VALUES:
                values = 0
                await asyncio.sleep(0)
        return _with_rows(result, rows)
    except _NONSENSE as error:
        raise _makes_no_sense(error) from error


def _with_rows(result: Json, rows: list[tuple[Value, ...]]) -> ResultSet:
    changed = int(result["affected_row_count"])
    rowid = result.get("last_insert_rowid")
    return ResultSet(
        tuple(str(column["name"] or "") for column in result["cols"]),
        rows,
        changed,
        int(rowid) or None if changed and rowid is not None else None,
    )


async def _decode_in_turns(text: str) -> bytes:
    pieces = []
    for start in range(0, len(text), _PIECE):
        pieces.append(_decode_base64(text[start : start + _PIECE]))
        await asyncio.sleep(0)
    return b"".join(pieces)


def _decode_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


_NONSENSE = (KeyError, TypeError, ValueError, AttributeError, binascii.Error)


def _makes_no_sense(error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"the server's answer makes no sense: {error!r}")


def position_of(result: Json) -> int | None:
    """The server's position in the primary's log, if the answer has it."""
    position = result.get("replication_index")
    return int(position) if isinstance(position, (int, str)) else None


def _encode(value: object) -> Json:
    if value is None:
        return _NULL
    if isinstance(value, str):
        return {"type": "text", "value": checked_text(value)}
    if isinstance(value, int):
        if not _LEAST <= value <= _MOST:  # not in a range: that is slow for kinds of integers
            raise InvalidStatement("an integer does not fit into 64 bits")
        return {"type": "integer", "value": str(int(value))}
    if isinstance(value, float):
        if math.isnan(value):
            return _NULL  # as SQLite itself does
        if math.isinf(value):
            raise InvalidStatement("infinity cannot be sent to a libSQL server")
        return {"type": "float", "value": value}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"type": "blob", "base64": base64.b64encode(value).decode("ascii")}
    raise InvalidStatement(f"SQL cannot hold a {type(value).__name__}")


def _decode(value: Any) -> Value:
    kind = value["type"]
    if kind == "text":
        return str(value["value"])
    if kind == "integer":
        return int(value["value"])
    if kind == "null":
        return None
    if kind == "float":
        if value["value"] is None:  # what JSON makes of it
            raise InvalidStatement("a libSQL server cannot send infinity")
        return float(value["value"])
    if kind == "blob":
        text = value["base64"]
        return text if isinstance(text, bytes) else _decode_base64(text)
    raise ValueError(f"unknown type of value {kind!r}")

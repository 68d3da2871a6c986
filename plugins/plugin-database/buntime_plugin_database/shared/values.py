"""SQL values as Hrana spells them in JSON, exact to the last bit of an integer or a blob."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from buntime_database import InvalidStatement
from buntime_database import Value as SqlValue

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1


class InvalidArgument(InvalidStatement):
    """A value that SQL, or JSON, cannot hold."""

    code = "HRANA_INVALID_VALUE"


class Null(msgspec.Struct, frozen=True, tag_field="type", tag="null"):
    """NULL."""


class Integer(msgspec.Struct, frozen=True, tag_field="type", tag="integer"):
    """A 64-bit integer: decimal text, because JSON numbers of many clients are doubles."""

    value: str | int


class Float(msgspec.Struct, frozen=True, tag_field="type", tag="float"):
    """A double."""

    value: float


class Text(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text."""

    value: str


class Blob(msgspec.Struct, frozen=True, tag_field="type", tag="blob"):
    """Bytes; clients may leave out the padding."""

    base64: str


Value = Null | Integer | Float | Text | Blob


def to_sql(value: Value) -> SqlValue:
    """The Python value to bind. Raises `InvalidArgument`."""
    match value:
        case Null():
            return None
        case Integer():
            return _integer(value.value)
        case Blob():
            return _bytes(value.base64)
        case _:
            return value.value


def _integer(value: str | int) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise InvalidArgument(f"not an integer of 64 bits: {value[:40]!r}")
        value = int(value)
    if not _MIN_INTEGER <= value <= _MAX_INTEGER:
        raise InvalidArgument(f"not an integer of 64 bits: {value}")
    return value


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        raise InvalidArgument("a blob is not base64") from None


def from_sql(value: SqlValue) -> dict[str, Any]:
    """The JSON object of a value from the database. Raises `InvalidArgument` for an infinity."""
    if isinstance(value, str):
        return {"type": "text", "value": value}
    if value is None:
        return {"type": "null"}
    if isinstance(value, int):
        return {"type": "integer", "value": str(value)}
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgument(f"JSON has no number for the value {value}")
        return {"type": "float", "value": value}
    return {"type": "blob", "base64": base64.b64encode(value).decode()}


def encode_rows(rows: Iterable[tuple[SqlValue, ...]]) -> list[list[dict[str, Any]]]:
    """All rows of a result."""
    return [[from_sql(value) for value in row] for row in rows]

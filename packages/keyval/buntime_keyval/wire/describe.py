"""Unexpected values in error messages."""

from __future__ import annotations

import msgspec

from buntime_keyval.wire.numbers import BigInt


def describe(value: object) -> str:
    """`<type>: <value>` of something unexpected, the type in JavaScript's words."""
    if value is None:
        return "null: null"
    if isinstance(value, (bytes, bytearray)):
        return f"Uint8Array: {bytes(value)!r:.50}"
    name = "object"
    if isinstance(value, bool):
        name = "boolean"
    elif isinstance(value, BigInt):
        name = "bigint"
    elif isinstance(value, (int, float)):
        name = "number"
    elif isinstance(value, str):
        name = "string"
    elif isinstance(value, (list, tuple)):
        name = "array"
    try:
        shown = msgspec.json.encode(value).decode()
    except (TypeError, UnicodeEncodeError):
        shown = repr(value)
    return f"{name}: {shown[:50]}"

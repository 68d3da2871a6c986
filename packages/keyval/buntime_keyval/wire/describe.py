"""Unexpected values in error messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from buntime_keyval.wire.numbers import BigInt

Describe = Callable[[object], str]

_MOST_SHOWN = 50


def describe(value: object) -> str:
    """`<type>: <value>` of something unexpected, the type in JavaScript's words.

    Looks at no more of it than it shows.
    """
    if value is None:
        return "null: null"
    if isinstance(value, (bytes, bytearray)):
        return f"Uint8Array: {bytes(value[:_MOST_SHOWN])!r:.50}"
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
    shown = ""
    for piece in _pieces(value):
        shown += piece
        if len(shown) >= _MOST_SHOWN:
            break
    return f"{name}: {shown[:_MOST_SHOWN]}"


def as_written(value: object) -> str:
    """The same for those who write Python: as Python writes it, cut off."""
    return f"{value!r:.50}"


def _pieces(value: object) -> Iterator[str]:
    """The JSON text, a piece at a time."""
    if isinstance(value, dict):
        yield "{"
        for index, (name, member) in enumerate(value.items()):
            if index:
                yield ","
            yield from _pieces(name)
            yield ":"
            yield from _pieces(member)
        yield "}"
    elif isinstance(value, (list, tuple)):
        yield "["
        for index, item in enumerate(value):
            if index:
                yield ","
            yield from _pieces(item)
        yield "]"
    else:
        if isinstance(value, str):
            value = value[:_MOST_SHOWN]
        try:
            yield msgspec.json.encode(value).decode()
        except (TypeError, UnicodeEncodeError):
            yield repr(value)

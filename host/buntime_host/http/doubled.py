"""Duplicate members of objects in a JSON body.

A decoder silently keeps the last of them, which may not be the one that was meant. Checking every
member would cost more than decoding, so the quotes are counted: a text has two for each string,
however it is written, and a dropped member had at least a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

_encode = msgspec.json.encode


class Doubled(NamedTuple):
    """A duplicate member."""

    name: str
    place: str
    """The names of the members that it is in, joined with dots; empty at the outermost level."""


def has_doubled(text: bytes, value: Any) -> bool:
    """Whether an object somewhere in a JSON text has a duplicate member, given the decoded text."""
    if text.count(b":") < 2:
        return False  # at most one member
    again = _encode(value)
    return again != text and quotes(text) != quotes(again)  # what is the same has all of it


def quotes(text: bytes) -> int:
    """The number of quotes that begin or end a string of a JSON text."""
    if b'\\"' in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return text.count(b'"')


def find_doubled(text: bytes, opaque: re.Pattern[str] | None = None) -> Doubled | None:
    """The first duplicate member. Slow: call `has_doubled` before.

    Members whose place and name match `opaque`, such as `items[2].value`, hold values of the
    sender, in which the last one counts, as it does for most readers of JSON.
    """
    return next(doubled_in(read_pairs(text), opaque), None)


class Pairs(list[tuple[str, Any]]):
    """Names and values of an object, in their order."""


def read_pairs(text: bytes) -> Any:
    """Decode a JSON text, with `Pairs` for objects and numbers as texts. Raises `ValueError`."""
    return json.loads(text, object_pairs_hook=Pairs, parse_int=str, parse_float=str)


def doubled_in(value: Any, opaque: re.Pattern[str] | None, place: str = "") -> Iterator[Doubled]:
    """All duplicate members in a result of `read_pairs`."""
    if isinstance(value, Pairs):
        names: set[str] = set()
        for name, member in value:
            if name in names:
                yield Doubled(name, place)
            names.add(name)
            below = f"{place}.{name}" if place else name
            if opaque is None or not opaque.fullmatch(below):
                yield from doubled_in(member, opaque, below)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from doubled_in(item, opaque, f"{place}[{index}]")

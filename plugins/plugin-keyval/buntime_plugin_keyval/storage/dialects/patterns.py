"""Finds keys that match a pattern, without reading the keys between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from buntime_plugin_keyval.storage.ranges import KeyRange


class Seeking(NamedTuple):
    """The place of keys that differ in the part behind a common base."""

    base: bytes
    keys: KeyRange


class PatternSql(NamedTuple):
    """Operations that find keys by their parts. Expired ones are among them."""

    seek: Mapping[bool, str]
    """By whether it is backwards. Where to look as `where_to_look` has it, how many keys for each:
    the place of a `Seeking` among all, and a key: the first one, or backwards the last, for each
    part that there is, in their order. NULL for the key behind those of a `Seeking` that has no
    more. It may have more without saying so, where a part does not show its end at a glance: then
    the key with that part comes last."""
    among: str
    """Keys as `hexadecimal` has them: the condition that an entry has one of them, to go into
    statements. They are looked up one by one, whatever else the statement asks for."""


def where_to_look(asked: Sequence[Seeking]) -> str:
    """A JSON array for each: start and end in hexadecimal, and the bytes of the base."""
    places = [(it.keys.start.hex(), it.keys.end.hex(), len(it.base)) for it in asked]
    return msgspec.json.encode(places).decode()

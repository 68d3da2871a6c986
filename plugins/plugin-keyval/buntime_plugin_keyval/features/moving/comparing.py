"""Comparing the entries of source and target, by hashes of many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from buntime_database import Value

from buntime_plugin_keyval.features.moving import copying
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.moving import MovedRow


class Compared(NamedTuple):
    """The result of comparing some entries."""

    number: int
    """The number of entries in the source."""
    last: Value
    """The key of the last one."""
    is_end: bool
    """Whether no entry follows them."""
    different: Sequence[Value]
    """Keys whose entries differed when the sides were read, one after the other."""


async def compare_behind(
    source: Database, target: Database, sides: copying.Sides, after: Value, most: int
) -> Compared:
    """Compare about `most` of the rows after a key, in bounded memory."""
    different: list[Value] = []
    number = 0
    async for page, is_last in copying.pages_behind(source, sides.source, after):
        until = None if is_last else page[-1]
        there = await copying.marks_between(target, sides.target, after, until)
        here_rows = await copying.rows_of(source, sides.source, page)
        there_rows = await copying.rows_of(target, sides.target, there)
        if _digest(here_rows) != _digest(there_rows):
            keys = {*page, *there}
            different += [key for key in keys if here_rows.get(key) != there_rows.get(key)]
        after = page[-1]
        number += len(page)
        if number >= most and not is_last:
            return Compared(number, after, False, different)
    if not number:  # the source has none, so the target must have none
        different += await copying.marks_between(target, sides.target, after, None)
    return Compared(number, after, True, different)


def _digest(rows: Mapping[Value, MovedRow]) -> bytes:
    """A digest that is the same in two databases with the same rows."""
    keys = sorted(rows)  # type: ignore[type-var] # keys of one kind
    told = [[copying.as_json_value(value) for value in rows[key]] for key in keys]
    return blake2b(msgspec.json.encode(told), digest_size=16).digest()

"""Reading entries. Nothing here writes, and nothing returns what has expired."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec
from buntime_database import Adapter, ResultTooLarge, Value
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage import statements as sql
from buntime_plugin_keyval.storage.dialects.sqlite.values import value_up_to
from buntime_plugin_keyval.storage.postfilter import matching_rows
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import EVERYTHING, POINT_LIMIT, RowCondition, Selection

VARIABLE_LIMIT = 1024
"""Keys that one statement takes as variables; engines stop somewhere above 32,000."""


LONG_VALUE = 64 * 1024
"""Bytes from which a value is long: reading or writing it takes more than a moment."""

READ_INLINE = 256 * 1024
"""Bytes of a value that may be read on the event loop; a hundred clients may ask at once."""

SHORT_BYTES = 1024 * 1024
"""What one statement puts together without having counted, perhaps on the event loop."""

LONG_MS = 100
"""How long lists are read in threads after a long one was met."""

_GET_SHORT = sql.GET_SHORT.format(value=value_up_to(READ_INLINE))
_GET_MANY_SHORT = sql.GET_MANY_SHORT.format(value=value_up_to(LONG_VALUE))


class Row(NamedTuple):
    """A live entry: canonical JSON text, versionstamp, expiry in epoch milliseconds, metadata."""

    value: str
    versionstamp: str
    expires_at: int | None
    metadata: str | None


class LongReads:
    """Reads of long values: in threads, and one after the other.

    Threads would read all that are asked for before the event loop has answered with the first, and
    all of them would be in memory.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._until_ms = 0

    def are_rare(self, now_ms: int) -> bool:
        """Whether lists may be read on the event loop.

        One that is long is given up there after a millisecond or two. One may hold the loop for
        that, but not the hundred that are asked for at the same time.
        """
        return now_ms >= self._until_ms

    def met(self, now_ms: int) -> None:
        """A list was found to be long: for a moment there may be more of its kind."""
        self._until_ms = now_ms + LONG_MS

    def turn_of(self, condition: RowCondition) -> AbstractAsyncContextManager[None]:
        """The turn of a list that is long. With a filter it has waited for one as a scan before.

        That may take seconds, for which whoever asks for one long value does not wait.
        """
        is_scan = condition.args or condition.recheck is not None
        return nullcontext() if is_scan else self.turn


async def get(
    adapter: Adapter, key: bytes, now_ms: int, long_reads: LongReads
) -> tuple[str, str] | None:
    """Value and versionstamp of a live key."""
    value, versionstamp = await get_short(adapter, key, now_ms) or ("", None)
    if versionstamp is None:
        return None
    if value is not None:
        return value, versionstamp
    async with long_reads.turn:
        rows = await adapter.query(sql.GET, (key, now_ms))  # in a thread
    return rows[0] if rows else None  # type: ignore[return-value] # both columns are TEXT NOT NULL


Short = tuple[str | None, str] | None
"""Value and versionstamp, no value where that is long; None for a missing key."""


async def get_short(adapter: Adapter, key: bytes, now_ms: int) -> Short:
    """The same, without a value that is long."""
    rows = await adapter.query(_GET_SHORT, (key, now_ms), point=True)
    return rows[0] if rows else None  # type: ignore[return-value] # as above


async def size(adapter: Adapter, key: bytes, now_ms: int) -> int | None:
    """Bytes of value and versionstamp of a live key, which are not read; None if it is missing."""
    rows = await adapter.query(sql.SIZE, (key, now_ms), point=True)
    return rows[0][0] if rows else None  # type: ignore[return-value] # a sum of lengths


async def get_many(
    adapter: Adapter,
    keys: Iterable[bytes],
    now_ms: int,
    long_reads: LongReads,
    *,
    fresh: bool = False,
) -> dict[bytes, Row]:
    """The live ones of the keys; `fresh` for what a decision rests on."""
    wanted = list(keys)
    if not adapter.capabilities.embedded:
        return await get_many_long(adapter, wanted, now_ms, fresh=fresh)
    rows = await rows_of_keys(adapter, _GET_MANY_SHORT, wanted, now_ms, fresh=fresh)
    if any(row[1] is None for row in rows):
        async with long_reads.turn:
            return await get_many_long(adapter, wanted, now_ms, fresh=fresh)  # all of one moment
    # The types are those of the columns, here and below.
    return {key: Row(*rest) for key, *rest, _ in rows}  # type: ignore[arg-type,misc]


async def get_many_long(
    adapter: Adapter, keys: Iterable[bytes], now_ms: int, *, fresh: bool = False
) -> dict[bytes, Row]:
    """The same where values may be long: in a thread."""
    rows = await rows_of_keys(adapter, sql.GET_MANY, keys, now_ms, fresh=fresh, point=False)
    return {key: Row(*rest) for key, *rest in rows}  # type: ignore[arg-type,misc]


async def get_many_short(
    adapter: Adapter, keys: Iterable[bytes], now_ms: int
) -> tuple[dict[bytes, Row], dict[bytes, int]]:
    """The live ones of the keys with short values, and the sizes of the values of the others.

    For what a decision rests on.
    """
    found = await rows_of_keys(adapter, _GET_MANY_SHORT, keys, now_ms, fresh=True)
    rows: dict[bytes, Row] = {}
    sizes: dict[bytes, int] = {}
    for key, value, versionstamp, expires_at, metadata, size in found:
        if value is None:
            sizes[key] = size  # type: ignore[index,assignment] # as the schema says
        else:
            # The types are those of the columns, here and above.
            rows[key] = Row(value, versionstamp, expires_at, metadata)  # type: ignore[index,arg-type]
    return rows, sizes


async def get_many_stamps(adapter: Adapter, keys: Iterable[bytes], now_ms: int) -> dict[bytes, Row]:
    """The live ones of the keys without their values, for what a decision rests on."""
    rows = await rows_of_keys(adapter, sql.GET_MANY_STAMPS, keys, now_ms, fresh=True)
    return {key: Row(*rest) for key, *rest in rows}  # type: ignore[arg-type,misc] # as above


async def get_many_json(
    adapter: Adapter, keys: Iterable[bytes], now_ms: int, shape: Shape, long_reads: LongReads
) -> dict[bytes, str]:
    """The live ones of the keys as JSON objects."""
    wanted = list(keys)
    if adapter.capabilities.embedded:
        found = await rows_of_keys(adapter, sql.GET_MANY_ENTRIES[shape], wanted, now_ms)
        if not any(row[2] is None for row in found):
            return {key: entry for key, _, entry in found}  # type: ignore[misc] # as below
    async with long_reads.turn:
        rows = await rows_of_keys(adapter, sql.GET_MANY_JSON[shape], wanted, now_ms, point=False)
    return dict(rows)  # type: ignore[arg-type] # pairs of a BLOB and a text


async def rows_of_keys(
    adapter: Adapter,
    template: str,
    keys: Iterable[bytes],
    now_ms: int,
    *,
    fresh: bool = False,
    point: bool = True,
) -> list[tuple[Value, ...]]:
    """What a statement reads of keys, each once; they go in for the `%s` of the template.

    `point` lets a few of them be read on the event loop.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return []
    if len(wanted) <= VARIABLE_LIMIT:
        # The next power of two: few distinct statements, so that they stay prepared.
        places = 1 << (len(wanted) - 1).bit_length()
        statement = _with_places(template, places)
        args: list[Value] = [*wanted, *[wanted[-1]] * (places - len(wanted)), now_ms]
    else:
        statement = template % sql.KEYS_OF_JSON
        args = [msgspec.json.encode([key.hex() for key in wanted]).decode(), now_ms]
    point = point and len(wanted) <= POINT_LIMIT
    return await adapter.query(statement, args, point=point, fresh=fresh)


@lru_cache
def _with_places(template: str, places: int) -> str:
    return template % ",".join("?" * places)


async def list_rows(
    adapter: Adapter,
    selection: Selection,
    now_ms: int,
    long_reads: LongReads,
    *,
    fresh: bool = False,
) -> list[tuple[bytes, str, str]]:
    """Key, value and versionstamp of the selected entries; `fresh` for what a decision rests on."""
    told = "versionstamp"
    if selection.condition.recheck is not None:
        return [
            row async for row in matching_rows(adapter, selection, now_ms, told=told, fresh=fresh)
        ]
    args = selection.args(now_ms)
    made = partial(str.format, told=told, order=selection.order, where=selection.condition.sql)
    if selection.is_bounded() and adapter.capabilities.embedded:
        rows = await adapter.query(made(sql.LIST_SHORT), args, point=True, fresh=fresh)
        if not any(row[1] is None for row in rows):
            return rows  # type: ignore[return-value] # as below
    # The statement says which columns come, and the schema of which types they are.
    async with long_reads.turn_of(selection.condition):
        return await adapter.query(made(sql.LIST), args, fresh=fresh)  # type: ignore[return-value]


async def list_stamps(adapter: Adapter, selection: Selection, now_ms: int) -> dict[bytes, str]:
    """Keys and versionstamps of the selected entries, for what a decision rests on."""
    if selection.condition.recheck is not None:
        rows = matching_rows(adapter, selection, now_ms, told="versionstamp", fresh=True)
        return {key: versionstamp async for key, _, versionstamp in rows}
    statement = sql.LIST_STAMPS.format(order=selection.order, where=selection.condition.sql)
    return dict(await adapter.query(statement, selection.args(now_ms), fresh=True))  # type: ignore[arg-type] # as above


async def list_json(
    adapter: Adapter, selection: Selection, now_ms: int, long_reads: LongReads
) -> str:
    """The selected entries as the inside of a JSON array."""
    entry = sql.ENTRY_JSON[selection.shape]
    if selection.condition.recheck is not None:
        rows = matching_rows(adapter, selection, now_ms, told=entry)
        return ",".join([text async for _, _, text in rows])
    statement = sql.LIST_JSON.format(
        entry=entry, order=selection.order, where=selection.condition.sql
    )
    args = selection.args(now_ms)
    with suppress(ResultTooLarge):
        if selection.is_bounded() and adapter.capabilities.embedded:
            ((text,),) = await adapter.query(statement, args, point=True, max_bytes=SHORT_BYTES)
            return text  # type: ignore[return-value] # group_concat of text
    async with long_reads.turn_of(selection.condition):
        ((entries,),) = await adapter.query(statement, args)
    return entries  # type: ignore[return-value] # as above


async def count(adapter: Adapter, keys: KeyRange, condition: RowCondition, now_ms: int) -> int:
    """Number of live entries in the range that meet the condition."""
    if condition.recheck is not None:
        selection = Selection(keys, sys.maxsize, condition=condition)
        rows = matching_rows(adapter, selection, now_ms, told="versionstamp")
        return len([1 async for _ in rows])
    if condition is EVERYTHING:
        ((number,),) = await adapter.query(sql.COUNT_ALL, (*keys, now_ms, *keys))
    else:
        statement = sql.COUNT.format(where=condition.sql)
        ((number,),) = await adapter.query(statement, (*keys, now_ms, *condition.args))
    return number  # type: ignore[return-value] # count(*)


async def next_expiry(adapter: Adapter, *, fresh: bool = False) -> int | None:
    """When the first of all entries expires, in epoch milliseconds; it may be in the past."""
    ((expires_at,),) = await adapter.query(sql.NEXT_EXPIRY, point=True, fresh=fresh)
    return expires_at  # type: ignore[return-value] # an integer or NULL


async def is_small(adapter: Adapter, keys: KeyRange) -> bool:
    """Whether the range holds few rows, live or not."""
    ((number,),) = await adapter.query(sql.COUNT_UP_TO, (*keys, POINT_LIMIT), point=True)
    return isinstance(number, int) and number < POINT_LIMIT


async def is_any(adapter: Adapter, selection: Selection, now_ms: int) -> bool:
    """Whether there is anything to select."""
    statement = sql.ANY_IN_RANGE.format(where=selection.condition.sql)
    args = (*selection.keys, now_ms, *selection.condition.args)
    ((found,),) = await adapter.query(statement, args, point=selection.is_bounded())
    return bool(found)

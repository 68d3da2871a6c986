"""Reading entries. Nothing here writes, or returns expired entries."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

import msgspec
from buntime_database import ResultTooLarge, Value
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.reads import OfKeys
from buntime_plugin_keyval.storage.postfilter import matching_rows
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import EVERYTHING, POINT_LIMIT, RowCondition, Selection

SHORT_BYTES = 1024 * 1024
"""The most bytes that one statement joins without counting first, perhaps on the event loop."""

LONG_MS = 100
"""How long lists are read in threads after a long one was found."""


class Row(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A live entry: canonical JSON text, versionstamp, expiry in epoch milliseconds, metadata."""

    value: str
    versionstamp: str
    expires_at: int | None
    metadata: str | None
    revision: int = 1
    """The number of writes since it was created, that one included."""
    type: str | None = None


class LongReads:
    """Has long values read in threads, one after the other.

    Otherwise threads would read all of them before the event loop has sent the first, and all would
    be in memory.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._until_ms = 0

    def are_rare(self, now_ms: int) -> bool:
        """Whether lists may be read on the event loop.

        A long list is given up there after a millisecond or two. One list may block the loop for
        that time, but not a hundred that are requested together.
        """
        return now_ms >= self._until_ms

    def met(self, now_ms: int) -> None:
        """Note that a list was long: for a while more long ones are expected."""
        self._until_ms = now_ms + LONG_MS

    def turn_of(self, condition: RowCondition) -> AbstractAsyncContextManager[None]:
        """The turn of a long list. One with a filter has had its turn as a scan already.

        A scan may take seconds, for which requests for one long value do not wait.
        """
        is_scan = condition.args or condition.recheck is not None
        return nullcontext() if is_scan else self.turn


async def get(
    db: Database, key: bytes, now_ms: int, long_reads: LongReads
) -> tuple[str, str] | None:
    """Value and versionstamp of a live key."""
    value, versionstamp = await db.get_short(key, now_ms) or ("", None)
    if versionstamp is None:
        return None
    if value is not None:
        return value, versionstamp
    async with long_reads.turn:
        rows = await db.adapter.query(db.sql.reads.get, (key, now_ms))  # in a thread
    return rows[0] if rows else None  # type: ignore[return-value] # both columns are TEXT NOT NULL


async def head(db: Database, key: bytes, now_ms: int) -> tuple[int, str] | None:
    """Size of value and versionstamp of a live key in bytes, and the versionstamp; or None."""
    rows = await db.adapter.query(db.sql.reads.head, (key, now_ms), point=True)
    return rows[0] if rows else None  # type: ignore[return-value] # a sum of lengths, and a text


async def get_many(
    db: Database, keys: Iterable[bytes], now_ms: int, long_reads: LongReads, *, fresh: bool = False
) -> dict[bytes, Row]:
    """The live ones of the keys. Pass `fresh` for reads on which a decision is based."""
    wanted = list(keys)
    if not db.adapter.capabilities.embedded:
        return await get_many_long(db, wanted, now_ms, fresh=fresh)
    rows = await rows_of_keys(db, db.sql.reads.get_many_short, wanted, now_ms, fresh=fresh)
    if any(row[1] is None for row in rows):
        async with long_reads.turn:
            return await get_many_long(db, wanted, now_ms, fresh=fresh)  # all of one moment
    # The types are those of the columns, here and below.
    return {key: Row(*rest) for key, *rest, _ in rows}  # type: ignore[arg-type,misc]


async def get_many_long(
    db: Database, keys: Iterable[bytes], now_ms: int, *, fresh: bool = False
) -> dict[bytes, Row]:
    """The same in a thread, for values that may be long."""
    of_keys = db.sql.reads.get_many
    rows = await rows_of_keys(db, of_keys, keys, now_ms, fresh=fresh, point=False)
    return {key: Row(*rest) for key, *rest in rows}  # type: ignore[arg-type,misc]


async def get_many_short(
    db: Database, keys: Iterable[bytes], now_ms: int
) -> tuple[dict[bytes, Row], dict[bytes, int]]:
    """The live ones of the keys with short values, and the sizes of the other values.

    For reads on which a decision is based.
    """
    found = await rows_of_keys(db, db.sql.reads.get_many_short, keys, now_ms, fresh=True)
    rows: dict[bytes, Row] = {}
    sizes: dict[bytes, int] = {}
    for key, value, *rest, size in found:
        if value is None:
            sizes[key] = size  # type: ignore[index,assignment] # as the schema says
        else:
            # The types are those of the columns, here and above.
            rows[key] = Row(value, *rest)  # type: ignore[index,arg-type]
    return rows, sizes


async def get_many_stamps(
    db: Database, keys: Iterable[bytes], now_ms: int, *, fresh: bool
) -> dict[bytes, Row]:
    """The live ones of the keys without values; pass `fresh` if a decision is based on them."""
    rows = await rows_of_keys(db, db.sql.reads.get_many_stamps, keys, now_ms, fresh=fresh)
    return {key: Row(*rest) for key, *rest in rows}  # type: ignore[arg-type,misc] # as above


async def get_many_json(
    db: Database, keys: Iterable[bytes], now_ms: int, shape: Shape, long_reads: LongReads
) -> dict[bytes, str]:
    """The live ones of the keys as JSON objects."""
    wanted = list(keys)
    reads = db.sql.reads
    if db.adapter.capabilities.embedded:
        found = await rows_of_keys(db, reads.get_many_entries[shape], wanted, now_ms)
        if not any(row[2] is None for row in found):
            return {key: entry for key, _, entry in found}  # type: ignore[misc] # as below
    async with long_reads.turn:
        rows = await rows_of_keys(db, reads.get_many_json[shape], wanted, now_ms, point=False)
    return dict(rows)  # type: ignore[arg-type] # pairs of a BLOB and a text


async def rows_of_keys(
    db: Database,
    of_keys: OfKeys,
    keys: Iterable[bytes],
    now_ms: int,
    *,
    fresh: bool = False,
    point: bool = True,
) -> list[tuple[Value, ...]]:
    """The rows that a statement reads for keys, each key once.

    With `point`, a few keys may be read on the event loop.
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return []
    point = point and len(wanted) <= POINT_LIMIT
    return await db.adapter.query(*of_keys(wanted, now_ms), point=point, fresh=fresh)


async def list_rows(
    db: Database, selection: Selection, now_ms: int, long_reads: LongReads, *, fresh: bool = False
) -> list[tuple[bytes, str, str]]:
    """Key, value and versionstamp of the selected entries; `fresh` for a decision."""
    selecting = db.sql.reads.rows
    if selection.condition.recheck is not None:
        return [row async for row in matching_rows(db, selecting, selection, now_ms, fresh=fresh)]
    if selection.is_bounded() and db.adapter.capabilities.embedded:
        short = db.sql.reads.short_rows(selection, now_ms)
        rows = await db.adapter.query(*short, point=True, fresh=fresh)
        if not any(row[1] is None for row in rows):
            return rows  # type: ignore[return-value] # as below
    # The columns are those of the statement, with the types of the schema.
    async with long_reads.turn_of(selection.condition):
        return await db.adapter.query(*selecting(selection, now_ms), fresh=fresh)  # type: ignore[return-value] # as the SQL has it


async def list_stamps(db: Database, selection: Selection, now_ms: int) -> dict[bytes, str]:
    """Keys and versionstamps of the selected entries, for a decision to be based on."""
    if selection.condition.recheck is not None:
        rows = matching_rows(db, db.sql.reads.rows, selection, now_ms, fresh=True)
        return {key: versionstamp async for key, _, versionstamp in rows}
    statement = db.sql.reads.stamps(selection, now_ms)
    return dict(await db.adapter.query(*statement, fresh=True))  # type: ignore[arg-type] # as above


async def key_behind(db: Database, selection: Selection, now_ms: int) -> bytes | None:
    """The key of the first entry after the selected ones, which the limit counts."""
    if selection.condition.recheck is None:
        rows = await db.adapter.query(*db.sql.reads.behind(selection, now_ms))
        return rows[0][0] if rows else None  # type: ignore[return-value] # a BLOB
    one_more = selection._replace(limit=selection.limit + 1)
    keys = [row[0] async for row in matching_rows(db, db.sql.reads.rows, one_more, now_ms)]
    return keys[-1] if len(keys) == one_more.limit else None


async def list_json(db: Database, selection: Selection, now_ms: int, long_reads: LongReads) -> str:
    """The selected entries as the inside of a JSON array."""
    if selection.condition.recheck is not None:
        rows = matching_rows(db, db.sql.reads.entries, selection, now_ms)
        return ",".join([text async for _, _, text in rows])
    statement = db.sql.reads.list_json(selection, now_ms)
    with suppress(ResultTooLarge):
        if selection.is_bounded() and db.adapter.capabilities.embedded:
            ((text,),) = await db.adapter.query(*statement, point=True, max_bytes=SHORT_BYTES)
            return text  # type: ignore[return-value] # a text
    async with long_reads.turn_of(selection.condition):
        ((entries,),) = await db.adapter.query(*statement)
    return entries  # type: ignore[return-value] # as above


async def count(db: Database, keys: KeyRange, condition: RowCondition, now_ms: int) -> int:
    """Number of live entries in the range that meet the condition."""
    reads = db.sql.reads
    if condition.recheck is not None:
        selection = Selection(keys, sys.maxsize, condition=condition)
        rows = matching_rows(db, reads.rows, selection, now_ms)
        return len([1 async for _ in rows])
    if condition is EVERYTHING:
        statement = reads.all(keys, now_ms)
    else:
        statement = reads.matching(keys, condition, now_ms)
    ((number,),) = await db.adapter.query(*statement)
    return number  # type: ignore[return-value] # a number


async def next_expiry(db: Database, *, fresh: bool = False) -> int | None:
    """The earliest expiry of all entries, in epoch milliseconds; it may be in the past."""
    ((expires_at,),) = await db.adapter.query(db.sql.reads.next_expiry, point=True, fresh=fresh)
    return expires_at  # type: ignore[return-value] # an integer or NULL


async def is_small(db: Database, keys: KeyRange) -> bool:
    """Whether the range holds few rows, live or not."""
    ((number,),) = await db.adapter.query(*db.sql.reads.up_to(keys, POINT_LIMIT), point=True)
    return isinstance(number, int) and number < POINT_LIMIT


async def is_any(db: Database, selection: Selection, now_ms: int) -> bool:
    """Whether any entry is selected."""
    statement = db.sql.reads.any(selection, now_ms)
    ((found,),) = await db.adapter.query(*statement, point=selection.is_bounded())
    return bool(found)


async def totals(db: Database, now_ms: int) -> tuple[int, int]:
    """The number of live entries, and the bytes of their keys and values."""
    ((entries, size),) = await db.adapter.query(db.sql.reads.totals, (now_ms,))
    return int(entries or 0), int(size or 0)

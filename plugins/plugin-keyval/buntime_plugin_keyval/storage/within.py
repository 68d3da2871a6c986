"""Reading entries up to the size of an answer.

Most answers are short: one statement reads them, and stops if they are not. Only then does another
statement add up the lengths, which an engine knows without reading the texts, and read what there
is room for, in a thread and in turn (`LongReads`). It returns bytes: a long text would have to be
decoded and encoded again while other requests wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from buntime_database import ResultTooLarge, Value
from buntime_keyval.wire.limits import MAX_METADATA_BYTES
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.reads import SHORT_ENTRY
from buntime_plugin_keyval.storage.postfilter import matching_rows
from buntime_plugin_keyval.storage.reads import SHORT_BYTES, LongReads, is_any, rows_of_keys
from buntime_plugin_keyval.storage.selection import Selection

_LARGEST_SHORT_ENTRY = SHORT_ENTRY + MAX_METADATA_BYTES
"""The most bytes, apart from its key, of an entry that is read without counting."""

Text = str | bytes
"""JSON; a long one as bytes of UTF-8."""


class Found(NamedTuple):
    """A requested key that exists."""

    versionstamp: str
    entry: Text | None
    """None if it was not wanted."""


class Page(NamedTuple):
    """Entries as the inside of a JSON array, the key of the last one, and whether more follow."""

    entries: Text
    last: bytes | None
    has_more: bool
    number: int
    """The number of entries."""


def page_of(entries: Text, last: bytes | None, number: int, *, has_more: bool) -> Page:
    """Make a page. If more follow, it has a last key, since clients need it to ask for them."""
    if has_more and last is None:
        raise RuntimeError("a page that others follow has no last key")
    return Page(entries, last, has_more, number)


def too_large(size: int, most: int, right: str) -> LimitExceeded:
    """The error for an answer of this size; `right` says what to request instead."""
    return LimitExceeded(f"Answer too large: {size} bytes", "answerBytes", most, right)


def size_of(text: Text) -> int:
    """The size of a text in bytes of UTF-8."""
    if isinstance(text, bytes) or text.isascii():
        return len(text)
    return len(text.encode())


def joined(entries: Sequence[Text]) -> Text:
    """The inside of a JSON array with these entries."""
    with suppress(TypeError):  # nearly always all are texts
        return ",".join(entries)  # type: ignore[arg-type] # then that is an error
    return b",".join([entry if isinstance(entry, bytes) else entry.encode() for entry in entries])


def check_answer(size: int, most: int) -> None:
    """Raise `LimitExceeded` for an answer with entries of keys that is too large."""
    if size > most:
        raise too_large(size, most, "use fewer keys at a time")


class JoinedPage:
    """A page that is put together from pages of consecutive parts."""

    def __init__(self, limit: int, most: int) -> None:
        """The page has at most `limit` entries and `most` bytes."""
        self.left = limit
        """The number of entries that there is room for."""
        self._most = most
        self._texts: list[Text] = []
        self._size = 0
        self._number = 0
        self._last: bytes | None = None

    @property
    def is_full(self) -> bool:
        """Whether it has no more room, so that it only matters whether there is a next entry."""
        return not self.left or self._size >= self._most

    def take(self, page: Page) -> bool:
        """Add the page of the next part; whether the page of another part may follow."""
        if page.number:
            size = self._size + size_of(page.entries)
            if self._texts and size > self._most:
                return False
            self._size = size
            self._texts.append(page.entries)
            self._number += page.number
            self.left -= page.number
            self._last = page.last
        return not page.has_more

    def page(self, *, has_more: bool) -> Page:
        last = self._last if has_more else None
        return page_of(joined(self._texts), last, self._number, has_more=has_more)


async def get_long(db: Database, key: bytes, now_ms: int, *, most: int) -> Text | None:
    """The entry of a live key with a long value, read in a thread. Raises `LimitExceeded`."""
    found = await _get_long(db, {key: 1}, now_ms, PLAIN, most=most)
    return found[key].entry if key in found else None


async def get_one(
    db: Database, key: bytes, now_ms: int, shape: Shape, long_reads: LongReads, *, most: int
) -> Found | None:
    """The entry of a live key, and the versionstamp of the same version.

    Raises `LimitExceeded` for more than `most` bytes.
    """
    rows = await rows_of_keys(db, db.sql.reads.get_many_entries[shape], [key], now_ms)
    found = _found(rows)
    if key in found and found[key].entry is None:
        async with long_reads.turn:
            found = await _get_long(db, {key: 1}, now_ms, shape, most=most)
    return found.get(key)


async def get_many(
    db: Database,
    keys: Sequence[bytes],
    now_ms: int,
    shape: Shape,
    long_reads: LongReads,
    *,
    most: int,
) -> dict[bytes, Text]:
    """The entries of the live ones of the keys; a repeated key counts repeatedly.

    Raises `LimitExceeded` for more than `most` bytes.
    """
    rows = await rows_of_keys(db, db.sql.reads.get_many_entries[shape], keys, now_ms)
    # The types are those of the columns; None stands for an entry that is long.
    entries: dict[bytes, Text] = {key: entry for key, _, entry in rows}  # type: ignore[misc] # rows of that SQL
    if None in entries.values():
        return await get_many_long(db, keys, now_ms, shape, long_reads, most=most)
    if may_be_too_large(len(keys), most):
        sizes = {key: size_of(entry) for key, entry in entries.items()}
        check_answer(sum(sizes.get(key, 0) for key in keys), most)
    return entries


def may_be_too_large(number: int, most: int) -> bool:
    """Whether this number of short entries may have more bytes than an answer."""
    return number * _LARGEST_SHORT_ENTRY > most


async def get_many_long(
    db: Database,
    keys: Sequence[bytes],
    now_ms: int,
    shape: Shape,
    long_reads: LongReads,
    *,
    most: int,
) -> dict[bytes, Text]:
    """Do `get_many` in turn, since an entry is known to be long."""
    async with long_reads.turn:
        found = await _get_long(db, Counter(keys), now_ms, shape, most=most)
    return {key: one.entry for key, one in found.items() if one.entry is not None}


async def get_changed(
    db: Database,
    keys: Sequence[bytes],
    known: Sequence[str],
    now_ms: int,
    long_reads: LongReads,
    *,
    most: int,
) -> dict[bytes, Found]:
    """The live ones of the keys, with the entries of those whose versionstamps differ.

    `known` are the versionstamps that the client knows, one for each of `keys`. Raises
    `LimitExceeded` as `get_many`.
    """
    # Fresh, so that no answer is older than an earlier one.
    rows = await rows_of_keys(db, db.sql.reads.get_many_entries[PLAIN], keys, now_ms, fresh=True)
    found = _found(rows)
    times = Counter(keys)
    for key, stamp in zip(keys, known, strict=True):
        if key in found and found[key].versionstamp == stamp:
            times[key] -= 1
    if any(times[key] and one.entry is None for key, one in found.items()):
        async with long_reads.turn:
            return await _get_long(db, times, now_ms, PLAIN, most=most, fresh=True)
    wanted = [(one.entry, times[key]) for key, one in found.items() if one.entry is not None]
    check_answer(sum(size_of(entry) * number for entry, number in wanted), most)
    return found


async def _get_long(
    db: Database,
    times: Mapping[bytes, int],
    now_ms: int,
    shape: Shape,
    *,
    most: int,
    fresh: bool = False,
) -> dict[bytes, Found]:
    """The live ones of the keys, which come with the number of times that each entry is wanted."""
    statement = db.sql.reads.get_many_within(times, now_ms, shape, most)
    rows = await db.adapter.query(*statement, fresh=fresh)
    if rows:
        check_answer(int(rows[0][3] or 0), most)
    return _found(rows)


def _found(rows: Sequence[tuple[Value, ...]]) -> dict[bytes, Found]:
    # The types are those of the columns.
    return {key: Found(stamp, entry) for key, stamp, entry, *_ in rows}  # type: ignore[arg-type,misc]


async def list_within(
    db: Database, selection: Selection, now_ms: int, long_reads: LongReads, *, most: int
) -> Text:
    """The selected entries as the inside of a JSON array. Raises `LimitExceeded`."""
    if selection.condition.recheck is not None:
        page = await _recheck(db, selection, now_ms, most)
        if page.has_more:
            refuse_long_list(most)
        return page.entries
    if db.adapter.capabilities.embedded:
        try:
            ((entries,),) = await db.adapter.query(
                *db.sql.reads.list_json(selection, now_ms),
                point=selection.is_bounded() and long_reads.are_rare(now_ms),
                max_bytes=SHORT_BYTES,
            )
        except ResultTooLarge:
            long_reads.met(now_ms)
        else:
            return entries  # type: ignore[return-value] # group_concat of text
        return await list_long(db, selection, now_ms, long_reads, most=most)
    # For a long entry a server returns its size, and is asked again in turn.
    room = min(SHORT_BYTES, most)
    ((entries, _, size),) = await db.adapter.query(
        *db.sql.reads.list_within(selection, now_ms, room)
    )
    if int(size or 0) <= room:
        return entries  # type: ignore[return-value] # a BLOB
    return await list_long(db, selection, now_ms, long_reads, most=most)


async def list_long(
    db: Database, selection: Selection, now_ms: int, long_reads: LongReads, *, most: int
) -> Text:
    """Do `list_within` for a list that is known to be long."""
    async with long_reads.turn_of(selection.condition):
        return await _list_long(db, selection, now_ms, most)


async def _list_long(db: Database, selection: Selection, now_ms: int, most: int) -> Text:
    statement = db.sql.reads.list_within(selection, now_ms, most)
    ((entries, number, size),) = await db.adapter.query(*statement)
    if int(size or 0) > most:
        what = f"Answer too large: {number!r} entries of {size!r} bytes"
        raise LimitExceeded(what, "answerBytes", most, _SMALLER_LIST)
    return entries  # type: ignore[return-value] # a BLOB


_SMALLER_LIST = "use pages, fewer entries with limit, or only the keys with values=false"


def refuse_long_list(most: int) -> NoReturn:
    """Raise `LimitExceeded` for a list with more bytes than an answer may have."""
    raise too_large(most, most, _SMALLER_LIST)


async def page_within(
    db: Database, selection: Selection, now_ms: int, long_reads: LongReads, *, most: int
) -> Page:
    """A page of the selected entries, which ends early if there is no room for more."""
    if selection.condition.recheck is not None:
        return await _recheck(db, selection, now_ms, most)
    if db.adapter.capabilities.embedded:
        try:
            ((text, last, count),) = await db.adapter.query(
                *db.sql.reads.page_json(selection, now_ms),
                point=selection.is_bounded() and long_reads.are_rare(now_ms),
                max_bytes=SHORT_BYTES,
            )
        except ResultTooLarge:
            long_reads.met(now_ms)
        else:
            return await _page(db, selection, now_ms, (text, last, count, count))
        return await page_long(db, selection, now_ms, long_reads, most=most)
    row = await _row_of_page(db, selection, now_ms, min(SHORT_BYTES, most))
    _, _, count, number = row
    if count == number:
        return await _page(db, selection, now_ms, row)
    del row  # there was no room for all of it
    return await page_long(db, selection, now_ms, long_reads, most=most)


async def page_long(
    db: Database, selection: Selection, now_ms: int, long_reads: LongReads, *, most: int
) -> Page:
    """Do `page_within` for a page that is known to be long."""
    async with long_reads.turn_of(selection.condition):
        return await _page(db, selection, now_ms, await _row_of_page(db, selection, now_ms, most))


async def _row_of_page(
    db: Database, selection: Selection, now_ms: int, most: int
) -> tuple[Value, ...]:
    (row,) = await db.adapter.query(*db.sql.reads.page_within(selection, now_ms, most))
    return row


async def _page(db: Database, selection: Selection, now_ms: int, row: tuple[Value, ...]) -> Page:
    """The page from a row: entries, last key, their number, and the number that was found."""
    text, last, count, number = row
    has_more = count != number
    if not has_more and count == selection.limit and isinstance(last, bytes):
        has_more = await is_any(db, selection.behind(last), now_ms)
    return page_of(text, last, count, has_more=has_more)  # type: ignore[arg-type] # as the statements say


async def _recheck(db: Database, selection: Selection, now_ms: int, most: int) -> Page:
    """The same if the engine cannot decide the filter."""
    found: list[str] = []
    last: bytes | None = None
    size = 0
    one_more = selection._replace(limit=selection.limit + 1)
    async for key, _, text in matching_rows(db, db.sql.reads.entries, one_more, now_ms):
        size += size_of(text) + 1
        if len(found) == selection.limit or (found and size > most):
            return page_of(",".join(found), last, len(found), has_more=True)
        found.append(text)
        last = key
    return page_of(",".join(found), None, len(found), has_more=False)

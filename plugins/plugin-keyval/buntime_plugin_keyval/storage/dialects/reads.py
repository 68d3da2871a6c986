"""Reads of entries.

Expired entries are in no result: every operation gets the time, in epoch milliseconds, and checks
it itself, since the sweeper comes later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import Adapter, Statement
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition, Selection

READ_INLINE = 256 * 1024
"""Bytes of a value that may be read on the event loop; a hundred clients may ask at once."""

LONG_VALUE = 64 * 1024
"""Bytes from which a value is long: reading or writing it takes more than a moment."""

SHORT_ENTRY = 8 * 1024
"""Most bytes of a value that is read with many others on the event loop."""

MISSING = "\x1e"
"""Characters around the place of a missing key in a text of joined entries: no JSON has them."""

TOO_LONG = "\x1f"
"""Replaces an entry that is too long for such a text."""

OfKeys: TypeAlias = Callable[[Sequence[bytes], int], Statement]
"""Keys, each once, and now: a row for each that is there, of one snapshot, however many."""

Selecting: TypeAlias = Callable[[Selection, int], Statement]
"""What is selected, and now: the entries in their order, up to the limit."""

SelectingWithin: TypeAlias = Callable[[Selection, int, int], Statement]
"""The same, and bytes: no more entries than have so many, but one in any case."""


Short: TypeAlias = tuple[str | None, str] | None
"""Value and versionstamp, no value where that is long; None for a missing key."""

Getting: TypeAlias = Callable[[bytes, int], Awaitable[Short]]
"""Key, now: reads one."""


def one_by_one(get_short: str) -> Callable[[Adapter], Getting]:
    """Reads each key by a question of its own, with `ReadSql.get_short`."""

    def getting(adapter: Adapter) -> Getting:
        async def get(key: bytes, now_ms: int) -> Short:
            rows = await adapter.query(get_short, (key, now_ms), point=True)
            return rows[0] if rows else None  # type: ignore[return-value] # both columns are texts

        return get

    return getting


class ReadSql(NamedTuple):
    """Operations that read entries. JSON texts of entries are as `entry_json` writes them.

    Where a result is to have bytes, a text is of bytes of UTF-8: nobody has to take it apart.
    """

    get: str
    """Key, now: value and versionstamp."""
    get_short: str
    """Key, now: the same, with NULL for a value of more than `READ_INLINE` bytes."""
    head: str
    """Key, now: bytes of value and versionstamp, of which the value is not read; versionstamp."""
    get_many: OfKeys
    """Key, value, versionstamp, expiry, metadata, revision, type."""
    get_many_short: OfKeys
    """The same, with NULL for a value of more than `LONG_VALUE` bytes; and the bytes of such."""
    get_many_stamps: OfKeys
    """The same as of `get_many`, with nothing for value and metadata."""
    get_many_json: Mapping[Shape, OfKeys]
    """Key, JSON of the entry."""
    get_many_entries: Mapping[Shape, OfKeys]
    """Key, versionstamp, JSON of the entry: NULL for one with a value of more than `SHORT_ENTRY`
    bytes."""
    get_joined: Mapping[Shape, Callable[[Sequence[bytes], int], Statement]]
    """Keys, some perhaps several times, and now: one text, the entries in their order with commas
    between them, for `joined_json`. `TOO_LONG` stands for one with a value of more than
    `SHORT_ENTRY` bytes, a place, counted from 0, between two `MISSING` for a missing one. Nothing
    where no read is at hand at once, which is what this is for."""
    get_many_within: Callable[[Mapping[bytes, int], int, Shape, int], Statement]
    """Keys with the number of times that each is wanted, now, shape, bytes: key, versionstamp, JSON
    in bytes, all bytes that are wanted. No JSON if these are more, nor for what is not wanted."""
    rows: Selecting
    """Key, value, versionstamp."""
    short_rows: Selecting
    """The same, with NULL for a value of more than `SHORT_ENTRY` bytes."""
    stamps: Selecting
    """Key, versionstamp."""
    behind: Selecting
    """The key of the one entry behind so many as the limit says."""
    entries: Selecting
    """Key, value, JSON of the entry."""
    list_json: Selecting
    """One text: the entries as the inside of a JSON array."""
    list_within: Callable[[Selection, int, int], Statement]
    """One row: the same in bytes, empty if it has more than so many; the number of entries that
    were found, and all their bytes."""
    page_json: Selecting
    """One row: the entries as the inside of a JSON array, the last key, how many they are."""
    page_within: SelectingWithin
    """The same in bytes, and how many were found."""
    page_rows: Selecting
    """Key, JSON of the entry: NULL for one of more than `SHORT_ENTRY` bytes."""
    page_rows_within: SelectingWithin
    """Key, JSON in bytes, how many were found."""
    any: Selecting
    """Whether there is any, whatever the limit."""
    matching: Callable[[KeyRange, RowCondition, int], Statement]
    """Range, condition, now: how many entries there are."""
    all: Callable[[KeyRange, int], Statement]
    """Range, now: the same without a condition."""
    up_to: Callable[[KeyRange, int], Statement]
    """Range, number: how many rows there are, expired or not, but no more than that."""
    next_expiry: str
    """When the first of all entries expires, even if that is past, or NULL."""
    totals: str
    """Now: how many entries there are, and the bytes of their keys and values."""

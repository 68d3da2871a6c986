"""Reading a list of which all pages are of one state of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from buntime_database import Session, Value

from buntime_plugin_keyval.model.changes import Place, mark_of
from buntime_plugin_keyval.storage.changelog import newest_place
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.postfilter import kept, matching_rows
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import Selection
from buntime_plugin_keyval.storage.within import Text, size_of


class Rows(NamedTuple):
    """Keys of entries, and the entries as JSON."""

    rows: list[tuple[bytes, Text]]
    is_cut: bool = False
    """Whether more were found, and there was no room for them."""


MOST_ENTRIES = 20_000
MOST_BYTES = 16 * 1024 * 1024
"""Entries that are collected, and their JSON: beyond one of these it is given up."""

ATTEMPTS = 3


def page_rows(rows: Sequence[tuple[Value, ...]]) -> Rows:
    """What `ReadSql.page_rows_within` has read."""
    # The statement says which columns come, and the schema of which types they are.
    found: list[tuple[bytes, Text]] = [(key, entry) for key, entry, _ in rows]  # type: ignore[misc] # rows of that SQL
    return Rows(found, bool(rows) and rows[0][2] != len(rows))


async def read_page(db: Database, selection: Selection, now_ms: int, most: int) -> Rows:
    """Keys and entries as they are now, but for the first one no more than `most` bytes."""
    if selection.condition.recheck is None:
        statement = db.sql.reads.page_rows_within(selection, now_ms, most)
        return page_rows(await db.adapter.query(*statement, fresh=True))
    found: list[tuple[bytes, Text]] = []
    size = 0
    rows = matching_rows(db, db.sql.reads.entries, selection, now_ms, fresh=True)
    async for key, _, text in rows:
        size += size_of(text)
        if found and size > most:
            return Rows(found, is_cut=True)
        found.append((key, text))
    return Rows(found)


async def place_of(db: Database, session: Session) -> Place:
    """The newest place of a transaction that begins with this."""
    ((log, seq, stamp),) = (await session.execute(db.sql.log.head)).rows
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


async def is_unchanged(db: Database, place: Place, keys: KeyRange) -> bool:
    """Whether nothing in a range was changed since a place, as far as the log reaches back."""
    ((log, stamp, trimmed_seq, trimmed_stamp, changed),) = await db.adapter.query(
        db.sql.snapshots.changed_since, (place.seq, *keys), fresh=True
    )
    if stamp is None and trimmed_seq == place.seq:
        stamp = trimmed_stamp
    return (
        log == place.log and stamp is not None and mark_of(str(stamp)) == place.mark and not changed
    )


async def collect(
    db: Database, selection: Selection, now_ms: int
) -> tuple[list[tuple[bytes, Text]], Place] | None:
    """All that a list finds, whatever its limit, at one place; None if it is too much.

    The pages are read one after the other. What was changed meanwhile is then read anew, in one
    statement, whose place is that of the whole.
    """
    for _ in range(ATTEMPTS):
        begun = await newest_place(db, fresh=True)
        found = await _read_all(db, selection, now_ms)
        if found is None:
            return None
        place = await _mend(db, selection, now_ms, begun, found)
        if place is not None:
            ordered = sorted(found.items(), reverse=selection.reverse)
            return ordered, place
    return None


async def _read_all(db: Database, selection: Selection, now_ms: int) -> dict[bytes, Text] | None:
    found: dict[bytes, Text] = {}
    size = 0
    page = selection._replace(limit=1000)
    while True:
        rows, is_cut = await read_page(db, page, now_ms, MOST_BYTES)
        found.update(rows)
        size += sum(len(text) for _, text in rows)
        if is_cut or len(found) > MOST_ENTRIES or size > MOST_BYTES:
            return None
        if len(rows) < page.limit:
            return found
        page = page.behind(rows[-1][0])


async def _mend(
    db: Database, selection: Selection, now_ms: int, begun: Place, found: dict[bytes, Text]
) -> Place | None:
    """Bring what was read since a place to the newest one; None if the log does not tell."""
    condition = selection.condition
    statement = db.sql.snapshots.changed_entries(selection, begun.seq, now_ms)
    rows = await db.adapter.query(*statement, fresh=True)
    _, _, log, stamp, seq = rows[0]
    changed = [row for row in rows[1:] if row[0] == 1]
    for _, key, *_ in changed:
        found.pop(key, None)  # type: ignore[arg-type] # a BLOB
    present = [row for row in rows[1:] if row[0] == 2]
    async for _, key, text, *_ in kept(present, condition, value=3):
        found[key] = str(text)  # type: ignore[index] # a BLOB
    # What the log has forgotten since may be missing: that is seen now, and not before.
    nothing = KeyRange(b"", b"")
    if not await is_unchanged(db, begun, nothing):
        return None
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer

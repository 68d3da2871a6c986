"""Reading lists whose pages all show one state of the store."""

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
    """Entries: their keys, and JSON."""

    rows: list[tuple[bytes, Text]]
    is_cut: bool = False
    """Whether there was no room for further entries."""


MOST_ENTRIES = 20_000
MOST_BYTES = 16 * 1024 * 1024
"""The most entries, and the most bytes, that are collected for a list; a larger one is given up."""

ATTEMPTS = 3


def page_rows(rows: Sequence[tuple[Value, ...]]) -> Rows:
    # The statement says which columns come, and the schema of which types they are.
    found: list[tuple[bytes, Text]] = [(key, entry) for key, entry, _ in rows]  # type: ignore[misc] # rows of that SQL
    return Rows(found, bool(rows) and rows[0][2] != len(rows))


async def read_page(db: Database, selection: Selection, now_ms: int, most: int) -> Rows:
    """The selected entries as they are now: the first one, and more up to `most` bytes in all."""
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
    """The newest place, as the first read of a transaction."""
    ((log, seq, stamp),) = (await session.execute(db.sql.log.head)).rows
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


async def is_unchanged(db: Database, place: Place, keys: KeyRange) -> bool:
    """Whether the log shows that nothing in a range has changed since a place."""
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
    """All entries of a list, without its limit, at one place; None if there are too many.

    The pages are read one after the other. Entries that changed meanwhile are then read again, in
    one statement, whose place is that of the whole.
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
    """Bring entries that were read since a place up to date; None if the log cannot tell."""
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
    # Checked only now: changes that were trimmed from the log meanwhile would be missed.
    nothing = KeyRange(b"", b"")
    if not await is_unchanged(db, begun, nothing):
        return None
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer

"""Reading a list of which all pages are of one state of the store."""

from __future__ import annotations

from buntime_database import Adapter, Session, Value

from buntime_plugin_keyval.model.changes import Place, mark_of
from buntime_plugin_keyval.storage import statements as sql
from buntime_plugin_keyval.storage.changelog import newest_place
from buntime_plugin_keyval.storage.postfilter import kept, matching_rows
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import Selection

Rows = list[tuple[bytes, str]]
"""Keys of entries, and the entries as JSON."""

MOST_ENTRIES = 20_000
MOST_BYTES = 16 * 1024 * 1024
"""Entries that are collected, and their JSON: beyond one of these it is given up."""

ATTEMPTS = 3


def page_statement(selection: Selection, now_ms: int) -> tuple[str, tuple[Value, ...]]:
    """The statement that reads keys and entries, where SQL decides the filter."""
    statement = sql.PAGE_ROWS.format(
        entry=sql.ENTRY_JSON[selection.shape],
        order=selection.order,
        where=selection.condition.sql,
    )
    return statement, selection.args(now_ms)


async def read_page(adapter: Adapter, selection: Selection, now_ms: int) -> Rows:
    """Keys and entries as they are now."""
    if selection.condition.recheck is None:
        # The statement says which columns come, and the schema of which types they are.
        return await adapter.query(*page_statement(selection, now_ms), fresh=True)  # type: ignore[return-value]
    entry = sql.ENTRY_JSON[selection.shape]
    rows = matching_rows(adapter, selection, now_ms, told=entry, fresh=True)
    return [(key, text) async for key, _, text in rows]


async def place_of(session: Session) -> Place:
    """The newest place of a transaction that begins with this."""
    ((log, seq, stamp),) = (await session.execute(sql.LOG_HEAD)).rows
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


async def is_unchanged(adapter: Adapter, place: Place, keys: KeyRange) -> bool:
    """Whether nothing in a range was changed since a place, as far as the log reaches back."""
    ((log, stamp, trimmed_seq, trimmed_stamp, changed),) = await adapter.query(
        sql.CHANGED_SINCE, (place.seq, *keys), fresh=True
    )
    if stamp is None and trimmed_seq == place.seq:
        stamp = trimmed_stamp
    return (
        log == place.log and stamp is not None and mark_of(str(stamp)) == place.mark and not changed
    )


async def collect(adapter: Adapter, selection: Selection, now_ms: int) -> tuple[Rows, Place] | None:
    """All that a list finds, whatever its limit, at one place; None if it is too much.

    The pages are read one after the other. What was changed meanwhile is then read anew, in one
    statement, whose place is that of the whole.
    """
    for _ in range(ATTEMPTS):
        begun = await newest_place(adapter, fresh=True)
        found = await _read_all(adapter, selection, now_ms)
        if found is None:
            return None
        place = await _mend(adapter, selection, now_ms, begun, found)
        if place is not None:
            ordered = sorted(found.items(), reverse=selection.reverse)
            return ordered, place
    return None


async def _read_all(adapter: Adapter, selection: Selection, now_ms: int) -> dict[bytes, str] | None:
    found: dict[bytes, str] = {}
    size = 0
    page = selection._replace(limit=1000)
    while True:
        rows = await read_page(adapter, page, now_ms)
        found.update(rows)
        size += sum(len(text) for _, text in rows)
        if len(found) > MOST_ENTRIES or size > MOST_BYTES:
            return None
        if len(rows) < page.limit:
            return found
        page = page.behind(rows[-1][0])


async def _mend(
    adapter: Adapter, selection: Selection, now_ms: int, begun: Place, found: dict[bytes, str]
) -> Place | None:
    """Bring what was read since a place to the newest one; None if the log does not tell."""
    condition = selection.condition
    statement = sql.CHANGED_ENTRIES.format(
        entry=sql.ENTRY_JSON[selection.shape], where=condition.sql
    )
    rows = await adapter.query(
        statement, (begun.seq, *selection.keys, now_ms, *condition.args), fresh=True
    )
    log, seq, stamp = rows[0][1:]
    changed = [row for row in rows[1:] if row[0] == 1]
    for _, key, _, _ in changed:
        found.pop(key, None)  # type: ignore[arg-type] # a BLOB
    present = [row for row in rows[1:] if row[0] == 2]
    async for _, key, text, _ in kept(present, condition, value=3):
        found[key] = str(text)  # type: ignore[index] # a BLOB
    # What the log has forgotten since may be missing: that is seen now, and not before.
    nothing = KeyRange(b"", b"")
    if not await is_unchanged(adapter, begun, nothing):
        return None
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer

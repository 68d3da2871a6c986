"""Snapshots that are held for further pages: as a read transaction, or as a copy of all entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from buntime_database import Session, SessionLimits, SessionsNotSupported

from buntime_plugin_keyval.model.changes import Place
from buntime_plugin_keyval.storage import snapshots as reading
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.reads import ReadSql
from buntime_plugin_keyval.storage.selection import Selection
from buntime_plugin_keyval.storage.within import Text

STATEMENT_SECONDS = 30.0
"""Longest time that reading one page may take."""


class Held(Protocol):
    """A state of the store that does not change."""

    place: Place

    async def page(self, selection: Selection, now_ms: int, most: int) -> reading.Rows | None:
        """Keys and JSON of the selected entries; None if these are not held.

        They have at most `most` bytes, except that there is always the first one.
        """
        ...

    async def close(self) -> None:
        """Release it. Idempotent."""
        ...


class HeldTransaction:
    """A read transaction on a connection of its own."""

    def __init__(self, reads: ReadSql, session: Session, place: Place) -> None:
        self.place = place
        self._reads = reads
        self._session = session

    async def page(self, selection: Selection, now_ms: int, most: int) -> reading.Rows | None:
        found = await self._session.execute(*self._reads.page_rows(selection, now_ms))
        if all(entry is not None for _, entry in found.rows):
            return reading.Rows(found.rows)  # type: ignore[arg-type] # a BLOB and a text
        # Only if an entry is long are bytes counted.
        statement = self._reads.page_rows_within(selection, now_ms, most)
        return reading.page_rows((await self._session.execute(*statement)).rows)

    async def close(self) -> None:
        await self._session.close()


class _Question(NamedTuple):
    """What a list is of, regardless of the page."""

    reverse: bool
    where: tuple[str, Sequence[object]]
    shape: tuple[bool, bool]


class Collection:
    """All entries of one list, in order."""

    def __init__(self, selection: Selection, rows: list[tuple[bytes, Text]], place: Place) -> None:
        self.place = place
        self._keys = selection.keys
        self._question = _question(selection)
        self._rows = rows

    async def page(self, selection: Selection, now_ms: int, most: int) -> reading.Rows | None:  # noqa: ARG002 - collected then, and not too much
        keys = selection.keys
        inside = keys.start >= self._keys.start and keys.end <= self._keys.end
        if not inside or _question(selection) != self._question:
            return None
        found = [row for row in self._rows if keys.start <= row[0] < keys.end]
        return reading.Rows(found[: selection.limit])

    async def close(self) -> None:
        self._rows = []


def _question(selection: Selection) -> _Question:
    condition = selection.condition
    return _Question(selection.reverse, (condition.sql, condition.args), selection.shape)


async def hold(db: Database, selection: Selection, now_ms: int, most: int) -> Held | None:
    """Hold the store as it is now, or all entries of a list; None if that is too much to hold.

    `most` is the number of bytes of a page. Raises `DatabaseError`.
    """
    try:
        session = await db.adapter.open_session(
            SessionLimits(statement_seconds=STATEMENT_SECONDS, max_bytes=most)
        )
    except SessionsNotSupported:
        collected = await reading.collect(db, selection, now_ms)
        return None if collected is None else Collection(selection, *collected)
    try:
        await session.execute(db.sql.snapshots.begin)
        return HeldTransaction(db.sql.reads, session, await reading.place_of(db, session))
    except BaseException:
        await session.close()
        raise

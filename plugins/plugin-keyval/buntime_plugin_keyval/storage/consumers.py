"""Reading consumers of the stream, and what they could not process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from buntime_database import Statement

from buntime_plugin_keyval.storage.changelog import LoggedChange
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.names import behind_names
from buntime_plugin_keyval.storage.ranges import KeyRange


class StoredConsumer(NamedTuple):
    """A consumer. Times are the store's, milliseconds."""

    name: str
    position: int
    """It is done with all records up to there."""
    updated_at: int
    """When that was said, or found to be all there is."""
    failed_position: int | None
    """Of the record that failed last; it counts while it is behind the position."""
    attempts: int
    error: str | None
    owner: str | None
    until: int | None
    lag: int
    """How many changes are behind the position."""
    requeued: int | None
    """Position of the first letter that is to be delivered once more."""


class RecordLetter(NamedTuple):
    """A record that a consumer could not process."""

    record: LoggedChange
    error: str | None
    attempts: int
    failed_at: int
    is_requeued: bool


async def read_consumer(db: Database, name: str, now_ms: int) -> StoredConsumer | None:
    """One consumer; None if there is none of that name."""
    rows = await db.adapter.query(db.sql.consumers.state, (name, now_ms), point=True, fresh=True)
    return StoredConsumer(*rows[0]) if rows else None  # type: ignore[arg-type] # as the schema says


async def list_consumers(
    db: Database, prefix: str, limit: int, now_ms: int
) -> list[StoredConsumer]:
    """The consumers whose names begin so, in the order of their names."""
    args = (prefix, behind_names(prefix), now_ms, limit)
    rows = await db.adapter.query(db.sql.consumers.states, args, fresh=True)
    return [StoredConsumer(*row) for row in rows]  # type: ignore[arg-type] # as above


async def read_letters(
    db: Database, name: str, after: int, limit: int, most_bytes: int
) -> list[RecordLetter]:
    """Letters behind a position, in their order, with values of at most so many bytes but for the
    first one that has one."""
    rows = await db.adapter.query(db.sql.consumers.letters, (name, after, limit), fresh=True)
    found: list[Any] = [*rows]  # columns as the schema says
    count = size = 0
    for row in found:
        size += row[7] or 0
        if size > most_bytes and count:
            break
        count += 1
    return await _with_values(db, name, found[:count])


async def read_letter(db: Database, name: str, position: int) -> RecordLetter | None:
    """The letter of one record, however large its value is."""
    rows = await db.adapter.query(db.sql.consumers.letter, (name, position), fresh=True)
    letters = await _with_values(db, name, rows)
    return letters[0] if letters else None


async def _with_values(db: Database, name: str, rows: Sequence[Any]) -> list[RecordLetter]:
    values: dict[Any, Any] = {}
    if any(row[7] for row in rows):
        args = (name, rows[0][0], rows[-1][0])
        found = await db.adapter.query(db.sql.consumers.letter_values, args, fresh=True)
        values = {position: value for position, _, value in found}
    return [
        RecordLetter(
            LoggedChange._make([*row[:7], values.get(row[0])]), row[8], row[9], row[10], row[11] > 0
        )
        for row in rows
    ]


async def held_position(db: Database, since_ms: int) -> int | None:
    """The least position of consumers whose own is not from before a time; None for none."""
    ((position,),) = await db.adapter.query(db.sql.consumers.held, (since_ms,), fresh=True)
    return None if position is None else int(position)


async def forget_letter_values(db: Database, keys: KeyRange, but: tuple[str, str]) -> None:
    """Remove the values of a range from letters that begin with neither text."""
    await db.adapter.batch([Statement(db.sql.consumers.forget_values, (*keys, *but))])

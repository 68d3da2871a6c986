"""Reading consumers of the stream, and their dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from buntime_database import Statement

from buntime_plugin_keyval.storage.changelog import LoggedChange
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.names import behind_names
from buntime_plugin_keyval.storage.ranges import KeyRange


class StoredConsumer(NamedTuple):
    """A consumer. Times are the store's, in milliseconds."""

    name: str
    position: int
    """All records up to this position are processed."""
    updated_at: int
    """When the position was set, or confirmed as the end of the log."""
    failed_position: int | None
    """The position of the record that failed last; it counts while it is after `position`."""
    attempts: int
    error: str | None
    owner: str | None
    until: int | None
    lag: int
    """The number of changes after the position."""
    requeued: int | None
    """Position of the first dead letter to deliver once more."""


class RecordLetter(NamedTuple):
    """A record that a consumer could not process."""

    record: LoggedChange
    error: str | None
    attempts: int
    failed_at: int
    is_requeued: bool


async def read_consumer(db: Database, name: str, now_ms: int) -> StoredConsumer | None:
    rows = await db.adapter.query(db.sql.consumers.state, (name, now_ms), point=True, fresh=True)
    return StoredConsumer(*rows[0]) if rows else None  # type: ignore[arg-type] # as the schema says


async def list_consumers(
    db: Database, prefix: str, limit: int, now_ms: int
) -> list[StoredConsumer]:
    """The consumers whose names have this prefix, in order of name."""
    args = (prefix, behind_names(prefix), now_ms, limit)
    rows = await db.adapter.query(db.sql.consumers.states, args, fresh=True)
    return [StoredConsumer(*row) for row in rows]  # type: ignore[arg-type] # as above


async def read_letters(
    db: Database, name: str, after: int, limit: int, most_bytes: int
) -> list[RecordLetter]:
    """Dead letters after a position, in order. Values have at most `most` bytes in all, except that
    the first value is always included."""
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
    """The dead letter of one record, with a value of any size."""
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
    """The least position of consumers that were updated since a time; None if there are none."""
    ((position,),) = await db.adapter.query(db.sql.consumers.held, (since_ms,), fresh=True)
    return None if position is None else int(position)


async def forget_letter_values(db: Database, keys: KeyRange, but: tuple[str, str]) -> None:
    """Remove the values of a range from dead letters, unless they begin with one of two texts."""
    await db.adapter.batch([Statement(db.sql.consumers.forget_values, (*keys, *but))])

"""Reading and trimming the change log."""

from __future__ import annotations

from typing import Any, NamedTuple

from buntime_database import Statement

from buntime_plugin_keyval.model.changes import Change, Place, mark_of
from buntime_plugin_keyval.model.versionstamps import milliseconds_of
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.log import Appended
from buntime_plugin_keyval.storage.ranges import KeyRange


async def read_changes(
    db: Database, after: int, *, limit: int, keys: KeyRange | None = None, fresh: bool = False
) -> list[Change]:
    """Changes after a place, oldest first, at most `limit`, without values."""
    log = db.sql.log
    if keys is None:
        rows = await db.adapter.query(log.changes, (after, limit), fresh=fresh)
    else:
        rows = await db.adapter.query(log.changes_in_range, (after, *keys, limit), fresh=fresh)
    return [Change(*row) for row in rows]  # type: ignore[arg-type] # columns as the schema says


async def read_appended(db: Database, appended: Appended) -> list[Change]:
    """The changes that a commit of this adapter appended, oldest first.

    Fewer, if some were trimmed since.
    """
    rows = await db.adapter.query(db.sql.log.last_changes, (appended.last, appended.number))
    return [Change(*row) for row in reversed(rows)]  # type: ignore[arg-type] # as above


class RecordsWanted(NamedTuple):
    """Which changes to read, with all that the log has of them."""

    after: int
    until: int
    """Positions: after the first, up to the second."""
    keys: KeyRange
    limit: int
    type: str | None = None
    """The type of the entry; None for any."""
    action: str | None = None
    """`create`, `update`, `delete` or `expire`; None for any."""


class LoggedChange(NamedTuple):
    """One changed key of one commit, with all that the log has of it."""

    seq: int
    key: bytes
    action: str
    """`create`, `update`, `delete` or `expire`."""
    versionstamp: str
    at: int
    """When it was committed, epoch milliseconds."""
    revision: int | None
    """The revision of the entry after it was written, or before it was removed. None in changes by
    older versions."""
    type: str | None
    value: str | None
    """The value at the same time, as canonical JSON; None if the log does not have it."""


async def read_records(
    db: Database, wanted: RecordsWanted, most_bytes: int
) -> tuple[list[LoggedChange], bool]:
    """Changes in order, and whether there may be more.

    Values have at most `most` bytes in all, except that the first value is always included.
    """
    after, until, keys, limit, kind, action = wanted
    chosen = (*keys, kind, action)
    rows = await db.adapter.query(db.sql.log.records, (after, until, *chosen, limit), fresh=True)
    found: list[Any] = [*rows]  # columns as the schema says
    count = size = 0
    for row in found:
        size += row[-1] or 0
        if size > most_bytes and count:
            break
        count += 1
    values: dict[Any, Any] = {}
    if size:
        args = (after, found[count - 1][0], *chosen)
        of_these = await db.adapter.query(db.sql.log.values, args, fresh=True)
        values = {seq: value for seq, _, value in of_these}
    records = [LoggedChange._make([*row[:7], values.get(row[0])]) for row in found[:count]]
    return records, count < len(rows) or len(rows) == limit


async def reach(db: Database, after: int, number: int) -> int:
    """The position of the change that is `number` changes after another one."""
    ((last,),) = await db.adapter.query(db.sql.log.reach, (after, number), fresh=True)
    return after if last is None else int(last)


async def first_since(db: Database, since_ms: int) -> int | None:
    """The position of the first change since a time; None if there is none."""
    rows = await db.adapter.query(db.sql.log.since, (since_ms,), fresh=True)
    return int(rows[0][0] or 0) if rows else None


async def trimmed_at(db: Database) -> int | None:
    """When the last change that was trimmed had been committed; None if none was trimmed."""
    ((_, _, seq, stamp),) = await db.adapter.query(db.sql.log.known, (0,), point=True, fresh=True)
    return milliseconds_of(str(stamp)) if seq and stamp else None


async def forget_values(db: Database, keys: KeyRange, but: tuple[str, str]) -> None:
    """Remove the values of a range from the log, unless they begin with one of two texts."""
    await db.adapter.batch([Statement(db.sql.log.forget_values, (*keys, *but))])


async def count_changes(db: Database) -> int:
    """The number of changes in the log."""
    ((number,),) = await db.adapter.query(db.sql.log.size, point=True)
    return number  # type: ignore[return-value] # an integer


async def newest_stamp(db: Database) -> str:
    """The newest versionstamp; empty if there is none yet."""
    ((newest,),) = await db.adapter.query(db.sql.log.newest_stamp, point=True, fresh=True)
    return str(newest or "")


async def newest_place(db: Database, *, fresh: bool = False) -> Place:
    """The place after the newest change."""
    ((log, seq, stamp),) = await db.adapter.query(db.sql.log.head, point=True, fresh=fresh)
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


async def knows(db: Database, place: Place) -> bool:
    """Whether the log has all changes after a place."""
    ((log, stamp, trimmed_seq, trimmed_stamp),) = await db.adapter.query(
        db.sql.log.known, (place.seq,), point=True, fresh=True
    )
    if stamp is None and trimmed_seq == place.seq:
        stamp = trimmed_stamp
    return log == place.log and stamp is not None and mark_of(str(stamp)) == place.mark


EVERYTHING = 2**62
"""A position after all others."""


async def trim_changes(
    db: Database, *, keep: int, since_ms: int, limit: int, up_to: int = EVERYTHING
) -> int:
    """Remove changes beyond the newest `keep` or from before `since_ms`, at most `limit`, and none
    after the position `up_to`."""
    log = db.sql.log
    _, trimmed = await db.adapter.batch(
        [Statement(log.note_trimmed, (limit, keep, since_ms, up_to)), Statement(log.trim)]
    )
    return trimmed.rowcount


async def trim_to(db: Database, up_to: int) -> int:
    """Remove the changes up to a position, except the newest of all; how many there were."""
    log = db.sql.log
    steps = [Statement(log.note_trimmed_to, (up_to,)), Statement(log.trim)]
    _, trimmed = await db.adapter.batch(steps)
    return trimmed.rowcount


class Bounds(NamedTuple):
    """Where the log begins and ends."""

    first: int
    """No change at or after this position is missing."""
    last: int
    """The position of the newest change; 0 if there is none."""


async def first_place(db: Database) -> int:
    """The position from which on no change is missing."""
    ((_, _, trimmed, _),) = await db.adapter.query(db.sql.log.known, (0,), point=True, fresh=True)
    return 1 if trimmed is None else int(trimmed) + 1


async def read_bounds(db: Database) -> Bounds:
    """Where the log begins and ends now."""
    newest = await newest_place(db, fresh=True)
    return Bounds(await first_place(db), newest.seq)

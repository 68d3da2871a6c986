"""Reading and trimming the change log."""

from __future__ import annotations

from buntime_database import Statement

from buntime_plugin_keyval.model.changes import Change, Place, mark_of
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.log import Appended
from buntime_plugin_keyval.storage.ranges import KeyRange


async def read_changes(
    db: Database,
    after: int,
    *,
    limit: int,
    keys: KeyRange | None = None,
    fresh: bool = False,
) -> list[Change]:
    """Changes behind a place, oldest first, at most `limit`; values are not in the log."""
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


async def count_changes(db: Database) -> int:
    """How many changes are in the log."""
    ((number,),) = await db.adapter.query(db.sql.log.size, point=True)
    return number  # type: ignore[return-value] # an integer


async def newest_stamp(db: Database) -> str:
    """The versionstamp behind which new ones go on; empty where there is none yet."""
    ((newest,),) = await db.adapter.query(db.sql.log.newest_stamp, point=True, fresh=True)
    return str(newest or "")


async def newest_place(db: Database, *, fresh: bool = False) -> Place:
    """The place behind the newest change."""
    ((log, seq, stamp),) = await db.adapter.query(db.sql.log.head, point=True, fresh=fresh)
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


async def knows(db: Database, place: Place) -> bool:
    """Whether the log has all changes behind a place."""
    ((log, stamp, trimmed_seq, trimmed_stamp),) = await db.adapter.query(
        db.sql.log.known, (place.seq,), point=True, fresh=True
    )
    if stamp is None and trimmed_seq == place.seq:
        stamp = trimmed_stamp
    return log == place.log and stamp is not None and mark_of(str(stamp)) == place.mark


async def trim_changes(db: Database, *, keep: int, since_ms: int, limit: int) -> int:
    """Remove changes beyond the newest `keep` and from before `since_ms`, `limit` at a time."""
    log = db.sql.log
    _, trimmed = await db.adapter.batch(
        [Statement(log.note_trimmed, (limit, keep, since_ms)), Statement(log.trim)]
    )
    return trimmed.rowcount

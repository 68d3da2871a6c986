"""Reading and trimming the change log."""

from __future__ import annotations

from buntime_database import Adapter, Statement

from buntime_plugin_keyval.model.changes import Change, Place, mark_of
from buntime_plugin_keyval.storage import statements as sql
from buntime_plugin_keyval.storage.ranges import KeyRange


async def read_changes(
    adapter: Adapter,
    after: int,
    *,
    limit: int,
    keys: KeyRange | None = None,
    fresh: bool = False,
) -> list[Change]:
    """Changes with `seq > after`, oldest first, at most `limit`; values are not in the log."""
    if keys is None:
        rows = await adapter.query(sql.CHANGES, (after, limit), fresh=fresh)
    else:
        rows = await adapter.query(sql.CHANGES_OF_PREFIX, (after, *keys, limit), fresh=fresh)
    return [Change(*row) for row in rows]  # type: ignore[arg-type] # columns as the schema says


async def change_bounds(adapter: Adapter, *, fresh: bool = False) -> tuple[int, int]:
    """The oldest and the newest `seq` in the log; zeros while it is empty."""
    ((oldest, newest),) = await adapter.query(sql.CHANGE_BOUNDS, point=True, fresh=fresh)
    return oldest, newest  # type: ignore[return-value] # integers


async def newest_stamp(adapter: Adapter) -> str:
    """The versionstamp behind which new ones go on; empty where there is none yet."""
    ((newest,),) = await adapter.query(sql.NEWEST_STAMP, point=True, fresh=True)
    return str(newest or "")


async def newest_place(adapter: Adapter, *, fresh: bool = False) -> Place:
    """The place behind the newest change."""
    ((log, seq, stamp),) = await adapter.query(sql.LOG_HEAD, point=True, fresh=fresh)
    return Place(str(log), seq, mark_of(str(stamp)))  # type: ignore[arg-type] # an integer


async def trim_changes(adapter: Adapter, *, keep: int, since_ms: int, limit: int) -> int:
    """Remove changes beyond the newest `keep` and from before `since_ms`, `limit` at a time."""
    _, trimmed = await adapter.batch(
        [Statement(sql.NOTE_TRIMMED, (limit, keep, since_ms)), Statement(sql.TRIM_CHANGES)]
    )
    return trimmed.rowcount

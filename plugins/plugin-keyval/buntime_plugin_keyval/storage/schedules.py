"""Reading schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from buntime_database import Value

from buntime_plugin_keyval.storage.database import Database


class StoredSchedule(NamedTuple):
    """A schedule as it is stored. Times are wall-clock milliseconds since the epoch."""

    name: str
    timing: str
    """JSON."""
    task: str
    """The members of its task as a mutation, as JSON."""
    missed: str
    paused: int
    next_at: int | None
    """Its next time; None while it is paused, and if there is none."""
    last_at: int | None
    last_task: str | None
    fires: int
    created_at: int
    updated_at: int


async def read_schedule(db: Database, name: str) -> StoredSchedule | None:
    rows = await db.adapter.query(db.sql.schedules.get, (name,), point=True, fresh=True)
    return _stored(rows[0]) if rows else None


async def list_schedules(db: Database, after: str, limit: int) -> list[StoredSchedule]:
    """The schedules after a name, in order of name."""
    rows = await db.adapter.query(db.sql.schedules.listed, (after, limit), fresh=True)
    return [_stored(row) for row in rows]


async def read_due(db: Database, now_ms: int, limit: int) -> list[StoredSchedule]:
    """The schedules that are due, the oldest first."""
    rows = await db.adapter.query(db.sql.schedules.due, (now_ms, limit), fresh=True)
    return [_stored(row) for row in rows]


async def read_earliest(db: Database) -> int | None:
    """The earliest next time of all schedules."""
    ((at_ms,),) = await db.adapter.query(db.sql.schedules.earliest, point=True, fresh=True)
    return None if at_ms is None else int(at_ms)


def _stored(row: Sequence[Value]) -> StoredSchedule:
    return StoredSchedule(*row)  # type: ignore[arg-type] # as the schema says

"""Handles a write that was refused because the store is closed for a move."""

from __future__ import annotations

from buntime_plugin_keyval.model.clock import Clock
from buntime_plugin_keyval.model.errors import StoreMoved, StoreMoving
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.moves import MoveState, read_mark, reopen_store


async def why_closed(db: Database, clock: Clock) -> StoreMoving | StoreMoved | None:
    """The error for the writer; None if the store is open by now: then the write is made again.

    Opens the store if its mark has ended, which a living mover prolongs. Raises `DatabaseError`.
    """
    mark = await read_mark(db)
    if mark is None or mark.state is MoveState.COPYING:
        return None
    if mark.state is MoveState.MOVED:
        return StoreMoved(mark.other)
    if clock.wall() < mark.ends_at:
        return StoreMoving(mark.other)
    await reopen_store(db, mark)
    return None

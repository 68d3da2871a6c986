"""The marks of a move, in the store that is moved and in its target.

The processes of the store and the one that moves it communicate only by these. While the store is
closed, the database itself refuses writes, so that no process can write past the mark. A mark that
closes the store for the end of a move has an end: a writer that is refused after it opens the store
again, in case the mover has died. All changes of a mark are guarded by its previous state, so that
the mover notices, and the store is never open in two places.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from buntime_database import DatabaseError, Guard, GuardFailed, Statement

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.maintenance import patient_batch


class MoveState(StrEnum):
    COPYING = "copying"
    """The store is being moved, and is open."""
    CLOSED = "closed"
    """The last changes are being moved: writes are refused until the mark ends."""
    MOVED = "moved"
    """The store is in another database, for good."""
    ARRIVING = "arriving"
    """The store is being moved here, and is not complete yet."""


class Mark(NamedTuple):
    token: str
    """Identity of the move."""
    state: MoveState
    ends_at: int
    """Until when the store is closed, in epoch milliseconds; only with `CLOSED`."""
    other: str
    """The name of the other database for messages, without secrets."""
    place: str
    """With `ARRIVING` how far the move is, else the mover that took it up last."""


class StoreIncomplete(DatabaseError):
    """A store is being moved here, and is not complete yet."""


async def read_mark(db: Database) -> Mark | None:
    """The mark in a database, if it has one. Raises `DatabaseError`."""
    rows = await db.adapter.query(db.sql.moving.mark, point=True, fresh=True)
    if not rows:
        return None
    token, state, ends_at, other, place = rows[0]
    return Mark(str(token), MoveState(str(state)), int(ends_at or 0), str(other), str(place))


async def check_complete(db: Database) -> str | None:
    """Where the store was moved to, or None. Raises `StoreIncomplete` if it is being moved here."""
    mark = await read_mark(db)
    if mark is not None and mark.state is MoveState.ARRIVING:
        raise StoreIncomplete(
            f"a store is being moved here from {mark.other}, and is not complete: let"
            " `buntime move` finish, or give it up with `buntime move --abort`"
        )
    return mark.other if mark is not None and mark.state is MoveState.MOVED else None


class Moving(NamedTuple):
    """A move, and the mover that carries it out."""

    token: str
    """Identity of the move."""
    mover: str
    """Identity of the mover: a move that is taken up again has another one."""


async def take_up(db: Database, moving: Moving, state: MoveState) -> None:
    """Make this mover the only one that can close the store. Raises `GuardFailed`."""
    sql = db.sql.moving
    guard = Guard(sql.is_marked, (moving.token, state))
    await patient_batch(db.adapter, [guard, Statement(sql.set_place, (moving.mover,))])


async def close_store(db: Database, moving: Moving, ends_at: int) -> None:
    """Have the database refuse writes until `ends_at`, by changing the mark.

    When this returns, all earlier writes can be read. Raises `GuardFailed` if the mark has changed.
    """
    steps: list[Statement | Guard] = [_of(db, moving)]
    steps += map(Statement, db.sql.moving.close)
    await _change(db, moving.token, MoveState.COPYING, MoveState.CLOSED, ends_at, steps)


async def keep_closed(db: Database, moving: Moving, ends_at: int) -> None:
    """Keep a closed store closed for longer. Raises `GuardFailed` if it was opened."""
    closed = MoveState.CLOSED
    await _change(db, moving.token, closed, closed, ends_at, [_of(db, moving)])


async def leave_store(db: Database, moving: Moving) -> None:
    """Close a closed store for good. Raises `GuardFailed` if it was opened."""
    await _change(db, moving.token, MoveState.CLOSED, MoveState.MOVED, 0, [_of(db, moving)])


def _of(db: Database, moving: Moving) -> Guard:
    return Guard(db.sql.moving.is_at, (moving.mover,))


async def reopen_store(db: Database, mark: Mark) -> None:
    """Open a store again that is closed by this mark; its move may go on.

    Does nothing if another process has done so. Raises `DatabaseError`.
    """
    try:
        definitions = [*map(Statement, db.sql.moving.open)]
        await _change(db, mark.token, mark.state, MoveState.COPYING, 0, definitions)
    except GuardFailed:
        now = await read_mark(db)
        if now is not None and now.token == mark.token and now.state is mark.state:
            raise


async def _change(
    db: Database,
    token: str,
    old: MoveState,
    new: MoveState,
    ends_at: int,
    steps: Sequence[Statement | Guard],
) -> None:
    sql = db.sql.moving
    await patient_batch(
        db.adapter,
        [
            Guard(sql.is_marked, (token, old)),
            *steps,
            Statement(sql.set_state, (new, ends_at, token)),
        ],
    )

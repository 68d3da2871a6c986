"""The marks of a move in both databases: which process carries it out, and how far the target is.

If two processes work on the same move, the one that took it up last goes on, since the other one
may be dead. All writes to either database are guarded by the process that the marks name.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec
from buntime_database import Guard, GuardFailed, Statement

from buntime_plugin_keyval.features.moving.checks import MoveRefused, Names
from buntime_plugin_keyval.features.moving.copying import write
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.moves import (
    Mark,
    MoveState,
    Moving,
    read_mark,
    reopen_store,
    take_up,
)


class MovePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a move has come."""

    log: int
    """Position of the last change that the target has; 0 before all."""
    entries: str | None = ""
    """The last key that was copied, as hexadecimal digits; None once all are."""
    logged: bool = False
    """Whether the target has the log from before the first entry was copied."""
    done: int = 0
    """The number of entries that were copied."""
    mover: str = ""
    """The id of the process that carries the move on from here."""


class MoveMarks:
    """The marks of one move, as a process that carries it out sees them."""

    def __init__(self, source: Database, target: Database, names: Names) -> None:
        """`names` are the names of the databases in messages."""
        self._source = source
        self._target = target
        self._names = names
        self.moving = Moving("", secrets.token_hex(8))
        self.place = MovePlace(0)
        """How far the target is, as last written there."""

    async def begin(self) -> bool:
        """Mark both databases, or take up a move where it was; whether it was complete already."""
        mark = await read_mark(self._source)
        if mark is None:
            mark = Mark(secrets.token_hex(8), MoveState.COPYING, 0, self._names[1], "")
            await _add_mark(self._source, mark)
        self.moving = self.moving._replace(token=mark.token)
        theirs = await read_mark(self._target)
        if theirs is None:
            if mark.other != self._names[1]:
                raise MoveRefused(
                    f"the store in {self._names[0]} is being moved to {mark.other}: continue that"
                    " move, or cancel it with --abort"
                )
            await self._mark_target(mark)
            theirs = await read_mark(self._target)
        if theirs is None or theirs.token != mark.token or theirs.state is not MoveState.ARRIVING:
            forget = Statement(self._source.sql.moving.remove_mark, (mark.token,))
            await write(self._source, [forget])
            raise MoveRefused("both databases are the same one: check --from and --to")
        await self._take_up(mark, theirs.place)
        if mark.state is MoveState.CLOSED:
            await reopen_store(self._source, mark)
        return mark.state is MoveState.MOVED

    async def _mark_target(self, mark: Mark) -> None:
        """Mark the target as arriving, so that it is not used before the move is complete."""
        place = MovePlace(await self.first_position())
        names = self._names
        theirs = Mark(mark.token, MoveState.ARRIVING, 0, names[0], _encode(place))
        await _add_mark(self._target, theirs)
        now = await read_mark(self._source)
        if now is None or now.token != mark.token or now.state is MoveState.MOVED:
            # Another process has completed the move meanwhile, and the target is in use.
            await write(
                self._target, [Statement(self._target.sql.moving.remove_mark, (mark.token,))]
            )
            raise MoveRefused(f"the store in {names[0]} was already moved to {names[1]}")

    async def _take_up(self, mark: Mark, place: str) -> None:
        """Take the move over at a place. Raises `GuardFailed` if the place has changed since."""
        was = msgspec.json.decode(place, type=MovePlace)
        self.place = msgspec.structs.replace(was, mover=self.moving.mover)
        sql = self._target.sql.moving
        ours = Statement(sql.set_place, (_encode(self.place),))
        await write(self._target, [Guard(sql.is_at, (place,)), ours])
        await take_up(self._source, self.moving, mark.state)

    async def first_position(self) -> int:
        """Position of the last change that was trimmed from the log of the source."""
        notes = self._source.sql.moving.notes
        ((_, trimmed, _, _),) = await self._source.adapter.query(notes, fresh=True)
        return int(trimmed or 0)

    async def begin_anew(self) -> None:
        """Start copying again, since the log was trimmed faster than it was followed."""
        place = MovePlace(await self.first_position(), mover=self.moving.mover)
        sql = self._target.sql.moving
        await self.note(place, [*map(Statement, sql.clear)])

    async def note(self, place: MovePlace, steps: Sequence[Statement] = ()) -> None:
        """Carry out steps, and note in the same commit how far the target is then."""
        text = _encode(place)
        await self.write([*steps, Statement(self._target.sql.moving.set_place, (text,))])
        self.place = place

    async def write(self, steps: Sequence[Statement]) -> None:
        """Carry out steps in the target. Raises `GuardFailed` if another process has taken over."""
        if steps:
            was = Guard(self._target.sql.moving.is_at, (_encode(self.place),))
            await write(self._target, [was, *steps])

    async def open(self) -> None:
        """Open the target for use. Raises `GuardFailed` if another process has taken over."""
        sql = self._target.sql.moving
        token = self.moving.token
        try:
            await write(
                self._target,
                [
                    Guard(sql.is_marked, (token, MoveState.ARRIVING)),
                    Statement(sql.remove_mark, (token,)),
                ],
            )
        except GuardFailed:
            if await read_mark(self._target) is not None:
                raise
            # Another process did so, since it found the move complete.


async def _add_mark(db: Database, mark: Mark) -> None:
    sql = db.sql.moving
    try:
        await write(db, [Guard(sql.is_unmarked), Statement(sql.add_mark, mark)])
    except GuardFailed:
        raise MoveRefused("another process has begun a move at the same time") from None


def _encode(place: MovePlace) -> str:
    return msgspec.json.encode(place).decode()

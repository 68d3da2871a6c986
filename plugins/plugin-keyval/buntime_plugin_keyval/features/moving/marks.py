"""What both databases of a move know of it: who is at it, and how far the target is.

Of two processes at the same move, the one that took it up last goes on, since the other one may as
well be dead: whatever is written to either database is guarded by who is at it.
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
    """How far the target is."""

    log: int
    """Position of the last change that it has; 0 before all."""
    entries: str | None = ""
    """The last key that was copied, in hexadecimal digits; None once all are."""
    logged: bool = False
    """Whether it has what the log told before the first entry was copied."""
    done: int = 0
    """Entries that were copied."""
    mover: str = ""
    """Who goes on from here."""


class MoveMarks:
    """The marks of one move, as one process sees them that is at it."""

    def __init__(self, source: Database, target: Database, names: Names) -> None:
        """`names` are those of the databases for people."""
        self._source = source
        self._target = target
        self._names = names
        self.moving = Moving("", secrets.token_hex(8))
        self.place = MovePlace(0)
        """How far the target is, by what was written there last."""

    async def begin(self) -> bool:
        """Mark both databases, or find where the move was; whether all had come over already."""
        mark = await read_mark(self._source)
        if mark is None:
            mark = Mark(secrets.token_hex(8), MoveState.COPYING, 0, self._names[1], "")
            await _add_mark(self._source, mark)
        self.moving = self.moving._replace(token=mark.token)
        theirs = await read_mark(self._target)
        if theirs is None:
            if mark.other != self._names[1]:
                raise MoveRefused(
                    f"the store in {self._names[0]} is being moved to {mark.other}: go on with"
                    " that, or give it up with --abort"
                )
            await self._mark_target(mark)
            theirs = await read_mark(self._target)
        if theirs is None or theirs.token != mark.token or theirs.state is not MoveState.ARRIVING:
            forget = Statement(self._source.sql.moving.remove_mark, (mark.token,))
            await write(self._source, [forget])
            raise MoveRefused("both databases are the same one: see --from and --to")
        await self._take_up(mark, theirs.place)
        if mark.state is MoveState.CLOSED:
            await reopen_store(self._source, mark)
        return mark.state is MoveState.MOVED

    async def _mark_target(self, mark: Mark) -> None:
        """Let nobody use the target before all is there."""
        place = MovePlace(await self.first_position())
        names = self._names
        theirs = Mark(mark.token, MoveState.ARRIVING, 0, names[0], _encode(place))
        await _add_mark(self._target, theirs)
        now = await read_mark(self._source)
        if now is None or now.token != mark.token or now.state is MoveState.MOVED:
            # Another process has brought it to its end meanwhile, and the target is in use.
            await write(
                self._target, [Statement(self._target.sql.moving.remove_mark, (mark.token,))]
            )
            raise MoveRefused(f"the store in {names[0]} was moved to {names[1]} already")

    async def _take_up(self, mark: Mark, place: str) -> None:
        """Go on from a place as the only one. Raises `GuardFailed` if it is not that any more."""
        was = msgspec.json.decode(place, type=MovePlace)
        self.place = msgspec.structs.replace(was, mover=self.moving.mover)
        sql = self._target.sql.moving
        ours = Statement(sql.set_place, (_encode(self.place),))
        await write(self._target, [Guard(sql.is_at, (place,)), ours])
        await take_up(self._source, self.moving, mark.state)

    async def first_position(self) -> int:
        """Position of the last change that is not in the log of the source any more."""
        notes = self._source.sql.moving.notes
        ((_, trimmed, _, _),) = await self._source.adapter.query(notes, fresh=True)
        return int(trimmed or 0)

    async def begin_anew(self) -> None:
        """Copy everything once more: the log was trimmed faster than it was followed."""
        place = MovePlace(await self.first_position(), mover=self.moving.mover)
        sql = self._target.sql.moving
        await self.note(place, [*map(Statement, sql.clear)])

    async def note(self, place: MovePlace, steps: Sequence[Statement] = ()) -> None:
        """Do something, and note in the same commit how far the target is with that."""
        text = _encode(place)
        await self.write([*steps, Statement(self._target.sql.moving.set_place, (text,))])
        self.place = place

    async def write(self, steps: Sequence[Statement]) -> None:
        """Carry out steps in the target. Raises `GuardFailed` where another one moves by now."""
        if steps:
            was = Guard(self._target.sql.moving.is_at, (_encode(self.place),))
            await write(self._target, [was, *steps])

    async def open(self) -> None:
        """Let the target be used. Raises `GuardFailed` where another one moves by now."""
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
            # Another process did so, which found that all had come over.


async def _add_mark(db: Database, mark: Mark) -> None:
    sql = db.sql.moving
    try:
        await write(db, [Guard(sql.is_unmarked), Statement(sql.add_mark, mark)])
    except GuardFailed:
        raise MoveRefused("another process has begun a move at the same time") from None


def _encode(place: MovePlace) -> str:
    return msgspec.json.encode(place).decode()

"""Checks before a move, and giving a move up."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from buntime_database import Statement

from buntime_plugin_keyval.features.moving.copying import write
from buntime_plugin_keyval.features.moving.indexes import drop_indexes
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.moves import Mark, MoveState, read_mark, reopen_store
from buntime_plugin_keyval.storage.schema import newest_version, version_of

Names: TypeAlias = tuple[str, str]
"""The names of source and target for messages, without secrets."""


class MoveRefused(Exception):
    """The move cannot be done as requested; the message says what would be right."""


class Counts(NamedTuple):
    """What a store has."""

    entries: int
    bytes: int
    messages: int
    letters: int
    replays: int
    indexes: int
    newest: int
    """Position of the newest change; 0 if there is none."""

    @property
    def is_empty(self) -> bool:
        """Whether the store was never written to."""
        return not any(self)


async def check_move(
    source: Database, target: Database, names: Names, *, without_indexes: bool
) -> Counts:
    """Count what would be moved, without changes. Raises `MoveRefused` if it cannot be moved."""
    await _check_source(source, names)
    counts = await counts_of(source)
    if counts.indexes and not without_indexes:
        _check_indexes(target, names)
    mark = await read_mark(source)
    if mark is not None and mark.state is MoveState.MOVED:
        await _refuse_moved(mark, target, names)
    version = await version_of(target.adapter)
    if version and version != newest_version(target.adapter):
        raise MoveRefused(f"{names[1]} has a store of another version: name an empty database")
    if version and await _is_marked_otherwise(mark, target, names):
        await _check_empty(target, names)
    return counts


async def _check_source(source: Database, names: Names) -> None:
    wanted = newest_version(source.adapter)
    version = await version_of(source.adapter)
    if not version:
        raise MoveRefused(f"there is no store in {names[0]}: see --from")
    if version != wanted:
        raise MoveRefused(
            f"the store in {names[0]} has schema version {version}, this program"
            f" {wanted}: let a server of this version start with it once, then move it"
        )


def _check_indexes(target: Database, names: Names) -> None:
    if target.adapter.capabilities.full_text_search is None:
        raise MoveRefused(
            f"{names[1]} has no full-text search, and the store has indexes: choose"
            " another database, or leave them behind with --without-indexes"
        )


async def _is_marked_otherwise(mark: Mark | None, target: Database, names: Names) -> bool:
    theirs = await read_mark(target)
    if theirs is None:
        return True
    if mark is not None and theirs.token == mark.token and theirs.state is MoveState.ARRIVING:
        return False
    if mark is not None and theirs.token == mark.token:
        raise MoveRefused("both databases are the same one: see --from and --to")
    if theirs.state is MoveState.MOVED:
        raise MoveRefused(
            f"{names[1]} is not empty: it still has the store that was moved to {theirs.other}."
            " Name an empty database"
        )
    raise MoveRefused(
        f"{names[1]} has to do with another move, with {theirs.other}: finish that, or"
        " give it up with --abort"
    )


async def _refuse_moved(mark: Mark, target: Database, names: Names) -> None:
    theirs = await _mark_of(target)
    if theirs is None or theirs.token != mark.token:
        raise MoveRefused(f"the store in {names[0]} was already moved to {mark.other}")


async def _check_empty(target: Database, names: Names) -> None:
    counts = await counts_of(target)
    if not counts.is_empty:
        raise MoveRefused(
            f"{names[1]} is not empty: it has {counts.entries} entries and"
            f" {counts.messages} messages, or had some. Name an empty database"
        )


async def abort(source: Database, target: Database) -> bool:
    """Give up a move, so that the source is open and the target empty; whether there was one.

    Raises `MoveRefused` for a move that is completed, and `DatabaseError`.
    """
    mark, theirs = await _mark_of(source), await _mark_of(target)
    if (
        mark is not None
        and mark.state is MoveState.MOVED
        and (theirs is None or theirs.token != mark.token)
    ):
        raise MoveRefused(
            f"the store was moved to {mark.other}, which may have been written since: move it from"
            " there, to an empty database"
        )
    if (
        theirs is not None
        and theirs.state is MoveState.ARRIVING
        and (mark is None or mark.token == theirs.token)
    ):
        sql = target.sql.moving
        await drop_indexes(target)
        await write(
            target, [*map(Statement, sql.clear), Statement(sql.remove_mark, (theirs.token,))]
        )
    if mark is not None:
        if mark.state is not MoveState.COPYING:
            await reopen_store(source, mark)
        await write(source, [Statement(source.sql.moving.remove_mark, (mark.token,))])
    return mark is not None or theirs is not None


async def _mark_of(db: Database) -> Mark | None:
    has_marks = await version_of(db.adapter) == newest_version(db.adapter)
    return await read_mark(db) if has_marks else None


async def counts_of(db: Database) -> Counts:
    (row,) = await db.adapter.query(db.sql.moving.counts, fresh=True)
    return Counts(*(int(number or 0) for number in row))

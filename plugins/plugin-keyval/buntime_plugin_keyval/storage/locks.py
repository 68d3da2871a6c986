"""Reading locks and their lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.names import FIRST_NAME, behind_names


class HeldLock(NamedTuple):
    """A lock that is held. Times are the store's, in milliseconds."""

    name: str
    owner: str
    token: str
    acquired_at: int
    expires_at: int
    metadata: str | None
    """JSON."""


class Line(NamedTuple):
    """The line of a lock: the first owner, and how many wait."""

    number: int
    first: str


async def read_held(db: Database, names: Sequence[str], now_ms: int) -> dict[str, HeldLock]:
    """Those of the locks that are held, by name."""
    args = (msgspec.json.encode(names).decode(), now_ms)
    rows = await db.adapter.query(db.sql.locks.held, args, point=len(names) == 1, fresh=True)
    return {str(row[0]): HeldLock(*row) for row in rows}  # type: ignore[arg-type] # as the schema says


async def read_lines(db: Database, names: Sequence[str], now_ms: int) -> dict[str, Line]:
    """The lines of those of the locks that have one, by name."""
    args = (msgspec.json.encode(names).decode(), now_ms)
    rows = await db.adapter.query(db.sql.locks.line, args, fresh=True)
    return {str(name): Line(number, first) for name, number, first in rows}  # type: ignore[arg-type] # as above


async def list_held(db: Database, prefix: str, limit: int, now_ms: int) -> list[HeldLock]:
    """The locks that are held whose names have this prefix, in order of name.

    Without those of consumers, whose names callers cannot use.
    """
    args = (prefix or FIRST_NAME, behind_names(prefix), now_ms, limit)
    rows = await db.adapter.query(db.sql.locks.listed, args, fresh=True)
    return [HeldLock(*row) for row in rows]  # type: ignore[arg-type] # as above

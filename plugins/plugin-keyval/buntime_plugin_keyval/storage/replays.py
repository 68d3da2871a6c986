"""The results of writes that are told again: keeping, finding and forgetting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.replays import KeepSql, KeptRow

FORGET_BATCH = 500


class Kept(NamedTuple):
    """What is known of a write that was made."""

    versionstamp: str
    """That of its commit."""
    told: Any
    """What its decision knew beside: decoded JSON."""
    counts: list[int]
    """How many rows or entries each of its effects concerned, where that was wanted."""


def keep_sql(sql: Dialect, *, is_firm: bool) -> KeepSql:
    """What keeps the result of a commit with a firm stamp, or with one that may become later."""
    return sql.replays.keep if is_firm else sql.replays.keep_late


class Keeping(NamedTuple):
    """Keeps the result of one commit by statements behind or among those that have its effects."""

    row: KeptRow
    sql: Dialect
    is_firm: bool
    """Whether the commit has that stamp, or fails."""

    @property
    def _texts(self) -> KeepSql:
        return keep_sql(self.sql, is_firm=self.is_firm)

    def end(self) -> Sequence[Statement]:
        """What comes behind all effects, where their counts are not wanted or there are none."""
        return self._texts.keep(self.row)

    def among(self, statements: Sequence[Statement], *, is_first: bool) -> list[Statement]:
        """The statements of one effect, and what keeps the count of the first of them."""
        first, *others = statements
        if is_first:
            return [first, Statement(self._texts.keep_with_count, self.row), *others]
        return [first, Statement(self.sql.replays.keep_count, (self.row[0],)), *others]


def keeping(
    sql: Dialect, key: str, fingerprint: bytes, told: object, now_ms: int
) -> list[Statement | Guard]:
    """Keep the result of what is done already; fails if there is one."""
    row = (key, fingerprint, "", msgspec.json.encode(told).decode(), now_ms)
    return [Guard(sql.replays.not_kept, (key,)), *Keeping(row, sql, is_firm=True).end()]


async def find(db: Database, key: str) -> tuple[bytes, Kept] | None:
    """Fingerprint and result of what was done under a key."""
    rows = await db.adapter.query(db.sql.replays.find, (key,), point=True, fresh=True)
    if not rows:
        return None
    fingerprint, versionstamp, told, counts = rows[0]
    numbers = [int(count) for count in str(counts).split(",")[:-1]]
    kept = Kept(str(versionstamp), msgspec.json.decode(str(told)), numbers)
    return bytes(fingerprint), kept  # type: ignore[arg-type] # as the schema says


async def forget(db: Database, *, keep: int, since_ms: int) -> int:
    """Remove some of what is from before `since_ms` or beyond the newest `keep`; how many."""
    args = (since_ms, keep, FORGET_BATCH)
    (result,) = await db.adapter.batch([Statement(db.sql.replays.forget, args)])
    return result.rowcount

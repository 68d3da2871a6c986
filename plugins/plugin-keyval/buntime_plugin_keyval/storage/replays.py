"""The results of writes that are told again: keeping, finding and forgetting them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from buntime_database import Adapter, Guard, Statement

from buntime_plugin_keyval.storage import statements as sql

FORGET_BATCH = 500


class Kept(NamedTuple):
    """What is known of a write that was made."""

    versionstamp: str
    """That of its commit."""
    told: Any
    """What its decision knew beside: decoded JSON."""
    counts: list[int]
    """How many rows or entries each of its effects concerned, where that was wanted."""


class Keeping(NamedTuple):
    """Keeps the result of one commit by statements behind or among those that have its effects."""

    row: tuple[str, bytes, str, str, int]
    """Key, fingerprint, stamp, what was told as JSON, and when."""
    texts: sql.KeepTexts

    def end(self) -> Statement:
        """What comes behind all effects, where their counts are not wanted or there are none."""
        return Statement(self.texts.keep, self.row)

    def among(self, statements: Sequence[Statement], *, is_first: bool) -> list[Statement]:
        """The statements of one effect, and what keeps the count of the first of them."""
        first, *others = statements
        if is_first:
            return [first, Statement(self.texts.keep_with_count, self.row), *others]
        return [first, Statement(sql.KEEP_COUNT, (self.row[0],)), *others]


def keeping(key: str, fingerprint: bytes, told: object, now_ms: int) -> list[Statement | Guard]:
    """Keep the result of what is done already; fails if there is one."""
    row = (key, fingerprint, "", msgspec.json.encode(told).decode(), now_ms)
    return [Guard(sql.NOT_KEPT, (key,)), Statement(sql.KEEP.keep, row)]


async def find(adapter: Adapter, key: str) -> tuple[bytes, Kept] | None:
    """Fingerprint and result of what was done under a key."""
    rows = await adapter.query(sql.FIND_KEPT, (key,), point=True, fresh=True)
    if not rows:
        return None
    fingerprint, versionstamp, told, counts = rows[0]
    numbers = [int(count) for count in str(counts).split(",")[:-1]]
    kept = Kept(str(versionstamp), msgspec.json.decode(str(told)), numbers)
    return bytes(fingerprint), kept  # type: ignore[arg-type] # as the schema says


async def forget(adapter: Adapter, *, keep: int, since_ms: int) -> int:
    """Remove some of what is from before `since_ms` or beyond the newest `keep`; how many."""
    args = (since_ms, keep, FORGET_BATCH)
    (result,) = await adapter.batch([Statement(sql.FORGET_KEPT, args)])
    return result.rowcount

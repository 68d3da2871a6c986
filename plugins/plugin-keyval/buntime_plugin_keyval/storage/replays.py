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


class Keeping:
    """Keeps the result of one commit by statements among those that have its effects."""

    def __init__(
        self,
        key: str,
        fingerprint: bytes,
        versionstamp: str,
        told: str,
        now_ms: int,
        *,
        is_firm: bool,
        has_counts: bool,
    ) -> None:
        """The stamp is firm, or the commit may get another one."""
        self._key = key
        self._row = (key, fingerprint, versionstamp, told, now_ms)
        self._texts = sql.KEEP if is_firm else sql.KEEP_LATE
        self._has_counts = has_counts
        self._is_kept = False

    def among(self, statements: Sequence[Statement]) -> list[Statement]:
        """The statements of one effect, and what keeps the count of the first of them."""
        if not self._has_counts:
            return list(statements)
        if self._is_kept:
            note = Statement(sql.KEEP_COUNT, (self._key,))
        else:
            note = Statement(self._texts.keep_with_count, self._row)
        self._is_kept = True
        return [statements[0], note, *statements[1:]]

    def end(self) -> list[Statement]:
        """What comes behind all effects."""
        return [] if self._is_kept else [Statement(self._texts.keep, self._row)]


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

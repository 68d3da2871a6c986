"""Reads of the entries whose keys match a pattern, made of reads of ranges, run by run.

Each run is read by itself, so a concurrent write may be in one and not yet in another, as between
two pages.
"""

from __future__ import annotations

import sys

from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.storage import reads, within
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.patterns import PatternWalk, Pieces
from buntime_plugin_keyval.storage.ranges import KeyRange, single
from buntime_plugin_keyval.storage.reads import LongReads
from buntime_plugin_keyval.storage.selection import RowCondition, Selection
from buntime_plugin_keyval.storage.within import JoinedPage, Page, Text, refuse_long_list


class Fitting:
    """The entries of a range that fit a pattern and meet a condition, for one reading."""

    def __init__(
        self,
        db: Database,
        pieces: Pieces,
        keys: KeyRange,
        condition: RowCondition,
        now_ms: int,
        long_reads: LongReads,
        *,
        reverse: bool = False,
        shape: Shape = PLAIN,
        fresh: bool = False,
    ) -> None:
        self._db = db
        self._keys = keys
        self._now_ms = now_ms
        self._long_reads = long_reads
        self._reverse = reverse
        self._shape = shape
        self._fresh = fresh
        self._walk = PatternWalk(db, pieces, keys, condition, reverse=reverse, fresh=fresh)

    async def rows(self, limit: int) -> list[tuple[bytes, str, str]]:
        found: list[tuple[bytes, str, str]] = []
        while len(found) < limit and (run := await self._next(limit - len(found))) is not None:
            found += await reads.list_rows(
                self._db, run, self._now_ms, self._long_reads, fresh=self._fresh
            )
        return found

    async def stamps(self, limit: int) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        while len(found) < limit and (run := await self._next(limit - len(found))) is not None:
            found |= await reads.list_stamps(self._db, run, self._now_ms)
        return found

    async def json(self, limit: int) -> str:
        entries = (await self.page(limit, sys.maxsize)).entries
        return entries if isinstance(entries, str) else entries.decode()

    async def list(self, limit: int, most: int) -> Text:
        page = await self.page(limit, most)
        if page.has_more and page.number < limit:
            refuse_long_list(most)
        return page.entries

    async def page(self, limit: int, most: int) -> Page:
        whole = JoinedPage(limit, most)
        while (run := await self._next(max(1, whole.left))) is not None:
            if whole.is_full:
                if await self._is_any(run):
                    return whole.page(has_more=True)
                continue
            page = await within.page_within(
                self._db, run, self._now_ms, self._long_reads, most=most
            )
            if not whole.take(page):
                return whole.page(has_more=True)
        return whole.page(has_more=False)

    async def count(self) -> int:
        number = 0
        while (run := await self._next()) is not None:
            number += await self._count(run)
        return number

    async def behind(self, offset: int) -> KeyRange | None:
        """The part of the range behind its first entries; None if there are no more."""
        while (run := await self._next()) is not None:
            number = await self._count(run)
            if number > offset:
                first = await reads.key_behind(self._db, run._replace(limit=offset), self._now_ms)
                if first is not None:  # it may have gone meanwhile
                    if self._reverse:
                        return self._keys.before(single(first).end)
                    return self._keys.from_key(first)
            offset -= min(number, offset)
        return None

    async def has_any(self) -> bool:
        """Whether there is one."""
        while (run := await self._next()) is not None:
            if await self._is_any(run):
                return True
        return False

    async def _next(self, limit: int = 1) -> Selection | None:
        run = await self._walk.next()
        if run is None:
            return None
        return Selection(run.keys, limit, self._reverse, run.condition, self._shape)

    async def _count(self, run: Selection) -> int:
        return await reads.count(self._db, run.keys, run.condition, self._now_ms)

    async def _is_any(self, run: Selection) -> bool:
        if run.condition.recheck is None:
            return await reads.is_any(self._db, run, self._now_ms)
        return await self._count(run) > 0

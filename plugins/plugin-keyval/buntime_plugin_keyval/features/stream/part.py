"""The stream of one store as it runs: pages of the log, and waiting for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.features.feature import Ground, Part
from buntime_plugin_keyval.features.log.feature import LOG
from buntime_plugin_keyval.features.log.part import LogPart
from buntime_plugin_keyval.model.errors import PositionAhead, StreamTrimmed
from buntime_plugin_keyval.storage import changelog
from buntime_plugin_keyval.storage.changelog import Bounds, LoggedChange, RecordsWanted
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants

MOST_LOOKED_AT = 10_000
"""The most changes that one page examines to find those that are wanted."""

ALL_KEYS = descendants(b"")


class Wish(NamedTuple):
    """Which records are wanted."""

    after: int = 0
    """The position after which they are."""
    limit: int = 100
    keys: KeyRange = ALL_KEYS
    type: str | None = None
    """The type of their entries; None for all."""
    action: str | None = None
    """The kind of change; None for all."""

    @property
    def is_for_all(self) -> bool:
        """Whether every record is wanted."""
        return self.keys == ALL_KEYS and self.type is None and self.action is None


class StreamSlice(NamedTuple):
    """A page of the stream."""

    records: Sequence[LoggedChange]
    next: int
    """The position after which the next page begins."""
    bounds: Bounds


class StreamPart(Part):
    def __init__(self, ground: Ground) -> None:
        self.store = ground.store
        self.recorder = ground.store.recorder
        self.client_of: Callable[[Mapping[str, Any]], str | None] = ground.client_of
        self.heartbeat_s = ground.config.watch.heartbeat.milliseconds / 1000
        self.shares = ground.watchers()
        self.is_closed = False
        self._parts = ground.parts

    async def end_streams(self) -> None:
        """See `Part`. Waiting calls are woken by the part of the log."""
        self.is_closed = True

    @measured("stream_read")
    async def read(self, wish: Wish, wait_s: float = 0) -> StreamSlice:
        """Records in the order of commits; waits at most `wait_s` for the first one.

        Raises `StreamTrimmed` if some of them are gone, and `PositionAhead` for a position beyond
        the end of the stream: it is from another stream, and its client would miss records.
        """
        page = await self.page(wish)
        if page.records or not wait_s:
            return page
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not page.records and await self.wait_behind(page):
                    page = await self.page(wish._replace(after=page.next))
        return page

    async def wait_behind(self, page: StreamSlice) -> bool:
        """Wait for a record after a page; False if none will come, since the store closes."""
        log: LogPart = self._parts[LOG.name]
        return page.next < page.bounds.last or await log.wait_behind(page.next)

    async def page(self, wish: Wish) -> StreamSlice:
        """The records that are there now. Raises as `read` does."""
        db = self.store.db
        # Read before the records: up to there nothing is added that the next page would miss.
        last = (await self.store.newest_place(fresh=True)).seq
        if wish.after > last:
            raise PositionAhead(wish.after, last)
        until = last
        if not wish.is_for_all:
            until = min(last, await changelog.reach(db, wish.after, MOST_LOOKED_AT))
        wanted = RecordsWanted(wish.after, until, wish.keys, wish.limit, wish.type, wish.action)
        found, has_more = await changelog.read_records(db, wanted, self.store.limits.answer_bytes)
        # Read after them: records not removed by then were there when the page was read.
        first = await changelog.first_place(db)
        if wish.after < first - 1:
            raise StreamTrimmed(first)
        following = found[-1].seq if has_more else max(wish.after, until)
        return StreamSlice(found, following, Bounds(first, last))

    @measured("stream_bounds")
    async def bounds(self) -> Bounds:
        """Where the stream begins and ends."""
        return await changelog.read_bounds(self.store.db)

    async def place_since(self, since_ms: int) -> int:
        """The position after which all changes since a time are.

        Raises `StreamTrimmed` if one of them may have been removed.
        """
        removed_ms = await changelog.trimmed_at(self.store.db)
        found = await changelog.first_since(self.store.db, since_ms)
        first, last = await changelog.read_bounds(self.store.db)
        if removed_ms is not None and since_ms <= removed_ms:
            raise StreamTrimmed(first)
        return last if found is None else found - 1

    @measured("stream_trim")
    async def trim(self, up_to: int, once: Once | None = None) -> int:
        """Remove the records up to a position, except the newest of all; how many there were."""
        return await self.store.replays.run(
            once,
            lambda: changelog.trim_to(self.store.db, up_to),
            keep=lambda trimmed: trimmed,
            recall=lambda kept: int(kept.told),
        )

"""Removing what has expired, and of the change log and of all features what is too old.

One task sleeps until the next entry expires. It is woken earlier only by a commit that brings an
entry which expires before that, so an idle store costs nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from buntime_keyval.wire.limits import MAX_TIMESTAMP_MS

from buntime_plugin_keyval.config import Retention
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Part
from buntime_plugin_keyval.storage import changelog, reads
from buntime_plugin_keyval.storage.changelog import EVERYTHING

BATCH = 500
"""Rows that one commit removes, so that other writes find room between two of them."""


async def vacuum(store: Store, limit: int, once: Once | None = None) -> tuple[int, bool]:
    """Remove at most `limit` expired entries now; their number, and whether there are more."""
    return await store.replays.run(
        once,
        lambda: _vacuum(store, limit),
        keep=lambda removed: removed,
        recall=lambda kept: tuple(kept.told),
    )


async def _vacuum(store: Store, limit: int) -> tuple[int, bool]:
    count = 0
    while count < limit:
        wanted = min(BATCH, limit - count)
        removed = await store.expire(wanted)
        count += removed
        if removed < wanted:
            return count, False
    expires_at = await reads.next_expiry(store.db, fresh=True)
    return count, expires_at is not None and expires_at <= store.clock.now()


class Sweeper(Part):
    """A background task; `start` and `close` may each be called twice."""

    def __init__(
        self,
        store: Store,
        *,
        interval_ms: int,
        retention: Retention,
        logger: logging.Logger,
        clean_up: Callable[[int], Awaitable[int]] | None = None,
        needs_behind: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """`interval_ms` is the longest sleep: entries of other processes are found after it.

        `clean_up` removes at most so much of each other kind that is too old, and says how much; it
        is called until that is nothing. `needs_behind` says behind which position nothing of the
        change log is to be removed.
        """
        self.store = store
        self._interval_ms = interval_ms
        self._retention = retention
        self._clean_up = clean_up
        self._needs_behind = needs_behind
        self._loop = Loop(
            self._step,
            "keyval-sweeper",
            logger=logger,
            complaint="Expired entries could not be removed: %s",
        )
        self._sleeps_until_ms = 0

    def start(self) -> None:
        """Begin to sweep."""
        self.store.on_expiry(self._entry_expires_at)
        self._loop.start()

    @property
    def loops(self) -> Mapping[str, Loop]:
        """See `Part`."""
        return {"expiry": self._loop}

    def _entry_expires_at(self, expires_at_ms: int) -> None:
        if expires_at_ms < self._sleeps_until_ms:
            self._loop.wake()

    async def _step(self) -> float:
        # What is written during the sweep may be missed by it, and asks for another one.
        self._sleeps_until_ms = MAX_TIMESTAMP_MS
        pause_ms = await self._sweep()
        self._sleeps_until_ms = self.store.clock.now() + pause_ms
        return pause_ms / 1000

    async def _sweep(self) -> int:
        """Remove what has expired; milliseconds until there may be more to do."""
        while await self.store.expire(BATCH) == BATCH:
            pass
        await self._trim()
        while self._clean_up is not None and await self._clean_up(BATCH):
            pass
        expires_at = await reads.next_expiry(self.store.db)
        if expires_at is None:
            return self._interval_ms
        # At least a millisecond: a clock that stands still must not make this spin.
        return max(1, min(expires_at - self.store.clock.now(), self._interval_ms))

    async def _trim(self) -> None:
        up_to = EVERYTHING if self._needs_behind is None else await self._needs_behind()
        removed = BATCH
        while removed == BATCH:
            removed = await changelog.trim_changes(
                self.store.db,
                keep=self._retention.changes,
                since_ms=self.store.clock.now() - self._retention.age_ms,
                limit=BATCH,
                up_to=up_to,
            )

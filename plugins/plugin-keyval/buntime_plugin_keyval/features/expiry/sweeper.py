"""Removing expired entries, and old data of the change log and of all features.

One task sleeps until the next entry expires. Only a commit with an entry that expires before that
wakes it earlier, so an idle store costs nothing.
"""

from __future__ import annotations

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
"""The most rows that one commit removes, to leave room for other writes."""


async def vacuum(store: Store, limit: int, once: Once | None = None) -> tuple[int, bool]:
    """Remove at most `limit` expired entries now; how many, and whether there are more."""
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
    """Removes old data in the background; `start` and `close` are idempotent."""

    def __init__(
        self,
        store: Store,
        *,
        interval_ms: int,
        retention: Retention,
        clean_up: Callable[[int], Awaitable[int]] | None = None,
        needs_behind: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """`interval_ms` is the longest sleep, after which entries of other processes are noticed.

        `clean_up` removes at most the given number of old rows of each other kind and returns how
        many; it is called until that is 0. `needs_behind` returns the position after which the
        change log must not be trimmed.
        """
        self.store = store
        self._interval_ms = interval_ms
        self._retention = retention
        self._clean_up = clean_up
        self._needs_behind = needs_behind
        self._loop = Loop(
            self._step,
            "keyval-sweeper",
            logger=store.logger,
            complaint="Expired entries could not be removed: %s",
        )
        self._sleeps_until_ms = 0

    def start(self) -> None:
        self.store.on_expiry(self._entry_expires_at)
        self._loop.start()

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"expiry": self._loop}

    def _entry_expires_at(self, expires_at_ms: int) -> None:
        if expires_at_ms < self._sleeps_until_ms:
            self._loop.wake()

    async def _step(self) -> float:
        # The sweep may miss what is written during it, which then asks for another one.
        self._sleeps_until_ms = MAX_TIMESTAMP_MS
        pause_ms = await self._sweep()
        self._sleeps_until_ms = self.store.clock.now() + pause_ms
        return pause_ms / 1000

    async def _sweep(self) -> int:
        """Remove old data; milliseconds until there may be more."""
        while await self.store.expire(BATCH) == BATCH:
            pass
        await self._trim()
        while self._clean_up is not None and await self._clean_up(BATCH):
            pass
        expires_at = await reads.next_expiry(self.store.db)
        if expires_at is None:
            return self._interval_ms
        # At least a millisecond, so that this does not spin if the clock stands still.
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

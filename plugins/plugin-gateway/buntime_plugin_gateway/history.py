"""The counts of the last hour, in plugin-keyval: one key for each second with requests.

They are the totals of all workers, so only the first worker writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from buntime_plugin_gateway.keyval import KeyValStore
from buntime_plugin_gateway.limits.limiter import LimitCounts

PREFIX = ("gateway", "metrics", "history")
KEPT_MS = 3_600_000
TICKS_OF_A_WRITE = 5
"""Snapshots, taken once a second, that are written in one commit."""
MOST_PENDING = 600
"""The most snapshots kept while the store does not answer; older ones are dropped."""
MOST_OF_A_COMMIT = 100
COUNTS = ("totalRequests", "blockedRequests", "allowedRequests", "activeBuckets")


class MetricsHistory:
    """Snapshots of the counts."""

    def __init__(
        self, kv: KeyValStore, totals: Callable[[], LimitCounts], logger: logging.Logger
    ) -> None:
        self._kv = kv
        self._totals = totals
        self._logger = logger
        self._pending: list[dict[str, int]] = []
        self._last: LimitCounts | None = None
        self._last_ms = 0
        self._ticks = 0
        self._is_failing = False

    async def tick(self, now_ms: int) -> None:
        """Take a snapshot if there were requests; write them from time to time."""
        self.take(now_ms)
        self._ticks += 1
        if self._ticks >= TICKS_OF_A_WRITE:
            self._ticks = 0
            await self.flush()

    def take(self, now_ms: int) -> None:
        """Take a snapshot, unless it equals the one before."""
        totals = self._totals()
        if totals == self._last:
            return
        self._last = totals
        # Keys are unique, whatever the clock does.
        self._last_ms = max(now_ms, self._last_ms + 1)
        counts = dict(zip(COUNTS, totals, strict=True))
        self._pending.append({"timestamp": self._last_ms, **counts})
        del self._pending[:-MOST_PENDING]

    async def flush(self) -> None:
        """Write the pending snapshots. A failure of the store is logged once, and retried later."""
        taken = self._pending[:MOST_OF_A_COMMIT]
        while taken:
            try:
                await self._write(taken)
            except Exception as error:  # noqa: BLE001 - whatever the database raises
                if not self._is_failing:
                    self._logger.warning("The history of metrics cannot be written: %s", error)
                self._is_failing = True
                return
            self._is_failing = False
            del self._pending[: len(taken)]
            taken = self._pending[:MOST_OF_A_COMMIT]

    async def read(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` snapshots, the newest first; none if the store does not answer."""
        try:
            found = [
                entry.value async for entry in self._kv.list(PREFIX, limit=limit, reverse=True)
            ]
        except Exception as error:  # noqa: BLE001 - as above
            self._logger.warning("The history of metrics cannot be read: %s", error)
            return []
        return [snapshot for snapshot in found if isinstance(snapshot, Mapping)]  # type: ignore[misc] # JSON

    async def clear(self) -> None:
        """Remove all snapshots. Raises what the store does."""
        self._pending.clear()
        await self._kv.delete(PREFIX)

    async def migrate(self, now_ms: int) -> None:
        """Give each snapshot of older versions, which kept one list, a key of its own.

        Idempotent. Raises what the store does.
        """
        entry = await self._kv.get(PREFIX)
        if not isinstance(entry.value, Sequence) or isinstance(entry.value, str):
            return
        good = [it for it in entry.value if _is_recent(it, now_ms)]
        for start in range(0, len(good), MOST_OF_A_COMMIT):
            await self._write(good[start : start + MOST_OF_A_COMMIT], now_ms)
        await self._kv.delete(PREFIX, exact=True)
        self._logger.info("The history of metrics has a key for each of %d snapshots", len(good))

    async def _write(self, snapshots: Sequence[Mapping[str, Any]], now_ms: int = 0) -> None:
        commit = self._kv.atomic()
        for snapshot in snapshots:
            moment = snapshot["timestamp"]
            left = KEPT_MS - max(now_ms - moment, 0) if now_ms else KEPT_MS
            commit = commit.set((*PREFIX, moment), dict(snapshot), expires_in=left)
        await commit.commit()


def _is_recent(snapshot: object, now_ms: int) -> bool:
    if not isinstance(snapshot, Mapping):
        return False
    moment = snapshot.get("timestamp")
    return type(moment) is int and now_ms - KEPT_MS < moment <= now_ms

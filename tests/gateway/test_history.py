"""What was counted, second by second, in a real store."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from buntime_keyval import KvEntry
from buntime_plugin_gateway.history import (
    KEPT_MS,
    MOST_PENDING,
    PREFIX,
    TICKS_OF_A_WRITE,
    MetricsHistory,
)
from buntime_plugin_gateway.limits.limiter import LimitCounts
from buntime_plugin_keyval.faces.local.kv import LocalKv
from support.store import open_kv

NOW = 2_000_000_000_000
LOGGER = logging.getLogger("test")


class Counter:
    """Counts as the limiter would."""

    def __init__(self) -> None:
        self.totals = LimitCounts(0, 0, 0, 0)

    def count(self) -> None:
        self.totals = self.totals._replace(
            total=self.totals.total + 1, allowed=self.totals.allowed + 1
        )

    def __call__(self) -> LimitCounts:
        return self.totals


async def entries(kv: LocalKv) -> list[KvEntry[Any]]:
    return [entry async for entry in kv.list(PREFIX, details=True)]


async def test_each_snapshot_is_a_key_that_expires() -> None:
    async with open_kv() as kv:
        counter = Counter()
        history = MetricsHistory(kv, counter, LOGGER)
        for second in range(7):
            counter.count()
            history.take(NOW + second * 1000)
        await history.flush()
        found = await entries(kv)
        assert [entry.key for entry in found] == [
            (*PREFIX, NOW + second * 1000) for second in range(7)
        ]
        assert all(entry.details and entry.details.expires_at for entry in found)
        newest = await history.read(3)
        assert [it["totalRequests"] for it in newest] == [7, 6, 5]
        assert newest[0] == {
            "timestamp": NOW + 6000,
            "totalRequests": 7,
            "blockedRequests": 0,
            "allowedRequests": 7,
            "activeBuckets": 0,
        }
        await history.clear()
        assert await history.read(10) == []


async def test_seconds_are_written_together_and_only_where_something_happened() -> None:
    async with open_kv() as kv:
        counter = Counter()
        history = MetricsHistory(kv, counter, LOGGER)
        for second in range(TICKS_OF_A_WRITE - 1):
            counter.count()
            await history.tick(NOW + second * 1000)
        assert await entries(kv) == []
        await history.tick(NOW + 60_000)  # nothing new
        assert len(await entries(kv)) == TICKS_OF_A_WRITE - 1
        for second in range(3 * TICKS_OF_A_WRITE):
            await history.tick(NOW + 100_000 + second)
        assert len(await entries(kv)) == TICKS_OF_A_WRITE - 1


async def test_a_clock_that_goes_back_loses_nothing() -> None:
    async with open_kv() as kv:
        counter = Counter()
        history = MetricsHistory(kv, counter, LOGGER)
        for moment in (NOW, NOW, NOW - 5000):
            counter.count()
            history.take(moment)
        await history.flush()
        assert [it["timestamp"] for it in await history.read(9)] == [NOW + 2, NOW + 1, NOW]


async def test_the_list_of_an_older_version_becomes_keys() -> None:
    """The original wrote all of them anew every second."""
    async with open_kv() as kv:
        now = int(await _now(kv))
        old = [{"timestamp": now - age, "totalRequests": age} for age in range(5000, 0, -20)]
        expired = {"timestamp": now - 2 * KEPT_MS, "totalRequests": 1}
        await kv.set(PREFIX, [expired, "odd", {"timestamp": "odd"}, *old])
        history = MetricsHistory(kv, Counter(), LOGGER)
        await history.migrate(now)
        found = await history.read(1000)
        assert [it["timestamp"] for it in found] == [now - age for age in range(20, 5001, 20)]
        assert (await kv.get(PREFIX)).value is None
        await history.migrate(now)
        assert len(await history.read(1000)) == len(old)


async def _now(kv: LocalKv) -> float:
    import time

    return time.time() * 1000


class FailingStore:
    """A store whose database is away, until it is not."""

    def __init__(self, kv: LocalKv) -> None:
        self._kv = kv
        self.is_away = True

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise OSError("the database is away")
        return getattr(self._kv, name)


async def test_a_store_that_is_away_loses_little(caplog: pytest.LogCaptureFixture) -> None:
    async with open_kv() as kv:
        counter, store = Counter(), FailingStore(kv)
        history = MetricsHistory(store, counter, LOGGER)
        for second in range(MOST_PENDING + 50):
            counter.count()
            await history.tick(NOW + second * 1000)
        assert await history.read(5) == []
        assert caplog.text.count("cannot be written: the database is away") == 1
        assert "cannot be read" in caplog.text
        store.is_away = False
        await history.flush()
        assert len(await history.read(1000)) == MOST_PENDING
        store.is_away = True
        with pytest.raises(OSError, match="away"):
            await history.clear()

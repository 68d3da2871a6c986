"""Somebody else has the message by the time that its delivery is settled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Batch, DatabaseError, ResultSet
from buntime_keyval import StaleLease
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from keyval.service.world import World, open_world

pytestmark = pytest.mark.engines("sqlite", "odd", "rqlite", "postgres")

LEASE_MS = 30_000


class Raced(SqliteAdapter):
    """Lets another process in once, between the look at a delivery and the commit."""

    meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().batch_each(batches)


@pytest.fixture
async def raced(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "kv.db", adapter_type=Raced) as world:
        yield world


@pytest.fixture
async def other(raced: World, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "kv.db", clock=raced.clock) as world:
        yield world


@pytest.mark.parametrize("settle", ["ack_message", "nack_message"])
async def test_it_settles_nothing(raced: World, other: World, settle: str) -> None:
    await raced.kv.enqueue(1)
    slow = await raced.kv.dequeue()
    assert slow is not None
    raced.clock.advance(LEASE_MS)
    deliveries = []

    async def take_over() -> None:
        deliveries.append(await other.kv.dequeue())

    assert isinstance(raced.adapter, Raced)
    raced.adapter.meanwhile = take_over
    with pytest.raises(StaleLease):
        await getattr(raced.kv, settle)(slow)
    (current,) = deliveries
    assert current is not None
    stats = await other.kv.queue_stats()
    assert (stats.pending, stats.processing) == (0, 1)
    await other.kv.ack_message(current)

"""The sweeper: removes what has expired, in bounded steps, in time, and whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from buntime_database import Batch, DatabaseBusy, DatabaseError, ResultSet
from buntime_keyval.wire.commits import EntryOptions
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.config import Retention
from buntime_plugin_keyval.engine import loop as loop_module
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.expiry.sweeper import BATCH, Sweeper
from buntime_plugin_keyval.storage.schema import migrate
from keyval.service.world import FAST, LOGGER, FakeClock, World, until
from support.waiting import PATIENCE

HOUR_MS = 3_600_000


@asynccontextmanager
async def sweeping(
    store: Store, *, interval_ms: int = HOUR_MS, retention: Retention | None = None
) -> AsyncIterator[Sweeper]:
    retention = retention or Retention()
    sweeper = Sweeper(store, interval_ms=interval_ms, retention=retention)
    sweeper.start()
    try:
        yield sweeper
    finally:
        async with asyncio.timeout(PATIENCE):
            await sweeper.close()


async def fill(world: World, number: int, life: int) -> None:
    builder = world.kv.atomic()
    for index in range(number):
        builder.set(("t", index), 1, expires_in=f"{life}ms")
    await builder.commit()


async def stored_is(world: World, number: int) -> None:
    async def reached() -> bool:
        return await world.stored() == number

    await until(reached)


async def test_weakness_45_one_step_removes_a_bounded_number_oldest_first(world: World) -> None:
    for number in range(6):
        await world.kv.set(("t", number), 1, expires_in=f"{10 - number}ms")
    await world.kv.set(("stays",), 1)
    world.clock.advance(9)
    assert [await world.store.expire(2) for _ in range(4)] == [2, 2, 1, 0]
    expired = [c.key[-9:] for c in await world.kv.changes() if c.operation == "expire"]
    assert len(expired) == 5
    assert await world.stored() == 2


async def test_weakness_45_what_is_there_at_the_start_is_swept_and_logged(world: World) -> None:
    number = 2 * BATCH + 3
    await fill(world, number, 5)
    await world.kv.set(("stays",), 1)
    world.clock.advance(5)
    async with sweeping(world.store):
        await stored_is(world, 1)
    changes = await world.kv.changes(after=number + 1, limit=10**6)
    assert [change.operation for change in changes] == ["expire"] * number
    steps = [
        [change.versionstamp for change in changes].count(stamp)
        for stamp in dict.fromkeys(change.versionstamp for change in changes)
    ]
    assert steps == [BATCH, BATCH, 3]


@pytest.mark.parametrize("kind", ["set", "atomic"])
async def test_an_entry_that_expires_sooner_wakes_it(world: World, kind: str) -> None:
    await world.kv.set(("late",), 1, expires_in=HOUR_MS)
    async with sweeping(world.store):
        await asyncio.sleep(0.02)  # by now it sleeps for an hour
        if kind == "set":
            await world.kv.set(("soon",), 1, expires_in="10ms")
        else:
            await world.kv.atomic().sum(("soon",), 1, expires_in="10ms").commit()
        world.clock.advance(10)
        await stored_is(world, 1)
    assert (await world.kv.get(("late",))).exists


async def test_it_sleeps_until_the_next_entry_expires(world: World) -> None:
    sweeper = Sweeper(world.store, interval_ms=HOUR_MS, retention=Retention())
    for life in (300, 200):
        await world.kv.set(("e", life), 1, expires_in=f"{life}ms")
        assert await sweeper._step() == life / 1000
    world.clock.advance(199)
    assert await sweeper._step() == 0.001
    world.clock.advance(1)
    assert await sweeper._step() == 0.1
    world.clock.advance(100)
    assert await sweeper._step() == HOUR_MS / 1000
    assert await world.stored() == 0


async def test_it_goes_from_deadline_to_deadline(world: World) -> None:
    async with sweeping(world.store):
        for number in range(5):
            await world.kv.set(("t", number), 1, expires_in=f"{10 * (number + 1)}ms")
        for number in range(5):
            world.clock.advance(10)
            await stored_is(world, 4 - number)


async def test_what_another_process_wrote_is_found_after_the_interval(world: World) -> None:
    async with sweeping(world.store, interval_ms=5):
        await asyncio.sleep(0.02)
        await world.adapter.execute(
            "INSERT INTO kv_entries (key, key_json, value, versionstamp, expires_at) "
            "VALUES (x'020061', '[\"a\"]', '1', 'v', ?)",
            (world.clock(),),
        )
        await stored_is(world, 0)


async def test_the_change_log_is_trimmed(world: World) -> None:
    number = BATCH + 20
    await fill(world, number, 5)
    world.clock.advance(5)

    async def trimmed() -> bool:
        changes = await world.kv.changes(limit=10**6)
        return [change.seq for change in changes] == [2 * number - 1, 2 * number]

    async with sweeping(world.store, retention=Retention(changes=2)):
        await until(trimmed)


class Failing(SqliteAdapter):
    """Refuses as many writes as it is told to."""

    failures = 0

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        if self.failures:
            self.failures -= 1
            return [DatabaseBusy("locked") for _ in batches]
        return await super().batch_each(batches)


async def test_it_survives_a_failing_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop_module, "RETRY_SECONDS", 0.001)
    clock = FakeClock()
    adapter = Failing(str(tmp_path / "kv.db"), options=FAST)
    store = Store(adapter, logger=LOGGER, clock=clock)
    await migrate(adapter, clock())
    await store.set(b"\x02a\x00", '["a"]', "1", EntryOptions(expires_in=5))
    clock.advance(5)
    adapter.failures = 3
    async with sweeping(store):

        async def swept() -> bool:
            return not await adapter.query("SELECT 1 FROM kv_entries")

        await until(swept)
    messages = [record.getMessage() for record in caplog.records if record.name == LOGGER.name]
    assert messages == ["Expired entries could not be removed: locked"]  # the same once
    await adapter.close()


async def test_start_and_stop_may_be_called_twice(world: World) -> None:
    def running() -> int:
        return sum(task.get_name() == "keyval-sweeper" for task in asyncio.all_tasks())

    sweeper = Sweeper(world.store, interval_ms=HOUR_MS, retention=Retention())
    await sweeper.close()
    for _ in range(2):
        sweeper.start()
        sweeper.start()
        assert running() == 1
        await sweeper.close()
        await sweeper.close()
        assert running() == 0


async def test_stopping_at_the_moment_of_a_wake_up(world: World) -> None:
    for _ in range(20):
        async with sweeping(world.store):
            await asyncio.sleep(0.001)
            await world.kv.set(("t",), 1, expires_in="1ms")  # wakes it, and at once it has to stop


async def test_stopping_in_the_middle_of_a_sweep_loses_no_write(world: World) -> None:
    await fill(world, 3 * BATCH, 5)
    world.clock.advance(5)
    async with sweeping(world.store):
        writes = [asyncio.create_task(world.kv.set(("n", n), n)) for n in range(50)]
        await asyncio.sleep(0)
    assert all(result.ok for result in await asyncio.gather(*writes))
    assert await world.kv.count(("n",)) == 50

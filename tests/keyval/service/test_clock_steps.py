"""The clock on the wall is set while the process runs, or before it starts again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from buntime_host import Workers
from buntime_keyval import KvDetails
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.clock import Clock, Moment, SystemClock
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.schema import migrate
from keyval.queue.test_queue_messages import LEASE_MS, drain, states
from keyval.service.world import FAST, LOGGER, NOW_MS, FakeClock, World, until
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

Join = Callable[[FakeClock], AbstractAsyncContextManager[World]]

HOUR = 3_600_000
STEPS = pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "forward"])


class Sources:
    """What a `SystemClock` looks at, in nanoseconds."""

    def __init__(self) -> None:
        self.wall_ns = NOW_MS * 1_000_000
        self.elapsed_ns = 77_000_000

    def make(self, workers: Workers | None = None) -> SystemClock:
        shared = None if workers is None else workers.numbers("clock", 1)
        return SystemClock(
            wall_ns=lambda: self.wall_ns, elapsed_ns=lambda: self.elapsed_ns, shared=shared
        )

    def advance(self, milliseconds: int) -> None:
        self.wall_ns += milliseconds * 1_000_000
        self.elapsed_ns += milliseconds * 1_000_000


@STEPS
def test_the_time_of_a_store_is_what_has_passed(step: int) -> None:
    sources = Sources()
    clock: Clock = sources.make()
    assert (clock.now(), clock.wall()) == (NOW_MS, NOW_MS)
    sources.wall_ns += step * 1_000_000
    sources.advance(5)
    assert (clock.now(), clock.wall()) == (NOW_MS + 5, NOW_MS + step + 5)
    assert Moment(clock.now(), clock.wall()).ahead_ms == -step
    clock.not_before(NOW_MS)
    assert clock.now() == NOW_MS + 5
    clock.not_before(NOW_MS + 90)
    sources.advance(1)
    assert clock.now() == NOW_MS + 91


@pytest.mark.parametrize("workers", [None, Workers.alone()], ids=["alone", "shared"])
def test_until_then_both_clocks_show_the_same(workers: Workers | None) -> None:
    """Whichever of them is nearer to its next millisecond."""
    sources = Sources()
    sources.wall_ns += 700_000
    sources.elapsed_ns += 200_000
    clock = sources.make(workers)
    for _ in range(20):
        assert clock.now() == clock.wall()
        sources.wall_ns += 150_000
        sources.elapsed_ns += 150_000


def test_clocks_that_are_slewed_agree() -> None:
    for difference in (-499, -1, 0, 1, 499):
        assert Moment(NOW_MS, NOW_MS + difference).ahead_ms == 0


def test_the_system_has_such_clocks() -> None:
    clock = SystemClock()
    first, wall = clock.now(), time.time() * 1000
    assert abs(first - wall) < 5000
    assert abs(clock.wall() - wall) < 5000
    assert clock.now() >= first


def test_a_worker_that_starts_later_has_the_time_of_the_others() -> None:
    workers = Workers.alone()
    sources = Sources()
    first = sources.make(workers)
    sources.wall_ns -= HOUR * 1_000_000
    again = sources.make(workers)
    assert again.now() == first.now()
    again.not_before(NOW_MS + 5)
    assert sources.make(workers).now() == NOW_MS + 5


@STEPS
async def test_messages_wait_for_their_delay(kv: LocalKv, clock: FakeClock, step: int) -> None:
    await kv.enqueue("m", delay=1000, backoff_schedule=[500])
    clock.step(step)
    assert await kv.dequeue() is None
    clock.advance(999)
    assert await kv.dequeue() is None
    clock.advance(1)
    message = await kv.dequeue()
    assert message is not None
    clock.step(step)
    await kv.nack_message(message)
    clock.step(-2 * step)
    clock.advance(499)
    assert await kv.dequeue() is None
    clock.advance(1)
    assert await drain(kv) == ["m"]


@STEPS
async def test_leases_last_as_long_as_they_are_to(kv: LocalKv, clock: FakeClock, step: int) -> None:
    await kv.enqueue("m")
    message = await kv.dequeue()
    assert message is not None
    clock.step(step)
    clock.advance(LEASE_MS - 1)
    assert await states(kv) == (0, 1, 0)
    await kv.extend_message(message)
    clock.step(step)
    clock.advance(LEASE_MS - 1)
    assert await kv.dequeue() is None
    clock.advance(1)
    assert await drain(kv) == ["m"]


@STEPS
async def test_entries_live_as_long_as_they_are_to(
    kv: LocalKv, clock: FakeClock, step: int
) -> None:
    await kv.set(("a",), 1, expires_in=1000)
    await kv.atomic().set(("b",), 1, expires_in=1000).sum(("n",), 1).commit()
    clock.step(step)
    clock.advance(999)
    assert [entry.key async for entry in kv.list()] == [("a",), ("b",), ("n",)]
    assert (await kv.vacuum()).count == 0
    assert await kv.count() == 3
    clock.advance(1)
    assert not (await kv.get(("a",))).exists
    assert [entry.key async for entry in kv.list()] == [("n",)]
    assert (await kv.vacuum()).count == 2


@STEPS
async def test_a_moment_that_people_name_is_one_of_their_clock(
    kv: LocalKv, clock: FakeClock, step: int
) -> None:
    clock.step(step)
    await kv.set(("a",), 1, expires_at=clock.wall() + 1000)
    clock.advance(999)
    assert (await kv.get(("a",))).exists
    clock.advance(1)
    assert not (await kv.get(("a",))).exists


@STEPS
async def test_people_see_what_their_clock_shows(kv: LocalKv, clock: FakeClock, step: int) -> None:
    await kv.set(("a",), 1)
    clock.step(step)
    clock.advance(7)
    now = NOW_MS + step + 7
    await kv.set(("a",), kv.now())
    await kv.set(("b",), {"at": 1})
    assert (await kv.get(("a",))).value == now
    entry = await kv.get_with_metadata(("a",))
    assert entry.details == KvDetails(None, NOW_MS, now, None, 2)
    assert [e.key async for e in kv.list(where={"$": {"$gte": kv.now()}})] == [("a",)]
    await kv.enqueue("m", backoff_schedule=[])
    message = await kv.dequeue()
    assert message is not None
    await kv.nack_message(message)
    (letter,) = await kv.dlq.list()
    assert (letter.original_created_at, letter.failed_at) == (now, now)


@STEPS
async def test_what_is_kept_for_a_while_is_kept_for_so_long(
    kv: LocalKv, world: World, clock: FakeClock, step: int
) -> None:
    for _ in range(2):
        await kv.enqueue("m", backoff_schedule=[])
        message = await kv.dequeue()
        assert message is not None
        await kv.nack_message(message)
        await kv.set(("a",), 1)
        clock.step(step)
        clock.advance(500)
    letters = world.service.letters
    assert await letters.expire(1001, 10) == 0
    assert await letters.expire(1000, 10) == 1
    rows = await world.rows("SELECT at FROM kv_changes ORDER BY seq")
    assert rows == [(NOW_MS,), (NOW_MS + 500,)]


async def test_after_a_restart_with_the_clock_set_back_no_message_waits_longer(
    kv: LocalKv, join_store: Join
) -> None:
    await kv.enqueue("delayed", delay=1000)
    await kv.enqueue("leased")
    await kv.dequeue()
    async with join_store(FakeClock(NOW_MS - HOUR)) as again:  # without an entry that is newer
        await again.service.begin()
        assert again.clock() == NOW_MS
        again.clock.advance(1000)
        assert await drain(again.kv) == ["delayed"]
        again.clock.advance(LEASE_MS)
        assert sorted(await drain(again.kv)) == ["delayed", "leased"]


async def test_after_a_restart_with_the_clock_set_back_no_entry_lives_longer(
    kv: LocalKv, world: World, join_store: Join
) -> None:
    world.clock.advance(5)
    await kv.set(("a",), 1, expires_in=1000)
    async with join_store(FakeClock(NOW_MS - HOUR)) as again:
        await again.service.begin()
        assert again.clock() == NOW_MS + 5
        assert again.clock.wall() == NOW_MS - HOUR
        again.clock.advance(999)
        assert (await again.kv.get(("a",))).exists
        again.clock.advance(1)
        assert not (await again.kv.get(("a",))).exists


async def test_a_clock_that_was_right_is_left_alone(kv: LocalKv, join_store: Join) -> None:
    await kv.set(("a",), 1, expires_in=1000)
    await kv.enqueue("delayed", delay=1000)
    async with join_store(FakeClock(NOW_MS + 10)) as again:
        await again.service.begin()
        assert again.clock() == again.clock.wall() == NOW_MS + 10


@STEPS
async def test_the_loops_of_a_service_wake_in_time(tmp_path: Path, step: int) -> None:
    """With real time and real tasks; only the clock on the wall is ours."""
    ahead_ns = 0
    clock = SystemClock(wall_ns=lambda: time.time_ns() + ahead_ns)
    adapter = SqliteAdapter(str(tmp_path / "kv.db"), options=FAST)
    await migrate(adapter, clock.wall())
    store = Store(adapter, logger=LOGGER, clock=clock)
    service = KeyValService(parse_config({"queue": {"lockDuration": 400}}), store)
    kv = LocalKv(service)
    got: asyncio.Queue[int] = asyncio.Queue()
    await service.begin()
    service.start()
    try:
        listener = service.dispatcher.attach()

        async def listen() -> None:
            while (message := await listener.next()) is not None:
                got.put_nowait(message.attempts)

        listening = asyncio.create_task(listen())
        started = time.monotonic()
        await kv.set(("short",), 1, expires_in="300ms")
        await kv.enqueue("m", delay=300)
        ahead_ns = step * 1_000_000

        async def swept() -> bool:
            return not await adapter.query("SELECT 1 FROM kv_entries")

        async with asyncio.timeout(PATIENCE):
            assert await got.get() == 1  # after its delay
            assert time.monotonic() - started >= 0.3
            await until(swept)
            assert time.monotonic() - started >= 0.3
            ahead_ns = -ahead_ns
            assert await got.get() == 2  # after its lease
            assert time.monotonic() - started >= 0.7
        listener.close()
        await listening
    finally:
        await kv.close()
        await service.close()
        await adapter.close()

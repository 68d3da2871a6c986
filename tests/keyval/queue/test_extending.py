"""Keeping a message for longer than its lease, and losing it all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import AsyncDelivery, InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.errors import StaleLease
from keyval.queue.test_dead_letters import take
from keyval.queue.test_queue_messages import LEASE_MS, states
from keyval.service.world import FakeClock, World, until


async def test_weakness_48_a_lease_can_be_prolonged_again_and_again(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue("slow")
    message = await take(kv)
    for _ in range(5):
        clock.advance(LEASE_MS - 1)
        await kv.extend_message(message)
        assert await states(kv) == (0, 1, 0)
        assert await kv.dequeue() is None
    clock.advance(LEASE_MS)
    assert (await take(kv)).attempts == 2


@pytest.mark.parametrize(("duration", "milliseconds"), [(70_000, 70_000), ("2m", 120_000), (5, 5)])
async def test_it_lasts_from_now_for_as_long_as_asked(
    kv: LocalKv, clock: FakeClock, duration: Any, milliseconds: int
) -> None:
    await kv.enqueue(1)
    message = await take(kv)
    clock.advance(100)
    await kv.extend_message(message.id, duration)
    clock.advance(milliseconds - 1)
    assert await kv.dequeue() is None
    clock.advance(1)
    assert (await take(kv)).id == message.id


async def test_weakness_48_who_lost_the_message_cannot_prolong_what_another_has(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue(1)
    slow = await take(kv)
    clock.advance(LEASE_MS)
    current = await take(kv)
    with pytest.raises(StaleLease):
        await kv.extend_message(slow, "1h")
    clock.advance(LEASE_MS)
    again = await take(kv)
    assert (again.id, again.attempts) == (current.id, 3)
    await kv.ack_message(again)
    for gone in (again, again.id, "never there"):
        with pytest.raises(StaleLease):
            await kv.extend_message(gone)


async def test_what_was_not_delivered_has_no_lease(kv: LocalKv) -> None:
    waiting = (await kv.enqueue(1)).id
    with pytest.raises(StaleLease):
        await kv.extend_message(waiting, "1h")
    assert (await take(kv)).id == waiting


async def test_a_lease_that_ran_out_is_good_until_somebody_else_has_one(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue(1, backoff_schedule=[])
    message = await take(kv)
    clock.advance(LEASE_MS)
    await kv.extend_message(message)
    assert await states(kv) == (0, 1, 0)
    assert await kv.dequeue() is None  # which would bury it
    await kv.ack_message(message)
    assert await states(kv) == (0, 0, 0)


@pytest.mark.parametrize("duration", [0, -1, "0s", "soon", True])
async def test_no_time_is_no_extension(kv: LocalKv, duration: Any) -> None:
    await kv.enqueue(1)
    message = await take(kv)
    with pytest.raises(InvalidInput, match="duration must be"):
        await kv.extend_message(message, duration)


@pytest.mark.parametrize("settle", ["extend", "ack", "redeliver"])
async def test_weakness_52_what_changes_between_look_and_burial_is_not_buried(
    kv: LocalKv, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, settle: str
) -> None:
    """The message was read as given up; by the time of the commit it is not."""
    await kv.enqueue("alive", backoff_schedule=[], keys_if_undelivered=[["dead"]])
    message = await take(kv)
    clock.advance(LEASE_MS)
    original = world.adapter.query

    async def meddled(sql: str, *args: Any, **options: Any) -> Any:
        rows = await original(sql, *args, **options)
        if "attempts >= max_attempts AND" in sql and rows:
            monkeypatch.setattr(world.adapter, "query", original)
            if settle == "extend":
                await kv.extend_message(message)
            elif settle == "ack":
                await kv.ack_message(message)
            else:
                await world.adapter.execute("UPDATE kv_queue SET max_attempts = 9")
                await kv.dequeue()
        return rows

    monkeypatch.setattr(world.adapter, "query", meddled)
    await world.service.queue.bury_exhausted()
    assert world.adapter.query == original, "nobody looked"
    assert await states(kv) == (0, 0 if settle == "ack" else 1, 0)
    assert not (await kv.get(["dead"])).exists


async def test_a_nack_that_meets_an_extension_still_counts(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kv.enqueue(1, backoff_schedule=[])
    message = await take(kv)
    original = world.adapter.query

    async def meddled(sql: str, *args: Any, **options: Any) -> Any:
        rows = await original(sql, *args, **options)
        monkeypatch.setattr(world.adapter, "query", original)
        await kv.extend_message(message, "1h")
        return rows

    monkeypatch.setattr(world.adapter, "query", meddled)
    await kv.nack_message(message)
    assert await states(kv) == (0, 0, 1)


async def test_a_handler_that_prolongs_keeps_its_message(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    handled: list[int] = []
    go_on = asyncio.Event()

    async def handler(message: AsyncDelivery) -> None:
        await message.extend("1h")
        handled.append(message.attempts)
        await go_on.wait()

    listener = kv.listen_queue(handler, concurrency=2)
    await kv.enqueue("slow")
    await until(lambda: bool(handled))
    clock.advance(2 * LEASE_MS)
    world.service.dispatcher.wake()
    await kv.enqueue("other")
    await until(lambda: len(handled) == 2)
    assert handled == [1, 1]
    go_on.set()
    await listener.stop()
    assert await states(kv) == (0, 0, 0)


async def test_it_is_measured(kv: LocalKv) -> None:
    await kv.enqueue(1)
    await kv.extend_message(await take(kv))
    operations = (await kv.metrics.to_json())["operations"]["operations"]
    assert operations["queue_extend"]["count"] == 1

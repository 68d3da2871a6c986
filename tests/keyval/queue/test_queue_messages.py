"""Enqueueing, dequeueing, acking: order, delays, leases."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_keyval.wire.limits import MAX_BACKOFF_STEPS
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.errors import StaleLease
from keyval.service.world import FakeClock, World, exact

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")

LEASE_MS = 30_000


async def drain(kv: LocalKv) -> list[Any]:
    """The values of what can be delivered now, in order."""
    found = []
    while (message := await kv.dequeue()) is not None:
        found.append(message.value)
    return found


async def states(kv: LocalKv) -> tuple[int, int, int]:
    """Pending, processing, dead; the total is checked on the way."""
    stats = await kv.queue_stats()
    assert stats.total == stats.pending + stats.processing + stats.dlq
    return stats.pending, stats.processing, stats.dlq


async def test_a_message_is_pending_then_leased_then_gone(kv: LocalKv) -> None:
    message_id = (await kv.enqueue({"n": 1})).id
    assert await states(kv) == (1, 0, 0)
    message = await kv.dequeue()
    assert message is not None
    assert (message.id, message.value, message.attempts) == (message_id, {"n": 1}, 1)
    assert await states(kv) == (0, 1, 0)
    assert await kv.dequeue() is None
    await kv.ack_message(message)
    assert await states(kv) == (0, 0, 0)


@pytest.mark.parametrize(
    "value", [None, 0, "", [], {"a": [1.5, True]}, BigInt(7), 2**70, b"\x00\xff"]
)
async def test_values_keep_their_types(kv: LocalKv, value: Any) -> None:
    await kv.enqueue(value)
    message = await kv.dequeue()
    assert message is not None
    stored = BigInt(value) if isinstance(value, int) and value > 2**53 else value
    assert exact(message.value) == exact(stored)


async def test_ids_grow_so_that_new_ones_share_pages_of_their_index(kv: LocalKv) -> None:
    ids = [(await kv.enqueue(number)).id for number in range(100)]
    assert ids == sorted(ids)
    assert {UUID(id_).version for id_ in ids} == {7}


async def test_messages_of_one_moment_keep_their_order(kv: LocalKv) -> None:
    for number in range(20):
        await kv.enqueue(number)
    assert await drain(kv) == list(range(20))


async def test_a_delayed_message_takes_its_place_by_its_ready_time(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue("late", delay=1000)
    await kv.enqueue("early", delay="0.5s")
    assert await drain(kv) == []
    clock.advance(499)
    assert await drain(kv) == []
    clock.advance(1)
    assert await drain(kv) == ["early"]
    clock.advance(500)
    await kv.enqueue("last")
    assert await drain(kv) == ["late", "last"]


async def test_delayed_messages_are_pending(kv: LocalKv) -> None:
    await kv.enqueue(1, delay="1h")
    assert await states(kv) == (1, 0, 0)


async def test_a_retried_message_queues_by_its_new_ready_time(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue("a", backoff_schedule=[100])
    first = await kv.dequeue()
    assert first is not None
    await kv.nack_message(first)
    await kv.enqueue("b")
    clock.advance(100)
    await kv.enqueue("c")
    assert await drain(kv) == ["b", "a", "c"]


async def test_a_message_whose_lease_ran_out_goes_first(kv: LocalKv, clock: FakeClock) -> None:
    for value in "abc":
        await kv.enqueue(value)
    first = await kv.dequeue()
    assert first is not None
    clock.advance(LEASE_MS - 1)
    assert (await kv.dequeue() or first).value == "b"
    clock.advance(1)
    again = await kv.dequeue()
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)
    assert await drain(kv) == ["c"]


async def test_a_message_whose_lease_ran_out_counts_as_pending(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue(1)
    await kv.dequeue()
    clock.advance(LEASE_MS)
    assert await states(kv) == (1, 0, 0)


async def test_concurrent_dequeues_share_the_messages(kv: LocalKv) -> None:
    for number in range(30):
        await kv.enqueue(number)
    taken = await asyncio.gather(*(kv.dequeue() for _ in range(40)))
    values = [message.value for message in taken if message is not None]
    assert sorted(values) == list(range(30))


async def test_acks_are_for_any_state_and_any_id(kv: LocalKv) -> None:
    pending = await kv.enqueue("never delivered")
    await kv.ack_message(pending.id)
    await kv.ack_message("no such message")
    await kv.nack_message("no such message")
    assert await states(kv) == (0, 0, 0)


async def test_weakness_48_a_stale_lease_settles_nothing(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue(1)
    slow = await kv.dequeue()
    clock.advance(LEASE_MS)
    current = await kv.dequeue()
    assert slow is not None
    assert current is not None
    for settle in (kv.ack_message, kv.nack_message):
        with pytest.raises(StaleLease):
            await settle(slow)
        with pytest.raises(StaleLease):
            await settle(slow.id, lease=slow.lease)
    assert await states(kv) == (0, 1, 0)
    await kv.ack_message(current)
    with pytest.raises(StaleLease):
        await kv.ack_message(current)


async def test_a_lease_that_ran_out_is_good_until_somebody_else_has_one(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue(1)
    slow = await kv.dequeue()
    assert slow is not None
    clock.advance(LEASE_MS + 1)
    await kv.ack_message(slow)
    assert await states(kv) == (0, 0, 0)


async def test_queue_messages_do_not_expire(kv: LocalKv, clock: FakeClock, world: World) -> None:
    await kv.enqueue("old")
    clock.advance(10 * 365 * 24 * 3600 * 1000)
    await world.store.expire(100)
    assert await drain(kv) == ["old"]


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": "soon"},
        {"delay": True},
        {"delay": [1]},
        {"backoff_schedule": "5s"},
        {"backoff_schedule": [-1]},
        {"backoff_schedule": [1, "never"]},
        {"backoff_schedule": [None]},
        {"backoff_schedule": [1] * (MAX_BACKOFF_STEPS + 1)},
        {"keys_if_undelivered": [[]]},
        {"keys_if_undelivered": "failed"},
        {"keys_if_undelivered": [[None]]},
    ],
)
async def test_weakness_38_wrong_options_are_refused(kv: LocalKv, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await kv.enqueue(1, **options)
    with pytest.raises(InvalidInput):
        kv.atomic().enqueue(1, **options)
    assert await states(kv) == (0, 0, 0)


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"])
async def test_what_is_no_json_is_refused(kv: LocalKv, value: Any) -> None:
    with pytest.raises(InvalidInput):
        await kv.enqueue(value)


@pytest.mark.parametrize("late_groups", [0, 1_000], ids=["firm stamps", "late stamps"])
async def test_messages_share_commits_with_what_has_a_stamp(
    kv: LocalKv, world: World, late_groups: int
) -> None:
    """They have none themselves, whoever decides those of the others."""
    world.store._committer._late_groups = late_groups
    stamps = []
    for number in range(3):
        sent, written, _ = await asyncio.gather(
            kv.enqueue(number), kv.set(("a", number), 1), kv.delete(("a", number - 1))
        )
        message = await kv.dequeue()
        assert message is not None
        assert (message.id, message.value) == (sent.id, number)
        await asyncio.gather(kv.ack_message(sent.id), kv.ack_message("gone"))
        stamps.append(str(written.versionstamp))
    assert stamps == sorted(set(stamps))
    assert await states(kv) == (0, 0, 0)

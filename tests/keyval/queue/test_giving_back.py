"""What a listener leaves behind goes back to the queue, whenever it ends."""

from __future__ import annotations

import asyncio

import pytest
from buntime_keyval import InvalidInput, NotFound, StaleLease
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.queue.listener import READ_AHEAD
from buntime_plugin_keyval.model.messages import LeasedMessage
from keyval.queue.test_dispatching import take
from keyval.queue.test_queue_messages import LEASE_MS, drain, states
from keyval.service.world import FakeClock, World, until


async def all_returned(kv: LocalKv, pending: int) -> None:
    async def returned() -> bool:
        return (await states(kv))[:2] == (pending, 0)

    await until(returned)


async def test_without_a_prefetch_messages_come_without_acks(kv: LocalKv, world: World) -> None:
    count = 3 * READ_AHEAD
    for number in range(count):
        await kv.enqueue(number)
    listener = world.service.dispatcher.attach()
    for _ in range(count):
        await take(listener)
    listener.sent()
    listener.close()
    assert await listener.next() is None
    assert await states(kv) == (0, count, 0)  # sent: they keep their leases


async def test_what_was_not_sent_goes_back_without_counting(kv: LocalKv, world: World) -> None:
    for number in range(3):
        await kv.enqueue(number, backoff_schedule=[])
    listener = world.service.dispatcher.attach()
    await take(listener)  # and it may have more, none of them sent
    listener.close()
    await all_returned(kv, 3)
    message = await kv.dequeue()
    assert message is not None
    assert (message.value, message.attempts) == (0, 1)
    assert await drain(kv) == [1, 2]


async def test_who_is_cancelled_while_a_message_is_leased_leaves_it_to_others(kv: LocalKv) -> None:
    await kv.enqueue("a", backoff_schedule=[])
    for turns in range(12):
        task = asyncio.create_task(kv.dequeue())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            break
        await asyncio.wait({task})
        assert task.cancelled()
        await all_returned(kv, 1)
    else:
        task = asyncio.create_task(kv.dequeue())
    message = await task
    assert message is not None
    assert message.attempts == 1


async def test_what_is_taken_together_goes_back_together(kv: LocalKv, world: World) -> None:
    for number in range(5):
        await kv.enqueue(number, backoff_schedule=[])
    listener = world.service.dispatcher.attach(prefetch=5)
    few = await listener.next_few(size=lambda message: len(message.value), most=3)
    assert [message.value for message in few] == ["0", "1", "2"]
    await kv.ack_message(few[-1].id)  # though it is not sent yet
    listener.close()
    await all_returned(kv, 4)
    again = [await kv.dequeue() for _ in range(4)]
    assert [(it.value, it.attempts) for it in again if it] == [(0, 1), (1, 1), (3, 1), (4, 1)]


async def test_what_is_taken_together_counts_together(kv: LocalKv, world: World) -> None:
    for number in range(4):
        await kv.enqueue(number, backoff_schedule=[0])
    listener = world.service.dispatcher.attach(prefetch=4)
    few = await listener.next_few(size=lambda message: len(message.value), most=2)
    listener.sent()
    assert listener.unsettled() == [message._replace(value="") for message in few]
    listener.close()
    await all_returned(kv, 4)
    again = [await kv.dequeue() for _ in range(4)]
    assert [(it.value, it.attempts) for it in again if it] == [(0, 2), (1, 2), (2, 1), (3, 1)]


async def test_acks_are_measured_with_their_errors(kv: LocalKv, world: World) -> None:
    await kv.enqueue(1)
    message = await kv.dequeue()
    assert message is not None
    with pytest.raises(StaleLease):
        await kv.ack_message(message.id, lease="another")
    with pytest.raises(NotFound):
        await kv.ack_message("unknown", strict=True)
    await kv.ack_message("unknown")
    await kv.ack_message(message.id, lease=message.lease)
    samples = world.service.store.recorder.totals["queue_ack"]
    assert (samples.count, samples.errors) == (4, 2)


async def test_with_a_prefetch_what_was_not_settled_goes_back_and_counts(
    kv: LocalKv, world: World
) -> None:
    for number in range(3):
        await kv.enqueue(number, backoff_schedule=[0])
    listener = world.service.dispatcher.attach(prefetch=2)
    first, second = await take(listener), await take(listener)
    listener.sent()
    await kv.ack_message(first.id)
    await until(lambda: bool(listener.prefetch) and len(listener.unsettled()) == 1)
    listener.close()
    await all_returned(kv, 2)
    message = await kv.dequeue()
    assert message is not None
    assert (message.id, message.attempts) == (second.id, 2)


async def test_after_the_last_attempt_the_lease_has_to_run_out(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    for value in ("processed", "lost"):
        await kv.enqueue(value, backoff_schedule=[], keys_if_undelivered=[[value]])
    listener = world.service.dispatcher.attach(prefetch=2)
    processed, _ = await take(listener), await take(listener)
    listener.sent()
    listener.close()  # the connection is lost, but perhaps not who had it
    await world.service.dispatcher.close()
    assert await states(kv) == (0, 2, 0)
    await kv.ack_message(processed.id, lease=processed.lease)
    assert await kv.dequeue() is None
    assert await states(kv) == (0, 1, 0)
    clock.advance(LEASE_MS)
    assert await kv.dequeue() is None
    assert await states(kv) == (0, 0, 1)
    assert (await kv.get(["lost"])).value == "lost"
    assert not (await kv.get(["processed"])).exists


async def test_a_draining_listener_gets_nothing_more(kv: LocalKv, world: World) -> None:
    for number in range(3):
        await kv.enqueue(number)
    dispatcher = world.service.dispatcher
    ending = dispatcher.attach(prefetch=1)
    message = await take(ending)
    ending.sent()
    dispatcher.drain(message.id)
    dispatcher.drain("unknown")
    waiting = asyncio.create_task(ending.next())
    await kv.ack_message(message.id)
    other = dispatcher.attach(prefetch=2)
    assert [(await take(other)).value for _ in range(2)] == ["1", "2"]
    assert not waiting.done()
    ending.close()
    assert await waiting is None


async def test_a_release_takes_the_delivery_back(kv: LocalKv) -> None:
    await kv.enqueue("x", backoff_schedule=[])
    for _ in range(3):
        message = await kv.dequeue()
        assert message is not None
        assert message.attempts == 1
        await kv.release_message(message)
        with pytest.raises(StaleLease):
            await kv.release_message(message.id, lease=message.lease)
        with pytest.raises(InvalidInput, match="lease"):
            await kv.release_message(message.id)
    assert await states(kv) == (1, 0, 0)


async def test_a_listener_whose_client_does_not_read_keeps_nothing(
    kv: LocalKv, world: World
) -> None:
    for number in range(READ_AHEAD):
        await kv.enqueue(number)
    stuck = world.service.dispatcher.attach()
    first = await take(stuck)  # the others are in its hands, too
    other = world.service.dispatcher.attach()
    got = [await take(other) for _ in range(READ_AHEAD - 1)]
    assert [message.attempts for message in got] == [1] * (READ_AHEAD - 1)
    assert first.id not in {message.id for message in got}


async def test_closing_while_a_lease_is_committed_loses_nothing(kv: LocalKv, world: World) -> None:
    dispatcher = world.service.dispatcher
    for number in range(50):
        await kv.enqueue(number)
    for turns in range(12):  # the listener ends at each point of a delivery
        listener = dispatcher.attach()
        waiting = asyncio.create_task(listener.next())
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        listener.close()
    await dispatcher.close()
    assert await states(kv) == (50, 0, 0)
    message = await kv.dequeue()
    assert message is not None
    assert message.attempts == 1


async def test_closing_the_dispatcher_while_it_leases_loses_nothing(
    kv: LocalKv, world: World
) -> None:
    for number in range(20):
        await kv.enqueue(number)
    waiting = [asyncio.create_task(world.service.dispatcher.attach().next()) for _ in range(3)]
    await asyncio.sleep(0)
    await world.service.dispatcher.close()
    held = sum(task.result() is not None for task in waiting)
    assert await states(kv) == (20, 0, 0)
    assert held == 0


async def test_closing_waits_for_a_lease_that_was_committed(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, go_on = asyncio.Event(), asyncio.Event()
    original = world.service.queue.lease

    async def slow(limit: int, queue: str = "") -> list[LeasedMessage]:
        messages = await original(limit, queue)
        committed.set()
        await go_on.wait()
        return messages

    monkeypatch.setattr(world.service.queue, "lease", slow)
    await kv.enqueue(1)
    waiting = asyncio.create_task(world.service.dispatcher.attach().next())
    await committed.wait()
    closing = asyncio.create_task(world.service.dispatcher.close())
    await asyncio.sleep(0.01)
    go_on.set()
    await closing
    assert await waiting is None
    assert await states(kv) == (1, 0, 0)

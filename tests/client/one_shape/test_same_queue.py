"""The same in process and behind HTTP: messages, and what is started at times."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from buntime_keyval import AsyncDelivery, BigInt, InvalidInput, NotFound, QueueMessage, StaleLease
from client._async.beside import until
from client.one_shape.kinds import AnyKv

pytestmark = pytest.mark.slow


async def test_settling_with_the_same_key_is_done_once(kv: AnyKv) -> None:
    async def receive() -> QueueMessage[Any]:
        message = await kv.dequeue()
        assert message is not None
        return message

    await kv.enqueue("x", backoff_schedule=[0, 0, 0])
    message = await receive()
    for _ in range(2):
        await kv.extend_message(message, "10s", idempotency_key=f"e{message.lease}")
    for _ in range(2):
        await kv.release_message(message, idempotency_key=f"r{message.lease}")
    first = await receive()
    await kv.nack_message(first.id, delay=0, idempotency_key=f"n{first.lease}")
    second = await receive()
    # By its id alone it would give back what somebody else has by now.
    await kv.nack_message(first.id, delay=0, idempotency_key=f"n{first.lease}")
    assert await kv.dequeue() is None
    for _ in range(2):
        await kv.ack_message(second, idempotency_key=f"a{second.lease}")
    with pytest.raises(StaleLease):
        await kv.ack_message(second)


async def test_unknown_messages_are_fine_unless_strict(kv: AnyKv) -> None:
    for use in (kv.ack_message, kv.nack_message):
        await use("unknown")
    for use in (kv.ack_message, kv.nack_message, kv.extend_message):
        with pytest.raises(NotFound, match="No message in the queue has the id unknown"):
            await use("unknown", strict=True)
        with pytest.raises(StaleLease):
            await use("unknown", lease="x", strict=True)
    await kv.enqueue(1)
    message = await kv.dequeue()
    assert message is not None
    await kv.extend_message(message.id, strict=True)
    await kv.ack_message(message.id, strict=True)


async def test_the_queue_by_hand(kv: AnyKv) -> None:
    sent = await kv.enqueue("x", backoff_schedule=[0], keys_if_undelivered=[["lost"]])
    message = await kv.dequeue()
    assert message is not None
    assert (message.id, message.value, message.attempts) == (sent.id, "x", 1)
    assert await kv.dequeue() is None
    await kv.release_message(message)
    again = await kv.dequeue()
    assert again is not None
    assert again.attempts == 1
    for settle in (kv.ack_message, kv.nack_message, kv.release_message):
        with pytest.raises(StaleLease):
            await settle(message)
    await kv.nack_message(again, "no luck", delay=0)
    last = await kv.dequeue()
    assert last is not None
    assert last.attempts == 2
    await kv.nack_message(last.id, "gave up", lease=last.lease)
    (letter,) = await kv.dlq.list()
    assert (letter.original_id, letter.value, letter.error_message) == (sent.id, "x", "gave up")
    assert await kv.dlq.get(letter.id) == letter
    assert (await kv.get(["lost"])).value == "x"
    new = await kv.dlq.requeue(letter.id)
    assert (new.ok, (await kv.queue_stats()).pending) == (True, 1)
    await kv.ack_message(new.id)
    with pytest.raises(NotFound, match="DLQ"):
        await kv.dlq.requeue(letter.id)
    await kv.dlq.delete(letter.id)
    assert await kv.dlq.get(letter.id) is None
    assert (await kv.dlq.purge()).deleted_count == 0


@pytest.mark.parametrize("mode", ["sse", "polling"])
async def test_listeners(kv: AnyKv, mode: Any) -> None:
    done: list[Any] = []
    errors: list[str] = []

    async def handle(message: AsyncDelivery) -> None:
        if message.value == "broken":
            raise ValueError("no image")
        done.append(message.value)

    await kv.enqueue("broken", backoff_schedule=[])
    await kv.enqueue("a.png")
    listener = kv.listen_queue(
        handle,
        mode=mode,
        poll_interval=20,
        concurrency=2,
        on_error=lambda error: errors.append(str(error)),
    )
    await kv.enqueue("b.png")
    await until(lambda: len(done) == 2 and errors)
    await listener.stop()
    assert (sorted(done), errors, listener.closed) == (["a.png", "b.png"], ["no image"], True)
    (letter,) = await kv.dlq.list()
    assert letter.error_message == "ValueError: no image"
    await kv.enqueue("welcome", queue="emails")
    async with kv.listen_queue(mode=mode, poll_interval=20, queue="emails") as messages:
        async for message in messages:
            assert (message.value, message.queue) == ("welcome", "emails")
            await message.ack()
            break
    await kv.enqueue("first")
    await kv.enqueue("second")
    async with kv.listen_queue(mode=mode, poll_interval=20) as messages:
        async for message in messages:  # which acknowledges the one before
            if message.value == "second":
                assert message.queue == ""
                await message.release()
                break

    async def comes_again() -> bool:
        message = await kv.dequeue()
        if message is not None:
            assert message.value == "second"
            await kv.ack_message(message)
        return message is not None

    await until(comes_again)
    assert (await kv.queue_stats()).total == 1  # the dead letter


async def test_a_lease_can_be_prolonged(kv: AnyKv) -> None:
    await kv.enqueue("slow")
    message = await kv.dequeue()
    assert message is not None
    await kv.extend_message(message, "1h")
    await kv.ack_message(message)
    with pytest.raises(StaleLease):
        await kv.extend_message(message)
    prolonged: list[str] = []

    async def handle(delivery: AsyncDelivery) -> None:
        await delivery.extend("1m")
        prolonged.append(delivery.id)

    sent = await kv.enqueue("slow")
    listener = kv.listen_queue(handle)
    await until(lambda: prolonged == [sent.id])
    await listener.stop()


async def test_schedules(kv: AnyKv) -> None:
    name = uuid.uuid4().hex
    task = {"name": name, "payload": {"big": BigInt(2**70), "raw": b"x"}, "maxRetries": 5}
    made = await kv.schedules.put(name, task, cron="@daily", timezone="Europe/Lisbon")
    assert (made.cron, made.every, made.timezone) == ("@daily", None, "Europe/Lisbon")
    assert (made.task, len(made.next), made.fires) == (task, 5, 0)
    assert await kv.schedules.get(name) == made
    assert made in await kv.schedules.list()
    found = await kv.tasks.get(await kv.schedules.run(name))
    assert found is not None
    assert (found.name, found.payload, found.max_retries) == (name, task["payload"], 5)
    changed = await kv.schedules.put(name, {"name": name}, every="10m", missed="all", paused=True)
    assert (changed.every, changed.missed, changed.paused, changed.next) == (
        600_000,
        "all",
        True,
        [],
    )
    for wrong in ({}, {"cron": "@daily", "every": "1m"}, {"cron": "* * *"}, {"every": 1}):
        with pytest.raises(InvalidInput):
            await kv.schedules.put(name, task, **wrong)
    assert [await kv.schedules.delete(name) for _ in range(2)] == [True, False]
    assert await kv.schedules.get(name) is None
    with pytest.raises(NotFound):
        await kv.schedules.run(name)

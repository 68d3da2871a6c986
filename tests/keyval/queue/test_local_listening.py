"""`kv.queue.listen` and `kv.queue.messages`: handlers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.kv import Kv
from buntime_plugin_keyval.queue.consumer import QueueMessage
from keyval.queue.test_queue_messages import LEASE_MS, states
from keyval.service.world import FakeClock, until


@pytest.fixture
def release(kv: Kv) -> Iterator[asyncio.Event]:
    """What handlers wait for; closing the store waits for handlers, so it comes at the end."""
    event = asyncio.Event()
    yield event
    event.set()


async def settled(kv: Kv, pending: int = 0, dead: int = 0) -> None:
    async def done() -> bool:
        return await states(kv) == (pending, 0, dead)

    await until(done)


async def test_handled_messages_are_acked_in_order(kv: Kv) -> None:
    seen: list[Any] = []
    for number in range(20):
        await kv.queue.enqueue(number)
    stop = kv.queue.listen(lambda message: seen.append(message.value))
    await settled(kv)
    await kv.queue.enqueue("one more")
    await until(lambda: len(seen) == 21)
    await stop()
    assert seen == [*range(20), "one more"]
    await settled(kv)


async def test_what_a_handler_raises_is_reported_and_nacked(kv: Kv, clock: FakeClock) -> None:
    errors: list[tuple[str, Any, int]] = []

    async def handle(message: QueueMessage) -> None:
        raise ValueError(f"cannot do {message.value}")

    async def report(error: Exception, message: QueueMessage) -> None:
        errors.append((str(error), message.value, message.attempts))

    await kv.queue.enqueue("x", backoff_schedule=[100])
    stop = kv.queue.listen(handle, on_error=report)
    await until(lambda: len(errors) == 1)
    clock.advance(100)
    await settled(kv, dead=1)
    await stop()
    assert errors == [("cannot do x", "x", 1), ("cannot do x", "x", 2)]
    (letter,) = await kv.queue.list_dlq()
    assert letter.error_message == "cannot do x"


@pytest.mark.parametrize("on_error", [None, lambda error, message: 1 / 0])
async def test_an_error_without_text_and_a_failing_reporter(kv: Kv, on_error: Any) -> None:
    def handle(message: QueueMessage) -> None:
        raise KeyError

    await kv.queue.enqueue("x", backoff_schedule=[])
    stop = kv.queue.listen(handle, on_error=on_error)
    await settled(kv, dead=1)
    await stop()
    assert (await kv.queue.list_dlq())[0].error_message == "KeyError"


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_so_many_handlers_run_at_a_time(
    kv: Kv, concurrency: int, release: asyncio.Event
) -> None:
    running, most = 0, 0

    async def handle(message: QueueMessage) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    for number in range(10):
        await kv.queue.enqueue(number)
    stop = kv.queue.listen(handle, concurrency=concurrency)
    await until(lambda: running == concurrency)
    assert await states(kv) == (10 - concurrency, concurrency, 0)
    release.set()
    await settled(kv)
    await stop()
    assert most == concurrency


async def test_a_handler_that_takes_too_long_keeps_its_place(
    kv: Kv, clock: FakeClock, release: asyncio.Event
) -> None:
    running, most = 0, 0

    async def handle(message: QueueMessage) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    await kv.queue.enqueue("slow")
    stop = kv.queue.listen(handle)
    await until(lambda: running == 1)
    clock.advance(LEASE_MS)
    await asyncio.sleep(0.15)  # time enough to be given the message again
    assert most == 1
    release.set()
    await stop()
    assert most == 1


async def test_stopping_waits_for_the_handler_and_takes_nothing_more(
    kv: Kv, release: asyncio.Event
) -> None:
    started = asyncio.Event()
    finished: list[Any] = []

    async def handle(message: QueueMessage) -> None:
        started.set()
        await release.wait()
        finished.append(message.value)

    for number in range(3):
        await kv.queue.enqueue(number)
    stop = kv.queue.listen(handle)
    await started.wait()
    stopping = asyncio.create_task(stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    assert await states(kv) == (2, 1, 0)
    release.set()
    await stopping
    assert finished == [0]
    await settled(kv, pending=2)
    await stop()  # again


async def test_a_handler_may_stop_its_listener(kv: Kv) -> None:
    seen: list[Any] = []

    async def handle(message: QueueMessage) -> None:
        seen.append(message.value)
        await stop()

    await kv.queue.enqueue(1)
    await kv.queue.enqueue(2)
    stop = kv.queue.listen(handle)
    await settled(kv, pending=1)
    assert seen == [1]


async def test_closing_the_store_waits_for_handlers(kv: Kv) -> None:
    started, finished = asyncio.Event(), asyncio.Event()

    async def handle(message: QueueMessage) -> None:
        started.set()
        await asyncio.sleep(0.05)
        await kv.set(["done"], message.value)
        finished.set()

    await kv.queue.enqueue(1)
    kv.queue.listen(handle)
    await started.wait()
    await kv.close()
    assert finished.is_set()
    assert (await kv.get(["done"])).value == 1
    assert await states(kv) == (0, 0, 0)
    await kv.close()


async def test_messages_are_iterated_and_settled_by_hand(kv: Kv) -> None:
    for number in range(5):
        await kv.queue.enqueue(number)
    seen = []
    messages = kv.queue.messages()
    async for message in messages:
        seen.append(message.value)
        if message.value == 3:
            break
        await kv.queue.ack(message)
    await messages.aclose()
    assert seen == [0, 1, 2, 3]
    await settled(kv, pending=2)  # 3 came back
    again = await kv.queue.dequeue()
    assert again is not None
    assert (again.value, again.attempts) == (3, 2)


async def test_closing_the_queue_ends_the_iteration(kv: Kv) -> None:
    async def iterate() -> list[Any]:
        return [message.value async for message in kv.queue.messages()]

    task = asyncio.create_task(iterate())
    await asyncio.sleep(0.01)
    await kv.queue.close()
    assert await task == []


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2"])
async def test_wrong_numbers_are_refused(kv: Kv, number: Any) -> None:
    with pytest.raises(InvalidInput):
        kv.queue.listen(lambda message: None, concurrency=number)
    with pytest.raises(InvalidInput):
        await anext(kv.queue.messages(prefetch=number))
    with pytest.raises(InvalidInput):
        await kv.queue.ack("")

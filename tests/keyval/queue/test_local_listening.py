"""`kv.listen_queue`: handlers and iterations in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from buntime_keyval import AsyncDelivery, InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.queue.test_queue_messages import LEASE_MS, states
from keyval.service.world import FakeClock, until


@pytest.fixture
def release(kv: LocalKv) -> Iterator[asyncio.Event]:
    """What handlers wait for; closing the store waits for handlers, so it comes at the end."""
    event = asyncio.Event()
    yield event
    event.set()


async def settled(kv: LocalKv, pending: int = 0, dead: int = 0) -> None:
    async def done() -> bool:
        return await states(kv) == (pending, 0, dead)

    await until(done)


async def test_handled_messages_are_acked_in_order(kv: LocalKv) -> None:
    seen: list[Any] = []
    for number in range(20):
        await kv.enqueue(number)
    listener = kv.listen_queue(lambda message: seen.append(message.value))
    await settled(kv)
    await kv.enqueue("one more")
    await until(lambda: len(seen) == 21)
    await listener.stop()
    assert seen == [*range(20), "one more"]
    await settled(kv)


async def test_what_a_handler_raises_is_reported_and_nacked(kv: LocalKv, clock: FakeClock) -> None:
    errors: list[str] = []

    async def handle(message: AsyncDelivery) -> None:
        raise ValueError(f"cannot do {message.value}")

    async def report(error: Exception) -> None:
        errors.append(str(error))

    await kv.enqueue("x", backoff_schedule=[100])
    listener = kv.listen_queue(handle, on_error=report)
    await until(lambda: len(errors) == 1)
    await settled(kv, pending=1)
    clock.advance(100)
    await settled(kv, dead=1)
    await listener.stop()
    assert errors == ["cannot do x", "cannot do x"]
    (letter,) = await kv.dlq.list()
    assert letter.error_message == "ValueError: cannot do x"


@pytest.mark.parametrize("on_error", [None, lambda error: 1 / 0])
async def test_an_error_without_text_and_a_failing_reporter(kv: LocalKv, on_error: Any) -> None:
    def handle(message: AsyncDelivery) -> None:
        raise KeyError

    await kv.enqueue("x", backoff_schedule=[])
    listener = kv.listen_queue(handle, on_error=on_error)
    await settled(kv, dead=1)
    await listener.stop()
    assert (await kv.dlq.list())[0].error_message == "KeyError"


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_so_many_handlers_run_at_a_time(
    kv: LocalKv, concurrency: int, release: asyncio.Event
) -> None:
    running, most = 0, 0

    async def handle(message: AsyncDelivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    for number in range(10):
        await kv.enqueue(number)
    listener = kv.listen_queue(handle, concurrency=concurrency)
    await until(lambda: running == concurrency)
    assert await states(kv) == (10 - concurrency, concurrency, 0)
    release.set()
    await settled(kv)
    await listener.stop()
    assert most == concurrency


async def test_a_handler_that_takes_too_long_keeps_its_place(
    kv: LocalKv, clock: FakeClock, release: asyncio.Event
) -> None:
    running, most = 0, 0

    async def handle(message: AsyncDelivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    await kv.enqueue("slow")
    listener = kv.listen_queue(handle)
    await until(lambda: running == 1)
    clock.advance(LEASE_MS)
    await asyncio.sleep(0.15)  # time enough to be given the message again
    assert most == 1
    release.set()
    await listener.stop()
    assert most == 1


async def test_stopping_waits_for_the_handler_and_takes_nothing_more(
    kv: LocalKv, release: asyncio.Event
) -> None:
    started = asyncio.Event()
    finished: list[Any] = []

    async def handle(message: AsyncDelivery) -> None:
        started.set()
        await release.wait()
        finished.append(message.value)

    for number in range(3):
        await kv.enqueue(number)
    listener = kv.listen_queue(handle)
    await started.wait()
    stopping = asyncio.create_task(listener.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    assert await states(kv) == (2, 1, 0)
    release.set()
    await stopping
    assert finished == [0]
    await settled(kv, pending=2)
    await listener.stop()  # again


async def test_a_handler_may_stop_its_listener(kv: LocalKv) -> None:
    seen: list[Any] = []

    async def handle(message: AsyncDelivery) -> None:
        seen.append(message.value)
        await listener.stop()

    await kv.enqueue(1)
    await kv.enqueue(2)
    listener = kv.listen_queue(handle)
    await settled(kv, pending=1)
    assert seen == [1]


async def test_closing_the_store_waits_for_handlers(kv: LocalKv) -> None:
    started, finished = asyncio.Event(), asyncio.Event()

    async def handle(message: AsyncDelivery) -> None:
        started.set()
        await asyncio.sleep(0.05)
        await kv.set(["done"], message.value)
        finished.set()

    await kv.enqueue(1)
    kv.listen_queue(handle)
    await started.wait()
    await kv.close()
    assert finished.is_set()
    assert (await kv.get(["done"])).value == 1
    assert await states(kv) == (0, 0, 0)
    await kv.close()


async def test_messages_are_iterated_and_settled_by_hand(kv: LocalKv) -> None:
    for number in range(5):
        await kv.enqueue(number)
    seen = []
    async with kv.listen_queue(auto_ack=False) as messages:
        async for message in messages:
            seen.append(message.value)
            if message.value == 3:
                break
            await message.ack()
    assert seen == [0, 1, 2, 3]
    await settled(kv, pending=2)  # 3 came back
    again = await kv.dequeue()
    assert again is not None
    assert (again.value, again.attempts) == (3, 2)


async def test_iterating_acknowledges_and_an_exception_gives_back(kv: LocalKv) -> None:
    for number in range(3):
        await kv.enqueue(number, backoff_schedule=[])

    async def consume() -> None:
        async with kv.listen_queue() as messages:
            async for message in messages:
                if message.value == 2:
                    raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        await consume()
    await settled(kv, dead=1)
    (letter,) = await kv.dlq.list()
    assert (letter.value, letter.error_message) == (2, "ValueError: two")


async def test_what_a_stopped_listener_did_not_begin_with_loses_no_attempt(kv: LocalKv) -> None:
    for number in range(4):
        await kv.enqueue(number, backoff_schedule=[])
    listener = kv.listen_queue(auto_ack=False, concurrency=3)
    first = await anext(listener)
    await until(lambda: len(listener._flow._waiting) == 2)
    await first.ack()
    await listener.stop()
    await settled(kv, pending=3)
    attempts = []
    while (message := await kv.dequeue()) is not None:
        attempts.append((message.value, message.attempts))
    assert attempts == [(1, 1), (2, 1), (3, 1)]


async def test_a_message_can_be_given_back_untouched(kv: LocalKv) -> None:
    await kv.enqueue("x", backoff_schedule=[])
    seen: list[int] = []

    async def handle(message: AsyncDelivery) -> None:
        seen.append(message.attempts)
        if len(seen) < 3:
            await message.release()

    listener = kv.listen_queue(handle)
    await settled(kv)
    await listener.stop()
    assert seen == [1, 1, 1]


async def test_late_handlers_are_cancelled_and_their_messages_go_back(kv: LocalKv) -> None:
    started = asyncio.Event()

    async def handle(message: AsyncDelivery) -> None:
        started.set()
        await asyncio.Event().wait()

    await kv.enqueue("slow", backoff_schedule=["1h"])
    listener = kv.listen_queue(handle)
    await started.wait()
    await listener.stop(timeout=0.01)
    message = await kv.dequeue()
    assert message is not None
    assert (message.value, message.attempts) == ("slow", 2)


async def test_closing_the_store_ends_the_iteration(kv: LocalKv) -> None:
    async def iterate() -> list[Any]:
        return [message.value async for message in kv.listen_queue()]

    task = asyncio.create_task(iterate())
    await asyncio.sleep(0.01)
    await kv.close()
    assert await task == []


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2", 1001])
async def test_wrong_options_are_refused(kv: LocalKv, number: Any) -> None:
    with pytest.raises(InvalidInput):
        kv.listen_queue(lambda message: None, concurrency=number)
    with pytest.raises(InvalidInput):
        kv.listen_queue(concurrency=2)  # each message would be acked by the next one
    wrong: Any = "sometimes"
    with pytest.raises(InvalidInput):
        kv.listen_queue(mode=wrong)
    with pytest.raises(InvalidInput):
        await kv.ack_message("")


async def test_a_listener_and_a_watch_that_nobody_has_any_more_end(kv: LocalKv) -> None:
    await kv.enqueue("one")
    listener = kv.listen_queue(auto_ack=False)
    watch = kv.watch(["a"])
    await anext(listener)
    del listener, watch
    await settled(kv, pending=1)
    await until(
        lambda: not {"kv-queue", "kv-watch"} & {it.get_name() for it in asyncio.all_tasks()}
    )

"""The queue, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import AsyncKv, InvalidInput, NotFound, QueueStats, StaleLease
from client._async.beside import Event, Started, happened, running, until

MODES = pytest.mark.parametrize("mode", ["sse", "polling"])


async def empty(kv: Any) -> bool:
    return bool((await kv.queue_stats()).total == 0)


async def is_pending(kv: Any) -> bool:
    return bool((await kv.queue_stats()).pending == 1)


async def emptied(kv: Any) -> bool:
    """Whether there is nothing any more, not even what other tests leased and left."""
    while (message := await kv.dequeue()) is not None:
        await kv.ack_message(message)
    await kv.dlq.purge()
    return await empty(kv)


async def test_messages_by_hand(kv: Any) -> None:
    value = {"big": 2**60, "at": kv.now(), "bytes": b"x"}
    sent = await kv.enqueue(value, delay=0, backoff_schedule=["10ms", 20])
    assert sent.ok
    message = await kv.dequeue()
    assert (message.id, message.attempts) == (sent.id, 1)
    assert message.value["big"] == 2**60
    assert message.value["bytes"] == b"x"
    assert isinstance(message.value["at"], int)
    assert await kv.dequeue() is None
    assert await kv.queue_stats() == QueueStats(pending=0, processing=1, dlq=0, total=1)
    await kv.nack_message(message.id, "once more", delay="1ms", lease=message.lease)
    again: list[Any] = []

    async def redelivered() -> bool:
        again.append(await kv.dequeue())
        return again[-1] is not None

    await until(redelivered)
    assert again[-1].attempts == 2
    await kv.ack_message(sent.id)
    await kv.ack_message(sent.id)  # an unknown id is fine
    assert await empty(kv)
    for wrong in ("-1s", "soon"):
        with pytest.raises(InvalidInput):
            await kv.enqueue(1, delay=wrong)
    with pytest.raises(InvalidInput):
        await kv.ack_message("")


async def test_a_lease_is_prolonged_by_hand(kv: Any) -> None:
    sent = await kv.enqueue(1, backoff_schedule=[0])
    message = await kv.dequeue()
    await kv.extend_message(message.id)
    await kv.extend_message(message.id, "1ms", lease=message.lease)
    again: list[Any] = []

    async def redelivered() -> bool:
        again.append(await kv.dequeue())
        return again[-1] is not None

    await until(redelivered)
    with pytest.raises(StaleLease):
        await kv.extend_message(message.id, lease=message.lease)
    with pytest.raises(InvalidInput, match="duration"):
        await kv.extend_message(message.id, 0)
    await kv.ack_message(sent.id)
    with pytest.raises(StaleLease):
        await kv.extend_message(sent.id)


@pytest.mark.slow
@MODES
async def test_a_delivery_is_prolonged(kv: Any, mode: str) -> None:
    """The lock of the server is a second; the message stays here until the next one came."""
    seen: list[tuple[Any, int]] = []

    async def handler(message: Any) -> None:
        seen.append((message.value, message.attempts))
        if message.value == "slow":
            await message.extend("1h")
            await until(lambda: ("later", 1) in seen)

    options = {"mode": mode, "poll_interval": "20ms", "concurrency": 2}
    async with kv.listen_queue(handler, **options):
        await kv.enqueue("slow", backoff_schedule=[0])
        await kv.enqueue("later", delay="1500ms")
        await until(lambda: empty(kv))
    assert seen == [("slow", 1), ("later", 1)]


@MODES
async def test_a_handler_settles_by_what_it_does(kv: Any, mode: str) -> None:
    seen: list[Any] = []
    errors: list[Exception] = []

    async def handler(message: Any) -> None:
        seen.append((message.value, message.attempts))
        if message.value == "bad" and message.attempts == 1:
            raise ValueError("not yet")

    options = {"mode": mode, "poll_interval": "20ms", "on_error": errors.append}
    listener = kv.listen_queue(handler, **options)
    for value in ("good", "bad", "last"):
        await kv.enqueue(value, backoff_schedule=["10ms"])
    await until(lambda: empty(kv))
    assert sorted(seen) == [("bad", 1), ("bad", 2), ("good", 1), ("last", 1)]
    assert [str(error) for error in errors] == ["not yet"]
    assert not listener.closed
    await listener.stop()
    assert listener.closed
    await kv.enqueue("after")
    # A poll that was under way may still take it, for nobody: then it is given back.
    await until(lambda: is_pending(kv))


@MODES
async def test_iterating(kv: Any, mode: str) -> None:
    for number in range(3):
        await kv.enqueue(number)
    seen = []
    async with kv.listen_queue(mode=mode, poll_interval="20ms") as messages:
        async for message in messages:
            seen.append(message.value)
            if len(seen) == 3:
                break
    assert seen == [0, 1, 2]
    assert await empty(kv)  # leaving the block acknowledged the last one


async def test_an_exception_in_the_block_gives_the_message_back(kv: Any) -> None:
    await kv.enqueue("x", backoff_schedule=["50ms"] * 5)

    async def broken() -> None:
        async with kv.listen_queue() as messages:
            async for _ in messages:
                raise KeyError

    with pytest.raises(KeyError):
        await broken()
    async with kv.listen_queue() as messages:
        async for message in messages:
            assert message.attempts >= 2
            break
    assert await empty(kv)


async def test_settling_by_hand_with_several_at_a_time(kv: Any) -> None:
    for number in range(4):
        await kv.enqueue(number, backoff_schedule=["1ms"] * 5)
    with pytest.raises(InvalidInput, match="auto_ack"):
        kv.listen_queue(concurrency=2)
    seen: list[Any] = []
    async with kv.listen_queue(auto_ack=False, concurrency=2) as messages:
        held = []
        async for message in messages:
            seen.append((message.value, message.attempts))
            held.append(message)
            if len(held) == 2:
                await held.pop(0).ack()
                second = held.pop()
                await (second.nack("no") if second.attempts == 1 else second.ack())
            if await empty(kv):
                break
            if len(seen) > 20:
                break
    assert sorted({value for value, _ in seen}) == [0, 1, 2, 3]


async def test_handlers_run_side_by_side_up_to_the_limit(kv: Any) -> None:
    running: set[Any] = set()
    peaks: list[int] = []
    done: list[Any] = []
    full = Event()

    async def handler(message: Any) -> None:
        running.add(message.id)
        peaks.append(len(running))
        if len(running) == 3:
            full.set()
        await happened(full)
        running.remove(message.id)
        done.append(message.value)

    async with kv.listen_queue(handler, concurrency=3):
        for number in range(9):
            await kv.enqueue(number)
        await until(lambda: len(done) == 9)
    assert max(peaks) == 3


async def test_stopping_lets_a_running_handler_finish(kv: Any) -> None:
    started, finish = Event(), Event()

    async def handler(message: Any) -> None:
        started.set()
        await happened(finish)

    listener = kv.listen_queue(handler)
    await kv.enqueue("x")
    await happened(started)
    stopping = Started(listener.stop)
    await until(lambda: listener.closed)
    assert not stopping.done
    finish.set()
    await stopping.result()
    assert await empty(kv)


async def test_dead_letters(kv: Any) -> None:
    async def handler(message: Any) -> None:
        raise RuntimeError(f"cannot {message.value['n']}")

    async with kv.listen_queue(handler, on_error=lambda error: None):
        for number in range(3):
            value = {"n": number, "big": 2**60}
            await kv.enqueue(value, backoff_schedule=[], keys_if_undelivered=[["lost", number]])

        async def all_dead() -> bool:
            return bool((await kv.queue_stats()).dlq == 3)

        await until(all_dead)
    letters = await kv.dlq.list(limit=2)
    assert [letter.error_message for letter in letters] == [
        "RuntimeError: cannot 2",
        "RuntimeError: cannot 1",
    ]
    assert (await kv.dlq.list(offset=2))[0].value == {"n": 0, "big": 2**60}
    letter = letters[0]
    assert await kv.dlq.get(letter.id) == letter
    assert await kv.dlq.get("unknown") is None
    assert letter.attempts == 1
    assert letter.original_created_at <= letter.failed_at
    assert (await kv.get(["lost", 2])).value == letter.value
    again = await kv.dlq.requeue(letter.id)
    message = await kv.dequeue()
    assert (message.id, message.value) == (again.id, letter.value)
    await kv.ack_message(message.id)
    with pytest.raises(NotFound):
        await kv.dlq.requeue(letter.id)
    await kv.dlq.delete(letters[1].id)
    await kv.dlq.delete(letters[1].id)
    assert (await kv.dlq.purge()).deleted_count == 1


@MODES
async def test_named_queues(kv: Any, mode: str) -> None:
    name = f"e-mails & ä/{mode}"
    await kv.enqueue("low", queue=name, priority=-1)
    await kv.enqueue("high", queue=name, backoff_schedule=[])
    assert await kv.queue_stats(name) == QueueStats(pending=2, processing=0, dlq=0, total=2)
    message = await kv.dequeue(name)
    assert (message.value, message.queue) == ("high", name)
    await kv.extend_message(message)
    await kv.nack_message(message, "no")
    message = await kv.dequeue(name)
    await kv.release_message(message)
    got: list[Any] = []
    listener = kv.listen_queue(
        lambda message: got.append(message.value), queue=name, mode=mode, poll_interval="5ms"
    )
    await kv.atomic().enqueue("in a commit", queue=name, priority=-2).commit()

    async def done() -> bool:
        return (await kv.queue_stats(name)).pending == 0 and len(got) == 2

    await until(done)
    await listener.stop()
    assert got == ["low", "in a commit"]
    letters = kv.dlq.of(name)
    (letter,) = await letters.list()
    assert (letter.value, letter.queue, letter.error_message) == ("high", name, "no")
    assert await letters.get(letter.id) == letter
    assert await kv.dlq.of("another").get(letter.id) is None
    with pytest.raises(NotFound):
        await kv.dlq.of("another").requeue(letter.id)
    await letters.requeue(letter.id)
    await kv.ack_message(await kv.dequeue(name))
    assert (await letters.purge()).deleted_count == 0
    assert await kv.queue_stats(name) == QueueStats(pending=0, processing=0, dlq=0, total=0)
    with pytest.raises(InvalidInput):
        await kv.dequeue("a\n")


async def test_closing_the_client_stops_its_listeners(kv: Any) -> None:
    listener = kv.listen_queue(lambda message: None)
    watch = kv.watch(["x"], lambda entries: None)
    await kv.aclose()
    assert listener.closed
    assert watch.closed


async def test_handlers_that_are_late_do_not_keep_their_messages(api: str) -> None:
    async with AsyncKv(api) as kv:
        started, go_on = Event(), Event()

        async def handler(message: Any) -> None:
            started.set()
            await happened(go_on)

        listener = kv.listen_queue(handler)
        await kv.enqueue("x")
        await happened(started)
        await listener.stop(timeout=0.01)
        await until(lambda: _redelivered(kv))
        go_on.set()


async def _redelivered(kv: Any) -> bool:
    message = await kv.dequeue()
    return message is not None and message.attempts >= 2


@pytest.mark.slow
async def test_stopping_costs_no_attempt(kv: Any) -> None:
    """Each acknowledgement of a listener that stops would bring it another message."""
    running: list[Any] = []
    done: list[Any] = []
    go_on = Event()

    async def handler(message: Any) -> None:
        running.append(message.value)
        await happened(go_on)
        done.append(message.value)

    await until(lambda: emptied(kv))
    for number in range(12):
        await kv.enqueue(number, backoff_schedule=[])
    listener = kv.listen_queue(handler, concurrency=3)
    await until(lambda: len(running) == 3)
    stopping = Started(listener.stop)
    await until(lambda: listener.closed)
    go_on.set()
    await stopping.result()
    assert sorted(done) == [0, 1, 2]
    left: dict[Any, int] = {}

    async def all_there() -> bool:
        message = await kv.dequeue()
        if message is not None:
            left[message.value] = message.attempts
            await kv.ack_message(message)
        return len(left) == 9

    await until(all_there)
    assert left == dict.fromkeys(range(3, 12), 1)
    assert await kv.dlq.list() == []


async def test_what_was_not_begun_with_goes_back_untouched(kv: Any) -> None:
    await until(lambda: emptied(kv))
    for number in range(4):
        await kv.enqueue(number, backoff_schedule=[])
    async with kv.listen_queue(auto_ack=False, concurrency=4) as messages:
        async for message in messages:  # the others wait
            await message.ack()
            break
        await until(lambda: at_server(kv, pending=0, processing=3))
    await until(lambda: at_server(kv, pending=3, processing=0))
    for number in (1, 2, 3):
        again = await kv.dequeue()
        assert (again.value, again.attempts) == (number, 1)
        await kv.release_message(again)
        again = await kv.dequeue()
        assert (again.value, again.attempts) == (number, 1)
        await kv.ack_message(again.id, lease=again.lease)


async def at_server(kv: Any, *, pending: int, processing: int) -> bool:
    stats = await kv.queue_stats()
    return bool((stats.pending, stats.processing, stats.dlq) == (pending, processing, 0))


@MODES
async def test_a_listener_that_nobody_has_any_more_gives_its_messages_back(
    kv: Any, mode: str
) -> None:
    before = running("kv-queue")
    listener = kv.listen_queue(mode=mode, auto_ack=False, concurrency=2)
    await kv.enqueue("one")
    await kv.enqueue("two")
    delivery = await anext(listener)
    assert running("kv-queue") == before + 1
    del listener
    await until(lambda: running("kv-queue") == before)
    await delivery.ack()  # it is processed all the same
    async with kv.listen_queue(mode=mode) as others:
        other = await anext(others)
    assert {delivery.value, other.value} == {"one", "two"}


async def test_a_listener_with_a_handler_goes_on_without_its_handle(kv: Any) -> None:
    heard: list[Any] = []
    kv.listen_queue(lambda delivery: heard.append(delivery.value))
    await kv.enqueue("one")
    await until(lambda: heard == ["one"])
    await kv.enqueue("two")
    await until(lambda: heard == ["one", "two"])

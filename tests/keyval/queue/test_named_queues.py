"""Queues with names: each has its own messages, numbers, listeners and dead letters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput, NotFound, QueueMessage, QueueStats, StaleLease
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.queue.listener import Listener
from keyval.queue.test_queue_messages import LEASE_MS
from keyval.service.world import FakeClock, World, until
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")

NAMES = ["", "emails", "e-mails ä/ö ?&#%", "x" * 256]


async def take(kv: LocalKv, queue: str = "") -> QueueMessage[Any]:
    message = await kv.dequeue(queue)
    assert message is not None
    return message


async def test_each_queue_has_its_own_messages(kv: LocalKv) -> None:
    for name in NAMES:
        for number in range(3):
            await kv.enqueue([name, number], queue=name)
    for name in reversed(NAMES):
        assert (await kv.queue_stats(name)).pending == 3
        for number in range(3):
            message = await take(kv, name)
            assert (message.value, message.queue) == ([name, number], name)
            await kv.ack_message(message)
        assert await kv.dequeue(name) is None
        assert await kv.queue_stats(name) == QueueStats(0, 0, 0, 0)


async def test_numbers_are_of_one_queue_each(kv: LocalKv, world: World) -> None:
    await kv.enqueue(1, queue="emails")
    await kv.enqueue(2, queue="emails", delay="1h")
    await kv.enqueue(3, queue="films", backoff_schedule=[])
    await take(kv, "emails")
    await kv.nack_message(await take(kv, "films"))
    assert await kv.queue_stats("emails") == QueueStats(1, 1, 0, 2)
    assert await kv.queue_stats("films") == QueueStats(0, 0, 1, 1)
    assert await kv.queue_stats() == QueueStats(0, 0, 0, 0)
    assert await world.service.queue.stats(None) == QueueStats(1, 1, 1, 3)


@pytest.mark.parametrize("wrong", ["x" * 257, "a\nb", "\ud800", 7, None])
async def test_what_is_no_name_is_refused(kv: LocalKv, wrong: Any) -> None:
    for refused in (
        kv.enqueue(1, queue=wrong),
        kv.dequeue(wrong),
        kv.queue_stats(wrong),
    ):
        with pytest.raises(InvalidInput, match="queue must be a text of up to 256 characters"):
            await refused
    with pytest.raises(InvalidInput, match="queue must be"):
        kv.listen_queue(queue=wrong)
    with pytest.raises(InvalidInput, match="queue must be"):
        kv.dlq.of(wrong)


async def test_a_commit_sends_to_a_queue(kv: LocalKv) -> None:
    await kv.atomic().set(["a"], 1).enqueue(1, queue="emails").enqueue(2).commit()
    assert (await take(kv, "emails")).value == 1
    assert (await take(kv)).value == 2
    async with kv.begin() as transaction:
        transaction.enqueue(3, queue="emails", priority=1)
    assert (await take(kv, "emails")).value == 3


async def test_a_message_stays_in_its_queue(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue(1, queue="emails", backoff_schedule=[1000, 0])
    await kv.nack_message(await take(kv, "emails"))
    clock.advance(1000)
    message = await take(kv, "emails")
    await kv.release_message(message)
    await take(kv, "emails")
    clock.advance(LEASE_MS)
    message = await take(kv, "emails")
    assert message.attempts == 3
    assert await kv.dequeue() is None
    clock.advance(LEASE_MS)
    assert await kv.dequeue() is None  # and it has come to its end
    (letter,) = await kv.dlq.of("emails").list()
    assert (letter.value, letter.queue) == (1, "emails")
    assert await kv.dlq.list() == []
    await kv.dlq.requeue(letter.id)
    assert (await take(kv, "emails")).value == 1


async def test_dead_letters_are_of_one_queue_each(kv: LocalKv) -> None:
    for name in ("", "emails", "films"):
        for number in range(2):
            await kv.enqueue([name, number], queue=name, backoff_schedule=[], priority=number)
            await kv.nack_message(await take(kv, name))
    letters = {name: await kv.dlq.of(name).list() for name in ("", "emails", "films")}
    for name, found in letters.items():
        assert sorted(letter.value for letter in found) == [[name, 0], [name, 1]]
        assert {letter.queue for letter in found} == {name}
    of_films = kv.dlq.of("films")
    email = letters["emails"][0]
    assert await of_films.get(email.id) is None
    with pytest.raises(NotFound):
        await of_films.requeue(email.id)
    await of_films.delete(email.id)
    assert await kv.dlq.get(email.id) == await kv.dlq.of("emails").get(email.id) == email
    assert (await of_films.purge()).deleted_count == 2
    assert (await kv.dlq.purge()).deleted_count == 2
    assert len(await kv.dlq.of("emails").list()) == 2
    await kv.dlq.of("emails").delete(email.id)
    assert await kv.dlq.get(email.id) is None


async def test_who_names_a_queue_settles_what_is_in_it(kv: LocalKv, world: World) -> None:
    await kv.enqueue(1, queue="emails")
    message = await take(kv, "emails")
    queue, lease = world.service.queue, message.lease
    assert lease is not None
    await queue.ack(message.id, queue="films")
    await queue.nack(message.id, queue="films")
    for refused in (
        queue.ack(message.id, lease, queue="films"),
        queue.nack(message.id, lease=lease, queue="films"),
        queue.release(message.id, lease, queue="films"),
        queue.extend(message.id, lease, queue="films"),
        queue.extend(message.id, queue="films"),
    ):
        with pytest.raises(StaleLease):
            await refused
    for missing in (
        queue.ack(message.id, strict=True, queue="films"),
        queue.nack(message.id, strict=True, queue="films"),
        queue.extend(message.id, strict=True, queue="films"),
    ):
        with pytest.raises(NotFound):
            await missing
    assert (await kv.queue_stats("emails")).processing == 1
    await kv.extend_message(message)
    await kv.ack_message(message)
    assert (await kv.queue_stats("emails")).total == 0


async def next_of(listener: Listener) -> str:
    async with asyncio.timeout(PATIENCE):
        message = await listener.next()
    assert message is not None
    return message.value


async def test_listeners_get_what_is_in_their_queue(kv: LocalKv, world: World) -> None:
    dispatcher = world.service.dispatcher
    listeners = {name: dispatcher.attach(name, prefetch=10) for name in ("", "a", "b")}
    waiting = {name: asyncio.create_task(next_of(one)) for name, one in listeners.items()}
    assert dispatcher.listener_count == 3
    for name in ("b", "a", ""):
        await asyncio.sleep(0)
        await kv.enqueue(name, queue=name)
        assert await waiting[name] == f'"{name}"'
    await kv.atomic().enqueue(1, queue="b").commit()
    assert await next_of(listeners["b"]) == "1"
    assert await listeners["a"].next(0.1) is None
    for one in listeners.values():
        one.close()
    assert dispatcher.listener_count == 0


async def test_what_a_listener_leaves_is_for_others_of_its_queue(kv: LocalKv, world: World) -> None:
    first = world.service.dispatcher.attach("emails", prefetch=1)
    await kv.enqueue(1, queue="emails")
    assert await next_of(first) == "1"
    first.close()
    assert await kv.dequeue() is None
    second = world.service.dispatcher.attach("emails", prefetch=1)
    assert await next_of(second) == "1"
    second.sent()
    await kv.enqueue(2, queue="emails")
    assert await second.next(0.1) is None
    (held,) = second.unsettled()
    await kv.ack_message(held.id)
    assert await next_of(second) == "2"


async def test_a_delay_wakes_the_listener_of_its_queue(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    listener = world.service.dispatcher.attach("emails")
    await kv.enqueue(1, queue="emails", delay=1000)
    assert await listener.next(0.1) is None
    clock.advance(1000)
    assert await next_of(listener) == "1"


async def test_a_handler_consumes_one_queue(kv: LocalKv) -> None:
    got: list[Any] = []
    async with kv.listen_queue(lambda message: got.append(message.value), queue="emails"):
        await kv.enqueue(1)
        await kv.enqueue(2, queue="emails", keys_if_undelivered=[["x"]])
        await until(lambda: got == [2])
    assert (await kv.queue_stats()).pending == 1


async def test_many_queues_at_once(kv: LocalKv, world: World) -> None:
    names = [f"queue-{number}" for number in range(30)]
    listeners = [world.service.dispatcher.attach(name, prefetch=2) for name in names]
    waiting = [asyncio.create_task(next_of(listener)) for listener in listeners]
    await asyncio.gather(*(kv.enqueue(name, queue=name) for name in names))
    assert await asyncio.gather(*waiting) == [f'"{name}"' for name in names]

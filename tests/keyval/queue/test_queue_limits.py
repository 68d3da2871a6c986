"""What a queue is told: how long leases are, pauses, how many run, and how many in which time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import InvalidInput, QueueMessage, QueueOptions, QueueRate
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.queue.test_queue_messages import LEASE_MS
from keyval.service.world import FakeClock, World, open_world, until

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")

QUEUES = pytest.mark.parametrize("queue", ["", "emails"])
MINUTE_MS = 60_000


async def take_all(kv: LocalKv, queue: str) -> list[QueueMessage[Any]]:
    found = []
    while (message := await kv.dequeue(queue)) is not None:
        found.append(message)
    return found


async def test_options_are_told_as_they_were_given(kv: LocalKv) -> None:
    assert await kv.queues.options("emails") == QueueOptions()
    await kv.queues.set_options(
        "emails", lease="1m", backoff_schedule=["1s", 5], max_running=3, rate=(10, "1m")
    )
    expected = QueueOptions(False, MINUTE_MS, [1000, 5], 3, QueueRate(10, MINUTE_MS))
    assert await kv.queues.options("emails") == expected
    await kv.queues.pause("emails")
    await kv.queues.set_options("emails", max_running=2)
    assert await kv.queues.options("emails") == QueueOptions(paused=True, max_running=2)
    await kv.queues.set_options("emails")
    await kv.queues.resume("emails")
    assert await kv.queues.list() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lease": "0.5s"}, "lease must be at least 1s"),
        ({"lease": "soon"}, "soon"),
        ({"backoff_schedule": "1s"}, "backoff_schedule must be a list"),
        ({"backoff_schedule": [-1]}, "must not be negative"),
        ({"max_running": 0}, "max_running must be from 1"),
        ({"max_running": 1_000_001}, "max_running must be from 1"),
        ({"max_running": "x"}, "not options of a queue"),
        ({"rate": 10}, "rate must be a pair"),
        ({"rate": (0, "1m")}, "rate.count must be a whole number from 1"),
        ({"rate": (1, 0)}, "rate.per must be more than 0"),
    ],
)
async def test_wrong_options_are_refused(kv: LocalKv, options: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        await kv.queues.set_options("emails", **options)


async def test_the_first_queue_has_the_pauses_of_its_messages(kv: LocalKv) -> None:
    with pytest.raises(InvalidInput, match="backoffSchedule is for queues with names"):
        await kv.queues.set_options("", backoff_schedule=[1])


@QUEUES
async def test_no_more_run_than_may(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    await kv.queues.set_options(queue, max_running=2)
    for number in range(6):
        await kv.enqueue(number, queue=queue)
    running = await take_all(kv, queue)
    assert [message.value for message in running] == [0, 1]
    await kv.ack_message(running[0])
    assert [message.value for message in await take_all(kv, queue)] == [2]
    clock.advance(LEASE_MS)  # who had them does not run them any more
    assert [message.value for message in await take_all(kv, queue)] == [1, 2]
    await kv.queues.set_options(queue, max_running=3)
    assert [message.value for message in await take_all(kv, queue)] == [3]
    await kv.queues.set_options(queue)
    assert [message.value for message in await take_all(kv, queue)] == [4, 5]


@QUEUES
async def test_a_rate_holds_in_any_time(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    await kv.queues.set_options(queue, rate=(3, "1m"))
    for number in range(10):
        await kv.enqueue(number, queue=queue)
    assert len(await take_all(kv, queue)) == 3
    clock.advance(20_000)
    assert await take_all(kv, queue) == []
    clock.advance(MINUTE_MS - 20_001)
    assert await take_all(kv, queue) == []
    clock.advance(1)
    first = await kv.dequeue(queue)
    clock.advance(30_000)
    assert first is not None
    await kv.ack_message(first)
    assert len(await take_all(kv, queue)) == 2
    clock.advance(29_999)
    assert await take_all(kv, queue) == []  # those whose leases ran out included
    clock.advance(1)
    assert len(await take_all(kv, queue)) == 1
    clock.advance(30_000)
    assert len(await take_all(kv, queue)) == 2


async def test_several_that_are_leased_at_once_count_each(kv: LocalKv, world: World) -> None:
    queue = world.service.queue
    await kv.queues.set_options("emails", rate=(5, "1m"), max_running=4)
    for number in range(10):
        await kv.enqueue(number, queue="emails")
    leased = await queue.lease(3, "emails")
    assert len(leased) == 3
    leased += await queue.lease(9, "emails")
    assert len(leased) == 4
    for message in leased:
        await queue.ack(message.id)
    assert len(await queue.lease(9, "emails")) == 1


async def test_little_is_kept_of_a_rate(kv: LocalKv, world: World, clock: FakeClock) -> None:
    await kv.queues.set_options("emails", rate=(2, 1000))
    for number in range(40):
        await kv.enqueue(number, queue="emails", priority=number % 2)
        clock.advance(500)
        message = await kv.dequeue("emails")
        assert message is not None
    ((count,),) = await world.rows("SELECT count(*) FROM kv_queue_starts")
    assert int(count or 0) <= 3


async def test_leases_are_as_long_as_the_queue_says(
    kv: LocalKv, clock: FakeClock, world: World
) -> None:
    await kv.queues.set_options("films", lease="10m")
    await kv.queues.set_options("clicks", lease="1s")
    for name in ("films", "clicks", ""):
        await kv.enqueue(name, queue=name, backoff_schedule=[0, 0])
        assert await kv.dequeue(name) is not None
    clock.advance(1000)
    assert await kv.dequeue("films") is None
    clicked = await kv.dequeue("clicks")
    assert clicked is not None
    assert clicked.attempts == 2
    clock.advance(999)
    await kv.extend_message(clicked)
    clock.advance(999)
    assert await kv.dequeue("clicks") is None
    clock.advance(1)
    assert (await kv.dequeue("clicks")).attempts == 3  # type: ignore[union-attr] # it is there
    clock.advance(LEASE_MS)
    assert (await kv.dequeue()).attempts == 2  # type: ignore[union-attr] # so
    assert await kv.dequeue("films") is None
    clock.advance(600_000)
    assert (await kv.dequeue("films")).attempts == 2  # type: ignore[union-attr] # so


async def test_messages_without_pauses_have_those_of_their_queue(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.queues.set_options("emails", backoff_schedule=["1m"])
    await kv.enqueue("of the queue", queue="emails")
    await kv.enqueue("once", queue="emails", id="a")
    await kv.enqueue("its own", queue="emails", backoff_schedule=[])
    await kv.enqueue("long " + "x" * 2000, queue="emails")
    found = (await kv.queues.paginate("emails")).messages
    assert [message.max_attempts for message in found] == [2, 2, 1, 2]
    message = await kv.dequeue("emails")
    assert message is not None
    await kv.nack_message(message)
    clock.advance(MINUTE_MS - 1)
    assert message.id not in [it.id for it in await kv.queues.peek("emails", limit=9)]
    clock.advance(1)
    assert message.id in [it.id for it in await kv.queues.peek("emails", limit=9)]


async def test_a_listener_gets_more_when_others_are_done(kv: LocalKv, world: World) -> None:
    await kv.queues.set_options("emails", max_running=2)
    running: set[int] = set()
    most = 0
    done: list[int] = []

    async def handle(message: Any) -> None:
        nonlocal most
        running.add(message.value)
        most = max(most, len(running))
        await asyncio.sleep(0.001)
        running.discard(message.value)
        done.append(message.value)

    async with (
        kv.listen_queue(handle, queue="emails", concurrency=5),
        kv.listen_queue(handle, queue="emails", concurrency=5),
    ):
        await asyncio.gather(*(kv.enqueue(number, queue="emails") for number in range(20)))
        await until(lambda: len(done) == 20)
    assert most == 2
    assert sorted(done) == list(range(20))


@pytest.mark.engines("sqlite")
async def test_limits_hold_over_several_processes(
    kv: LocalKv, world: World, tmp_path: Path, clock: FakeClock
) -> None:
    async with open_world(tmp_path / "kv.db", clock) as other:
        for number in range(10):
            await kv.enqueue(number, queue="emails")
        await kv.queues.set_options("emails", max_running=3)
        assert await other.kv.dequeue("emails") is not None
        assert await kv.dequeue("emails") is not None
        assert await other.kv.dequeue("emails") is not None
        assert await kv.dequeue("emails") is None
        assert await other.kv.dequeue("emails") is None
        await other.kv.queues.set_options("emails", rate=(4, "1m"))
        taken = [await one.dequeue("emails") for one in (kv, other.kv, kv, other.kv, kv)]
        assert len([message for message in taken if message is not None]) == 4
        got: list[Any] = []
        await other.kv.queues.pause("films")
        await kv.enqueue(1, queue="films")
        async with kv.listen_queue(lambda message: got.append(message.value), queue="films"):
            await asyncio.sleep(0.2)
            assert got == []
            await other.kv.queues.resume("films")
            await until(lambda: got == [1])
        await other.kv.queues.pause()
        await kv.enqueue(1)
        assert await kv.dequeue() is None
        await kv.queues.resume()
        assert await other.kv.dequeue() is not None

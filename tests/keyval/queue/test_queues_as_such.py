"""Looks at queues that take nothing, pauses, and what is removed at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput, QueueInfo
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.queue.test_queue_messages import LEASE_MS
from keyval.service.world import FakeClock, World, until

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")

QUEUES = pytest.mark.parametrize("queue", ["", "emails"])


async def listed(kv: LocalKv, queue: str, limit: int = 100) -> list[Any]:
    """The values of all messages, page by page."""
    found: list[Any] = []
    cursor = None
    while True:
        page = await kv.queues.paginate(queue, cursor=cursor, limit=limit)
        assert len(page.messages) <= limit
        found += [message.value for message in page.messages]
        cursor = page.cursor
        if cursor is None:
            return found


@QUEUES
async def test_a_peek_takes_nothing(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    assert await kv.queues.peek(queue) == []
    await kv.enqueue("low", queue=queue, priority=-1, backoff_schedule=[1])
    await kv.enqueue("high", queue=queue)
    await kv.enqueue("later", queue=queue, delay=1000)
    for _ in range(2):
        (message,) = await kv.queues.peek(queue)
        assert (message.value, message.queue, message.state) == ("high", queue, "ready")
    found = await kv.queues.peek(queue, limit=10)
    assert [message.value for message in found] == ["high", "low"]
    assert (found[1].attempts, found[1].max_attempts, found[1].priority) == (0, 2, -1)
    assert found[0].created_at == found[0].ready_at == clock.wall()
    assert (await kv.queue_stats(queue)).pending == 3
    taken = await kv.dequeue(queue)
    assert taken is not None
    assert [it.value for it in await kv.queues.peek(queue, limit=10)] == ["low"]


@QUEUES
async def test_a_list_has_messages_of_all_states(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    await kv.enqueue("held", queue=queue)
    await kv.enqueue("last", queue=queue, backoff_schedule=[])
    await kv.dequeue(queue)
    await kv.dequeue(queue)
    clock.advance(LEASE_MS - 1)
    await kv.enqueue("delayed", queue=queue, delay="1h")
    await kv.enqueue("ready", queue=queue)
    await kv.enqueue("of another", queue="another")
    page = await kv.queues.paginate(queue)
    states = {message.value: message.state for message in page.messages}
    expected = {"held": "processing", "last": "processing", "delayed": "delayed", "ready": "ready"}
    assert states == expected
    assert [message.attempts for message in page.messages] == [1, 1, 0, 0]
    clock.advance(1)
    states = {it.value: it.state for it in (await kv.queues.paginate(queue)).messages}
    assert (states["held"], states["last"]) == ("ready", "ended")


@QUEUES
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_have_each_message_once(kv: LocalKv, queue: str, limit: int) -> None:
    for number in range(14):
        await kv.enqueue(number, queue=queue, priority=number % 3)
        await kv.enqueue("other", queue="other")
    assert await listed(kv, queue, limit) == list(range(14))


async def test_pages_end_before_there_is_too_much(kv: LocalKv, world: World) -> None:
    for number in range(5):
        await kv.enqueue([number, "x" * 1000], queue="films")
    queues, after, found = world.service.queues, 0, []
    while True:
        page = await queues.page("films", after, 100, 2500)
        assert len(page.messages) <= 2
        found += [int(bytes(message.value)[1:2]) for message in page.messages]
        if page.after is None:
            break
        after = page.after
    assert found == list(range(5))
    assert len(await queues.page("films", 0, 100, 10)) == 2  # its message and its cursor
    assert len((await queues.page("films", 0, 100, 10)).messages) == 1
    assert len(await queues.peek("films", 100, 2500)) == 2


async def test_a_wrong_cursor_is_refused(kv: LocalKv) -> None:
    for wrong in ("x", "-1", "1" * 30, "٣"):
        with pytest.raises(InvalidInput, match="Invalid cursor"):
            await kv.queues.paginate(cursor=wrong)


@QUEUES
async def test_a_paused_queue_delivers_nothing(kv: LocalKv, queue: str) -> None:
    await kv.enqueue(1, queue=queue)
    await kv.enqueue(2, queue=queue)
    first = await kv.dequeue(queue)
    assert first is not None
    await kv.queues.pause(queue)
    await kv.queues.pause(queue)
    assert (await kv.queues.options(queue)).paused
    assert await kv.dequeue(queue) is None
    await kv.enqueue(3, queue=queue)
    await kv.enqueue(4, queue=queue, priority=10)
    assert await kv.dequeue(queue) is None
    await kv.ack_message(first)
    assert (await kv.queue_stats(queue)).pending == 3
    await kv.enqueue("of another", queue="another")
    assert await kv.dequeue("another") is not None
    await kv.queues.resume(queue)
    assert not (await kv.queues.options(queue)).paused
    message = await kv.dequeue(queue)
    assert message is not None
    assert message.value == 4


@QUEUES
async def test_listeners_go_on_when_it_is_resumed(kv: LocalKv, queue: str) -> None:
    got: list[Any] = []
    await kv.queues.pause(queue)
    async with kv.listen_queue(lambda message: got.append(message.value), queue=queue):
        await kv.enqueue(1, queue=queue)
        await asyncio.sleep(0.15)
        assert got == []
        await kv.queues.resume(queue)
        await until(lambda: got == [1])


@QUEUES
async def test_all_of_a_queue_is_removed(kv: LocalKv, world: World, queue: str) -> None:
    for number in range(3):
        await kv.enqueue([number, "x" * 2000], queue=queue, priority=number)
    await kv.enqueue("dead", queue=queue, backoff_schedule=[], priority=10)
    await kv.enqueue("other", queue="other")
    message = await kv.dequeue(queue)
    assert message is not None
    await kv.nack_message(message)
    held = await kv.dequeue(queue)
    assert held is not None
    assert (await kv.queues.purge(queue)).deleted_count == 3
    assert (await kv.queue_stats(queue)).total == 1  # the dead letter
    await kv.ack_message(held.id)
    assert (await kv.queues.purge(queue)).deleted_count == 0
    assert (await kv.queue_stats("other")).pending == 1
    if world.store.sql.name == "sqlite":
        assert await world.rows("SELECT count(*) FROM kv_long_values") == [(0,)]


async def test_queues_are_listed_while_they_are_in_use(kv: LocalKv) -> None:
    assert await kv.queues.list() == []
    await kv.enqueue(1, queue="b")
    await kv.enqueue(2)
    await kv.enqueue(3, queue="a", backoff_schedule=[])
    message = await kv.dequeue("a")
    assert message is not None
    await kv.nack_message(message)
    await kv.queues.pause("c")
    assert await kv.queues.list() == [
        QueueInfo("", 1, 0, 0, 1, False),
        QueueInfo("a", 0, 0, 1, 1, False),
        QueueInfo("b", 1, 0, 0, 1, False),
        QueueInfo("c", 0, 0, 0, 0, True),
    ]
    assert [it.queue for it in await kv.queues.list(limit=2)] == ["", "a"]
    await kv.queues.resume("c")
    await kv.queues.purge("b")
    assert [it.queue for it in await kv.queues.list()] == ["", "a"]

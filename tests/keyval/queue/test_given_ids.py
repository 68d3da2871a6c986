"""Messages whose senders name them: sent once, however often that is tried."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.queue.test_queue_messages import drain
from keyval.service.world import FakeClock, World

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")

DAY_MS = 24 * 60 * 60 * 1000
LONG = "x" * 5000


@pytest.mark.parametrize("queue", ["", "emails"])
@pytest.mark.parametrize("value", ["first", LONG])
async def test_a_second_one_is_answered_as_the_first(
    kv: LocalKv, world: World, queue: str, value: str
) -> None:
    for number in range(3):
        sent = await kv.enqueue([value, number], queue=queue, id="order/1")
        assert sent.id == "order/1"
    message = await kv.dequeue(queue)
    assert message is not None
    assert (message.id, message.value) == ("order/1", [value, 0])
    await kv.ack_message("order/1")
    await kv.enqueue("again", queue=queue, id="order/1")
    assert await kv.dequeue(queue) is None


async def test_nothing_is_left_of_a_long_one_that_was_not_sent(kv: LocalKv, world: World) -> None:
    for _ in range(3):
        await kv.enqueue(LONG, id="a")
    if world.store.sql.name == "sqlite":
        assert await world.rows("SELECT count(*) FROM kv_long_values") == [(1,)]


async def test_it_lasts_for_a_day(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue(1, id="a")
    assert await drain(kv) == [1]
    await kv.ack_message("a")
    clock.advance(DAY_MS - 1)
    await kv.enqueue(2, id="a")
    assert await drain(kv) == []
    clock.advance(1)
    await kv.enqueue(3, id="a")
    await kv.enqueue(4, id="a")
    assert await drain(kv) == [3]


async def test_it_lasts_for_as_long_as_the_message_is_there(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue(1, id="a", delay="3d")
    clock.advance(2 * DAY_MS)
    await kv.enqueue(2, id="a")
    clock.advance(DAY_MS)
    assert await drain(kv) == [1]


async def test_what_is_over_is_forgotten(kv: LocalKv, world: World, clock: FakeClock) -> None:
    for number in range(5):
        await kv.enqueue(number, id=str(number))
    queues = world.service.queues
    assert await queues.forget_ids(100) == 0
    clock.advance(DAY_MS)
    assert [await queues.forget_ids(3) for _ in range(3)] == [3, 2, 0]
    await kv.enqueue("new", id="0")  # the first one is still there
    assert "new" not in await drain(kv)


async def test_a_commit_sends_it_once_too(kv: LocalKv) -> None:
    for number in range(2):
        done = await kv.atomic().set(["n"], number).enqueue(number, id="a", queue="q").commit()
        assert done.ok
    assert (await kv.get(["n"])).value == 1
    message = await kv.dequeue("q")
    assert message is not None
    assert message.value == 0
    assert await kv.dequeue("q") is None


async def test_of_many_at_once_one_is_sent(kv: LocalKv) -> None:
    await asyncio.gather(*(kv.enqueue(number, id="a") for number in range(20)))
    assert len(await drain(kv)) == 1


@pytest.mark.parametrize("wrong", ["", "a\n", "x" * 257, 7])
async def test_what_is_no_id_is_refused(kv: LocalKv, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="id must be a text of 1 to 256 characters"):
        await kv.enqueue(1, id=wrong)

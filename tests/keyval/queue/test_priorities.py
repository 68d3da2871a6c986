"""Priority: what goes first, and that nothing waits for ever."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.queue.test_queue_messages import LEASE_MS
from keyval.service.world import FakeClock, World

pytestmark = [
    pytest.mark.engines("sqlite", "odd", "postgres"),
    pytest.mark.parametrize("queue", ["", "emails"]),
]

MINUTE_MS = 60_000


async def drain(kv: LocalKv, queue: str) -> list[Any]:
    found = []
    while (message := await kv.dequeue(queue)) is not None:
        await kv.ack_message(message)
        found.append(message.value)
    return found


async def test_what_is_urgent_goes_first(kv: LocalKv, queue: str) -> None:
    for number, priority in enumerate([0, -10, 10, 5, 0, 10, -1]):
        await kv.enqueue([priority, number], queue=queue, priority=priority)
    expected = [[10, 2], [10, 5], [5, 3], [0, 0], [0, 4], [-1, 6], [-10, 1]]
    assert await drain(kv, queue) == expected


async def test_equal_priorities_keep_their_order(kv: LocalKv, queue: str) -> None:
    for number in range(20):
        await kv.enqueue(number, queue=queue, priority=3)
    assert await drain(kv, queue) == list(range(20))


async def test_a_step_is_worth_a_minute(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    await kv.enqueue("low", queue=queue, priority=-1)
    clock.advance(3 * MINUTE_MS - 1)
    await kv.enqueue("sooner", queue=queue, priority=2)
    clock.advance(1)
    await kv.enqueue("as early", queue=queue, priority=2)
    clock.advance(1)
    await kv.enqueue("later", queue=queue, priority=2)
    assert await drain(kv, queue) == ["sooner", "low", "as early", "later"]


async def test_what_is_not_urgent_comes_to_its_turn(
    kv: LocalKv, queue: str, clock: FakeClock
) -> None:
    """An urgent message each 20 seconds, and room for one: the others rise until they are taken."""
    await kv.enqueue("low", queue=queue, priority=-10)
    taken = []
    for _ in range(25 * 3):
        await kv.enqueue("high", queue=queue, priority=10)
        message = await kv.dequeue(queue)
        assert message is not None
        await kv.ack_message(message)
        taken.append(message.value)
        if message.value == "low":
            break
        clock.advance(20_000)
    assert taken[-1] == "low"
    assert len(taken) == 20 * 3 + 1


async def test_delays_hold_urgent_messages_back(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    await kv.enqueue("later", queue=queue, priority=10, delay="1m")
    await kv.enqueue("now", queue=queue)
    assert await drain(kv, queue) == ["now"]
    await kv.enqueue("low", queue=queue, priority=-10)
    clock.advance(MINUTE_MS)
    assert await drain(kv, queue) == ["later", "low"]


async def test_what_comes_again_has_its_priority(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    await kv.enqueue("high", queue=queue, priority=1, backoff_schedule=[0, 0])
    message = await kv.dequeue(queue)
    assert message is not None
    await kv.nack_message(message)
    await kv.enqueue("low", queue=queue)
    assert (await kv.dequeue(queue)).value == "high"  # type: ignore[union-attr] # it is there
    clock.advance(LEASE_MS)
    message = await kv.dequeue(queue)
    assert message is not None
    assert (message.value, message.attempts) == ("high", 3)
    await kv.nack_message(message)
    (letter,) = await kv.dlq.of(queue).list()
    await kv.dlq.requeue(letter.id)
    assert await drain(kv, queue) == ["high", "low"]


async def test_several_are_leased_in_this_order(kv: LocalKv, queue: str, world: World) -> None:
    for number in range(40):
        await kv.enqueue(number, queue=queue, priority=number % 3 - 1)
    leased = await world.service.queue.lease(25, queue)
    order = [*range(2, 40, 3), *range(1, 40, 3), *range(0, 40, 3)]
    assert [int(message.value) for message in leased] == order[:25]
    await world.service.queue.give_back(leased)
    listener = world.service.dispatcher.attach(queue)
    got = [await listener.next(15) for _ in range(40)]
    assert [int(message.value) for message in got if message is not None] == order


async def test_any_order_is_that_of_places(kv: LocalKv, queue: str, clock: FakeClock) -> None:
    random, now, sent = Random(20), 0, []
    for number in range(60):
        priority, delay = random.randrange(-10, 11), random.randrange(0, 10) * 30_000
        await kv.enqueue(number, queue=queue, priority=priority, delay=delay)
        sent.append((now + delay - priority * MINUTE_MS, number))
        step = random.randrange(0, 90_000)
        now += step
        clock.advance(step)
    clock.advance(10 * MINUTE_MS)
    assert await drain(kv, queue) == [number for _, number in sorted(sent)]


@pytest.mark.parametrize("wrong", [11, -11, 1.5, "1", True, None])
async def test_what_is_no_priority_is_refused(kv: LocalKv, queue: str, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="priority must be a whole number from -10 to 10"):
        await kv.enqueue(1, queue=queue, priority=wrong)

"""Retries, their end, and what becomes of messages then."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput, QueueMessage
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.errors import LetterNotFound
from keyval.queue.test_queue_messages import LEASE_MS, drain, states
from keyval.service.world import FakeClock, World, until, values

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")


async def take(kv: LocalKv) -> QueueMessage[Any]:
    message = await kv.dequeue()
    assert message is not None
    return message


async def bury(kv: LocalKv, value: Any, **options: Any) -> str:
    """Make a dead letter; its id."""
    await kv.enqueue(value, backoff_schedule=[], **options)
    await kv.nack_message(await take(kv))
    return (await kv.dlq.list(limit=1))[0].id


async def test_the_default_schedule_gives_four_attempts(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue("x")
    for attempt, pause in enumerate((1000, 5000, 10_000), 1):
        message = await take(kv)
        assert message.attempts == attempt
        await kv.nack_message(message)
        clock.advance(pause - 1)
        assert await kv.dequeue() is None
        clock.advance(1)
    message = await take(kv)
    assert message.attempts == 4
    await kv.nack_message(message)
    assert await states(kv) == (0, 0, 1)


async def test_nack_takes_a_pause_of_its_own(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue(1, backoff_schedule=["1h"])
    await kv.nack_message(await take(kv), delay="2s")
    clock.advance(1999)
    assert await kv.dequeue() is None
    clock.advance(1)
    assert (await take(kv)).attempts == 2
    with pytest.raises(InvalidInput):
        await kv.nack_message("any", delay=-1)


async def test_a_nack_before_any_delivery_is_no_attempt(kv: LocalKv, clock: FakeClock) -> None:
    message_id = (await kv.enqueue(1, backoff_schedule=[])).id
    await kv.nack_message(message_id)
    assert await kv.dequeue() is None
    clock.advance(1000)
    assert (await take(kv)).attempts == 1


async def test_a_dead_letter_tells_what_happened(kv: LocalKv, clock: FakeClock) -> None:
    created = clock.now_ms
    message_id = (await kv.enqueue({"a": 1}, backoff_schedule=[10])).id
    await kv.nack_message(await take(kv), error="first")
    clock.advance(10)
    await kv.nack_message(await take(kv), error="Connection timeout")
    (letter,) = await kv.dlq.list()
    assert letter == await kv.dlq.get(letter.id)
    assert letter.id != message_id
    assert (letter.original_id, letter.value, letter.attempts) == (message_id, {"a": 1}, 2)
    assert letter.error_message == "Connection timeout"
    assert (letter.original_created_at, letter.failed_at) == (created, created + 10)


async def test_without_an_error_the_letter_has_the_default_text(kv: LocalKv) -> None:
    letter = await kv.dlq.get(await bury(kv, 1))
    assert letter is not None
    assert letter.error_message == "Max attempts exceeded"


async def test_keys_if_undelivered_come_with_the_dead_letter(kv: LocalKv, world: World) -> None:
    await kv.set(("failed", 1), "old", expires_in=1000)
    seen: list[tuple[Any, Any]] = []
    kv.add_trigger(prefix=["failed"], handler=lambda event: seen.append((event.key, event.value)))
    await bury(kv, {"job": 7}, keys_if_undelivered=[["failed", 1], ["failed", "1"]])
    assert await values(kv, "failed") == {("failed", 1): {"job": 7}, ("failed", "1"): {"job": 7}}
    assert sorted(map(repr, seen)) == sorted(
        [repr((("failed", 1), {"job": 7})), repr((("failed", "1"), {"job": 7}))]
    )
    rows = await world.rows("SELECT expires_at, versionstamp FROM kv_entries")
    assert {row[0] for row in rows} == {None}
    assert len({row[1] for row in rows}) == 1  # one commit


@pytest.mark.engines("sqlite", "odd")
async def test_weakness_14_a_failed_move_to_the_dead_letters_leaves_everything_as_it_was(
    kv: LocalKv, world: World
) -> None:
    await kv.enqueue(1, backoff_schedule=[], keys_if_undelivered=[["failed"]])
    message = await take(kv)
    await world.adapter.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON kv_dlq BEGIN SELECT raise(ABORT, 'full'); END"
    )
    with pytest.raises(Exception, match="full"):
        await kv.nack_message(message)
    assert await states(kv) == (0, 1, 0)
    assert (await kv.get(["failed"])).versionstamp is None
    await world.adapter.execute("DROP TRIGGER refuse")
    await kv.nack_message(message)
    assert await states(kv) == (0, 0, 1)
    assert (await kv.get(["failed"])).value == 1


async def test_weakness_13_a_message_that_crashes_its_consumers_ends_among_the_dead_letters(
    kv: LocalKv, clock: FakeClock
) -> None:
    await kv.enqueue("poison", backoff_schedule=[0, 0], keys_if_undelivered=[["dead"]])
    for attempt in (1, 2, 3):
        assert (await take(kv)).attempts == attempt
        clock.advance(LEASE_MS)
    assert await kv.dequeue() is None
    (letter,) = await kv.dlq.list()
    assert (letter.attempts, letter.error_message) == (3, "Lease expired after max attempts")
    assert (await kv.get(["dead"])).value == "poison"


async def test_exhausted_leases_are_found_without_anybody_asking(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    world.service.dispatcher.start()
    for number in range(120):
        await kv.enqueue(number, backoff_schedule=[])
    assert len(await drain(kv)) == 120
    clock.advance(LEASE_MS)
    world.service.dispatcher.wake()

    async def all_dead() -> bool:
        return await states(kv) == (0, 0, 120)

    await until(all_dead)


async def test_letters_are_listed_newest_first(kv: LocalKv, clock: FakeClock) -> None:
    for number in range(5):
        await bury(kv, number)
        clock.advance(number % 2)  # some fail in the same millisecond
    assert [letter.value for letter in await kv.dlq.list()] == [4, 3, 2, 1, 0]
    page = await kv.dlq.list(limit=2, offset=1)
    assert [letter.value for letter in page] == [3, 2]
    for wrong in ({"limit": 0}, {"limit": True}, {"offset": -1}):
        with pytest.raises(InvalidInput):
            await kv.dlq.list(**wrong)


async def test_a_requeued_letter_keeps_schedule_and_keys(kv: LocalKv, clock: FakeClock) -> None:
    await kv.enqueue("x", backoff_schedule=[50], keys_if_undelivered=[["dead"]])
    await kv.nack_message(await take(kv))
    clock.advance(50)
    await kv.nack_message(await take(kv))
    (letter,) = await kv.dlq.list()
    new_id = (await kv.dlq.requeue(letter.id)).id
    assert await states(kv) == (1, 0, 0)
    await kv.delete(["dead"])
    message = await take(kv)
    assert (message.id, message.value, message.attempts) == (new_id, "x", 1)
    assert new_id not in (letter.id, letter.original_id)
    await kv.nack_message(message)
    clock.advance(49)
    assert await kv.dequeue() is None
    clock.advance(1)
    await kv.nack_message(await take(kv))
    assert (await kv.get(["dead"])).value == "x"
    (letter,) = await kv.dlq.list()
    assert (letter.original_id, letter.attempts) == (new_id, 2)


@pytest.mark.engines("sqlite", "odd")
async def test_weakness_14_a_failed_requeue_leaves_everything_as_it_was(
    kv: LocalKv, world: World
) -> None:
    letter = await bury(kv, 1)
    await world.adapter.execute(
        "CREATE TRIGGER refuse BEFORE DELETE ON kv_dlq BEGIN SELECT raise(ABORT, 'full'); END"
    )
    with pytest.raises(Exception, match="full"):
        await kv.dlq.requeue(letter)
    assert await states(kv) == (0, 0, 1)
    assert await kv.dequeue() is None
    await world.adapter.execute("DROP TRIGGER refuse")
    await kv.dlq.requeue(letter)
    assert await states(kv) == (1, 0, 0)


async def test_letters_can_be_deleted(kv: LocalKv) -> None:
    first = await bury(kv, 1)
    await bury(kv, 2)
    await bury(kv, 3)
    await kv.dlq.delete(first)
    await kv.dlq.delete(first)
    assert await kv.dlq.get(first) is None
    with pytest.raises(LetterNotFound):
        await kv.dlq.requeue(first)
    assert (await kv.dlq.purge()).deleted_count == 2
    assert (await kv.dlq.purge()).deleted_count == 0
    assert await states(kv) == (0, 0, 0)

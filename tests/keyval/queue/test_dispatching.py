"""Who gets which message, and what happens to what a listener leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from buntime_database import DatabaseBusy
from buntime_plugin_keyval.engine import loop as loop_module
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.queue.listener import READ_AHEAD, Listener
from buntime_plugin_keyval.features.queue.queue import MOST_LOOKED_AT
from buntime_plugin_keyval.model.errors import TooManyStreams
from buntime_plugin_keyval.model.messages import LeasedMessage
from keyval.queue.test_queue_messages import LEASE_MS, states
from keyval.service.world import FakeClock, World, open_world, until
from support.waiting import PATIENCE


async def take(listener: Listener) -> LeasedMessage:
    async with asyncio.timeout(PATIENCE):
        message = await listener.next()
    assert message is not None
    return message


async def test_waiting_listeners_share_what_comes(kv: LocalKv, world: World) -> None:
    listeners = [world.service.dispatcher.attach(prefetch=5) for _ in range(4)]
    waiting = [asyncio.create_task(take(listener)) for listener in listeners]
    await asyncio.sleep(0)
    await asyncio.gather(*(kv.enqueue(number) for number in range(4)))
    got = await asyncio.gather(*waiting)
    assert sorted(message.value for message in got) == ["0", "1", "2", "3"]


async def test_one_listener_gets_them_in_order(kv: LocalKv, world: World) -> None:
    for number in range(100):
        await kv.enqueue(number)
    listener = world.service.dispatcher.attach()
    assert [int((await take(listener)).value) for _ in range(100)] == list(range(100))


@pytest.mark.parametrize("prefetch", [1, 3])
async def test_no_more_than_the_prefetch_is_out(kv: LocalKv, world: World, prefetch: int) -> None:
    for number in range(10):
        await kv.enqueue(number)
    listener = world.service.dispatcher.attach(prefetch=prefetch)
    taken = [await take(listener) for _ in range(prefetch)]
    assert await listener.next(0.2) is None
    assert await states(kv) == (10 - prefetch, prefetch, 0)
    await kv.ack_message(taken[0].id)
    taken.append(await take(listener))
    await kv.nack_message(taken[1].id)
    taken.append(await take(listener))
    assert len({message.id for message in taken}) == prefetch + 2


async def test_nothing_is_leased_to_a_listener_that_does_not_wait(
    kv: LocalKv, world: World
) -> None:
    listener = world.service.dispatcher.attach(prefetch=10)
    for number in range(5):
        await kv.enqueue(number)
    other = world.service.dispatcher.attach(prefetch=10)
    for _ in range(5):
        await take(other)
    assert listener.capacity == 0


async def test_a_lease_that_ran_out_frees_the_listener(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await kv.enqueue("forgotten")
    listener = world.service.dispatcher.attach(prefetch=1)
    first = await take(listener)
    listener.sent()
    clock.advance(LEASE_MS)
    second = await take(listener)
    assert (second.id, second.attempts) == (first.id, 2)


async def test_an_ack_of_a_redelivered_message_frees_the_one_who_has_it(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await kv.enqueue("x")
    await kv.enqueue("y")
    slow = world.service.dispatcher.attach(prefetch=2)
    await take(slow)
    await take(slow)
    slow.sent()
    clock.advance(LEASE_MS)
    quick = world.service.dispatcher.attach(prefetch=1)
    message = await take(quick)
    await kv.ack_message(message.id)
    assert (await take(quick)).id != message.id


async def test_a_redelivered_message_is_no_more_with_the_one_who_had_it(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await kv.enqueue("x")
    slow = world.service.dispatcher.attach(prefetch=1)
    await take(slow)
    slow.sent()
    world.service.dispatcher._next_check = float("inf")  # nobody looks, so the lease itself tells
    clock.advance(LEASE_MS)
    quick = world.service.dispatcher.attach(prefetch=1)
    message = await take(quick)
    quick.sent()
    assert slow.unsettled() == []
    assert [held.id for held in quick.unsettled()] == [message.id]


async def test_a_foreign_ack_is_seen_however_much_goes_on_here(
    kv: LocalKv, world: World, tmp_path: Path
) -> None:
    await kv.enqueue("x")
    await kv.enqueue("y")
    listener = world.service.dispatcher.attach(prefetch=1)
    message = await take(listener)
    listener.sent()

    async def keep_busy() -> None:
        while True:
            world.service.dispatcher.wake()
            await asyncio.sleep(0)

    busy = asyncio.create_task(keep_busy())
    async with open_world(tmp_path / "kv.db", world.clock) as other:
        await other.kv.ack_message(message.id)
    assert (await take(listener)).value == '"y"'
    busy.cancel()


async def test_weakness_16_one_commit_leases_as_many_as_can_be_sent(
    kv: LocalKv, world: World
) -> None:
    count = 6 * READ_AHEAD
    for number in range(count):
        await kv.enqueue(number)
    assert "queue_dequeue" not in world.service.store.recorder.totals
    listener = world.service.dispatcher.attach()
    assert [int((await take(listener)).value) for _ in range(count)] == list(range(count))
    leases = world.service.store.recorder.totals["queue_dequeue"].count
    assert leases <= count / 4


async def test_a_delayed_message_wakes_a_listener(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    listener = world.service.dispatcher.attach()
    await kv.enqueue("later", delay=1000)
    assert await listener.next(0.1) is None
    clock.advance(1000)
    assert (await take(listener)).value == '"later"'


async def test_there_is_a_limit_to_listeners(kv: LocalKv, world: World) -> None:
    world.service.dispatcher.shares.most = 2
    first, _ = (world.service.dispatcher.attach() for _ in range(2))
    with pytest.raises(TooManyStreams, match=r"queue\.maxListeners is 2"):
        world.service.dispatcher.attach()
    first.close()
    world.service.dispatcher.attach()


@pytest.mark.parametrize("method", ["next_visible", "next_exhausted", "lease"])
async def test_a_failing_database_does_not_end_delivery(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(loop_module, "RETRY_SECONDS", 0.01)
    failures = 0

    async def fail(*args: Any, **options: Any) -> Any:
        nonlocal failures
        failures += 1
        raise DatabaseBusy("locked")

    listener = world.service.dispatcher.attach(prefetch=1)
    with monkeypatch.context() as patch:
        patch.setattr(world.service.queue, method, fail)
        await kv.enqueue(1)
        waiting = asyncio.create_task(take(listener))
        await until(lambda: failures > 2)
    assert (await waiting).value == "1"


async def test_weakness_15_an_idle_listener_costs_no_writes(kv: LocalKv, world: World) -> None:
    listener = world.service.dispatcher.attach()
    await listener.next(0.05)
    commits = 0
    original = world.adapter.batch_each

    async def count(batches: Any) -> Any:
        nonlocal commits
        commits += 1
        return await original(batches)

    world.adapter.batch_each = count  # type: ignore[method-assign]
    started = time.monotonic()
    assert await listener.next(0.4) is None
    assert time.monotonic() - started >= 0.4
    assert commits == 0
    await kv.enqueue(1)
    assert commits >= 1  # it does count them


@pytest.mark.parametrize("can_tell", [True, False], ids=["tells of commits", "has to be asked"])
async def test_listeners_of_many_queues_ask_what_they_must(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, can_tell: bool
) -> None:
    """Nothing while nobody commits, where the engine says so; else one thing for all of them."""
    looks = 0
    version = world.adapter.data_version

    def look() -> int | None:
        nonlocal looks
        looks += 1
        return version() if can_tell else None

    monkeypatch.setattr(world.store, "data_version", look)
    listeners = [world.service.dispatcher.attach(f"q{number}") for number in range(10)]
    waiting = [asyncio.create_task(take(listener)) for listener in listeners]
    await until(lambda: looks >= 3)
    asked: list[str] = []
    together: list[Sequence[str]] = []
    queue = world.service.queue
    next_visible, with_messages = queue.next_visible, queue.with_messages

    async def ask(name: str) -> int | None:
        asked.append(name)
        return await next_visible(name)

    async def ask_together(names: Sequence[str]) -> list[str]:
        together.append(names)
        return await with_messages(names)

    monkeypatch.setattr(queue, "next_visible", ask)
    monkeypatch.setattr(queue, "with_messages", ask_together)
    looks = 0
    await until(lambda: looks >= 5)
    assert asked == []
    assert len(together) <= (0 if can_tell else looks)
    for number in range(5):  # what they do not wait for
        await world.kv.set(("a", number), number)
        wanted = looks + 2
        await until(lambda wanted=wanted: looks >= wanted)  # type: ignore[misc]
    assert asked == []
    assert len(together) >= 2
    assert all(len(names) == len(listeners) for names in together)
    async with open_world(tmp_path / "kv.db", world.clock) as other:
        for number in range(len(listeners)):
            await other.kv.enqueue(number, queue=f"q{number}")
    assert [(await task).value for task in waiting] == [str(n) for n in range(len(listeners))]


@pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")
async def test_one_look_says_which_queues_have_messages(world: World) -> None:
    names = ["a", "b", "B", "b ", "quoted \" ' \\", "öäü €😀"]
    queue = world.service.queue
    assert await queue.with_messages(names) == []
    await world.kv.enqueue("without a name")
    await world.kv.enqueue("without a name", priority=1)
    there = names[1::2]
    for name in (*there, "another"):
        await world.kv.enqueue(1, queue=name)
        await world.kv.enqueue(1, queue=name, delay=1000)
    assert sorted(await queue.with_messages(names)) == sorted(there)
    many = [f"{number}" for number in range(MOST_LOOKED_AT)]
    assert await queue.with_messages([*many, *there[:1]]) == there[:1]


async def test_an_empty_queue_is_looked_at_when_something_comes(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when messages come that nobody here takes, nor when a listener goes on to wait."""
    dispatcher = world.service.dispatcher
    steps: list[str] = []
    deliver = dispatcher._deliver

    async def counted(line: Any) -> int | None:
        steps.append(line.queue)
        return await deliver(line)

    monkeypatch.setattr(dispatcher, "_deliver", counted)
    dispatcher.start()
    await until(lambda: steps == [""])
    for _ in range(3):
        await kv.enqueue("for a poll")
    assert steps == [""]
    assert [(await kv.dequeue()) is not None for _ in range(3)] == [True] * 3

    listener = dispatcher.attach("named", prefetch=2)
    assert await listener.next(0.01) is None
    await until(lambda: "named" in steps)
    # What other processes may have done is looked for apart from that.
    monkeypatch.setattr(dispatcher, "_next_check", float("inf"))
    steps.clear()
    for _ in range(3):
        assert await listener.next(0.01) is None
    assert steps == []
    await kv.enqueue(1, queue="named")
    first = await take(listener)
    await kv.enqueue(2, queue="named")
    second = await take(listener)
    await kv.enqueue(3, queue="named")
    assert await listener.next(0.01) is None
    await kv.ack_message(first.id)
    assert [first.value, second.value, (await take(listener)).value] == ["1", "2", "3"]

"""A delivery counts once somebody was given the message, not because of a server that died."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Batch, DatabaseError, DatabaseUnavailable, ResultSet
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.messages import LeasedMessage
from buntime_plugin_keyval.storage.dialects.queue import MAX_UNSURE
from keyval.queue.test_dispatching import take
from keyval.queue.test_queue_messages import LEASE_MS, drain, states
from keyval.service.world import NOW_MS, FakeClock, World, until
from support.api import api_of
from support.live import DEFAULT_PLUGINS, live_server
from support.sse import event_stream
from support.waiting import PATIENCE

Join = Callable[[FakeClock], AbstractAsyncContextManager[World]]

LARGE = "x" * 9_000_000


@pytest.fixture
async def next_server(world: World, join_store: Join) -> AsyncIterator[World]:
    """One that starts when the leases of the first one have run out."""
    async with join_store(FakeClock(NOW_MS + LEASE_MS)) as opened:
        yield opened
        await opened.service.close()


async def lease(world: World, limit: int = 10) -> list[LeasedMessage]:
    """Messages that nobody was given yet."""
    return await world.service.queue.lease(limit)


async def counts(world: World) -> list[tuple[Any, ...]]:
    return await world.rows("SELECT attempts, counted FROM kv_queue ORDER BY seq")


async def test_what_a_dead_server_gave_to_nobody_does_not_count(
    kv: LocalKv, world: World, next_server: World
) -> None:
    for value in ("once", "again"):
        await kv.enqueue(value, backoff_schedule=[] if value == "once" else [0])
    assert [message.attempts for message in await lease(world)] == [1, 1]
    again = await lease(next_server)
    assert [(message.value, message.attempts) for message in again] == [
        ('"once"', 1),
        ('"again"', 1),
    ]


async def test_what_somebody_was_given_counts_in_the_end(
    kv: LocalKv, world: World, next_server: World
) -> None:
    await kv.enqueue("once", backoff_schedule=[])
    await kv.enqueue("again", backoff_schedule=[0])
    assert await drain(kv) == ["once", "again"]

    async def counted() -> bool:
        return await counts(world) == [(1, 1), (1, 1)]

    await until(counted)
    (message,) = await lease(next_server)
    assert (message.value, message.attempts) == ('"again"', 2)
    assert await lease(next_server) == []
    (letter,) = await next_server.kv.dlq.list()
    assert (letter.value, letter.attempts) == ("once", 1)


async def test_a_lease_that_ran_out_here_counts_at_once(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await kv.enqueue("m", backoff_schedule=[0])
    for attempts in (1, 2):
        (message,) = await lease(world)
        assert message.attempts == attempts
        world.service.queue.given(message)
        clock.advance(LEASE_MS)
    assert await lease(world) == []
    assert await states(kv) == (0, 0, 1)


async def test_a_listener_gets_nothing_that_others_may_have_by_now(
    kv: LocalKv, world: World, clock: FakeClock, other: World
) -> None:
    """The server stood still, or nobody read, while the leases ended."""
    for number in range(3):
        await kv.enqueue(number)
    listener = world.service.dispatcher.attach(prefetch=3)
    assert [await take(listener) for _ in range(1)]
    clock.advance(LEASE_MS)
    assert [(m.value, m.attempts) for m in await lease(other, 2)] == [("0", 1), ("1", 1)]
    # What nobody else has comes once more, under a new lease.
    message = await take(listener)
    assert (message.value, message.attempts) == ("2", 1)
    assert message.ends_at_ms > clock.now()
    assert await listener.next(0.2) is None


@pytest.mark.parametrize("stops", [1, 2, 100])
async def test_a_poll_gets_nothing_that_others_may_have_by_now(
    kv: LocalKv, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, stops: int
) -> None:
    await kv.enqueue("m")
    commit = world.adapter.batch_each
    stopped: list[int] = []

    async def stopping(batches: Any) -> Any:
        told = await commit(batches)
        if len(stopped) < stops:
            stopped.append(1)
            clock.advance(LEASE_MS)
        return told

    monkeypatch.setattr(world.adapter, "batch_each", stopping)
    message = await kv.dequeue()
    if stops == 100:
        assert message is None  # it is not tried for ever
        monkeypatch.undo()
        message = await kv.dequeue()
    assert message is not None
    assert message.attempts == 1
    await kv.ack_message(message)
    assert await states(kv) == (0, 0, 0)


async def test_what_is_settled_soon_costs_nothing(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    commit = world.adapter.batch_each

    async def noted(batches: Any) -> Any:
        written.extend(step.sql for batch in batches for step in batch.steps)
        return await commit(batches)

    monkeypatch.setattr(world.adapter, "batch_each", noted)
    for number in range(5):
        await kv.enqueue(number)
        message = await kv.dequeue()
        assert message is not None
        await kv.ack_message(message)
    await kv.enqueue("kept")
    await kv.dequeue()

    async def counted() -> bool:
        return await counts(world) == [(1, 1)]

    await until(counted)
    assert len(written) == 3 * 5 + 3


@pytest.mark.parametrize("is_counted", [False, True])
async def test_each_end_knows_whether_the_delivery_counts_already(
    kv: LocalKv, world: World, is_counted: bool
) -> None:
    names = ("nacked", "last", "released", "unsent", "unsettled", "last unsettled", "extended")
    for name in names:
        await kv.enqueue(name, backoff_schedule=[] if "last" in name else [0, 0])
    messages = {message.value[1:-1]: message for message in await lease(world)}
    assert tuple(messages) == names
    if is_counted:
        for message in messages.values():
            world.service.queue.given(message)

        async def counted() -> bool:
            return await counts(world) == [(1, 1)] * len(names)

        await until(counted)
    queue = world.service.queue
    for name in ("nacked", "last"):
        await queue.nack(messages[name].id, lease=messages[name].lease)
    await queue.release(messages["released"].id, messages["released"].lease)
    await queue.give_back([messages["unsent"]], [messages["unsettled"], messages["last unsettled"]])
    await queue.extend(messages["extended"].id)
    assert await world.rows(
        "SELECT value, attempts, lease IS NOT NULL FROM kv_queue ORDER BY seq"
    ) == [
        ('"nacked"', 1, 0),
        ('"released"', 0, 0),
        ('"unsent"', 0, 0),
        ('"unsettled"', 1, 0),
        ('"last unsettled"', 1, 1),
        ('"extended"', 1, 1),
    ]
    (letter,) = await kv.dlq.list()
    assert (letter.value, letter.attempts) == ("last", 1)


async def test_a_message_that_kills_each_server_comes_to_an_end(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await kv.enqueue("poison", backoff_schedule=[0], keys_if_undelivered=[["lost"]])
    deliveries = 0
    while await lease(world):  # and nobody is left to say who was given it
        deliveries += 1
        clock.advance(LEASE_MS)
    assert deliveries == MAX_UNSURE + 1 + 2
    (letter,) = await kv.dlq.list()
    assert letter.attempts == 2
    assert (await kv.get(["lost"])).value == "poison"


async def test_a_server_that_ends_counts_what_it_gave(
    kv: LocalKv, world: World, next_server: World
) -> None:
    await kv.enqueue("m", backoff_schedule=[0])
    await kv.dequeue()
    await world.service.close()
    (message,) = await lease(next_server)
    assert message.attempts == 2


@pytest.mark.slow
async def test_counting_goes_on_after_the_database_was_away(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kv.enqueue("m")
    await kv.dequeue()
    commit = world.adapter.batch_each
    failures: list[list[Batch]] = []

    async def failing(batches: list[Batch]) -> list[list[ResultSet] | DatabaseError]:
        monkeypatch.setattr(world.adapter, "batch_each", commit)
        failures.append(batches)
        return [DatabaseUnavailable("away")] * len(batches)

    monkeypatch.setattr(world.adapter, "batch_each", failing)

    async def counted() -> bool:
        return await counts(world) == [(1, 1)]

    await until(counted)
    assert failures


@pytest.mark.slow
def test_a_server_that_is_killed_loses_no_message_that_it_gave_to_nobody(tmp_path: Path) -> None:
    plugins = [DEFAULT_PLUGINS[0], [DEFAULT_PLUGINS[1], {"queue": {"lockDuration": "1s"}}]]
    seen: set[int] = set()
    sent = 0
    for _ in range(3):
        with live_server(tmp_path, {"plugins": plugins}) as server:
            with api_of(server.api) as api:
                for number in range(8):
                    value = [sent, LARGE if number == 1 else ""]
                    body = {"value": value, "options": {"backoffSchedule": []}}
                    api.json("POST", "/queue/enqueue", body)
                    sent += 1
            # All are leased at once, and the large one fits into no buffer.
            with event_stream(server.api, "/queue/listen", receive_buffer=65536) as stream:
                event = stream.next()
                assert event is not None
                seen.add(event.data["value"][0])
                server.kill()
                with contextlib.suppress(AssertionError, OSError):  # the end of what was written
                    while event := stream.next():
                        seen.add(event.data["value"][0])
    with live_server(tmp_path) as server, api_of(server.api) as api:
        deadline = time.monotonic() + PATIENCE
        while api.json("GET", "/queue/stats")["total"] - api.json("GET", "/queue/stats")["dlq"]:
            assert time.monotonic() < deadline
            message = api.json("GET", "/queue/poll")["message"]
            if message is not None:
                seen.add(message["value"][0])
                api.json("POST", "/queue/ack", {"id": message["id"]})
        # One by one: the large ones are more together than an answer may be.
        pages = (
            f"/queue/dlq?limit=1&offset={n}" for n in range(api.json("GET", "/queue/stats")["dlq"])
        )
        letters = {api.json("GET", page)[0]["value"][0] for page in pages}
    assert letters <= seen
    assert seen == set(range(sent))

"""Looks for foreign commits are seldom while nobody writes, where the database tells of writes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from functools import partial

import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.engine import rest
from buntime_plugin_keyval.engine.rest import Rest
from buntime_plugin_keyval.faces.local.queue import message_of
from buntime_plugin_keyval.features.locks import waiting
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from keyval.service.world import World, until

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux gives word of writes here"
)

FOR_EVER = 3600.0
"""Nobody waits for a look that comes then."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of loops that found everything still; they rest as soon as they may, and for ever."""
    taken: list[float] = []
    original = Rest.pause

    def pause(self: Rest, seconds: float) -> float:
        taken.append(original(self, seconds))
        return taken[-1]

    monkeypatch.setattr(Rest, "pause", pause)
    monkeypatch.setattr(rest, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(rest, "REST_SECONDS", FOR_EVER)
    return taken


def has_rested(pauses: list[float]) -> bool:
    """Whether the last look found everything still, and the next one is far away."""
    return bool(pauses) and pauses[-1] > 10


async def test_watchers_of_a_database_that_rests_are_told_of_foreign_commits(
    world: World, other: World, pauses: list[float]
) -> None:
    watcher = await world.service.watches.watch(WatchTarget.of_prefix(("a",)))
    for number in range(3):
        await until(partial(has_rested, pauses))
        await other.kv.set(["a", number], number)
        assert await watcher.wait(FOR_EVER)
        assert len(watcher.take(10).states()) == 1
        pauses.clear()
    watcher.close()


async def test_followers_of_the_log_are_told_as_well(
    world: World, other: World, pauses: list[float]
) -> None:
    begin = await world.kv.engine.position()
    async with aclosing(world.kv.engine.follow(begin)) as changes:  # type: ignore[type-var]
        for number in range(3):
            coming = asyncio.ensure_future(anext(changes))
            await until(partial(has_rested, pauses))
            await other.kv.set(["a", number], number)
            assert (await coming).key == encode_key(("a", number))
            pauses.clear()


async def test_listeners_are_given_foreign_messages(
    world: World, other: World, pauses: list[float]
) -> None:
    listener = world.service.dispatcher.attach(prefetch=1)
    for number in range(3):
        await until(partial(has_rested, pauses))
        await other.kv.enqueue(number)
        message = await listener.next()
        assert message is not None
        assert message.value == str(number)
        await world.kv.ack_message(message_of(message, ""))
        pauses.clear()


async def test_runners_are_given_foreign_tasks(
    world: World, other: World, pauses: list[float]
) -> None:
    for number in range(3):
        coming = asyncio.create_task(world.kv.tasks.lease("runner", ["a"], wait="1m"))
        await until(partial(has_rested, pauses))
        sent = await other.kv.tasks.send("a", number)
        assert [run.id for run in await coming] == [sent.id]
        pauses.clear()


async def test_who_waits_for_a_lock_gets_it_when_another_process_lets_it_go(
    world: World, other: World, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REFRESH_SECONDS", FOR_EVER)
    held = await other.kv.locks.acquire("a", "first", duration="1h")
    coming = asyncio.create_task(world.kv.locks.acquire("a", "second", wait="1m"))
    await until(partial(has_rested, pauses))
    await other.kv.locks.release("a", "first", token=held.token)
    assert (await coming).token != held.token

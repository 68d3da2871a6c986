"""Looks for foreign commits are seldom while nobody writes, where the database tells of writes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing

import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.engine import rest
from buntime_plugin_keyval.engine.rest import Rest
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


async def test_watchers_of_a_database_that_rests_are_told_of_foreign_commits(
    world: World, other: World, pauses: list[float]
) -> None:
    watcher = await world.service.watches.watch(WatchTarget.of_prefix(("a",)))
    for number in range(3):
        await until(lambda: pauses[-1:] == [FOR_EVER])
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
            await until(lambda: pauses[-1:] == [FOR_EVER])
            await other.kv.set(["a", number], number)
            assert (await coming).key == encode_key(("a", number))
            pauses.clear()

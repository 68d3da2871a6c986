"""Dead letters beyond `queue.dlqMaxAge`: deleted in bounded steps, and counted."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from buntime_host import OptionError
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.expiry import sweeper as sweeper_module
from buntime_plugin_keyval.service import KeyValService
from keyval.queue.test_dead_letters import bury
from keyval.service.world import FakeClock, World, until
from support.api import Api, api_of
from support.live import DEFAULT_PLUGINS, live_server
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

DAY_MS = 24 * 3600 * 1000


async def values_of(kv: LocalKv) -> list[Any]:
    return sorted(letter.value for letter in await kv.dlq.list())


@asynccontextmanager
async def sweeping(world: World, **options: Any) -> AsyncIterator[LocalKv]:
    """The sweeper as the plugin starts it, over the store of `world`."""
    service = KeyValService(parse_config({"cleanupInterval": 5, "queue": options}), world.store)
    service.sweeper.start()
    yield LocalKv(service)
    await service.sweeper.close()


async def test_weakness_46_old_letters_are_deleted_and_younger_ones_stay(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await bury(kv, 1)
    clock.advance(DAY_MS)
    await bury(kv, 2)
    async with sweeping(world, dlqMaxAge="2d") as swept:
        clock.advance(DAY_MS - 1)
        await kv.set(["expires"], 1, expires_in="1ms")
        clock.advance(1)

        async def first_is_gone() -> bool:
            return await values_of(kv) == [2]

        await until(first_is_gone)
        clock.advance(DAY_MS - 1)
        assert await values_of(kv) == [2]
        clock.advance(1)

        async def all_are_gone() -> bool:  # which is counted a moment later
            found = await swept.metrics.to_json()
            return bool(found["deadLetters"] == {"expired": 2})

        await until(all_are_gone)
        assert await values_of(kv) == []
        assert "keyval_queue_dlq_expired_total 2\n" in await swept.metrics.to_prometheus()


async def test_without_the_option_they_are_kept(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await bury(kv, 1)
    clock.advance(100 * 365 * DAY_MS)
    async with sweeping(world):
        await kv.set(["expires"], 1, expires_in="1ms")
        clock.advance(1)

        async def swept() -> bool:
            return await world.stored() == 0

        await until(swept)
        await kv.set(
            ["expires"], 1, expires_in="1ms"
        )  # a second round begins after the first ended
        clock.advance(1)
        await until(swept)
        assert await values_of(kv) == [1]


async def test_one_commit_deletes_a_bounded_number_oldest_first(
    kv: LocalKv, world: World, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await bury(kv, number)
        clock.advance(1)
    clock.advance(DAY_MS)
    letters = world.service.letters
    assert [await letters.expire(DAY_MS, 2) for _ in range(2)] == [2, 2]
    assert await values_of(kv) == [4]
    assert await letters.expire(DAY_MS, 2) == 1
    for number in range(5):
        await bury(kv, number)
    clock.advance(DAY_MS)
    monkeypatch.setattr(sweeper_module, "BATCH", 2)
    async with sweeping(world, dlqMaxAge=DAY_MS):

        async def gone() -> bool:
            return await values_of(kv) == []

        await until(gone)


async def test_a_letter_that_is_requeued_is_young_again(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    letter = await bury(kv, 1)
    clock.advance(DAY_MS)
    await kv.dlq.requeue(letter)
    message = await kv.dequeue()
    assert message is not None
    await kv.nack_message(message)
    assert await world.service.letters.expire(DAY_MS, 10) == 0
    assert await values_of(kv) == [1]


def test_in_a_running_server(tmp_path: Path) -> None:
    options = {"cleanupInterval": 20, "queue": {"dlqMaxAge": 50}}
    plugins = [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", options]]
    with live_server(tmp_path, {"plugins": plugins}) as server, api_of(server.api) as api:
        options = {"backoffSchedule": []}
        api.json("POST", "/queue/enqueue", {"value": 1, "options": options})
        message = api.json("GET", "/queue/poll")["message"]
        api.json("POST", "/queue/nack", {"id": message["id"]})
        wait_until_expired(api)
        assert api.json("GET", "/queue/dlq") == []


def wait_until_expired(api: Api) -> None:
    deadline = time.monotonic() + PATIENCE
    while api.json("GET", "/metrics")["deadLetters"] != {"expired": 1}:
        assert time.monotonic() < deadline, "the letter was not deleted"
        time.sleep(0.02)


@pytest.mark.parametrize("age", [-1, "old", True])
def test_wrong_ages_are_refused(age: Any) -> None:
    with pytest.raises(OptionError, match="dlqMaxAge"):
        parse_config({"queue": {"dlqMaxAge": age}})

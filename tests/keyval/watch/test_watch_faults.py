"""A database that fails, a log that is trimmed, a watcher that does not keep up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_database import DatabaseBusy
from buntime_keyval.wire import decode_key, encode_key
from buntime_plugin_keyval.engine import loop as loop_module
from buntime_plugin_keyval.features.watch import watcher as watcher_module
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.model.changes import Place
from buntime_plugin_keyval.storage import changelog
from keyval.service.world import World, until
from keyval.watch.following import Client, Gate, stored

pytestmark = [pytest.mark.engines("sqlite", "libsql"), pytest.mark.slow]


@pytest.mark.parametrize("method", ["newest_place", "news"])
async def test_a_failing_database_delays_foreign_changes_and_loses_none(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(loop_module, "RETRY_SECONDS", 0.02)
    client = Client(world)
    await client.connect()
    failures = 0

    async def fail(*args: Any, **options: Any) -> Any:
        nonlocal failures
        failures += 1
        raise DatabaseBusy("locked")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, method, fail)
        await other.kv.set(["k"], 1)
        await until(lambda: failures > 2)
    await client.read_all()
    assert client.known == await stored(world) != {}


async def test_a_watch_that_cannot_begin_leaves_nothing_behind(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await other.kv.set(("old", number), 1)
    hub = world.service.watches
    calls = 0
    original = world.store.newest_place

    async def fail_first(**options: Any) -> Place:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if calls == 1:
            raise DatabaseBusy("locked")
        return await original(**options)

    monkeypatch.setattr(world.store, "newest_place", fail_first)
    outcomes = await asyncio.gather(
        *(hub.watch(WatchTarget(prefixes=(b"",))) for _ in range(3)), return_exceptions=True
    )
    failed, second, third = outcomes
    assert isinstance(failed, DatabaseBusy)
    assert hub.watcher_count == 2
    await other.kv.set(["new"], 1)
    for watcher in (second, third):
        assert not isinstance(watcher, BaseException)
        assert await watcher.wait(15)
        keys = [decode_key(notice.state.key) for notice in watcher.take(100).notices]
        assert keys == [("new",)]  # nothing of before
        watcher.close()
    assert hub.watcher_count == 0


async def test_a_log_that_was_trimmed_unseen_means_looking_again(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20, 40):
        await world.kv.set(("k", number), number)
    client = Client(world, limit=100)
    await client.connect()
    assert len(client.known) == 20
    client.limit = 100
    gate = Gate(monkeypatch, world.store, "newest_place")
    await gate.reached.wait()
    for number in range(30):
        await other.kv.set(("k", number), number)
    await other.kv.delete(("k", 35))
    await changelog.trim_changes(other.store.db, keep=1, since_ms=2**60, limit=1000)
    gate.open.set()
    await client.read_all()
    assert client.known == await stored(world)
    assert len(client.known) == 39
    assert client.resets == 1


async def test_a_watcher_that_is_far_behind_gets_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "MAX_PENDING", 50)
    for number in range(100):
        await world.kv.set(("k", number), "old")
    client = Client(world, limit=20)
    await client.connect()
    for number in range(200):
        await world.kv.set(("k", number), "new")
    await world.kv.delete(("k", 7))
    assert len(client.known) == 20
    await client.read_all()
    wanted = await stored(world)
    assert {key: client.known.get(key) for key in wanted} == wanted
    assert encode_key(("k", 7)) not in client.known
    await client.leave()


async def test_what_is_pending_for_a_slow_watcher_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "MAX_PENDING_CHARS", 100_000)
    watcher = await world.service.watches.watch(WatchTarget(prefixes=(b"",)))
    for _ in range(100):
        await world.kv.set(["same"], "x" * 5000)
        assert not watcher.overrun  # one key, however often it changes
    for number in range(30):
        await world.kv.set(("k", number), "x" * 5000)
    assert watcher.overrun
    assert not watcher.has_pending()
    watcher.close()

"""No gap and no step back: snapshots, commits here and elsewhere, a failing database."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from buntime_database import DatabaseBusy
from buntime_keyval.wire import decode_key, encode_key
from buntime_plugin_keyval.storage import changelog
from buntime_plugin_keyval.watch import hub as hub_module
from buntime_plugin_keyval.watch import watcher as watcher_module
from buntime_plugin_keyval.watch.watcher import WatchTarget
from keyval.service.world import World, open_world, until
from keyval.watch.following import Client, stored


@pytest.fixture
async def other(world: World, tmp_path: Path) -> AsyncIterator[World]:
    """A second process on the same file, as far as the store can tell."""
    async with open_world(tmp_path / "kv.db", world.clock) as opened:
        yield opened


class Gate:
    """Stops a method of the store after it has read, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: Any, name: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        original = getattr(target, name)

        async def gated(*args: Any, **options: Any) -> Any:
            result = await original(*args, **options)
            self.reached.set()
            await self.open.wait()
            return result

        monkeypatch.setattr(target, name, gated)


async def test_a_foreign_change_is_told(world: World, other: World) -> None:
    client = Client(world)
    await client.connect()
    await other.kv.set(["a"], 1)
    await other.kv.set(["b"], 1)
    await other.kv.delete(["a"])
    await client.read_all()
    assert client.known == await stored(world)


@pytest.mark.parametrize("method", ["changes", "current"])
async def test_a_commit_here_overtakes_a_foreign_change_that_is_being_read(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.store, method)
    await other.kv.set(["k"], "foreign")
    await gate.reached.wait()
    await world.kv.set(["k"], "ours")
    await client.read()
    assert client.known == await stored(world)
    gate.open.set()
    await client.read_all()
    assert client.known == await stored(world)


@pytest.mark.parametrize("method", ["change_bounds", "changes", "current"])
async def test_a_failing_database_delays_foreign_changes_and_loses_none(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.02)
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
    original = world.store.change_bounds

    async def fail_first() -> tuple[int, int]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        if calls == 1:
            raise DatabaseBusy("locked")
        return await original()

    monkeypatch.setattr(world.store, "change_bounds", fail_first)
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
        keys = [decode_key(notice.state.key) for notice in watcher.take(100)]
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
    gate = Gate(monkeypatch, world.store, "change_bounds")
    await gate.reached.wait()
    for number in range(30):
        await other.kv.set(("k", number), number)
    await other.kv.delete(("k", 35))
    await changelog.trim_changes(other.adapter, keep=1, since_ms=2**60, limit=1000)
    gate.open.set()
    await client.read_all()
    assert client.known == await stored(world)
    assert len(client.known) == 39
    assert client.resets == 1


async def test_a_foreign_commit_is_one_event(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "LOG_PAGE", 10)
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.store, "change_bounds")
    await gate.reached.wait()
    for start in range(0, 40, 4):
        commit = other.kv.atomic()
        for number in range(start, start + 4):
            commit.set(["k", number], number)
        await commit.commit()
    gate.open.set()
    await client.read_all()
    assert client.known == await stored(world)
    assert sum(client.sizes) == 40
    assert [size % 4 for size in client.sizes] == [0] * len(client.sizes)


async def test_what_is_committed_during_the_snapshot_is_told_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.kv.set(["k"], 0)
    stamps = []
    original = world.store.list_rows

    async def meanwhile(*args: Any, **options: Any) -> Any:
        stamps.append((await world.kv.set(["k"], "before")).versionstamp)
        rows = await original(*args, **options)
        stamps.append((await world.kv.set(["k"], "after")).versionstamp)
        return rows

    monkeypatch.setattr(world.store, "list_rows", meanwhile)
    client = Client(world)
    await client.connect()
    await client.read_all()
    told = [stamp for _, stamp in client.told]
    assert told == stamps  # each once, none of them twice or the wrong way round


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
        assert len(watcher.take(0)) == 0
    for number in range(30):
        await world.kv.set(("k", number), "x" * 5000)
    assert watcher.overrun
    assert watcher.first_pending_seq() is None
    watcher.close()


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_watches_ends_with_what_is_there(
    world: World, other: World, seed: int
) -> None:
    """Writers here and elsewhere, clients that come, lose their connection and come again."""
    dice = random.Random(seed)
    done = asyncio.Event()

    async def write(writer: World, name: str) -> None:
        for _ in range(150):
            key = (name, dice.randrange(12))
            kind = dice.randrange(8)
            if kind == 0:
                await writer.kv.delete(key)
            elif kind == 1:
                await writer.kv.atomic().set(key, 1).set((name, "x"), 2).delete((name, 3)).commit()
            else:
                await writer.kv.set(key, dice.random())
            if dice.randrange(4) == 0:
                await asyncio.sleep(dice.random() / 100)
        if name == "foreign":
            await changelog.trim_changes(writer.adapter, keep=40, since_ms=2**60, limit=60)

    async def follow(limit: int) -> None:
        client = Client(world, limit=limit)
        clients.append(client)
        while not done.is_set():
            await client.connect()
            for _ in range(dice.randrange(1, 8)):
                await client.read()
            await client.leave()
        await client.connect()
        await client.read_all()
        await client.leave()

    clients: list[Client] = []
    followers = [asyncio.create_task(follow(limit)) for limit in (3, 100, 1000)]
    await asyncio.gather(write(world, "ours"), write(other, "foreign"))
    done.set()
    await asyncio.gather(*followers)
    wanted = await stored(world)
    for client in clients:
        # A snapshot of a prefix is bounded: the keys that it left out have not changed since.
        assert client.known.items() <= wanted.items()
        if client.limit >= 100:
            assert client.known == wanted
        last: dict[bytes, str] = {}
        for key, stamp in client.told:
            if stamp is not None:  # each key has one writer, so its stamps only grow
                assert stamp >= last.get(key, ""), "a state was taken back"
                last[key] = stamp

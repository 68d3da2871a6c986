"""No gap and no step back: snapshots, commits here and elsewhere, a failing database."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.features.watch.watcher import Watcher, WatchTarget
from buntime_plugin_keyval.storage import changelog, states
from keyval.service.world import World
from keyval.watch.following import Client, Gate, stored

pytestmark = [pytest.mark.engines("sqlite", "libsql"), pytest.mark.slow]
everywhere = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")


async def test_a_foreign_change_is_told(world: World, other: World) -> None:
    client = Client(world)
    await client.connect()
    await other.kv.set(["a"], 1)
    await other.kv.set(["b"], 1)
    await other.kv.delete(["a"])
    await client.read_all()
    assert client.known == await stored(world)


async def test_a_commit_here_does_not_overtake_a_foreign_one_that_is_being_read(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.store, "news")
    foreign = await other.kv.set(["k"], "foreign")
    await gate.reached.wait()
    ours = await world.kv.set(["k"], "ours")
    assert not await client.read()
    gate.open.set()
    await client.read_all()
    stamps = [foreign.versionstamp, ours.versionstamp]
    assert [stamp for _, stamp in client.told] in (stamps, stamps[1:])


async def test_a_commit_that_the_log_shows_first_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.adapter, "batch_each")
    writing = asyncio.create_task(world.kv.set(["k"], 1))
    await gate.reached.wait()  # committed, and not published
    while not await client.read():
        pass
    gate.open.set()
    await writing
    await client.read_all()
    assert len(client.told) == 1


async def test_a_commit_behind_a_foreign_one_is_told_behind_it(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.store, "newest_place")
    await gate.reached.wait()
    await other.kv.set(["foreign"], 1)
    await world.kv.set(["ours"], 1)  # before anybody here knows of the other one
    assert not await client.read()
    gate.open.set()
    await client.read_all()
    keys = [key for key, _ in client.told]
    assert keys == [encode_key(("foreign",)), encode_key(("ours",))]


async def test_what_the_snapshot_shows_is_not_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = world.service.watches.watch

    async def slow(target: WatchTarget) -> Watcher:
        watcher = await original(target)
        await world.kv.set(["k"], 1)  # noticed by the watcher, and then read
        return watcher

    monkeypatch.setattr(world.service.watches, "watch", slow)
    client = Client(world)
    await client.connect()
    await client.read_all()
    assert len(client.told) == 1


async def test_a_foreign_commit_is_one_event(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "LOG_PAGE", 10)
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.store, "newest_place")
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
    original = world.store.states

    async def meanwhile(*args: Any, **options: Any) -> Any:
        stamps.append((await world.kv.set(["k"], "before")).versionstamp)
        rows = await original(*args, **options)
        stamps.append((await world.kv.set(["k"], "after")).versionstamp)
        return rows

    monkeypatch.setattr(world.store, "states", meanwhile)
    client = Client(world)
    await client.connect()
    await client.read_all()
    told = [stamp for _, stamp in client.told]
    assert told == stamps  # each once, none of them twice or the wrong way round


async def test_a_snapshot_that_is_ahead_of_the_commits_is_not_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing: list[asyncio.Task[Any]] = []
    original = world.store.states
    gates: list[Gate] = []

    async def meanwhile(*args: Any, **options: Any) -> Any:
        await world.kv.set(["k"], "first")  # told before anybody reads
        gates.append(Gate(monkeypatch, world.adapter, "batch_each"))
        writing.append(asyncio.create_task(world.kv.set(["k"], "second")))
        await gates[0].reached.wait()  # committed, and not published
        return await original(*args, **options)

    monkeypatch.setattr(world.store, "states", meanwhile)
    client = Client(world)
    await client.connect()
    await client.read()
    gates[0].open.set()
    second = (await writing[0]).versionstamp
    await client.read_all()
    assert [stamp for _, stamp in client.told] == [second]


@everywhere
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
            await changelog.trim_changes(writer.store.db, keep=40, since_ms=2**60, limit=60)

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

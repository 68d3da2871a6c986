"""`kv.watch`: what is there, what changes, what goes away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import AsyncWatch, BigInt, InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.model.errors import TooManyStreams
from keyval.service.world import FakeClock, World, exact, until
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "odd", "libsql", "rqlite", "postgres")


async def event(watch: AsyncWatch) -> list[tuple[Any, Any]]:
    """Keys and values of the next event; None as value of an entry that is gone."""
    async with asyncio.timeout(PATIENCE):
        entries = await anext(watch)
    for entry in entries:
        assert (entry.versionstamp is None) == (entry.value is None)
    return [(entry.key, entry.value) for entry in entries]


async def running(world: World, watch: AsyncWatch, count: int = 1) -> asyncio.Task[Any]:
    """Ask for the next event, and let the watch begin."""
    task = asyncio.create_task(event(watch))
    hub = world.service.watches
    await until(lambda: hub.watcher_count == count and hub.place is not None)
    await asyncio.sleep(0.01)
    return task


async def test_keys_begin_with_what_they_hold(kv: LocalKv) -> None:
    await kv.set(["b"], 2)
    watch = kv.watch([["b"], ["a"], ["b"]], exact=True)
    assert await event(watch) == [(("b",), 2), (("a",), None)]
    await kv.set(["a"], 1)
    assert await event(watch) == [(("a",), 1)]
    await kv.delete(["b"])
    assert await event(watch) == [(("b",), None)]
    await watch.stop()


async def test_one_key(kv: LocalKv) -> None:
    watch = kv.watch(("a", 1), exact=True)
    assert await event(watch) == [(("a", 1), None)]
    await kv.set(("a", "1"), "another")
    await kv.set(("a", 1, "child"), "another")
    await kv.set(("a", 1), "this")
    assert await event(watch) == [(("a", 1), "this")]
    await watch.stop()


async def test_a_key_is_watched_with_its_descendants(kv: LocalKv) -> None:
    for key in (("p",), ("p", 2), ("p", 1), ("pp",), ("q", 1)):
        await kv.set(key, key)
    watch = kv.watch(["p"])
    first = await event(watch)
    assert first == [(("p",), ["p"]), (("p", 1), ["p", 1]), (("p", 2), ["p", 2])]
    await kv.set(["p"], "itself")
    assert await event(watch) == [(("p",), "itself")]
    await kv.set(("pp", 1), "sibling")
    await kv.set(("p", 3, 4), "below")
    assert await event(watch) == [(("p", 3, 4), "below")]
    await watch.stop()


async def test_several_keys_with_their_descendants(kv: LocalKv) -> None:
    await kv.set(["a"], 0)
    await kv.set(("a", 1), 1)
    await kv.set(("b", 1), 2)
    await kv.set(("c", 1), 3)
    keys: list[Any] = [["b"], ["a"], ["a", 1]]
    watch = kv.watch(keys)
    assert await event(watch) == [(("a",), 0), (("a", 1), 1), (("b", 1), 2)]
    await kv.set(["b"], "itself")
    assert await event(watch) == [(("b",), "itself")]
    await watch.stop()


@pytest.mark.parametrize("exact_keys", [False, True])
async def test_weakness_19_without_the_initial_state_there_are_only_changes(
    kv: LocalKv, world: World, exact_keys: bool
) -> None:
    for key in (("a",), ("a", 1)):
        await kv.set(key, "old")
    watch = kv.watch(["a"], exact=exact_keys, emit_initial=False)
    waiting = await running(world, watch)
    assert not waiting.done()
    changed: tuple[Any, ...] = ("a",) if exact_keys else ("a", 1)
    await kv.set(changed, "new")
    assert await waiting == [(changed, "new")]
    await watch.stop()


async def test_weakness_22_the_limit_bounds_the_first_event_and_no_change(kv: LocalKv) -> None:
    for number in range(10):
        await kv.set(("p", number), number)
    watch = kv.watch(["p"], limit=3)
    assert await event(watch) == [(("p", number), number) for number in range(3)]
    await kv.set(("p", 9), "beyond the limit")
    assert await event(watch) == [(("p", 9), "beyond the limit")]
    await kv.set(("p", -1), "a smaller key")  # and no other one seems to be deleted
    assert await event(watch) == [(("p", -1), "a smaller key")]
    await kv.delete(("p", 8))
    assert await event(watch) == [(("p", 8), None)]
    await watch.stop()


@pytest.mark.slow
async def test_weakness_22_thousands_of_changes_beyond_the_limit_are_all_told(kv: LocalKv) -> None:
    watch = kv.watch(["p"], limit=100, emit_initial=False)
    first = asyncio.create_task(event(watch))
    await asyncio.sleep(0.05)
    for start in range(0, 3000, 500):
        commit = kv.atomic()
        for number in range(start, start + 500):
            commit.set(("p", number), number)
        await commit.commit()
    seen = dict(await first)
    while len(seen) < 3000:
        entries = await event(watch)
        assert len(entries) <= 100
        seen.update(entries)
    assert seen == {("p", number): number for number in range(3000)}
    await kv.delete(["p"])
    while any(value is not None for value in seen.values()):
        seen.update(await event(watch))
    assert len(seen) == 3000
    await watch.stop()


async def test_a_commit_is_one_event(kv: LocalKv, world: World) -> None:
    watch = kv.watch(["p"], limit=10, emit_initial=False)
    waiting = await running(world, watch)
    commits = []
    for start in (0, 6, 12):
        commit = kv.atomic()
        for number in range(start, start + 6):
            commit.set(("p", number), number)
        commits.append(commit.commit())
    await asyncio.gather(*commits)
    for start in (0, 6, 12):
        entries = await (waiting if start == 0 else event(watch))
        assert entries == [(("p", number), number) for number in range(start, start + 6)]
    await watch.stop()


KEYS: list[Any] = [1, "1", BigInt(1), b"1", b"\x00/,", True, 1.5, "a/b", "", "é,:"]


async def test_weakness_20_deleted_keys_keep_their_types(kv: LocalKv) -> None:
    for part in KEYS:
        await kv.set(("p", part), "x")
    watch = kv.watch(["p"])
    begun = [key for key, _ in await event(watch)]
    assert exact(sorted(begun, key=repr)) == exact(sorted([("p", p) for p in KEYS], key=repr))
    for part in KEYS:
        await kv.delete(("p", part), exact=True)
        ((key, value),) = await event(watch)
        assert (exact(key), value) == (exact(("p", part)), None)
    await watch.stop()


async def test_values_keep_their_types(kv: LocalKv) -> None:
    await kv.set(["v"], {"big": BigInt(5), "raw": b"\x00"})
    watch = kv.watch(["v"], exact=True)
    ((_, value),) = await event(watch)
    assert exact(value) == exact({"big": BigInt(5), "raw": b"\x00"})
    await watch.stop()


async def test_a_slow_watcher_gets_the_latest_state(kv: LocalKv) -> None:
    await kv.set(("p", 1), "first")
    watch = kv.watch(["p"])
    await event(watch)
    for number in range(50):
        await kv.set(("p", 1), number)
        await kv.set(("p", 2), number)
    await kv.delete(("p", 2))
    states: dict[Any, Any] = {}
    for _ in range(3):  # one waits, one is being handed over, and the rest is one
        states.update(await event(watch))
        if states == {("p", 1): 49, ("p", 2): None}:
            break
    assert states == {("p", 1): 49, ("p", 2): None}
    await watch.stop()


async def test_an_entry_that_expires_is_told(kv: LocalKv, world: World, clock: FakeClock) -> None:
    await kv.set(["a"], 1, expires_in="500ms")
    watch = kv.watch(["a"], exact=True)
    assert await event(watch) == [(("a",), 1)]
    clock.advance(500)
    await world.store.expire(100)
    assert await event(watch) == [(("a",), None)]
    await watch.stop()


async def test_an_entry_that_expired_unswept_is_missing_once(
    kv: LocalKv, world: World, clock: FakeClock
) -> None:
    await kv.set(["a"], 1, expires_in="500ms")
    clock.advance(500)
    watch = kv.watch(["a"], exact=True)
    assert await event(watch) == [(("a",), None)]
    await world.store.expire(100)
    await kv.set(["a"], 2)
    while (told := await event(watch)) != [(("a",), 2)]:
        assert told == [(("a",), None)]
    await watch.stop()


async def test_weakness_18_watched_keys_cost_no_query_each(
    kv: LocalKv, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And 15: for all watchers together one task asks, and only for the newest change."""
    targets = [WatchTarget.of_keys([(name, n) for n in range(50)]) for name in "abcdefgh"]
    watchers = [await world.service.watches.watch(target) for target in targets]
    asked: list[tuple[str, str]] = []
    original = world.adapter.query

    async def query(sql: str, *args: Any, **options: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        asked.append((task.get_name(), sql))
        return await original(sql, *args, **options)

    monkeypatch.setattr(world.adapter, "query", query)
    # As of an engine that does not say at once whether anybody has committed.
    monkeypatch.setattr(world.adapter, "data_version", lambda: None)
    await until(lambda: len(asked) >= 5)
    assert set(asked) == {("keyval-watch", world.store.sql.log.head)}
    assert [task.get_name() for task in asyncio.all_tasks()].count("keyval-watch") == 1
    for watcher in watchers:
        watcher.close()


async def test_closing_the_store_ends_watches(kv: LocalKv, world: World) -> None:
    waiting = await running(world, kv.watch(["a"], exact=True, emit_initial=False))
    await kv.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert world.service.watches.watcher_count == 0


async def test_there_is_a_limit_to_watchers(world: World) -> None:
    hub = world.service.watches
    hub.shares.most = 2
    first, _ = [await hub.watch(WatchTarget(keys=(b"k",))) for _ in range(2)]
    with pytest.raises(TooManyStreams, match=r"watch\.maxWatchers is 2"):
        await hub.watch(WatchTarget())
    first.close()
    await hub.watch(WatchTarget())


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ([], {}),
        ([None], {}),
        ([["a"], []], {}),
        (["a"], {"limit": 0}),
        (["a"], {"limit": True}),
        (["a"], {"mode": "sometimes"}),
        (["a"], {"poll_interval": "soon"}),
        (["a"], {"buffer_size": 0}),
        (["a"], {"overflow_strategy": "drop-all"}),
    ],
)
async def test_wrong_watches_are_refused(kv: LocalKv, key: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        kv.watch(key, **options)

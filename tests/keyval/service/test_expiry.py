"""From its very millisecond on, what has expired is missing for every operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from buntime_keyval import KvEntry
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.storage.ranges import descendants
from keyval.service.world import NOW_MS, FakeClock, World, values

pytestmark = pytest.mark.engines("sqlite", "libsql-replica", "postgres")

KEY = ("t", 1)
LIFE = 7


async def over_http(world: World) -> bool:
    page = await world.store.page_within(descendants(encode_key(("t",))), limit=5)
    text = await world.store.list_json(descendants(b""), limit=1000)
    assert bool(page.entries) is bool(text)
    return bool(text)


async def paged(world: World) -> bool:
    page = await world.kv.paginate(("t",), limit=1)
    assert not page.has_more
    return bool(page.entries)


async def read_by_a_transaction(world: World) -> bool:
    async def fn(tx: Any) -> bool:
        return bool((await tx.get(KEY)).exists)

    return bool((await world.kv.transaction(fn)).value)


async def read_beside_a_commit(world: World) -> bool:
    committed = await world.store.commit([], [], [encode_key(KEY)])
    assert committed is not None
    return bool(committed.rows)


READS: dict[str, Callable[[World], Awaitable[Any]]] = {
    "get": lambda world: _exists(world.kv.get(KEY)),
    "batch": lambda world: _exists(_first(world.kv.get([KEY]))),
    "list": lambda world: values(world.kv),
    "list with filter": lambda world: _listed(world.kv, where={"$": 5}),
    "list backwards": lambda world: _listed(world.kv, reverse=True, limit=3),
    "count": lambda world: world.kv.count(("t",)),
    "count with filter": lambda world: world.kv.count(where={"$": 5}),
    "page": paged,
    "http": over_http,
    "transaction": read_by_a_transaction,
    "commit": read_beside_a_commit,
}


async def _exists(entry: Awaitable[KvEntry[Any]]) -> bool:
    return (await entry).exists


async def _first(entries: Awaitable[list[KvEntry[Any]]]) -> KvEntry[Any]:
    return (await entries)[0]


async def _listed(kv: LocalKv, **options: Any) -> list[Any]:
    return [entry async for entry in kv.list(**options)]


@pytest.mark.parametrize("read", READS)
async def test_reads(world: World, read: str) -> None:
    await world.kv.set(KEY, 5, expires_in=f"{LIFE}ms")
    assert await READS[read](world)
    world.clock.advance(LIFE - 1)
    assert await READS[read](world)
    world.clock.advance(1)
    assert not await READS[read](world)
    assert await world.stored() == 1, "the sweeper has not come yet"


@pytest.mark.parametrize("gone", [False, True])
async def test_writes(world: World, gone: bool) -> None:
    kv = world.kv
    for name in ("sum", "max", "append", "set"):
        await kv.set((name,), [1] if name == "append" else 5, expires_in=f"{LIFE}ms")
    for name in ("deleted", "filtered", "batched"):
        await kv.set((name, 1), 5, expires_in=f"{LIFE}ms")
    world.clock.advance(LIFE if gone else LIFE - 1)
    assert (await kv.delete(("deleted",))).deleted_count == (0 if gone else 1)
    assert (await kv.delete(("filtered",), where={"$": 5})).deleted_count == (0 if gone else 1)
    assert (await kv.delete([("batched", 1)], exact=True)).deleted_count == (0 if gone else 1)
    absent = await kv.atomic().check((("set",), None)).set(("set",), 6).commit()
    assert absent.ok is gone
    await kv.atomic().sum(("sum",), 1).max(("max",), 2).append(("append",), [2]).commit()
    assert await values(kv, "sum") == {}
    got = [entry.value for entry in await kv.get([("sum",), ("max",), ("append",)])]
    assert got == ([1, 2, [2]] if gone else [6, 5, [1, 2]])
    world.clock.advance(1)  # a new entry has no end, an old one keeps its own
    assert (await kv.get(("sum",))).exists is gone


async def test_where_delete_does_not_see_what_has_expired(world: World) -> None:
    await world.kv.set(KEY, 5, expires_in=f"{LIFE}ms")
    await world.kv.set(("t", 2), 5)
    world.clock.advance(LIFE)
    assert (await world.kv.delete(("t",), where={"$": 5})).deleted_count == 1
    assert (await world.kv.delete([], everything=True)).deleted_count == 0


@pytest.mark.parametrize(
    ("life", "milliseconds"),
    [
        ("1ms", 1),
        ("0.2ms", 1),
        ("1.5ms", 2),
        ("500ms", 500),
        ("1.5s", 1500),
        ("1m", 60_000),
        (1000.2, 1001),
        (timedelta(microseconds=200), 1),
    ],
)
async def test_a_life_is_exact_to_the_millisecond(
    kv: LocalKv, clock: FakeClock, life: Any, milliseconds: int
) -> None:
    await kv.set(("set",), 1, expires_in=life)
    await kv.atomic().append(("append",), [1], expires_in=life).commit()
    clock.advance(milliseconds - 1)
    assert await kv.count() == 2
    clock.advance(1)
    assert await kv.count() == 0


async def test_a_set_without_life_makes_it_permanent(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(KEY, 1, expires_in=f"{LIFE}ms")
    await kv.set(KEY, 2)
    clock.advance(10**12)
    assert await values(kv) == {KEY: 2}


async def test_a_new_life_counts_from_its_own_write(kv: LocalKv, clock: FakeClock) -> None:
    for _ in range(5):
        await kv.set(KEY, 1, expires_in=f"{LIFE}ms")
        clock.advance(LIFE - 1)
    assert await kv.count() == 1
    clock.advance(1)
    assert await kv.count() == 0


async def test_an_endless_life_is_no_overflow(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(KEY, 1, expires_in=1e300)
    clock.now_ms = 10**15
    assert await kv.count() == 1


async def test_an_expired_key_comes_back_as_a_new_one(world: World) -> None:
    old = await world.kv.set(KEY, 1, expires_in=f"{LIFE}ms")
    world.clock.advance(LIFE)
    new = await world.kv.atomic().check((KEY, None)).set(KEY, 2, expires_in=f"{LIFE}ms").commit()
    assert new.versionstamp != old.versionstamp
    assert await world.store.expire(10) == 0, "what came back must not be swept"
    assert await world.rows("SELECT expires_at FROM kv_entries") == [(NOW_MS + 2 * LIFE,)]

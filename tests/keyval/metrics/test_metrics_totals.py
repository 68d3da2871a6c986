"""How much is stored: exact after every write, and without a look at every entry."""

from __future__ import annotations

import re
from typing import Any

import pytest
from buntime_keyval.wire import InvalidInput, encode_key
from buntime_plugin_keyval.engine.cursors import make_cursor
from buntime_plugin_keyval.engine.once import keyed
from buntime_plugin_keyval.model.errors import IdempotencyKeyReused
from buntime_plugin_keyval.storage.ranges import descendants
from buntime_plugin_keyval.storage.selection import POINT_LIMIT
from buntime_plugin_keyval.storage.within import Page
from keyval.service.world import World, until


async def totals(world: World) -> tuple[float, float]:
    made = (await world.service.report()).stored
    return made["entries_total"], made["storage_bytes"]


async def counted(world: World) -> tuple[int, int]:
    """The same by a look at every live entry."""
    sql = (
        "SELECT count(*), coalesce(sum(length(key) + length(CAST(value AS BLOB))), 0) "
        "FROM kv_entries WHERE expires_at IS NULL OR expires_at > ?"
    )
    ((entries, size),) = await world.rows(sql, world.clock())
    return entries, size


async def test_totals_follow_every_kind_of_write(world: World) -> None:
    assert await totals(world) == (0, 0)
    steps: list[Any] = [
        lambda: world.kv.set(["a"], "text"),
        lambda: world.kv.set(["a"], "longer text with é 🙂"),
        lambda: world.kv.set(["a"], 1),
        lambda: world.kv.set(["a"], 1, expires_in="100ms"),
        lambda: world.kv.atomic().set(["b", 1], {"x": 1}).set(["b", 2], {"x": 2}).commit(),
        lambda: world.kv.atomic().append(["l"], ["one"]).append(["l"], ["two"]).commit(),
        lambda: world.kv.delete(("b",), where={"x": 1}),
        lambda: world.kv.delete(("b",)),
        lambda: world.kv.delete([("l",), ("nothing",)]),
    ]
    for step in steps:
        await step()
        assert await totals(world) == await counted(world)
    assert await totals(world) == (1, 4)
    world.clock.advance(100)
    assert await totals(world) == (0, 0)  # expired, not removed yet
    assert await world.stored() == 1
    await world.store.expire(10)
    assert await totals(world) == (0, 0)
    assert await world.rows("SELECT entries, bytes FROM kv_totals") == [(0, 0)]


async def test_totals_after_the_sweeper(world: World) -> None:
    for number in range(50):
        await world.kv.set(["t", number], number, expires_in="50ms" if number % 2 else None)
    world.clock.advance(50)
    world.service.sweeper.start()

    async def swept() -> bool:
        return await world.stored() == 25

    await until(swept)
    await world.service.sweeper.close()
    assert await totals(world) == await counted(world)


async def test_no_metric_scans_a_table(world: World) -> None:
    asked: list[tuple[str, Any]] = []
    plain = world.adapter.query

    async def query(sql: str, args: Any = (), **options: Any) -> Any:
        asked.append((sql, args))
        return await plain(sql, args, **options)

    world.adapter.query = query  # type: ignore[method-assign]
    await world.kv.metrics.to_json()
    world.adapter.query = plain  # type: ignore[method-assign]
    assert len(asked) >= 4
    scans = set()
    for sql, args in asked:
        for row in await world.rows(f"EXPLAIN QUERY PLAN {sql}", *args):
            if (found := re.match(r"SCAN (kv_\w+)", row[3])) and "MIN/MAX" not in row[3]:
                scans.add((found[1], row[3]))
    # One row; a row for each index; rows of messages, through an index of those that count; and a
    # row for each queue that was told something, of the first hundred.
    small = {"kv_totals", "kv_indexes", "kv_queue", "kv_dlq", "kv_queues"}
    assert {name for name, _ in scans} <= small, scans


async def test_a_value_that_is_set_is_one_sample_however_it_ends(world: World) -> None:
    store = world.service.store
    key = encode_key(("a",))
    await store.set(key, '["a"]', "1")
    given_up = store.set(key, '["a"]', "2")
    given_up.cancel()
    once = keyed("key", b"set")
    assert await store.set(key, '["a"]', "3", once=once)
    with pytest.raises(IdempotencyKeyReused):
        await store.set(key, '["a"]', "4", once=keyed("key", b"another"))
    (samples,) = [of for name, of in store.recorder.totals.items() if name == "set"]
    assert (samples.count, samples.errors) == (4, 1)
    assert await store.get(key) is not None


async def test_a_page_is_one_sample_whichever_way_it_takes(world: World) -> None:
    store = world.service.store
    below = descendants(encode_key(("p",)))
    pages: list[Page] = []

    async def read_both(limit: int) -> bool:
        """Whether it comes at once."""
        last = pages[-1].last if pages and pages[-1].has_more else None
        cursor = None if last is None else make_cursor(last)
        soon = store.page_soon(below, limit=limit, cursor=cursor)
        is_there = isinstance(soon, Page)
        pages.append(soon if isinstance(soon, Page) else await soon)
        assert pages[-1] == await store.page_within(below, limit=limit, cursor=cursor)
        return is_there

    for number in range(3):
        await store.set(encode_key(("p", number)), f'["p",{number}]', f'"{number}"')
    assert await read_both(2)
    assert await read_both(2)
    assert [(page.number, page.has_more) for page in pages] == [(2, True), (1, False)]
    for number in range(3):
        await store.set(encode_key(("p", number)), f'["p",{number}]', f'"{"x" * 400_000}"')
    assert not await read_both(3)  # together they are too long for that
    assert not await read_both(POINT_LIMIT + 1)
    assert [page.number for page in pages[2:]] == [3, 3]
    with pytest.raises(InvalidInput, match="Invalid cursor"):
        store.page_soon(below, limit=2, cursor="?")
    (samples,) = [of for name, of in store.recorder.totals.items() if name == "paginate"]
    assert (samples.count, samples.errors) == (9, 1)

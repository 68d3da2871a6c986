"""Reading in process: get, batches, listing, counting, pages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput, KvMissing
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.storage.dialects.reads import READ_INLINE
from keyval.service.world import FakeClock, World, exact

pytestmark = pytest.mark.engines("sqlite", "libsql-replica")

MANY = 2_345
ORDERED: list[tuple[Any, ...]] = [
    (b"",), (b"\0",), (b"\0\0",), (b"\0\1",), (b"a",), (b"a", b""), (b"\xff",),
    ("",), ("", 1), ("\0",), ("a",), ("a", "b"), ("a", 1), ("a\0",), ("a\0b",), ("ab",),
    ("b",), ("é",), ("\uffff",), ("😀",),
    (-1e300,), (-100,), (-1.5,), (-1,), (0,), (0, 0), (1e-300,),
    (1,), (1.5,), (2,), (10,), (2**60,), (1e300,),
    (BigInt(-(2**2040)),), (BigInt(-256),), (BigInt(-255),), (BigInt(0),), (BigInt(1),),
    (BigInt(2**2040),),
    (False,), (True,), (True, True),
]  # fmt: skip


async def fill(kv: LocalKv, number: int) -> None:
    for start in range(0, number, 500):
        builder = kv.atomic()
        for index in range(start, min(start + 500, number)):
            builder.set(("n", index), index)
        await builder.commit()


async def test_get_gives_what_set_took(kv: LocalKv) -> None:
    @dataclass
    class Point:
        x: int

    taken: list[Any] = [
        None,
        True,
        0,
        -0.0,
        1.0,
        "",
        [],
        {},
        {"a": {"b": [1, None]}},
        BigInt(5),
        2**64,
    ]
    taken += [b"\0\xff", (1, 2), Point(3), {1: "x"}]
    given: list[Any] = [
        None,
        True,
        0,
        0,
        1,
        "",
        [],
        {},
        {"a": {"b": [1, None]}},
        BigInt(5),
        BigInt(2**64),
    ]
    given += [b"\0\xff", [1, 2], {"x": 3}, {"1": "x"}]
    for index, value in enumerate(taken):
        await kv.set(("v", index), value)
    entries = await kv.get([("v", index) for index in range(len(taken))])
    assert [exact(entry.value) for entry in entries] == exact(given)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800", {"a": {1j}}])
async def test_what_json_cannot_hold_is_refused(kv: LocalKv, value: Any) -> None:
    with pytest.raises(InvalidInput):
        await kv.set(("a",), value)
    with pytest.raises(InvalidInput):
        kv.atomic().set(("a",), value)
    assert await kv.count() == 0


async def test_a_missing_key_is_an_entry_without_versionstamp(kv: LocalKv) -> None:
    assert await kv.get(("a", 1.0)) == KvMissing(("a", 1), None, None)
    assert not (await kv.get(("a",))).exists


async def test_a_batch_keeps_order_and_repeats(kv: LocalKv) -> None:
    await kv.set(("a",), 1)
    await kv.set((1,), 2)
    wanted: list[Any] = [("a",), ("x",), [1], ("a",), (BigInt(1),), (True,), ("1",)]
    entries = await kv.get(wanted)
    assert [entry.key for entry in entries] == [tuple(key) for key in wanted]
    assert [entry.value for entry in entries] == [1, None, 2, 1, None, None, None]
    assert [entry.exists for entry in entries] == [True, False, True, True, False, False, False]


async def test_an_empty_batch_is_empty(kv: LocalKv) -> None:
    nothing: list[Any] = []
    assert await kv.get(nothing) == nothing
    assert await kv.get(tuple(nothing)) == nothing


async def test_a_batch_of_a_thousand(kv: LocalKv) -> None:
    await fill(kv, 1000)
    entries = await kv.get([("n", index) for index in reversed(range(1000))])
    assert [entry.value for entry in entries] == list(reversed(range(1000)))
    with pytest.raises(InvalidInput, match=r"Too many keys: 1001 \(max 1000\)"):
        await kv.get([("n", index) for index in range(1001)])


async def test_weakness_47_a_list_without_limit_has_everything(kv: LocalKv) -> None:
    await fill(kv, MANY)
    assert [entry.value async for entry in kv.list(("n",))] == list(range(MANY))
    backwards = [entry.value async for entry in kv.list(("n",), reverse=True)]
    assert backwards == list(reversed(range(MANY)))
    bounds: dict[str, Any] = {"start": ("n", 7), "end": ("n", 2100)}
    assert [e.value async for e in kv.list(("n",), **bounds)] == list(range(7, 2100))
    where = {"$": {"$gte": 1111}}
    assert [e.value async for e in kv.list(where=where)] == list(range(1111, MANY))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 128, 129, 999, 1000, 1001, 2000, 2345, 9999])
async def test_a_limit_is_exact_and_has_no_cap(kv: LocalKv, limit: int) -> None:
    await fill(kv, MANY)
    assert [e.value async for e in kv.list(limit=limit)] == list(range(min(limit, MANY)))


async def test_keys_sort_by_type_and_value(kv: LocalKv) -> None:
    for key in sorted(ORDERED, key=repr):
        await kv.set(key, repr(key))
    found = [entry async for entry in kv.list()]
    assert [exact(entry.key) for entry in found] == [exact(key) for key in ORDERED]
    assert [entry.value for entry in found] == [repr(key) for key in ORDERED]
    backwards = [exact(entry.key) async for entry in kv.list(reverse=True)]
    assert backwards == [exact(key) for key in reversed(ORDERED)]


async def test_a_prefix_has_its_descendants_and_no_others(kv: LocalKv) -> None:
    for key in ORDERED:
        await kv.set(key, 1)
    assert [e.key async for e in kv.list(("a",))] == [("a", "b"), ("a", 1)]
    assert [e.key async for e in kv.list((0,))] == [(0, 0)]
    assert [e.key async for e in kv.list((b"a",))] == [(b"a", b"")]
    assert await kv.count(("a",)) == 2
    assert await kv.count((BigInt(0),)) == 0
    assert await kv.count() == len(ORDERED)
    assert [e.key for e in (await kv.paginate(("",))).entries] == [("", 1)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_pages_meet_without_gap_or_overlap(kv: LocalKv, limit: int, reverse: bool) -> None:
    await fill(kv, 6)
    seen: list[Any] = []
    cursor = None
    for _ in range(-(-6 // limit)):
        page = await kv.paginate(("n",), cursor=cursor, limit=limit, reverse=reverse)
        seen += [entry.value for entry in page.entries]
        assert page.has_more is (len(seen) < 6)
        assert (page.cursor is None) is not page.has_more
        cursor = page.cursor
    assert seen == sorted(range(6), reverse=reverse)


async def test_the_key_of_a_cursor_may_be_gone(kv: LocalKv) -> None:
    await fill(kv, 6)
    page = await kv.paginate(limit=3)
    await kv.delete(("n", 2))
    rest = await kv.paginate(limit=3, cursor=page.cursor)
    assert [entry.value for entry in rest.entries] == [3, 4, 5]
    for entry in rest.entries:
        await kv.delete(entry.key)
    assert (await kv.paginate(limit=3, cursor=page.cursor)).entries == []


async def test_a_page_is_capped_and_its_default_is_a_hundred(kv: LocalKv) -> None:
    await fill(kv, 1200)
    assert len((await kv.paginate()).entries) == 100
    page = await kv.paginate(limit=5000)
    assert len(page.entries) == 1000
    assert page.has_more


async def test_a_page_with_filter_is_filled_with_matches(kv: LocalKv) -> None:
    await fill(kv, 1000)
    page = await kv.paginate(limit=5, where={"$": {"$in": list(range(0, 1000, 100))}})
    assert [entry.value for entry in page.entries] == [0, 100, 200, 300, 400]
    assert page.has_more


async def test_writes_are_there_at_once_for_every_way_to_read(world: World) -> None:
    kv = world.kv
    for number in range(50):
        await kv.set(("a", 1), number)
        assert (await kv.get(("a", 1))).value == number
        assert (await kv.get([("a", 1)]))[0].value == number
        assert [e.value async for e in kv.list(("a",))] == [number]
        assert await kv.count(where={"$": number}) == 1


async def test_a_long_value_is_read_beside_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter: Any = world.adapter
    query = adapter.query
    inline: list[int] = []

    def counted(sql: str, args: Any = (), **options: Any) -> Any:
        if options.get("point"):
            reading = query(sql, args, **options)

            async def measured() -> Any:
                rows = await reading
                inline.append(sum(len(str(value)) for row in rows for value in row))
                return rows

            return measured()
        return query(sql, args, **options)

    values = {"short": "a" * 1_000, "just": "b" * (READ_INLINE - 2), "long": "c" * READ_INLINE}
    for name, value in values.items():
        await world.kv.set((name,), value)
    monkeypatch.setattr(adapter, "query", counted)
    for name, value in values.items():
        assert (await world.kv.get((name,))).value == value
    assert len(inline) == 3
    assert max(inline) < READ_INLINE + 100


async def test_long_values_are_read_one_after_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter: Any = world.adapter
    query = adapter.query
    reading = most = 0

    async def counted(sql: str, args: Any = (), **options: Any) -> Any:
        nonlocal reading, most
        if sql != world.store.sql.reads.get:  # looks whether a value is long
            return await query(sql, args, **options)
        reading += 1
        most = max(most, reading)
        try:
            return await query(sql, args, **options)
        finally:
            reading -= 1

    await world.kv.set(("long",), "c" * READ_INLINE)
    monkeypatch.setattr(adapter, "query", counted)
    entries = await asyncio.gather(*(world.kv.get(("long",)) for _ in range(20)))
    assert {entry.value for entry in entries} == {"c" * READ_INLINE}
    assert most == 1


async def test_a_long_value_that_has_expired_is_gone(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(("long",), "x" * 1_000_000, expires_in=1000)
    assert (await kv.get(("long",))).value == "x" * 1_000_000
    clock.advance(1000)
    assert (await kv.get(("long",))).value is None

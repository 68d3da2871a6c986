"""Deleting: prefixes, single keys, several at once, filters, and never everything by accident."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import FakeClock, World, values

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql-replica")

KEYS: list[Any] = [("u",), ("u", 1), ("u", 1, "x"), ("u", 2), ("users",), ("u\0",), ("v",)]


async def fill(kv: LocalKv) -> None:
    for index, key in enumerate(KEYS):
        await kv.set(key, {"n": index})


async def left(kv: LocalKv) -> set[Any]:
    return set(await values(kv))


async def test_a_key_goes_with_all_that_extend_it_and_no_sibling(kv: LocalKv) -> None:
    await fill(kv)
    assert (await kv.delete(("u",))).deleted_count == 4
    assert await left(kv) == {("users",), ("u\0",), ("v",)}
    assert (await kv.delete(("u",))).deleted_count == 0


async def test_exact_spares_what_extends_the_key(kv: LocalKv) -> None:
    await fill(kv)
    assert (await kv.delete(("u", 1), exact=True)).deleted_count == 1
    assert await left(kv) == set(KEYS) - {("u", 1)}


async def test_several_keys_count_each_entry_once(kv: LocalKv) -> None:
    await fill(kv)
    doomed = [("u", 1), ("u",), ("u", 1, "x"), ("none",), ("v",), ("v",)]
    assert (await kv.delete(doomed)).deleted_count == 5
    assert await left(kv) == {("users",), ("u\0",)}


async def test_several_keys_are_one_commit(kv: LocalKv) -> None:
    await fill(kv)
    before = await kv.changes()
    await kv.delete([("u", 1), ("v",)], exact=True)
    changes = (await kv.changes())[len(before) :]
    assert len(changes) == 2
    assert len({change.versionstamp for change in changes}) == 1


async def test_a_filter_restricts_prefix_and_exact(kv: LocalKv) -> None:
    await fill(kv)
    assert (await kv.delete(("u",), where={"n": {"$gte": 2}})).deleted_count == 2
    assert await left(kv) == set(KEYS) - {("u", 1, "x"), ("u", 2)}
    assert (await kv.delete(("u",), exact=True, where={"n": 5})).deleted_count == 0
    assert (await kv.delete(("u",), exact=True, where={"n": 0})).deleted_count == 1
    assert await left(kv) == {("u", 1), ("users",), ("u\0",), ("v",)}


async def test_the_whole_store_goes_only_when_that_is_said(kv: LocalKv) -> None:
    await fill(kv)
    nothing: list[Any] = [[], ()]
    for empty in nothing:
        with pytest.raises(InvalidInput, match="everything=True"):
            await kv.delete(empty)
        with pytest.raises(InvalidInput, match="everything=True"):
            await kv.delete(empty, exact=True, where={})
    with pytest.raises(InvalidInput, match="Key cannot be empty"):
        await kv.delete([[]])
    assert await left(kv) == set(KEYS)
    assert (await kv.delete([], everything=True, where={"n": {"$lt": 3}})).deleted_count == 3
    assert (await kv.delete([], everything=True)).deleted_count == 4
    assert await left(kv) == set()


async def test_a_wrong_filter_deletes_nothing(kv: LocalKv) -> None:
    await fill(kv)
    filters: list[Any] = [{"n": {"$foo": 1}}, {"$or": []}, {"a": {"b": 1}}, 5]
    for where in filters:
        with pytest.raises(InvalidInput):
            await kv.delete(("u",), where=where)
    assert await left(kv) == set(KEYS)


async def test_expired_entries_are_not_counted(world: World, clock: FakeClock) -> None:
    kv = world.kv
    await kv.set(("u", 1), {"n": 1}, expires_in="5ms")
    await kv.set(("u", 2), {"n": 2}, expires_in="6ms")
    clock.advance(5)
    assert (await kv.delete(("u", 1), exact=True)).deleted_count == 0
    assert (await kv.delete(("u",), where={"n": {"$lt": 2}})).deleted_count == 0
    assert (await kv.delete(("u",))).deleted_count == 1
    assert [change.operation for change in await kv.changes()] == ["set", "set", "delete"]


async def test_a_large_prefix(kv: LocalKv) -> None:
    builder = kv.atomic().set(("m",), 0)
    for number in range(3000):
        builder.set(("n", number), number)
    await builder.commit()
    assert (await kv.delete(("n",), where={"$": {"$gte": 1000}})).deleted_count == 2000
    assert (await kv.delete(("n",))).deleted_count == 1000
    assert await left(kv) == {("m",)}

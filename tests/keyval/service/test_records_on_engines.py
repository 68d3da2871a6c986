"""Records and graphs on every engine: what users of stores with text keys rely on."""

from __future__ import annotations

import asyncio

import pytest
from buntime_keyval import (
    KvRecord,
    RecordDelete,
    RecordDeletePrefix,
    RecordDeleteRange,
    RecordPatch,
    RecordPut,
    VersionMismatch,
)
from keyval.service.world import World

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")


def keys_of(found: list[KvRecord[object]]) -> list[str]:
    return [record.key for record in found]


async def test_reading(world: World) -> None:
    records = world.kv.records()
    names = [f"n/{number:03}" for number in range(350)]
    await records.mutate_all(*(RecordPut(name, {"at": name}) for name in names))
    assert list(await records.get_batch(*names)) == names
    assert list(await records.get_batch("nope", "n/007", "n/007")) == ["n/007"]
    assert await records.get_batch() == {}
    assert await records.get("nope") is None
    assert keys_of(await records.get_prefix("n/", 1, 2)) == ["n/001", "n/002"]
    assert keys_of(await records.get_range("n/001", "n/003")) == ["n/001", "n/002"]
    assert keys_of(await records.list(348)) == ["n/348", "n/349"]
    assert keys_of(await records.get_prefix("N/")) == keys_of(await records.get_prefix("_/")) == []
    assert (await records.count(), await records.count_prefix("n/01")) == (350, 10)
    assert await records.count_range("n/100", "n/200") == 100
    assert await records.count_range("n/200", "n/100") == 0


async def test_versions_and_patches(world: World) -> None:
    records, clock = world.kv.records(), world.clock
    for version in range(10):
        await records.put("a", {"n": version}, version)
    with pytest.raises(VersionMismatch):
        await records.put("a", {}, 0)
    with pytest.raises(VersionMismatch):
        await records.patch("a", {}, 4)
    before = await records.get("a")
    assert before is not None
    clock.advance(5_000)
    await records.patch("a", {"n": None, "deep": {"er": 1, "gone": None}}, 10)
    await records.patch("a", {"deep": {"too": 2}})
    after = await records.get("a")
    assert after is not None
    assert (after.version, after.value) == (12, {"deep": {"er": 1, "too": 2}})
    assert (after.created, after.updated) == (before.created, before.updated + 5_000)
    await records.patch("new", {"a": {"b": None}})
    made = await records.get("new")
    assert made is not None
    assert (made.value, made.version, made.type) == ({"a": {}}, 1, None)
    assert [it.value for it in await records.get_type("dict")] == [after.value]


async def test_deleting(world: World) -> None:
    records = world.kv.records()
    names = ("a", "b/1", "b/2", "b/3", "c", "d", "%")
    await records.mutate_all(*(RecordPut(name, 1) for name in names))
    assert await records.delete("a", "c", "nope") == 2
    assert await records.delete_prefix("nope") == 0
    assert await records.delete_prefix("b/", 1, 1) == 1
    assert keys_of(await records.get_prefix("b/")) == ["b/1", "b/3"]
    assert await records.delete_range("b/3", "d") == 1
    assert await records.delete_prefix("%") == 1
    assert await records.delete_prefix("*") == 2


async def test_several_at_once(world: World) -> None:
    records = world.kv.records()
    await records.mutate_all(*(RecordPut(name, 1) for name in ("a", "b", "p/1", "p/2", "p/3")))
    before = await records.list()
    with pytest.raises(VersionMismatch) as caught:
        await records.mutate_all(
            RecordPut("a", 2, 1), RecordPatch("b", {}, 2), RecordPut("new", 1), RecordDelete(["a"])
        )
    assert caught.value.results == [0, 0, 0, 0]
    assert await records.list() == before
    done = await records.mutate_all(
        RecordPut("nil", None),
        RecordPatch("nil", None),
        RecordDelete(["a", "nope"]),
        RecordDeletePrefix("p/", 0, 2),
        RecordDeleteRange("p", "q"),
        RecordPatch("b", {"x": 1}, 1),
    )
    assert done == [1, 1, 1, 2, 1, 1]
    assert [(it.key, it.version) for it in await records.list()] == [("b", 2), ("nil", 1)]


async def test_no_patch_is_lost(world: World) -> None:
    records = world.kv.records()

    async def patch(worker: int) -> None:
        for number in range(4):
            await records.patch("shared", {f"w{worker}": number})

    await asyncio.gather(*(patch(worker) for worker in range(3)))
    record = await records.get("shared")
    assert record is not None
    assert record.value == {f"w{worker}": 3 for worker in range(3)}
    assert record.version == 12


async def test_graphs(world: World) -> None:
    graph = world.kv.graph
    for source, target, km in (("a", "b", 1), ("b", "c", 1), ("a", "c", 5), ("c", "a", 1)):
        await graph.add(("town", source), "road", ("town", target), {"km": km})
    assert not (await graph.add(("town", "a"), "road", ("town", "b"), create_only=True)).ok
    assert await graph.degree(("town", "c")) == (2, 1)
    path = await graph.shortest_path(("town", "a"), ("town", "c"), weight="km")
    assert path is not None
    assert [node.id for node in path.nodes] == ["a", "b", "c"]
    assert await graph.remove(("town", "a"), "road", ("town", "b"))
    assert [edge.source.id async for edge in graph.incoming(("town", "c"))] == ["a", "b"]
    assert [it.end.id async for it in graph.bfs(("town", "a"), max_depth=1)] == ["a", "c"]

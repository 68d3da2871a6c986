"""Records and graphs on every engine: what users of stores with text keys rely on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import (
    GraphEdge,
    KvRecord,
    RecordDelete,
    RecordDeletePrefix,
    RecordDeleteRange,
    RecordPatch,
    RecordPut,
    StreamTrimmed,
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
    assert await records.get_batch() == await records.get_batch("nope", "nobody") == {}
    assert await records.get("nope") is None
    assert keys_of(await records.get_prefix("n/", 1, 2)) == ["n/001", "n/002"]
    assert keys_of(await records.get_range("n/001", "n/003")) == ["n/001", "n/002"]
    assert keys_of(await records.list(348)) == ["n/348", "n/349"]
    assert keys_of(await records.get_prefix("N/")) == keys_of(await records.get_prefix("_/")) == []
    assert (await records.count(), await records.count_prefix("n/01")) == (350, 10)
    assert await records.count_range("n/100", "n/200") == 100
    assert await records.count_range("n/200", "n/100") == 0


async def test_the_order_is_that_of_bytes(world: World) -> None:
    """Whatever order of texts the database has."""
    records = world.kv.records()
    keys = ["a", "B", "Z", "_", "a b", "a-b", "ab", "é", "e", "10", "9", "\uffff", "\U0001f600"]
    await records.mutate_all(*(RecordPut(key, 1) for key in keys))
    ordered = sorted(keys, key=str.encode)
    assert keys_of(await records.list()) == ordered
    assert keys_of(await records.get_range("B", "a")) == ["B", "Z", "_"]
    assert [it.key async for it in records.paginator(page_size=3)] == ordered


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


async def test_changes(world: World) -> None:
    records = world.kv.records()
    assert (await records.stream_seq(), await records.stream()) == (0, [])
    await records.put("b", 1)
    await world.kv.set(["b", 1], 1)
    await records.put("a", "text")
    await records.delete("b")
    changes = await records.stream(0)
    assert [(it.action, it.key, it.version) for it in changes] == [
        ("create", "b", 1),
        ("create", "a", 1),
        ("delete", "b", 1),
    ]
    assert await records.stream(changes[1].seq, 1, of_type="str") == changes[1:2]
    assert await records.stream(changes[0].seq, 2) == changes[:2]
    assert await records.stream(of_type="nothing") == []
    assert await records.stream_seq() == changes[-1].seq
    await records.stream_trim(changes[1].seq)
    assert await records.stream(changes[2].seq) == changes[2:]
    with pytest.raises(StreamTrimmed):
        await records.stream(changes[1].seq)


async def test_deleting(world: World) -> None:
    records = world.kv.records()
    names = ("a", "b/1", "b/2", "b/3", "c", "d", "%")
    await records.mutate_all(*(RecordPut(name, 1) for name in names))
    assert await records.delete("a", "c", "nope") == 2
    assert await records.delete("a") == await records.delete_prefix("nope") == 0
    assert await records.delete_prefix("b/", 1, 1) == 1
    assert keys_of(await records.get_prefix("b/")) == ["b/1", "b/3"]
    assert await records.delete_range("b/3", "d") == 1
    assert await records.delete_prefix("%") == 1
    assert await records.delete_prefix("*") == 2


async def test_windows_of_what_is_deleted(world: World) -> None:
    records = world.kv.records()
    await records.mutate_all(*(RecordPut(f"k/{number}", 1) for number in range(9)))
    assert await records.delete_prefix("k/", 0, 2) == 2
    assert await records.delete_range("k/2", "k/5", 0, 2) == 2
    assert keys_of(await records.list()) == ["k/4", "k/5", "k/6", "k/7", "k/8"]
    assert await records.delete_range("k/4", "k/6", 1) == 1  # the first stays
    assert await records.delete_range("k/4", "k/8", 1, 1) == 1
    assert await records.delete_range("k/8", "k/4") == await records.delete_range("x", "z") == 0
    assert await records.delete_prefix("k/", 1) == 2  # the first stays
    assert keys_of(await records.list()) == ["k/4"]
    assert await records.delete_prefix("k/", 1) == await records.delete_prefix("k/", 0, 0) == 0


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


async def test_one_record(world: World) -> None:
    records, clock = world.kv.records(), world.clock
    assert await records.get("a") is None
    await records.put("a", {"n": 1}, 0)
    with pytest.raises(VersionMismatch):
        await records.put("a", {"n": 2}, 0)
    made = await records.get("a")
    assert made is not None
    assert (made.version, made.type, made.created) == (1, "dict", clock.now())
    clock.advance(1_000)
    await records.put("a", [2])  # whatever is there
    await records.put("a", {"n": 3}, 2)
    with pytest.raises(VersionMismatch):
        await records.put("a", {"n": 4}, 2)
    after = await records.get("a")
    assert after is not None
    assert (after.version, after.value, after.created) == (3, {"n": 3}, made.created)
    await records.put("b", 1, 5)  # a version of what is missing: as the original has it
    with pytest.raises(VersionMismatch):
        await world.kv.records(strict=True).put("c", 1, 5)
    assert keys_of(await records.list()) == ["a", "b"]


@pytest.mark.parametrize(
    ("ask", "found"),
    [
        (lambda records, *window: records.get_prefix("k/", *window), ["k/1", "k/2", "k/3"]),
        (lambda records, *window: records.get_range("k/1", "k/4", *window), ["k/1", "k/2", "k/3"]),
        (lambda records, *window: records.get_type("str", *window), ["a", "k/2", "z"]),
        (lambda records, *window: records.list(*window), ["a", "k/1", "k/2", "k/3", "k/4", "z"]),
    ],
    ids=["prefix", "range", "type", "list"],
)
async def test_windows(world: World, ask: Any, found: list[str]) -> None:
    records = world.kv.records()
    for key in ("z", "k/3", "k/1", "a"):
        await records.put(key, "text" if key in "az" else 1)
    await records.mutate_all(RecordPut("k/2", "text"), RecordPut("k/4", 1, type="other"))
    if found[-1] == "k/3":
        await records.delete("k/4")
    assert keys_of(await ask(records)) == found
    assert keys_of(await ask(records, 0, 2)) == found[:2]
    assert keys_of(await ask(records, 1)) == found[1:]
    assert keys_of(await ask(records, 1, 1)) == found[1:2]
    assert keys_of(await ask(records, 99)) == keys_of(await ask(records, 0, 0)) == []


async def test_what_mutations_count(world: World) -> None:
    records = world.kv.records()
    await records.mutate_all(*(RecordPut(name, {"n": 0}) for name in "abcdefgh"))
    assert await records.mutate_all(RecordDelete(["a"]), RecordDelete(["b"])) == [1, 1]
    assert await records.mutate_all(RecordDelete(["c", "d"])) == [2]
    assert await records.mutate_all(RecordDeleteRange("e", "g"), RecordPatch("h", {})) == [2, 1]
    assert keys_of(await records.list()) == ["g", "h"]
    assert await records.mutate_all(RecordDeletePrefix("*")) == [2]
    assert await records.mutate_all() == []


async def test_walks_through_graphs(world: World) -> None:
    graph = world.kv.graph
    people = {name: ("user", name) for name in ("ada", "bob", "eve", "kim", "lea")}
    for source, kind, target in (
        ("ada", "follows", "bob"),
        ("bob", "follows", "eve"),
        ("eve", "follows", "kim"),
        ("kim", "follows", "eve"),
        ("ada", "likes", "kim"),
    ):
        await graph.add(people[source], kind, people[target], {"from": source})

    async def ends(edges: Any) -> list[tuple[str, str]]:
        return [(edge.type, edge.target.id) async for edge in edges]

    assert await ends(graph.outgoing(people["ada"])) == [("follows", "bob"), ("likes", "kim")]
    assert await ends(graph.outgoing(people["ada"], "likes")) == [("likes", "kim")]
    assert [it.source.id async for it in graph.incoming(people["kim"])] == ["eve", "ada"]
    assert [it.source.id async for it in graph.incoming(people["kim"], "likes")] == ["ada"]
    assert len([edge async for edge in graph.all()]) == 5
    found = await graph.get(people["ada"], "likes", people["kim"])
    assert found is not None
    assert found.data == {"from": "ada"}
    assert await graph.degree(people["kim"]) == (2, 1)
    assert {it.id for it in await graph.neighbours(people["eve"])} == {"bob", "kim"}
    assert [it.id for it in await graph.mutual(people["bob"], people["kim"])] == ["eve"]
    walked = [(it.end.id, it.depth) async for it in graph.bfs(people["ada"], types="follows")]
    assert walked == [("ada", 0), ("bob", 1), ("eve", 2), ("kim", 3)]
    for types, length in ((None, 1), ("follows", 3)):
        path = await graph.shortest_path(people["ada"], people["kim"], types=types)
        assert path is not None
        assert path.depth == length

    def is_not_of_eve(edge: GraphEdge) -> bool:
        return edge.source.id != "eve"

    for types, found_way in ((None, True), ("follows", False)):
        path = await graph.shortest_path(
            people["ada"], people["kim"], types=types, where=is_not_of_eve
        )
        assert (path is not None) is found_way
    assert await graph.shortest_path(people["ada"], people["lea"]) is None
    assert await graph.remove(people["ada"], "likes", people["kim"])
    assert not await graph.remove(people["ada"], "likes", people["kim"])
    assert await graph.get(people["ada"], "likes", people["kim"]) is None
    assert await graph.degree(people["kim"]) == (1, 1)


async def test_a_walk_ends_where_it_is_cancelled(world: World) -> None:
    graph = world.kv.graph
    atomic = world.kv.atomic()
    for number in range(40):
        graph.add_to(atomic, ("n", number), "next", ("n", (number + 1) % 40), {"km": 1})
    await atomic.commit()
    first, last = ("n", 0), ("n", 39)
    seen: list[GraphEdge] = []

    def look(edge: GraphEdge) -> bool:
        seen.append(edge)
        if len(seen) == 5:
            walking.cancel()
        return True

    for weight in (None, "km"):
        seen.clear()
        walking = asyncio.create_task(graph.shortest_path(first, last, weight=weight, where=look))
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert len(seen) == 5  # there is one edge a node, and so a reading between two
    for walk in (
        graph.shortest_path(first, last),
        graph.view(first),
        graph.neighbours(first),
        graph.mutual(first, last),
        graph.degree(first),
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await walk
    path = await graph.shortest_path(first, last, weight="km")
    assert path is not None
    assert path.weight == 39


async def test_many_at_once(world: World) -> None:
    """Fifteen at a time, each with what nobody else has, and with one record that all have."""
    records = world.kv.records()

    async def work(worker: int) -> None:
        mine = f"w{worker}"
        for number in range(6):
            await records.put(mine, {"n": number})
            await records.patch("shared", {mine: number})
            record = await records.get(mine)
            assert record is not None
            assert (record.version, record.value) == (number + 1, {"n": number})
        assert await records.delete(mine) == 1

    await asyncio.gather(*(work(worker) for worker in range(15)))
    assert keys_of(await records.list()) == ["shared"]
    shared = await records.get("shared")
    assert shared is not None
    assert (shared.version, shared.value) == (90, {f"w{worker}": 5 for worker in range(15)})


async def test_who_stops_reading_leaves_nothing_behind(world: World) -> None:
    records = world.kv.records()
    await records.mutate_all(*(RecordPut(f"k{number:02}", number) for number in range(30)))
    pages = records.paginator(page_size=5)
    assert (await anext(pages)).key == "k00"
    reading = asyncio.create_task(records.list())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await records.count() == 30

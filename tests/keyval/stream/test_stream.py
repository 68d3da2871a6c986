"""The stream: all changes in order, and never fewer than there were."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import StreamTrimmed
from keyval.service.world import World

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")


async def all_of(world: World, after: int = 0, **options: Any) -> list[tuple[str, Any]]:
    """All records behind a position, in pages of two."""
    found: list[tuple[str, Any]] = []
    while True:
        page = await world.kv.stream.read(after, limit=2, **options)
        found += [(it.action, it.key) for it in page.records]
        if page.next == page.last:
            return found
        assert page.next > after
        after = page.next


async def test_each_change_in_the_order_of_the_commits(world: World) -> None:
    kv = world.kv
    assert await kv.stream.seq() == 0
    empty = await kv.stream.read()
    assert (empty.records, empty.next, empty.first, empty.last) == ([], 0, 1, 0)
    await kv.set(["b"], 1)
    await kv.atomic().set(["a", 1], 1).sum(["n"], 1).delete(["b"]).commit()
    await kv.set(["e"], 1, expires_in="5s")
    await kv.set(["n"], 2, type="number")
    world.clock.advance(5_000)
    await kv.vacuum()
    everything = [
        ("create", ("b",)),
        ("create", ("a", 1)),
        ("create", ("n",)),
        ("delete", ("b",)),
        ("create", ("e",)),
        ("update", ("n",)),
        ("expire", ("e",)),
    ]
    assert await all_of(world) == everything
    assert await all_of(world, prefix=["a"]) == [("create", ("a", 1))]
    assert await all_of(world, prefix=["x"]) == []
    assert await all_of(world, action="expire") == [("expire", ("e",))]
    assert await all_of(world, type="number") == [("update", ("n",))]
    assert await all_of(world, type="Number") == []
    (first, *_) = (await kv.stream.read(limit=1)).records
    assert await all_of(world, first.seq) == everything[1:]
    assert first.at <= world.clock.now()
    assert (first.value, first.has_value) == (None, False)


async def test_fault_10_each_change_has_its_time(world: World) -> None:
    times = []
    for number in range(3):
        times.append(world.clock.now())
        await world.kv.set(["a"], number)
        world.clock.advance(1_500)
    records = (await world.kv.stream.read()).records
    assert [it.at for it in records] == times
    entry = await world.kv.get_with_metadata(["a"])
    assert entry.details is not None
    assert (entry.details.created_at, entry.details.updated_at) == (times[0], times[-1])


async def test_revisions_and_types_are_those_of_the_entry(world: World) -> None:
    """However an entry is written, alone and in groups, the log says what it was then."""
    kv = world.kv
    await kv.set(["a"], 1, type="one")
    await kv.set(["a"], 2)
    await kv.delete(["a"])
    await kv.set(["a"], 3, type="three")
    await kv.atomic().delete(["a"]).set(["a"], 4, type="four").commit()
    await kv.set(["e"], 1, expires_in="5s", type="short")
    world.clock.advance(6_000)
    await kv.set(["e"], 2)  # what has expired was gone before
    # Those of one turn of the loop are a group.
    await asyncio.gather(
        *(
            builder.commit()
            for builder in (
                kv.atomic().set(["g"], 1, type="g1"),
                kv.atomic().set(["g"], 2, type="g2"),
                kv.atomic().set(["h"], 1, type="h"),
                kv.atomic().delete(["g"]),
                kv.atomic().set(["g"], 3, type="g3"),
                kv.atomic().delete(["a"]),
                kv.atomic().set(["a"], 5, type="five"),
                kv.atomic().delete(["h"]),
                kv.atomic().delete(["missing"]),
                kv.atomic().set(["g"], 4),
            )
        )
    )
    page = await kv.stream.read()
    told = [(it.key[0], it.action, it.version, it.type) for it in page.records]
    assert told == [
        ("a", "create", 1, "one"),
        ("a", "update", 2, None),
        ("a", "delete", 2, None),
        ("a", "create", 1, "three"),
        ("a", "create", 1, "four"),
        ("e", "create", 1, "short"),
        ("e", "create", 1, None),
        ("g", "create", 1, "g1"),
        ("g", "update", 2, "g2"),
        ("h", "create", 1, "h"),
        ("g", "delete", 2, "g2"),
        ("g", "create", 1, "g3"),
        ("a", "delete", 1, "four"),
        ("a", "create", 1, "five"),
        ("h", "delete", 1, "h"),
        ("g", "update", 2, None),
    ]
    assert [it.seq for it in page.records] == sorted({it.seq for it in page.records})
    entry = await kv.get_with_metadata(["g"])
    assert entry.details is not None
    assert entry.details.revision == page.records[-1].version


async def test_what_was_trimmed_is_said(world: World) -> None:
    kv = world.kv
    for number in range(5):
        await kv.set(["a", number], number)
        world.clock.advance(1_000)
    records = (await kv.stream.read()).records
    places = [it.seq for it in records]
    since = [it.seq for it in (await kv.stream.read(since=records[3].at)).records]
    assert since == places[3:]
    assert not (await kv.stream.read(since=records[-1].at + 1)).records
    assert await kv.stream.trim(0) == 0
    assert await kv.stream.trim(places[1]) == 2
    assert await kv.stream.trim(places[1]) == 0
    with pytest.raises(StreamTrimmed, match=f"the stream begins with {places[1] + 1}") as trimmed:
        await kv.stream.read()
    assert trimmed.value.first == places[1] + 1
    with pytest.raises(StreamTrimmed):
        await kv.stream.read(since=records[1].at)
    assert [it.seq async for it in kv.stream(since=records[2].at)] == places[2:]
    page = await kv.stream.read(places[1])
    assert [it.seq for it in page.records] == places[2:]
    assert page.first == places[1] + 1
    # The newest stays, and no number is used again.
    assert await kv.stream.trim(10**12) == 2
    assert await kv.stream.seq() == places[-1]
    await kv.set(["b"], 1)
    assert await kv.stream.seq() > places[-1]
    assert await all_of(world, places[3]) == [("create", ("a", 4)), ("create", ("b",))]


async def test_it_waits_for_the_next_one(world: World) -> None:
    kv = world.kv
    await kv.set(["a"], 1)
    after = await kv.stream.seq()
    of_b = asyncio.create_task(kv.stream.read(after, prefix=["b"], wait="1m"))
    of_all = asyncio.create_task(kv.stream.read(after, wait="1m"))
    await kv.set(["a"], 2)
    assert [it.key for it in (await of_all).records] == [("a",)]
    assert not of_b.done()
    await kv.set(["b"], 1)
    assert [it.key for it in (await of_b).records] == [("b",)]
    assert not (await kv.stream.read(await kv.stream.seq(), wait=1)).records

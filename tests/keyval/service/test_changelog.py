"""The change log: what is in it, in which order, what is trimmed, and what never comes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_keyval.wire import decode_key
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.storage.changelog import trim_changes
from keyval.service.world import NOW_MS, World, open_world

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")


async def told(kv: LocalKv, **options: Any) -> list[tuple[str, Any]]:
    return [(change.operation, decode_key(change.key)) for change in await kv.changes(**options)]


async def place(world: World) -> int:
    """Behind the newest change."""
    return (await world.store.newest_place()).seq


async def numbers(world: World) -> list[Any]:
    """Of keys that are a name and a number, the numbers of those that the log has."""
    return [decode_key(change.key)[1] for change in await world.kv.changes()]


async def trim(world: World, *, keep: int = 10**6, since: int = 0, limit: int = 10**6) -> int:
    return await trim_changes(world.store.db, keep=keep, since_ms=since, limit=limit)


async def test_every_kind_of_write_is_logged(world: World) -> None:
    kv = world.kv
    first = await kv.set(("a",), 1)
    second = (
        await kv.atomic().set(("b",), 1, expires_in="5ms").sum(("c",), 1).delete(("a",)).commit()
    )
    world.clock.advance(5)
    await world.store.expire(10)
    await kv.delete(("c",))
    changes = await kv.changes()
    assert [(change.operation, decode_key(change.key)) for change in changes] == [
        ("set", ("a",)),
        ("set", ("b",)),
        ("set", ("c",)),
        ("delete", ("a",)),
        ("expire", ("b",)),
        ("delete", ("c",)),
    ]
    places = [change.seq for change in changes]
    assert places == sorted(set(places))
    assert places[0] > 0
    assert [change.at for change in changes] == [NOW_MS] * 4 + [NOW_MS + 5] * 2
    assert [change.versionstamp for change in changes[:4]] == [
        first.versionstamp,
        *[second.versionstamp] * 3,
    ]
    assert all(change.value is None for change in changes)


async def test_a_prefix_delete_and_an_expiry_log_every_key_in_order(world: World) -> None:
    kv = world.kv
    for number in (3, 1, 2):
        await kv.set(("n", number), 1)
        await kv.set(("t", number), 1, expires_in=f"{number}ms")
    world.clock.advance(3)
    before = await place(world)
    await kv.delete(("n",))
    await world.store.expire(2)
    await world.store.expire(2)
    expected = [("delete", ("n", n)) for n in (1, 2, 3)] + [("expire", ("t", n)) for n in (1, 2, 3)]
    assert await told(kv, after=before) == expected


async def test_what_changes_nothing_logs_nothing(world: World) -> None:
    kv = world.kv
    await kv.set(("a",), "x", expires_in="5ms")
    await kv.delete(("none",))
    await kv.delete(("a",), where={"$": "y"})
    await kv.atomic().delete(("none",)).commit()
    assert not (await kv.atomic().check((("a",), None)).set(("a",), 1).commit()).ok
    with pytest.raises(InvalidInput):
        await kv.atomic().set(("b",), 1).sum(("a",), 1).commit()
    assert await world.store.expire(10) == 0
    world.clock.advance(5)
    await kv.delete(("a",))  # expired: not there
    assert await told(kv) == [("set", ("a",))]


async def test_a_prefix_has_its_own_key_and_no_sibling(kv: LocalKv) -> None:
    keys: list[Any] = [("u",), ("u", 1), ("users",), ("u\0",), ("v",), ("u", 1, 2)]
    for key in keys:
        await kv.set(key, 1)
    assert await told(kv, prefix=("u",)) == [("set", key) for key in keys if key[0] == "u"]
    second = (await kv.changes())[1].seq
    assert await told(kv, prefix=("u", 1), after=second) == [("set", ("u", 1, 2))]


async def test_after_and_limit_page_through(kv: LocalKv) -> None:
    for number in range(10):
        await kv.set(("n",), number)
    seen: list[int] = []
    while page := await kv.changes(after=seen[-1] if seen else 0, limit=3):
        seen += [change.seq for change in page]
    assert seen == [change.seq for change in await kv.changes()]
    assert len(seen) == 10
    assert await kv.changes(after=seen[-1]) == []
    with pytest.raises(InvalidInput, match="limit must be"):
        await kv.changes(limit=0)


async def test_trimming_by_count_keeps_the_newest(world: World) -> None:
    for number in range(10):
        await world.kv.set(("n", number), 1)
    assert await trim(world, keep=10) == 0
    assert await trim(world, keep=4) == 6
    assert await numbers(world) == [6, 7, 8, 9]


async def test_trimming_by_age_keeps_what_is_young_enough(world: World) -> None:
    for number in range(10):
        await world.kv.set(("n", number), 1)
        world.clock.advance(10)
    assert await trim(world, since=NOW_MS) == 0
    assert await trim(world, since=NOW_MS + 61) == 7
    assert [change.at for change in await world.kv.changes()] == [NOW_MS + n for n in (70, 80, 90)]
    assert await trim(world, since=NOW_MS + 10**9) == 2
    assert await numbers(world) == [9]


async def test_either_bound_trims(world: World) -> None:
    for number in range(10):
        await world.kv.set(("n", number), 1)
        world.clock.advance(10)
    assert await trim(world, keep=8, since=NOW_MS + 50) == 5
    assert await trim(world, keep=2, since=NOW_MS + 60) == 3
    assert await numbers(world) == [8, 9]


async def test_trimming_goes_in_bounded_steps(world: World) -> None:
    for number in range(10):
        await world.kv.set(("n", number), 1)
    assert [await trim(world, keep=2, limit=3) for _ in range(4)] == [3, 3, 2, 0]


async def test_an_empty_log_can_be_trimmed_and_read(world: World) -> None:
    assert await trim(world, keep=1, since=NOW_MS) == 0
    assert await world.kv.changes() == []


async def test_a_number_is_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "numbers.db"
    last = 0
    for _ in range(3):
        async with open_world(path) as world:
            for number in range(3):
                await world.kv.set(("n", number), 1)
            await world.kv.delete([], everything=True)
            newest = (await world.kv.changes(after=last))[-1].seq
            assert newest == last + 6
            world.clock.advance(10**9)
            await trim(world, keep=1, since=world.clock())
            assert [change.seq for change in await world.kv.changes()] == [newest]
            assert await world.stored() == 0
            last = newest

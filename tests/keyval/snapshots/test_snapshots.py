"""All pages of a snapshot show one state, or say that they cannot."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from buntime_keyval import InvalidInput, KvEntry, SnapshotGone
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.snapshots.cursors import parse_cursor
from buntime_plugin_keyval.storage import changelog
from buntime_plugin_keyval.storage import snapshots as reading
from keyval.service.world import FakeClock, World, until

pytestmark = pytest.mark.engines("sqlite", "odd", "libsql", "postgres")

SIZE = 60


@pytest.fixture(autouse=True)
async def entries(world: World) -> AsyncIterator[None]:
    commit = world.kv.atomic()
    for number in range(SIZE):
        commit.set(["t", number], number)
    await commit.commit()
    yield
    await world.service.snapshots.close()


async def pages(
    kv: LocalKv, between: Callable[[int], Any] | None = None, **options: Any
) -> list[KvEntry[Any]]:
    """All pages of a snapshot, with something happening between them."""
    found: list[KvEntry[Any]] = []
    cursor = None
    while True:
        page = await kv.paginate(["t"], cursor=cursor, snapshot=True, **{"limit": 7, **options})
        found += page.entries
        cursor = page.cursor
        assert page.has_more == (cursor is not None)
        if cursor is None:
            return found
        if between is not None:
            await between(len(found))


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_token_that_moves_is_seen_exactly_once(
    world: World, other: World, reverse: bool
) -> None:
    """Moved by this process and by another one, all the time that pages are read."""
    dice = random.Random(5)
    done = asyncio.Event()
    place = 0
    await world.kv.set(["t", place, "token"], 1)

    async def move() -> None:
        nonlocal place
        while not done.is_set():
            there = dice.randrange(SIZE)
            if there == place:
                continue
            kv = dice.choice((world, other)).kv
            await kv.atomic().delete(["t", place, "token"]).set(["t", there, "token"], 1).commit()
            place = there
            await asyncio.sleep(0)

    moving = asyncio.create_task(move())
    for _ in range(10):
        listed = [
            e async for e in world.kv.list(["t"], page_size=7, reverse=reverse, snapshot=True)
        ]
        paged = await pages(world.kv, reverse=reverse)
        for found in (listed, paged):
            assert len(found) == SIZE + 1
            assert sum(entry.key[-1] == "token" for entry in found) == 1
    done.set()
    await moving


async def test_every_page_is_as_it_was_at_the_first(world: World, other: World) -> None:
    before = [entry async for entry in world.kv.list(["t"], details=True)]

    async def change(_: int) -> None:
        for writer in (world, other):
            await writer.kv.set(["t", 59], "changed")
            await writer.kv.set(["t", 100], "new")
            await writer.kv.delete(["t", 58])

    assert await pages(world.kv, change, details=True) == before


@pytest.mark.parametrize("options", [{"reverse": True}, {"values": False}, {"details": True}])
async def test_options_are_those_of_plain_pages(world: World, options: dict[str, Any]) -> None:
    wanted = [entry async for entry in world.kv.list(["t"], **options)]
    assert await pages(world.kv, **options) == wanted
    for limit in (1, 10, SIZE, 100):
        listed = [
            e
            async for e in world.kv.list(
                ["t"], limit=limit, page_size=9, snapshot=True, start=["t", 2], **options
            )
        ]
        plain = [e async for e in world.kv.list(["t"], limit=limit, start=["t", 2], **options)]
        assert listed == plain


async def test_filters_see_the_snapshot(world: World, other: World) -> None:
    where = {"$": {"$gte": 10}}

    async def change(seen: int) -> None:
        await other.kv.set(["t", 50 - seen], 0)

    found = await pages(world.kv, change, where=where)
    assert [entry.value for entry in found] == [*range(10, SIZE)]
    words = {"a": "Straße", "b": "STRASSE", "c": "else"}
    for name, word in words.items():
        await world.kv.set(["t", name], word)
    found = await pages(world.kv, limit=1, where={"$": {"$containsi": "strasse"}})
    assert [entry.key[-1] for entry in found] == ["a", "b"]


async def test_nothing_expires_in_a_snapshot(world: World, clock: FakeClock) -> None:
    for number in range(5):
        await world.kv.set(["t", number], "brief", expires_in="500ms")
    before = [entry async for entry in world.kv.list(["t"])]

    async def expire(_: int) -> None:
        clock.advance(1000)
        await world.store.expire(100)

    assert await pages(world.kv, expire, limit=2) == before


async def test_a_cursor_says_no_time_of_its_own(world: World, clock: FakeClock) -> None:
    """What has expired is not shown to who writes an earlier time into a cursor."""
    await world.kv.set(["t", 30], "brief", expires_in="500ms")
    began = clock.now()
    clock.advance(1000)

    async def second(now_ms: int, **more: Any) -> list[Any]:
        page = await world.kv.paginate(["t"], limit=25, snapshot=True)
        cursor = parse_cursor(page.cursor or "")
        assert cursor is not None
        text = cursor._replace(now_ms=now_ms, **more).text
        page = await world.kv.paginate(["t"], limit=25, cursor=text, snapshot=True)
        return [entry.value for entry in page.entries]

    assert "brief" not in await second(began)
    day = 86_400_000
    with pytest.raises(SnapshotGone):
        await second(clock.now() - day - 1, id="")
    with pytest.raises(SnapshotGone):  # as a host gives them whose clock is further ahead
        await second(clock.now() + day, id="")
    assert len(await second(clock.now() - day // 2, id="")) == 25


async def forget(world: World) -> None:
    """Let go of what is held, as time would."""
    snapshots = world.service.snapshots
    snapshots._drop(list(snapshots._open))
    await until(lambda: not snapshots._closing)


async def test_one_that_is_not_held_goes_on_while_nothing_in_it_changes(
    world: World, other: World
) -> None:
    async def change(seen: int) -> None:
        await forget(world)
        await other.kv.set(["elsewhere"], seen)
        await other.kv.set(["t", 0], "behind us")

    found = await pages(world.kv, change)
    assert [entry.value for entry in found] == [*range(SIZE)]


@pytest.mark.parametrize("operation", ["set", "delete", "new"])
async def test_one_that_is_not_held_ends_where_a_page_was_changed(
    world: World, other: World, operation: str
) -> None:
    async def change(seen: int) -> None:
        if seen == 14:
            await forget(world)
            if operation == "delete":
                await other.kv.delete(["t", 30])
            else:
                await other.kv.set(["t", 30.5 if operation == "new" else 30], "changed")

    with pytest.raises(SnapshotGone) as caught:
        await pages(world.kv, change)
    assert (caught.value.status, caught.value.code) == (410, "KEYVAL_SNAPSHOT_GONE")
    # Pages in front of the change are as they were, and so it went as far as it could.
    seen = [entry.value async for entry in _until_gone(world, other)]
    assert seen == [*range(28)]


async def _until_gone(world: World, other: World) -> AsyncIterator[KvEntry[Any]]:
    for number in range(SIZE):
        await world.kv.set(["t", number], number)
    await other.kv.delete(["t", 30.5])
    cursor = None
    while True:
        try:
            page = await world.kv.paginate(["t"], limit=7, cursor=cursor, snapshot=True)
        except SnapshotGone:
            return
        for entry in page.entries:
            yield entry
        cursor = page.cursor
        await forget(world)
        await other.kv.set(["t", 30], "changed")


async def test_another_process_takes_it_over(world: World, other: World) -> None:
    """It does not hold it, so it looks into the log."""
    page = await world.kv.paginate(["t"], limit=10, snapshot=True)
    rest = await other.kv.paginate(["t"], limit=100, cursor=page.cursor, snapshot=True)
    assert [entry.value for entry in rest.entries] == [*range(10, SIZE)]
    await world.kv.set(["t", 50], "changed")
    with pytest.raises(SnapshotGone):
        await other.kv.paginate(["t"], limit=100, cursor=page.cursor, snapshot=True)
    held = await world.kv.paginate(["t"], limit=100, cursor=page.cursor, snapshot=True)
    assert held == rest


async def test_beyond_the_log_it_is_gone(world: World) -> None:
    page = await world.kv.paginate(["t"], limit=10, snapshot=True)
    await world.kv.set(["elsewhere"], 1)
    await world.kv.set(["elsewhere"], 2)
    await forget(world)
    await changelog.trim_changes(world.store.db, keep=1, since_ms=2**60, limit=10**6)
    with pytest.raises(SnapshotGone):
        await world.kv.paginate(["t"], limit=10, cursor=page.cursor, snapshot=True)


async def test_what_is_too_large_to_be_kept_is_read_as_the_log_allows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_ENTRIES", 20)
    found = await pages(world.kv)
    assert [entry.value for entry in found] == [*range(SIZE)]


async def test_the_one_that_was_not_used_for_longest_goes_first(world: World) -> None:
    snapshots = world.service.snapshots
    snapshots._most = 2
    cursors = [(await world.kv.paginate(["t"], limit=5, snapshot=True)).cursor for _ in range(2)]
    await world.kv.paginate(["t"], limit=5, cursor=cursors[0], snapshot=True)
    await world.kv.paginate(["t"], limit=5, snapshot=True)
    assert snapshots.held_count == 2
    await world.kv.set(["t", 7], "changed")
    page = await world.kv.paginate(["t"], limit=5, cursor=cursors[0], snapshot=True)
    assert [entry.value for entry in page.entries] == [5, 6, 7, 8, 9]
    with pytest.raises(SnapshotGone):
        await world.kv.paginate(["t"], limit=5, cursor=cursors[1], snapshot=True)


@pytest.mark.parametrize("bound", ["_idle_s", "_age_s"])
async def test_none_is_held_for_ever(world: World, bound: str) -> None:
    snapshots = world.service.snapshots
    setattr(snapshots, bound, 0.02)
    page = await world.kv.paginate(["t"], limit=5, snapshot=True)
    await until(lambda: snapshots.held_count == 0)
    await world.kv.set(["t", 6], "changed")
    with pytest.raises(SnapshotGone):
        await world.kv.paginate(["t"], limit=5, cursor=page.cursor, snapshot=True)


async def test_a_snapshot_of_one_page_holds_nothing(world: World) -> None:
    await world.kv.paginate(["t"], limit=100, snapshot=True)
    assert world.service.snapshots.held_count == 0


async def test_the_last_page_can_be_asked_for_again(world: World) -> None:
    page = await world.kv.paginate(["t"], limit=50, snapshot=True)
    last = await world.kv.paginate(["t"], limit=50, cursor=page.cursor, snapshot=True)
    await world.kv.set(["t", 55], "changed")
    assert await world.kv.paginate(["t"], limit=50, cursor=page.cursor, snapshot=True) == last


async def test_cursors_are_of_one_kind(world: World) -> None:
    plain = (await world.kv.paginate(["t"], limit=5)).cursor
    snapshot = (await world.kv.paginate(["t"], limit=5, snapshot=True)).cursor
    assert snapshot is not None
    with pytest.raises(InvalidInput, match="not one of a snapshot"):
        await world.kv.paginate(["t"], cursor=plain, snapshot=True)
    with pytest.raises(InvalidInput, match="ask with snapshot=true"):
        await world.kv.paginate(["t"], cursor=snapshot)
    parsed = parse_cursor(snapshot)
    assert parsed is not None
    assert parsed.text == snapshot


@pytest.mark.parametrize(
    "content",
    [b"\x00", b"\x00x", b"\x00[]", b'\x00["zz","l",1,"m",1,0,""]', b'\x00["","l",-1,"m",1,0,""]'],
)
async def test_a_broken_cursor_is_refused(world: World, content: bytes) -> None:
    text = base64.b64encode(content).decode()
    with pytest.raises(InvalidInput, match="Invalid cursor"):
        await world.kv.paginate(["t"], cursor=text, snapshot=True)


async def test_a_cursor_of_another_database_is_gone(world: World) -> None:
    content = msgspec.json.encode(("02740003c0140000000000", "log", 1, "mark", 1, 0, "id"))
    text = base64.b64encode(b"\x00" + content).decode()
    with pytest.raises((SnapshotGone, InvalidInput)):
        await world.kv.paginate(["t"], cursor=text, snapshot=True)


async def test_closing_lets_go_of_all(world: World) -> None:
    await world.kv.paginate(["t"], limit=5, snapshot=True)
    await world.service.close()
    assert world.service.snapshots.held_count == 0

"""A place is one of a certain history: older copies of a database and other databases have others.

Whoever comes back with a place that is not in the log is told everything. Restarts and other
processes change nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from buntime_plugin_keyval.features.watch.bookmarks import NOWHERE, Bookmark, parse_bookmark
from buntime_plugin_keyval.storage import changelog
from keyval.service.world import World, open_world
from keyval.watch.following import Client, stored
from support.api import api_of
from support.live import live_server
from support.sse import event_stream

pytestmark = pytest.mark.slow


@asynccontextmanager
async def visit(path: Path, client: Client | None = None) -> AsyncIterator[Client]:
    """Open the store, and let a client come back to it."""
    async with open_world(path) as world:
        client = client or Client(world, limit=1000)
        client.world = world
        yield client
        await client.leave()
        await world.service.close()


async def write(world: World, count: int, value: object) -> None:
    for number in range(count):
        await world.kv.set(("k", number % 20), value)


def restore(backup: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(backup, path)


@pytest.mark.parametrize("writes_since", [0, 1, 5, 40, 100])
@pytest.mark.parametrize("is_trimmed", [False, True])
async def test_an_older_copy_that_was_restored_is_a_reset(
    tmp_path: Path, writes_since: int, is_trimmed: bool
) -> None:
    """Also where so much was written since that its log is longer than the client knows."""
    path, backup = tmp_path / "kv.db", tmp_path / "backup.db"
    async with visit(path) as client:
        await write(client.world, 20, "old")
        await client.connect()
    shutil.copyfile(path, backup)
    async with visit(path, client) as client:
        await client.connect()
        await write(client.world, 40, "lost")
        await client.world.kv.set(["only", "there"], 1)
        await client.read_all()
        assert client.known == await stored(client.world)
        assert client.resets == 0
    restore(backup, path)
    async with visit(path, client) as client:
        await write(client.world, writes_since, "new")
        if is_trimmed:
            await changelog.trim_changes(client.world.store.db, keep=1, since_ms=2**60, limit=10**6)
        await client.connect()
        await client.read_all()
        assert client.known == await stored(client.world)
        assert client.resets == 1
    async with visit(path, client) as client:
        await write(client.world, 3, "newer")
        await client.connect()
        await client.read_all()
        assert client.known == await stored(client.world)
        assert client.resets == 1


async def test_a_client_from_before_the_copy_goes_on(tmp_path: Path) -> None:
    path, backup = tmp_path / "kv.db", tmp_path / "backup.db"
    async with visit(path) as client:
        await write(client.world, 20, "old")
        await client.connect()
        await client.leave()
        await write(client.world, 5, "later")
        await client.connect()
        await client.leave()
        old = client.bookmark
        await client.connect()
    shutil.copyfile(path, backup)
    async with visit(path, client) as client:
        await write(client.world, 40, "lost")
        await client.connect()
        await client.leave()
        client.bookmark = old
        await client.connect()
    restore(backup, path)
    client = Client(client.world, limit=1000)
    client.bookmark = old
    async with visit(path, client) as client:
        await client.connect()
        assert client.resets == 0
        assert client.told == []


async def test_another_database_is_a_reset(tmp_path: Path) -> None:
    async with visit(tmp_path / "one.db") as client:
        await client.connect()  # at the beginning of its log
    async with visit(tmp_path / "two.db", client) as client:
        await client.connect()
        await write(client.world, 5, "new")
        await client.read_all()
        assert client.resets == 1
        assert client.known == await stored(client.world)


async def test_who_was_in_the_middle_of_an_event_of_the_lost_history_is_reset(
    tmp_path: Path,
) -> None:
    """It knows later states than its place says, and lacks some that are older than it."""
    path, backup = tmp_path / "kv.db", tmp_path / "backup.db"
    async with visit(path) as client:
        await write(client.world, 20, "old")
        await client.connect()
        await client.leave()
        await write(client.world, 10, "changed")
        await client.connect()
        client.bookmark = None
    shutil.copyfile(path, backup)
    client = Client(client.world, limit=20)
    async with visit(path, client) as client:
        await client.connect()
        await client.leave()
        await client.world.kv.atomic().set(("k", 1), "lost").set(("k", 2), "lost").commit()
        await client.world.kv.set(("k", 1), "lost again")
        client.limit = 1
        await client.connect()
        assert client.bookmark is not None
        assert client.bookmark.until is not None
    restore(backup, path)
    client.limit = 1000
    async with visit(path, client) as client:
        await client.connect()
        await client.read_all()
        assert client.resets == 1
        assert client.known == await stored(client.world)


@pytest.mark.parametrize("behind", [0, 1])
async def test_a_log_that_was_trimmed_up_to_a_place_still_knows_it(
    tmp_path: Path, behind: int
) -> None:
    async with visit(tmp_path / "kv.db") as client:
        await write(client.world, 20, "old")
        await client.connect()
        await client.leave()
        await write(client.world, 5 + behind, "new")
        await changelog.trim_changes(client.world.store.db, keep=5, since_ms=0, limit=10**6)
        await client.connect()
        await client.read_all()
        assert client.resets == behind
        assert client.known == await stored(client.world)


async def test_trimming_in_steps_leaves_the_last_place(world: World) -> None:
    await write(world, 20, 1)
    while await changelog.trim_changes(world.store.db, keep=3, since_ms=0, limit=4):
        ((seq, stamp),) = await world.rows("SELECT trimmed_seq, trimmed_stamp FROM kv_log")
        ((oldest,),) = await world.rows("SELECT min(seq) FROM kv_changes")
        assert seq == oldest - 1
        assert len(stamp) == 36
    assert oldest == 18


def test_restarts_and_other_processes_are_no_reset(tmp_path: Path) -> None:
    query = {"prefix": "r"}
    with live_server(tmp_path) as server, api_of(server.api) as api:
        api.put("r/1", 1)
        with event_stream(api.base, "/watch/prefix", query=query) as stream:
            event = stream.next()
    assert event is not None
    for number in range(2, 4):
        with live_server(tmp_path) as server, api_of(server.api) as api:
            assert event.id is not None
            headers = {"Last-Event-ID": event.id}
            with event_stream(api.base, "/watch/prefix", query=query, headers=headers) as stream:
                api.put(f"r/{number}", number)
                event = stream.next()
                assert event is not None
                assert event.event == "change"
                assert [entry["value"] for entry in event.data] == [number]


@pytest.mark.parametrize(
    "text",
    [
        "0123456789abcdef-0-",
        "0123456789abcdef-4711-0123456789ab",
        "0123456789abcdef-0-+4711-0123456789ab",
        "0123456789abcdef-4711-0123456789ab+4712-ba9876543210",
    ],
)
def test_ids_are_texts_of_places(text: str) -> None:
    bookmark = parse_bookmark(text)
    assert bookmark.text == text
    assert (bookmark.until is None) == ("+" not in text)


@pytest.mark.parametrize("text", ["", "4711", "0123456789abcdef-1-x\n", "0123456789abcdef-1", "+"])
def test_other_texts_are_no_places(text: str) -> None:
    assert parse_bookmark(text) == NOWHERE
    assert isinstance(NOWHERE, Bookmark)

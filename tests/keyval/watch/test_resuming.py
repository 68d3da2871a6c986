"""`Last-Event-ID`: a client that comes back hears what it missed, and nothing else."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from buntime_plugin_keyval.features.watch import events
from buntime_plugin_keyval.features.watch.bookmarks import parse_bookmark
from buntime_plugin_keyval.features.watch.watcher import Watcher, WatchTarget
from buntime_plugin_keyval.storage import changelog, states
from keyval.service.world import World
from keyval.watch.following import Client, stored
from support.api import Api
from support.sse import Event, event_stream

pytestmark = pytest.mark.engines("sqlite", "odd", "libsql", "postgres")


async def away(world: World, limit: int = 100) -> Client:
    """A client that knows twenty entries and has left."""
    for number in range(20):
        await world.kv.set(("k", number), "old")
    client = Client(world, limit=limit)
    await client.connect()
    await client.read_all()
    assert client.known == await stored(world)
    await client.leave()
    client.told.clear()
    return client


async def test_only_what_changed_is_told(world: World) -> None:
    client = await away(world)
    for _ in range(3):
        await world.kv.set(("k", 1), "new")
    await world.kv.delete(("k", 2))
    await client.connect()
    await client.read_all()
    assert client.known == await stored(world)
    assert len(client.told) == 2


async def test_nothing_is_told_if_nothing_changed(world: World) -> None:
    client = await away(world)
    await client.connect(initial=True)
    assert not await client.read()
    assert client.told == []


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_a_long_absence_comes_in_pieces_that_can_be_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(states, "LOG_PAGE", 16)
    client = await away(world, limit=100)
    client.limit = limit
    for number in range(60):
        await world.kv.set(("k", number % 30), number)
        if number % 7 == 0:
            await world.kv.delete(("k", number % 11))
    wanted = await stored(world)
    connections = 0
    while client.known != wanted:
        await client.connect()
        await client.read()  # one event, and the connection is lost again
        await client.leave()
        connections += 1
        assert connections < 200
    assert connections > 1 or limit == 100


async def test_beyond_the_log_everything_is_told_again(world: World) -> None:
    client = await away(world, limit=10_000)
    client.limit = 7
    await world.kv.delete(("k", 3))
    await world.kv.set(("k", 4), "new")
    await changelog.trim_changes(world.store.db, keep=1, since_ms=2**60, limit=1000)
    await client.connect()
    await client.read()
    await client.read()
    await client.leave()  # in the middle of it
    await client.connect()
    await client.read_all()
    assert client.known == await stored(world)
    assert len(client.known) == 19
    assert client.resets == 2


async def test_what_was_read_is_not_told_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await away(world)
    original = world.service.watches.watch

    async def slow(target: WatchTarget) -> Watcher:
        watcher = await original(target)
        await world.kv.set(("k", 1), "new")  # noticed by the watcher, and then read
        return watcher

    monkeypatch.setattr(world.service.watches, "watch", slow)
    await client.connect()
    await client.read_all()
    assert len(client.told) == 1


async def test_a_log_that_is_trimmed_while_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await away(world)
    await world.kv.delete(("k", 3))
    await world.kv.set(("k", 4), "new")
    original = world.adapter.query

    async def trimmed(sql: str, *args: Any, **options: Any) -> Any:
        rows = await original(sql, *args, **options)
        if sql == world.store.sql.watch.changed_keys:
            await changelog.trim_changes(world.store.db, keep=1, since_ms=2**60, limit=1000)
        return rows

    monkeypatch.setattr(world.adapter, "query", trimmed)
    await client.connect()
    await client.read_all()
    assert client.known == await stored(world)
    assert client.resets == 1


async def test_exact_keys_are_complete_without_a_reset(world: World) -> None:
    await world.kv.set(["a"], 1)
    target = WatchTarget.of_keys([("a",), ("b",)])
    client = Client(world, target)
    await client.connect()
    await client.leave()
    await world.kv.delete(["a"])
    await world.kv.set(["c"], 1)
    await world.kv.set(["d"], 1)
    await changelog.trim_changes(world.store.db, keep=1, since_ms=2**60, limit=1000)
    await client.connect()
    await client.read_all()
    assert client.known == {}
    assert client.resets == 0


@pytest.mark.slow
def test_over_http(api: Api) -> None:
    api.put("w/a", 1)
    query = {"prefix": "w"}
    with event_stream(api.base, "/watch/prefix", query=query) as stream:
        first = stream.next()
    assert first is not None
    assert first.data == [{"key": ["w", "a"], "value": 1, "versionstamp": stamp_of(first)}]
    assert first.id is not None
    api.put("w/b", 2)
    api.put("other", 3)
    api.send("DELETE", "/keys/w/a")
    headers = {"Last-Event-ID": first.id}
    with event_stream(api.base, "/watch/prefix", query=query, headers=headers) as stream:
        second = stream.next()
        assert second is not None
        assert [(e["key"], e["value"]) for e in second.data] == [
            (["w", "b"], 2),
            (["w", "a"], None),
        ]
        assert second.id is not None
        assert seq_of(second) >= seq_of(first) + 3
        api.put("w/c", 4)
        third = stream.next()
        assert third is not None
        assert [entry["value"] for entry in third.data] == [4]


@pytest.mark.parametrize(
    "text", ["x", "-1", "1.5", "4711", "9" * 30, "9" * 5000, "١", "0123456789abcdef-0-"]
)
def test_what_is_no_place_here_is_a_reset(api: Api, text: str) -> None:
    api.put("w/a", 1)
    headers = {"Last-Event-ID": text.encode().decode("latin-1")}
    query = {"prefix": "w", "initial": "false"}
    with event_stream(api.base, "/watch/prefix", query=query, headers=headers) as stream:
        assert stream.status == 200
        reset, event = stream.next(), stream.next()
    assert reset is not None
    assert event is not None
    assert (reset.event, reset.data, reset.id) == ("reset", None, None)
    assert [entry["value"] for entry in event.data] == [1]


def test_the_id_may_be_a_parameter_as_well(api: Api) -> None:
    ids = []
    for number in range(2):
        api.put("w/a", number)
        with event_stream(api.base, "/watch/prefix", query={"prefix": "w"}) as stream:
            event = stream.next()
        assert event is not None
        ids.append(event.id)
    query = {"prefix": "w", "lastEventId": ids[0]}
    with event_stream(api.base, "/watch/prefix", query=query) as stream:
        event = stream.next()
        assert event is not None
        assert [entry["value"] for entry in event.data] == [1]
    # A browser that comes back by itself says it in the header, which is newer.
    headers = {"Last-Event-ID": str(ids[1])}
    with event_stream(api.base, "/watch/prefix", query=query, headers=headers) as stream:
        event = stream.next(pings=True)
    assert event is not None
    assert event.event == "ping"


def test_an_empty_id_is_none(api: Api) -> None:
    api.put("w/a", 1)
    headers = {"Last-Event-ID": ""}
    with event_stream(api.base, "/watch/prefix", query={"prefix": "w"}, headers=headers) as stream:
        event = stream.next()
    assert event is not None
    assert [entry["value"] for entry in event.data] == [1]


def seq_of(event: Event) -> int:
    assert event.id is not None
    return parse_bookmark(event.id).place.seq


def stamp_of(event: Event) -> Any:
    return event.data[0]["versionstamp"]


@pytest.mark.parametrize("initial", ["true", "false"])
def test_a_client_that_was_told_nothing_can_resume(api: Api, initial: str) -> None:
    api.put("other", 0)
    query = {"prefix": "p", "initial": initial}
    with event_stream(api.base, "/watch/prefix", query=query) as stream:
        first = stream.next(pings=True)
    assert first is not None
    assert (first.event, first.data) == ("ping", None)
    assert first.id is not None
    api.put("p/1", "missed")
    headers = {"last-event-id": first.id}
    with event_stream(api.base, "/watch/prefix", query=query, headers=headers) as stream:
        event = stream.next()
    assert event is not None
    assert [entry["value"] for entry in event.data] == ["missed"]


async def test_a_heartbeat_moves_a_quiet_client_on(world: World) -> None:
    hub = world.service.watches
    watcher = await hub.watch(WatchTarget(keys=(b"quiet",)))
    told = events.watch_events(world.store, hub, watcher, initial=True, limit=10, heartbeat_s=0.02)
    async with contextlib.aclosing(told):
        begun = (await anext(told)).bookmark.place.seq
        for number in range(5):
            await world.kv.set(["loud"], number)
        while (event := await anext(told)).bookmark.place.seq < begun + 5:
            assert not event.states

"""An expiry is told once, whoever comes and goes; a watch of a prefix is not one of its own key."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from keyval.service.world import FakeClock, World
from keyval.watch.following import Client, stored
from support.api import Api
from support.sse import event_stream

pytestmark = pytest.mark.slow

BRIEF = encode_key(("brief",))


async def reconnect(client: Client) -> None:
    await client.leave()
    await client.connect()
    await client.read_all()


@pytest.mark.parametrize("target", [WatchTarget(prefixes=(b"",)), WatchTarget(keys=(BRIEF,))])
async def test_an_expiry_is_told_once_to_who_reconnects(
    world: World, other: World, clock: FakeClock, target: WatchTarget
) -> None:
    client = Client(world, target)
    await client.connect()
    await world.kv.set(["brief"], 1, expires_in="500ms")
    await client.read_all()
    await client.leave()
    await world.kv.set(["brief"], 2, expires_in="500ms")
    clock.advance(500)  # and nobody has swept yet
    await client.connect()
    await client.read_all()
    await world.store.expire(10)
    await other.store.expire(10)
    for _ in range(3):
        await reconnect(client)
    assert [key for key, stamp in client.told if stamp is None and key == BRIEF][-1:] == [BRIEF]
    # Nothing was there when exact keys were told first, and then it expired.
    gone = [None for key, stamp in client.told if stamp is None]
    assert len(gone) == (2 if target.keys else 1)
    assert client.known == await stored(world) == {}


async def test_an_expiry_that_the_first_event_shows_is_not_told_again(
    world: World, other: World, clock: FakeClock
) -> None:
    await world.kv.set(["brief"], 1, expires_in="500ms")
    clock.advance(500)
    client = Client(world, WatchTarget(keys=(BRIEF,)))
    await client.connect()
    assert client.told == [(BRIEF, None)]
    await world.store.expire(10)
    await client.read_all()
    await reconnect(client)
    assert client.told == [(BRIEF, None)]


async def test_a_foreign_expiry_is_told_once(world: World, other: World, clock: FakeClock) -> None:
    client = Client(world)
    await client.connect()
    await other.kv.set(["brief"], 1, expires_in="500ms")
    await client.read_all()
    clock.advance(500)
    await other.kv.set(["more"], 1)
    await client.read_all()
    await other.store.expire(10)
    await client.read_all()
    await reconnect(client)
    assert [stamp for key, stamp in client.told if key == BRIEF][1:] == [None]


async def test_what_is_always_expired_holds_up_nobody(world: World, clock: FakeClock) -> None:
    """An entry may come with an end that is over: then it is missing, and told as such."""
    await world.kv.set(["past"], 1, expires_at=clock() - 1000)
    client = Client(world)
    await client.connect()
    await world.kv.set(["past"], 2, expires_at=clock() - 1000)
    await client.read_all()
    await reconnect(client)
    assert client.known.keys() <= {encode_key(("past",))}
    await world.store.expire(10)
    await client.read_all()
    assert client.known == {}


def values(event: Any) -> list[tuple[Any, Any]]:
    assert event is not None
    return [(entry["key"], entry["value"]) for entry in event.data]


def test_a_watch_of_a_prefix_does_not_tell_of_its_key(api: Api) -> None:
    """Neither at first, nor later, nor to who comes back; `prefixes` does."""
    api.put("p", "itself")
    api.put("p/1", "below")
    both = [(["p"], "itself"), (["p", 1], "below")]
    with (
        event_stream(api.base, "/watch/prefix", query={"prefix": "p"}) as below,
        event_stream(api.base, "/watch/prefix", query={"prefixes": "p"}) as including,
    ):
        first = below.next()
        assert values(first) == both[1:]
        assert values(including.next()) == both
        api.put("p", "again")
        assert values(including.next()) == [(["p"], "again")]
        assert below.is_quiet(0.2)
        api.put("p/2", "below")
        assert values(below.next()) == values(including.next()) == [(["p", 2], "below")]
        api.json("DELETE", "/keys/p", {"exact": True})
        assert values(including.next()) == [(["p"], None)]
        assert below.is_quiet(0.2)
    assert first is not None
    assert first.id is not None
    headers = {"Last-Event-ID": first.id}
    for query, wanted in (
        ({"prefix": "p"}, [(["p", 2], "below")]),
        ({"prefixes": "p"}, [(["p", 2], "below"), (["p"], None)]),
    ):
        with event_stream(api.base, "/watch/prefix", query=query, headers=headers) as stream:
            assert values(stream.next()) == wanted
    api.put("p", "once more")
    polled = api.json("GET", "/watch/prefix/poll", query={"prefix": "p"})["entries"]
    assert [entry["key"] for entry in polled] == [["p", 1], ["p", 2]]


async def test_a_foreign_change_of_a_prefix_is_not_told(world: World, other: World) -> None:
    client = Client(world, WatchTarget.of_prefix(("p",)))
    await client.connect()
    await other.kv.set(["p"], "itself")
    await other.kv.set(["p", 1], "below")
    await client.read_all()
    assert [key for key, _ in client.told] == [encode_key(("p", 1))]

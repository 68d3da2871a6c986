"""The store as bytes: what other plugins put an API of their own on."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from buntime_keyval.engine import (
    EngineChange,
    EngineCheck,
    EngineEntry,
    EngineRange,
    EngineWrite,
    KeyValEngine,
    PositionGone,
    range_below,
)
from buntime_keyval.wire import BigInt, InvalidInput, encode_key
from buntime_plugin_keyval.config import Retention
from buntime_plugin_keyval.features.expiry.sweeper import Sweeper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyval.service.world import World, until
from support.api import Api
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "libsql")
A, B, C = (encode_key((name,)) for name in "abc")
BELOW = range_below(())


async def written(engine: KeyValEngine, *writes: EngineWrite) -> str:
    stamp = await engine.commit([], writes)
    assert stamp is not None
    return stamp


async def entry(engine: KeyValEngine, key: bytes) -> EngineEntry:
    (found,) = await engine.get([key])
    assert found is not None
    return found


async def test_bytes_are_read_as_they_were_written(world: World) -> None:
    engine = world.kv.engine
    values = [b"", b"\x00\xff", b'{"a":1}', "ü".encode(), bytes(range(256)) * 1000]
    for value in values:
        stamp = await written(engine, EngineWrite(A, value))
        assert await entry(engine, A) == EngineEntry(A, value, "bytes", stamp)
        assert (await world.kv.get(("a",))).value == value


async def test_values_of_other_callers_are_json_or_bytes(world: World) -> None:
    for value, text in [
        ({"a": [1, None]}, b'{"a":[1,null]}'),
        (None, b"null"),
        (BigInt(2**80), b'{"__type":"bigint","value":"1208925819614629174706176"}'),
        ({"inner": b"\x01"}, b'{"inner":{"__type":"uint8array","value":"AQ=="}}'),
    ]:
        await world.kv.set(("a",), value)
        found = await entry(world.kv.engine, A)
        assert (found.encoding, found.value) == ("json", text)
    await world.kv.set(("a",), b"\x01\x02")
    found = await entry(world.kv.engine, A)
    assert (found.encoding, found.value) == ("bytes", b"\x01\x02")


async def test_json_is_written_in_its_canonical_form(world: World) -> None:
    engine = world.kv.engine
    await written(engine, EngineWrite(A, b' {"a": 1.0, "now": {"$now": true}}', "json"))
    assert (await entry(engine, A)).value == b'{"a":1,"now":%d}' % world.clock.now_ms
    assert (await world.kv.get(("a",))).value == {"a": 1, "now": world.clock.now_ms}


@pytest.mark.slow
@given(value=st.binary(max_size=200), part=st.one_of(st.text(), st.binary(), st.integers()))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_come_back(value: bytes, part: Any) -> None:
    from buntime_plugin_keyval.faces.engine.engine import _entry

    text = '{"__type":"uint8array","value":"' + base64.b64encode(value).decode() + '"}'
    assert _entry(A, text, "s").value == value


async def test_ranges_are_read_in_order(world: World) -> None:
    engine = world.kv.engine
    keys = [encode_key(("list", number)) for number in range(5)]
    await written(engine, *(EngineWrite(key, b"%d" % n) for n, key in enumerate(keys)))
    first, last, some = await engine.read(
        range_below(("list",), 2),
        EngineRange(keys[1], keys[4], 2, reverse=True),
        EngineRange(keys[4], keys[4]),
    )
    assert [found.key for found in first] == keys[:2]
    assert [found.value for found in last] == [b"3", b"2"]
    assert some == []


async def test_a_commit_is_all_or_nothing(world: World) -> None:
    engine = world.kv.engine
    stamp = await written(engine, EngineWrite(A, b"1"), EngineWrite(B, b"2"))
    assert await engine.get([A, C, B]) == [
        EngineEntry(A, b"1", "bytes", stamp),
        None,
        EngineEntry(B, b"2", "bytes", stamp),
    ]
    writes = [EngineWrite(A, None), EngineWrite(C, b"3")]
    assert await engine.commit([EngineCheck(A, stamp), EngineCheck(B, None)], writes) is None
    assert await engine.get([A, C]) == [EngineEntry(A, b"1", "bytes", stamp), None]
    assert await engine.commit([EngineCheck(A, stamp), EngineCheck(C, None)], writes)
    assert (await engine.get([A]), (await entry(engine, C)).value) == ([None], b"3")


async def test_entries_expire(world: World) -> None:
    engine = world.kv.engine
    await written(engine, EngineWrite(A, b"1", expires_in=1000))
    world.clock.advance(999)
    assert (await entry(engine, A)).value == b"1"
    world.clock.advance(1)
    assert await engine.get([A]) == [None]


async def test_what_breaks_the_contract_is_refused(world: World) -> None:
    engine = world.kv.engine
    large: Any = EngineWrite(A, bytes(8 * 1024 * 1024))
    for checks, writes in [
        ([], [EngineWrite(b"no key", b"1")]),
        ([], [EngineWrite(b"", b"1")]),
        ([], [EngineWrite(A + b"\x02", b"1")]),
        ([EngineCheck(b"\xff", None)], []),
        ([], [EngineWrite(A, b"{", "json")]),
        ([], [EngineWrite(A, b"1", "v8")]),  # type: ignore[arg-type]
        ([], [EngineWrite(A, b"1", expires_in=-1)]),
        ([], [large]),
    ]:
        with pytest.raises(InvalidInput):
            await engine.commit(checks, [EngineWrite(B, b"1"), *writes])
    with pytest.raises(InvalidInput):
        await engine.get([b"x"])
    with pytest.raises(InvalidInput):
        await engine.read(BELOW._replace(limit=0))
    assert await engine.get([A, B]) == [None, None]


async def take(changes: AsyncIterator[EngineChange], number: int) -> list[EngineChange]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(changes) for _ in range(number)]


async def test_a_follower_is_told_every_change_in_order(world: World) -> None:
    engine = world.kv.engine
    begin = await engine.position()
    stamps = [await written(engine, EngineWrite(A, b"%d" % n)) for n in range(300)]
    await world.kv.delete(("a",))
    await world.kv.set(("b",), 1)
    async with aclosing(engine.follow(begin)) as changes:  # type: ignore[type-var]
        found = await take(changes, 302)
        assert [change.versionstamp for change in found[:300]] == stamps
        assert [(it.key, it.operation) for it in found[-2:]] == [(A, "delete"), (B, "set")]
        waiting = asyncio.create_task(take(changes, 1))
        await asyncio.sleep(0)
        assert not waiting.done()
        stamp = await written(engine, EngineWrite(C, b"1"))
        assert [(it.key, it.versionstamp) for it in await waiting] == [(C, stamp)]
    async with aclosing(engine.follow(found[150].position)) as changes:  # type: ignore[type-var]
        assert await take(changes, 151) == found[151:]


async def test_a_follower_of_a_range(world: World) -> None:
    engine = world.kv.engine
    begin = await engine.position()
    for key in (A, B, C, B):
        await written(engine, EngineWrite(key, b"1"))
    within = EngineRange(B, C)
    async with aclosing(engine.follow(begin, within)) as changes:  # type: ignore[type-var]
        assert [change.key for change in await take(changes, 2)] == [B, B]


async def test_followers_hear_of_other_processes(world: World, other: World) -> None:
    begin = await world.kv.engine.position()
    async with aclosing(world.kv.engine.follow(begin)) as changes:  # type: ignore[type-var]
        waiting = asyncio.create_task(take(changes, 1))
        await until(lambda: world.service.parts["log"]._loop.is_running)
        stamp = await written(other.kv.engine, EngineWrite(A, b"1"))
        assert [change.versionstamp for change in await waiting] == [stamp]


async def test_nobody_looks_while_nobody_follows(world: World) -> None:
    loop = world.service.parts["log"]._loop
    engine = world.kv.engine
    followers = [engine.follow(await engine.position()) for _ in range(3)]
    waiting = [asyncio.create_task(take(changes, 1)) for changes in followers]
    await until(lambda: loop.is_running)
    await written(engine, EngineWrite(A, b"1"))
    await asyncio.gather(*waiting)
    assert not loop.is_running


async def test_a_position_that_the_log_does_not_have(world: World) -> None:
    engine = world.kv.engine
    begin = await engine.position()
    for number in range(20):
        await written(engine, EngineWrite(A, b"%d" % number))
    middle = await engine.position()
    world.clock.advance(1000)
    await written(engine, EngineWrite(B, b"1"))
    sweeper = Sweeper(world.store, interval_ms=10, retention=Retention(changes=2, age_ms=500))
    sweeper.start()

    async def trimmed() -> bool:
        return len(await world.store.changes(0, limit=100)) == 1

    await until(trimmed)
    await sweeper.close()
    assert [change.key for change in await take(engine.follow(middle), 1)] == [B]
    for position in (begin, "", "anything", middle[:-3] + "xyz", "0" * 16 + middle[16:]):
        with pytest.raises(PositionGone):
            await take(engine.follow(position), 1)


async def test_followers_end_with_the_store(world: World) -> None:
    engine = world.kv.engine
    changes = engine.follow(await engine.position())
    waiting = asyncio.create_task(anext(changes, None))
    await until(lambda: world.service.parts["log"]._loop.is_running)
    await world.service.end_streams()
    assert await waiting is None


def test_http_shows_bytes_in_their_typed_form(api: Api) -> None:
    text = base64.b64encode(b"\x00\xff").decode()
    tagged = {"__type": "uint8array", "value": text}
    api.put("a", tagged)
    assert api.value("a") == tagged

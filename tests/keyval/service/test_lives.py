"""Entries get another life without their values, on every engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_keyval import InvalidInput, InvalidValue, KvEntry, KvMissing
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import FakeClock
from support.store import open_kv
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres", "odd")


async def test_a_touched_entry_lives_on(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(["a"], [1], expires_in=1000, metadata="m", type="T")
    clock.advance(900)
    assert await kv.touch(["a"], expires_in=1000)
    clock.advance(900)
    found = await kv.get_with_metadata(["a"])
    assert found.value == [1]
    assert found.details is not None
    assert (found.details.metadata, found.details.type, found.details.revision) == ("m", "T", 2)
    assert await kv.persist(["a"])
    clock.advance(10_000)
    assert (await kv.get(["a"])).value == [1]
    assert await kv.touch(["a"], expires_in="1ms")
    clock.advance(2)
    assert not await kv.touch(["a"], expires_in=1000)
    assert not await kv.persist(["a"])
    assert not await kv.has(["a"])


async def test_results_are_those_of_the_commit(kv: LocalKv, clock: FakeClock) -> None:
    assert await kv.incr(["n"]) == 1
    assert await kv.incr(["n"], 2**60, expires_in=1000) == 2**60 + 1
    assert await asyncio.gather(*(kv.incr(["m"]) for _ in range(20))) == [*range(1, 21)]
    clock.advance(1000)
    assert await kv.incr(["n"], -1) == -1
    await kv.set(["x"], 0.5)
    assert await kv.incr(["x"]) == 1.5
    once = [await kv.incr(["o"], idempotency_key="k") for _ in range(3)]
    assert once == [1, 1, 1]
    result = await kv.atomic().append(["l"], [1]).enqueue(1).set(["s"], 1).commit(results=True)
    assert result.results == ([1], None, None)
    assert (await kv.atomic().check((["l"], None)).sum(["l"], 1).commit(results=True)).results == ()
    with pytest.raises(InvalidInput, match="requires a numeric value"):
        await kv.incr(["l"])


async def test_of_several_who_take_an_entry_one_gets_it(kv: LocalKv) -> None:
    await kv.set_many({("a", 1): "x", ("a", 2): "y"}, expires_in="1h")
    taken = await asyncio.gather(*(kv.get_and_delete(("a", 1)) for _ in range(5)))
    assert [entry.value for entry in taken if entry.exists] == ["x"]
    assert await kv.count(["a"]) == 1
    assert (await kv.set_many([(("b", n), n) for n in range(3)])).ok
    assert await kv.count(["b"]) == 3


async def test_of_several_who_miss_an_entry_one_makes_it(kv: LocalKv, clock: FakeClock) -> None:
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return made

    found = await asyncio.gather(*(kv.get_or_set(["c"], make, expires_in="10ms") for _ in range(5)))
    assert {(entry.value, entry.versionstamp) for entry in found} == {(1, found[0].versionstamp)}
    clock.advance(20)
    assert (await kv.get_or_set(["c"], lambda: "again")).value == "again"
    with pytest.raises(ZeroDivisionError):
        await kv.get_or_set(["d"], lambda: 1 / 0)
    assert not await kv.has(["d"])
    assert (await kv.get_or_set(["d"], lambda: None)).exists
    assert not kv._flights._flights

    async def overtaken() -> str:
        await kv.set(["e"], "of another process")
        return "mine"

    assert (await kv.get_or_set(["e"], overtaken)).value == "of another process"


async def test_what_is_made_is_told_as_it_is_read(kv: LocalKv) -> None:
    made: Any = await kv.get_or_set(["t"], lambda: {"at": kv.now(), "of": (1, 2.0)})
    assert made == await kv.get(["t"])
    assert (made.value["of"], type(made.value["at"])) == ([1, 2], int)


@pytest.mark.engines("sqlite")
async def test_what_is_no_key_is_refused(kv: LocalKv) -> None:
    wrong: Any
    for wrong in ([], [["a"], ["b"]], 5):
        for use in (kv.get_and_delete(wrong), kv.get_or_set(wrong, lambda: 1)):
            with pytest.raises(InvalidInput):
                await use
    for none in ([1, 2], None, [(["a"],)]):
        with pytest.raises(InvalidInput, match="set_many takes a mapping"):
            await kv.set_many(none)  # type: ignore[arg-type] # that is what is tested


async def test_stores_have_them_too(kv: LocalKv) -> None:
    numbers: Any = kv.store(["n"], int, expires_in="1h")
    assert await numbers.incr("a") == 1
    assert (await numbers.get_or_set("b", lambda: 7)).value == 7
    assert (await kv.get(["n", "b"])).value == 7
    with pytest.raises(InvalidValue):
        await numbers.get_or_set("c", lambda: "text")
    with pytest.raises(InvalidValue):
        await numbers.set_many({"c": "text"})
    await numbers.set_many({"c": 1, "d": 2})
    assert await numbers.touch("c", expires_in="2h")
    assert await numbers.persist("d")
    assert (await numbers.get_and_delete("d")).value == 2
    await kv.set(["n", "x"], "text")
    with pytest.raises(InvalidValue):
        await numbers.get_and_delete("x")
    assert await kv.has(["n", "x"])  # nothing is lost that cannot be told


async def test_a_missing_key_has_the_value_that_is_named(kv: LocalKv) -> None:
    await kv.set(["a"], None)
    assert await kv.get(["b"], default=5) == KvMissing(("b",), 5, None)
    assert await kv.get(["a"], default=5) == await kv.get(["a"])
    assert [it.value for it in await kv.get([["a"], ["b"]], default=[])] == [None, []]
    assert (await kv.get(["b"], default=0, consistency="strong")).value == 0
    numbers = kv.store(["n"], type=int)
    found = await numbers.get("x", default="none")
    assert (found.key, found.value, found.exists) == (("x",), "none", False)


async def test_what_makes_a_value_cannot_wait_for_it(kv: LocalKv) -> None:
    async def itself() -> Any:
        return (await kv.get_or_set(["own"], itself)).value

    async def in_a_task() -> Any:
        return await asyncio.create_task(itself())

    for make in (itself, in_a_task):
        with pytest.raises(InvalidInput, match=r'get_or_set of \["own"\] would wait for itself'):
            await kv.get_or_set(["own"], make)

    begun: set[str] = set()

    async def both_began(name: str) -> None:
        begun.add(name)
        while len(begun) < 2:  # noqa: ASYNC110 - the other one is about to
            await asyncio.sleep(0)

    async def one() -> Any:
        await both_began("one")
        return (await kv.get_or_set(["right"], other)).value

    async def other() -> Any:
        await both_began("other")
        return (await kv.get_or_set(["left"], one)).value

    crossed = [kv.get_or_set(["left"], one), kv.get_or_set(["right"], other)]
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*crossed, return_exceptions=True)
    assert all(isinstance(it, InvalidInput) for it in outcomes)

    # Within another one, and after what led to it has ended, it is as anywhere.
    async def around() -> Any:
        return (await kv.get_or_set(["inner"], lambda: 1)).value

    assert (await kv.get_or_set(["outer"], around)).value == 1
    later: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    async def leaves_a_task() -> int:
        async def afterwards() -> Any:
            await ended.wait()
            await kv.delete(["early"])
            return (await kv.get_or_set(["early"], lambda: 2)).value

        later.append(asyncio.create_task(afterwards()))
        return 1

    await kv.get_or_set(["early"], leaves_a_task)
    ended.set()
    assert await later[0] == 2
    assert not kv._flights._flights


async def test_what_is_read_in_a_sliding_store_lives_on(kv: LocalKv, clock: FakeClock) -> None:
    sessions = kv.store(["s"], type=int, expires_in=1000, sliding=True)
    inner = sessions.with_prefix("inner")
    await sessions.set_many({"a": 1, "b": 2, "c": 3, "d": 4})
    await inner.set("e", 5)
    await sessions.set("long", 6, expires_in="1h")
    await sessions.set("always", 7)
    await sessions.persist("always")
    kept = await sessions.get_many(["long", "always"])
    for _ in range(3):
        clock.advance(700)
        assert (await sessions.get("a")).value == 1
        assert [it.value for it in await sessions.get_many(["a", "b", "z"])] == [1, 2, None]
        found = await sessions.get_with_metadata("c")
        assert found.details is not None
        assert found.details.expires_at == clock.now() + 1000
        assert (await inner.get("e")).value == 5
        # What is told is the entry as it is then.
        read = await sessions.get("a")
        assert read == KvEntry(("a",), 1, (await kv.get(["s", "a"])).versionstamp)
        assert (await sessions.get_or_set("c", lambda: 0)).value == 3
    assert not await sessions.has("d")
    assert await sessions.get_many(["long", "always"]) == kept
    clock.advance(1000)
    assert [entry.key async for entry in sessions.list()] == [("always",), ("long",)]
    with pytest.raises(InvalidInput, match="sliding needs expires_in"):
        kv.store(["s"], sliding=True)


async def test_a_life_is_given_again_once_in_a_while() -> None:
    async with open_kv() as kv:  # whose clock is that of this machine
        sessions = kv.store(["s"], expires_in="1h", sliding=True)
        await sessions.set("a", 1)
        first = await sessions.get("a")
        assert await sessions.get("a") == first
        await kv.touch(["s", "a"], expires_in="50m")
        assert (await sessions.get("a")).versionstamp != first.versionstamp
        details = (await sessions.get_with_metadata("a")).details
        assert details is not None
        assert details.expires_at is not None
        assert details.expires_at - details.updated_at == 3_600_000

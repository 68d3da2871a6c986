"""Reading and writing entries, against a live server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from buntime_keyval import AsyncKv, BigInt, Field, InvalidInput, KvMissing, RequestRejected
from client._async.beside import until

HOSTILE_KEYS: list[tuple[Any, ...]] = [
    ("users", 123), ("users", "123"), ("users", 1.5), ("a/b", "c\\d"), (".",), ("..", "x"),
    ("count",), ("paginate",), ("list",), ("batch",), ("delete-batch",), (True, False),
    (BigInt(5), BigInt(-(2**80))), (b"\0\xff", b""), ("", "x"), ("%41", "é ~,:;?#&=+", "\0"),
    ("keys", "keys"), ("[1]",), (2**53 - 1,), (-0.0,), (1e300,), ("x" * 1024,) * 3,
]  # fmt: skip


async def test_keys_keep_their_types_on_every_route(kv: Any) -> None:
    for key in HOSTILE_KEYS:
        await kv.set(key, {"of": repr(key)}, expires_in="1h")
        entry = await kv.get(key)
        assert entry.value == {"of": repr(key)}
        assert entry.exists
        (listed,) = [item async for item in kv.list()]
        assert repr(listed) == repr(entry)  # repr tells 5 from BigInt(5) and from True
        child = (*entry.key, "child")
        assert await kv.get([key, child]) == [entry, KvMissing(child, None, None)]
        await kv.set(child, 1)
        assert await kv.count(key) == 1
        assert [item.key async for item in kv.list(key)] == [child]
        assert (await kv.delete(key, exact=True)).deleted_count == 1
        assert (await kv.delete(key)).deleted_count == 1


async def test_what_looks_alike_is_not_mixed_up(kv: Any) -> None:
    keys = [("k", 1), ("k", "1"), ("k", BigInt(1)), ("k", True), ("k", b"1")]
    for key in keys:
        await kv.set(key, repr(key))
    assert [entry.value for entry in await kv.get(keys)] == [repr(key) for key in keys]
    assert (await kv.delete(keys[:2], exact=True)).deleted_count == 2


async def test_python_values_come_back_without_loss(kv: Any) -> None:
    value = {"big": 2**70, "small": BigInt(7), "bytes": b"\0\xff", "list": [1, 2.5, None, True]}
    await kv.set(("v",), value)
    got = (await kv.get(("v",))).value
    assert got == value
    assert isinstance(got["small"], BigInt)
    assert type(got["list"][0]) is int


async def test_uuids_and_times_are_key_parts(kv: Any) -> None:
    name = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    later = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    earlier = (later - timedelta(microseconds=6)).astimezone(timezone(timedelta(hours=9)))
    await kv.set(("log", later, name), 2)
    await kv.set(("log", earlier, name), 1)
    entries = [entry async for entry in kv.list(("log",))]
    assert [entry.value for entry in entries] == [1, 2]
    assert datetime.fromisoformat(entries[0].key[1]) == earlier
    assert UUID(entries[1].key[2]) == name
    assert (await kv.get(("log", later, name))).value == 2
    with pytest.raises(InvalidInput, match="time zone"):
        await kv.get((datetime(2026, 1, 2),))


async def test_what_cannot_be_stored_is_refused_before_it_is_sent() -> None:
    async with AsyncKv("http://127.0.0.1:9/never") as kv:
        keys: list[Any] = [[], [None], ["x" * 1025], [2**53 + 1], ["a"] * 21, ["\ud800"], "text"]
        for key in keys:
            with pytest.raises(InvalidInput):
                await kv.set(key, 1)
        for value in (float("nan"), float("inf"), object(), "\ud800"):
            with pytest.raises(InvalidInput):
                await kv.set(["k"], value)
        limits: list[Any] = [0, -1, True, 1.5]
        for wrong in limits:
            with pytest.raises(InvalidInput):
                await kv.paginate(limit=wrong)
        with pytest.raises(InvalidInput, match="everything=True"):
            await kv.delete([])
        with pytest.raises(InvalidInput, match="expires_in must"):
            await kv.set(["k"], 1, expires_in="soon")


async def test_a_stored_null_exists(kv: Any) -> None:
    await kv.set(["null"], None)
    entry = await kv.get(["null"])
    assert entry.value is None
    assert entry.exists
    assert not (await kv.get(["missing"])).exists


async def test_expiry(kv: Any) -> None:
    await kv.set(["soon"], 1, expires_in="1ms")
    await kv.set([True, "soon"], 1, expires_in="1ms")  # through another route
    await kv.set(["later"], 1, expires_in="1h")

    async def gone() -> bool:
        return not any(entry.exists for entry in await kv.get([["soon"], [True, "soon"]]))

    await until(gone)
    assert (await kv.get(["later"])).exists


async def test_deleting(kv: Any) -> None:
    for key in (["a"], ["a", 1], ["a", 2], ["b"], ["ab"]):
        await kv.set(key, {"n": key[-1]})
    assert (await kv.delete(["a"], where={"n": 2})).deleted_count == 1
    assert (await kv.delete(["a"], exact=True)).deleted_count == 1
    assert (await kv.delete(["a"])).deleted_count == 1
    assert (await kv.delete([["b"], ["zz"]])).deleted_count == 1
    assert (await kv.delete([], everything=True, where=Field("n") == "nothing")).deleted_count == 0
    assert (await kv.delete([], everything=True)).deleted_count == 1


async def test_weakness_47_list_pages_through_everything(kv: Any) -> None:
    for start in range(0, 2300, 500):
        atomic = kv.atomic()
        for number in range(start, min(start + 500, 2300)):
            atomic.set(["n", number], number)
        assert (await atomic.commit()).ok
    everything = list(range(2300))
    assert [entry.value async for entry in kv.list(["n"])] == everything
    assert [entry.value async for entry in kv.list(["n"], page_size=7, limit=50)] == everything[:50]
    assert [entry.value async for entry in kv.list(["n"], page_size=1, limit=3)] == [0, 1, 2]
    assert [entry.value async for entry in kv.list(["n"], reverse=True)] == everything[::-1]
    assert [entry.value async for entry in kv.list(["n"], limit=1500, reverse=True)] == (
        everything[::-1][:1500]
    )
    bounded = kv.list(["n"], start=["n", 10], end=["n", 20], page_size=3)
    assert [entry.value async for entry in bounded] == everything[10:20]
    bounded = kv.list(["n"], start=["n", 10], end=["n", 20], page_size=3, reverse=True)
    assert [entry.value async for entry in bounded] == everything[10:20][::-1]
    odd = kv.list(["n"], where=Field("$") >= 1000, limit=1100)
    assert [entry.value async for entry in odd] == everything[1000:2100]


async def test_list_survives_changes_between_pages(kv: Any) -> None:
    for number in range(10):
        await kv.set(["n", number], number)
    seen = []
    async for entry in kv.list(["n"], page_size=3):
        seen.append(entry.value)
        if entry.value == 2:
            await kv.delete(["n", 2])  # the key that the next page begins behind
            await kv.set(["n", 2.5], "new")
    assert seen == [0, 1, 2, "new", 3, 4, 5, 6, 7, 8, 9]
    seen = []
    async for entry in kv.list(["n"], page_size=2, limit=4):
        seen.append(entry.value)
        if entry.value == 1:
            await kv.delete(["n", 1])
    assert seen == [0, 1, "new", 3]


async def test_paginate(kv: Any) -> None:
    for number in range(5):
        await kv.set(["n", number], number)
    first = await kv.paginate(["n"], limit=2)
    assert [entry.value for entry in first.entries] == [0, 1]
    second = await kv.paginate(["n"], limit=2, cursor=first.cursor)
    assert [entry.value for entry in second.entries] == [2, 3]
    third = await kv.paginate(["n"], limit=2, cursor=second.cursor, where={"$": {"$gt": 0}})
    assert [entry.value for entry in third.entries] == [4]
    assert (third.cursor, third.has_more) == (None, False)
    backwards = await kv.paginate(["n"], limit=2, reverse=True)
    assert [entry.value for entry in backwards.entries] == [4, 3]
    with pytest.raises(RequestRejected, match="cursor"):
        await kv.paginate(["n"], cursor="?")


async def test_the_server_time_resolves_at_the_server(kv: Any) -> None:
    await kv.set(["a"], {"at": kv.now(), "later": [kv.now().add("1h")]})
    value = (await kv.get(["a"])).value
    assert value["later"][0] - value["at"] == 3_600_000
    for key in (["b"], [True]):  # PUT and atomic
        await kv.set(key, {"at": kv.now().sub("2h").add("1h")})
    past = Field("at") < kv.now().sub("30m")
    assert {entry.key async for entry in kv.list(where=past)} == {("b",), (True,)}
    assert await kv.count(where={"at": {"$lt": kv.now().add(1000)}}) == 3
    assert (await kv.delete([["b"], [True]], where=past)).deleted_count == 2


async def test_a_filter_with_a_typo_is_an_error(kv: Any) -> None:
    with pytest.raises(RequestRejected, match=r"Unknown operator: \$gte0") as caught:
        await kv.delete(["a"], where={"n": {"$gte0": 1}})
    assert (caught.value.status, caught.value.code) == (400, None)
    assert caught.value.request_id
    with pytest.raises(InvalidInput):  # as the store in process raises
        await kv.count(where={"n": {"m": 1}})
    with pytest.raises(InvalidInput, match="where must be"):
        await kv.count(where=[1])

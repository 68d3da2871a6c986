"""Metadata, times, key-only reads and vacuum, against a live server."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec
import pytest
from buntime_keyval import (
    AsyncKv,
    BigInt,
    InvalidInput,
    KvDetails,
    KvEntry,
    KvMissing,
    NotFound,
    VacuumResult,
)

FUTURE = 4_000_000_000_000
METADATA = {"by": "ada", "raw": b"\0\xff", "big": 2**70, "é/?&=": [None, 1.5]}
PATHLESS = [("a", BigInt(1)), ("count",), ("é", "x" * 900, "é" * 300)]


def is_now(milliseconds: Any) -> bool:
    return isinstance(milliseconds, int) and abs(milliseconds / 1000 - time.time()) < 600


@pytest.mark.parametrize("key", [("a", 1), *PATHLESS])
async def test_metadata_and_times_come_with_the_entry(kv: Any, key: Any) -> None:
    result = await kv.set(key, 1, metadata=METADATA, expires_at=FUTURE)
    entry = await kv.get_with_metadata(key)
    assert is_now(entry.details.created_at)
    created = entry.details.created_at
    details = KvDetails(METADATA, created, created, FUTURE)
    assert entry == KvEntry(key, 1, result.versionstamp, details)
    assert await kv.get(key) == KvEntry(key, 1, result.versionstamp)
    assert await kv.get_with_metadata([("nope",), key]) == [KvMissing(("nope",), None, None), entry]
    assert await kv.get_with_metadata([]) == []
    assert await kv.get_with_metadata(("nope", *key)) == KvMissing(("nope", *key), None, None)
    assert [it async for it in kv.list(key[:-1], details=True)] == [entry]
    await kv.set(key, 2)
    entry = await kv.get_with_metadata(key)
    assert (entry.details.metadata, entry.details.expires_at) == (None, None)
    assert entry.details.created_at == created <= entry.details.updated_at


@pytest.mark.parametrize("key", [("a", 1), *PATHLESS])
async def test_has(kv: Any, key: Any) -> None:
    assert await kv.has(key) is False
    await kv.set(key, None)
    assert await kv.has(key) is True
    with pytest.raises(InvalidInput):
        await kv.has(())


async def test_a_wrong_address_is_no_missing_key(api: str) -> None:
    async with AsyncKv(f"{api}/x") as client:
        with pytest.raises(NotFound):
            await client.has(("a", 1))


async def test_large_metadata_goes_into_a_body(kv: Any) -> None:
    large = "é" * 8000
    await kv.set(("a",), 1, metadata=large)
    assert (await kv.get_with_metadata(("a",))).details.metadata == large
    settings: tuple[Callable[[], Any], ...] = (
        lambda: kv.set(("a",), 2, metadata=large * 2),
        lambda: kv.store(("a",), metadata=large * 2),
        lambda: kv.atomic().sum(("a",), 2, metadata=large * 2),
        lambda: kv.set(("a",), 2, expires_at="soon"),
        lambda: kv.set(("a",), 2, expires_at=datetime(2100, 1, 1)),
        lambda: kv.store(("a",), expires_in="soon"),
    )
    for setting in settings:
        with pytest.raises(
            InvalidInput, match=r"metadata too large|expires_at must|expires_in must"
        ):
            await setting()
    assert (await kv.get(("a",))).value == 1


async def test_lists_and_pages_have_what_is_asked_for(kv: Any) -> None:
    for number in range(5):
        await kv.set(("n", number), number, metadata=number)
    plain = [entry async for entry in kv.list(("n",))]
    assert [entry.details for entry in plain] == [None] * 5
    keys = [entry async for entry in kv.list(("n",), values=False, page_size=2)]
    assert keys == [KvEntry(it.key, None, it.versionstamp) for it in plain]
    detailed = [it async for it in kv.list(("n",), details=True, page_size=2, reverse=True)]
    assert [it.value for it in detailed] == [it.details.metadata for it in detailed]
    assert [it.value for it in detailed] == [4, 3, 2, 1, 0]
    for where in (None, {"$": {"$gte": 0}}):
        options = {"limit": 3, "where": where, "details": True, "values": False}
        page = await kv.paginate(("n",), **options)
        assert [(it.key[1], it.value, it.details.metadata) for it in page.entries] == [
            (0, None, 0),
            (1, None, 1),
            (2, None, 2),
        ]
        rest = await kv.paginate(("n",), **options, cursor=page.cursor)
        assert [it.details.metadata for it in rest.entries] == [3, 4]


async def test_commits_and_transactions_carry_metadata(kv: Any) -> None:
    moment = datetime.fromtimestamp(FUTURE / 1000, UTC)
    await kv.atomic().set(("a",), 1, metadata=METADATA, expires_at=moment).sum(("a",), 2).commit()
    details = (await kv.get_with_metadata(("a",))).details
    assert (details.metadata, details.expires_at) == (METADATA, FUTURE)
    await kv.atomic().max(("a",), 9, metadata="m", expires_at=FUTURE - 1).commit()
    details = (await kv.get_with_metadata(("a",))).details
    assert (details.metadata, details.expires_at) == ("m", FUTURE - 1)
    async with kv.begin() as tx:
        tx.set(("a",), 1, metadata=[1], expires_at=FUTURE)
    details = (await kv.get_with_metadata(("a",))).details
    assert (details.metadata, details.expires_at) == ([1], FUTURE)
    await kv.set(("at",), 1, metadata={"at": kv.now()})
    assert is_now((await kv.get_with_metadata(("at",))).details.metadata["at"])


class User(msgspec.Struct):
    name: str


async def test_a_store_has_metadata_for_what_it_sets(kv: Any) -> None:
    users = kv.store(("u",), User, metadata={"from": "store"}, expires_in="1h")
    inner = users.with_prefix("x", int)
    await users.set(1, User("Ada"))
    await users.set(2, User("Bo"), metadata="own", expires_at=FUTURE)
    await inner.set(3, 3)
    told = {it.key: it.details async for it in kv.list(("u",), details=True)}
    assert {key: it.metadata for key, it in told.items()} == {
        ("u", 1): {"from": "store"},
        ("u", 2): "own",
        ("u", "x", 3): {"from": "store"},
    }
    assert is_now(told["u", 1].expires_at - 3_600_000)
    assert is_now(told["u", "x", 3].expires_at - 3_600_000)
    assert told["u", 2].expires_at == FUTURE
    entry = await users.get_with_metadata(1)
    assert (entry.key, entry.value, entry.details) == ((1,), User("Ada"), told["u", 1])
    assert not (await users.get_with_metadata(7)).exists
    assert [it.details.metadata for it in await inner.get_all(details=True)] == [{"from": "store"}]
    page = await users.paginate(limit=1, reverse=True, details=True)
    assert (page.entries[0].value, page.entries[0].details) == (User("Bo"), told["u", 2])


async def test_a_store_lists_keys_whatever_is_there(kv: Any) -> None:
    await kv.set(("u", "bad"), "no user", metadata=1)
    users = kv.store(("u",), User)
    (entry,) = await users.get_all(values=False, details=True)
    assert (entry.key, entry.value, entry.details.metadata) == (("bad",), None, 1)
    assert [it.key async for it in users.list(values=False)] == [("bad",)]
    assert [it.key for it in (await users.paginate(values=False)).entries] == [("bad",)]
    assert await users.has("bad")
    assert not await users.has("nobody")


async def test_vacuum(kv: Any) -> None:
    await kv.vacuum()
    assert await kv.vacuum() == VacuumResult(0, has_more=False)
    assert await kv.vacuum(limit=1) == VacuumResult(0, has_more=False)
    with pytest.raises(InvalidInput, match="limit must be a positive number"):
        await kv.vacuum(limit=0)


@pytest.mark.parametrize(
    ("limit", "sent", "result"),
    [
        (None, [1000, 1000, 1000], VacuumResult(2005, has_more=False)),
        (1500, [1000, 500], VacuumResult(1500, has_more=True)),
        (7, [7], VacuumResult(7, has_more=True)),
        (3000, [1000, 1000, 1000], VacuumResult(2005, has_more=False)),
    ],
)
async def test_vacuum_goes_on_as_long_as_there_is_more(
    limit: int | None, sent: list[int], result: VacuumResult
) -> None:
    left = 2005
    asked: list[int] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        nonlocal left
        assert request.url.path == "/api/vacuum"
        asked.append(msgspec.json.decode(request.content)["limit"])
        count = min(left, asked[-1])
        left -= count
        return httpx2.Response(200, json={"count": count, "hasMore": left > 0})

    options: Any = {"transport": httpx2.MockTransport(answer)}
    async with AsyncKv("http://test/api", **options) as client:
        assert await client.vacuum(limit=limit) == result
    assert asked == sent

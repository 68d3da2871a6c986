"""Typed stores, against a live server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import UUID, uuid4

import msgspec
import pytest
from buntime_keyval import InvalidInput, InvalidValue, KvEntry
from client._async.beside import until


class User(msgspec.Struct):
    name: str
    age: int = 0
    born: datetime | None = None
    id: UUID | None = None
    photo: bytes = b""


@dataclass
class Point:
    x: int
    y: int


class Settings(TypedDict):
    theme: str


ADA = User("Ada", 2**60, datetime(1815, 12, 10, tzinfo=UTC), uuid4(), b"\0\xff")


async def test_values_are_of_their_type_again(kv: Any) -> None:
    users = kv.store(("users",), User)
    result = await users.set(1, ADA)
    entry = await users.get(1)
    assert entry == KvEntry((1,), ADA, result.versionstamp)
    assert (await kv.get(["users", 1])).value["name"] == "Ada"
    points = kv.store(("points",), Point)
    await points.set(("a", 1), Point(1, 2))
    assert (await points.get(("a", 1))).value == Point(1, 2)
    settings = kv.store(("settings",), Settings)
    await settings.set("ada", {"theme": "dark"})
    assert (await settings.get("ada")).value == {"theme": "dark"}
    numbers = kv.store(("numbers",), dict[str, int])
    await numbers.set("n", {"a": 2**70})
    assert (await numbers.get("n")).value == {"a": 2**70}
    anything = kv.store(("any",))
    await anything.set("x", [1, b"x"])
    assert (await anything.get("x")).value == [1, b"x"]
    missing = await users.get(2)
    assert (missing.value, missing.exists) == (None, False)


async def test_values_are_validated_on_their_way_in_and_out(kv: Any) -> None:
    users = kv.store(("users",), User)
    for wrong in (User(1), User("x", "old"), {"name": 1}, {}, None, "text", Point(1, 2)):  # type: ignore[arg-type]
        with pytest.raises(InvalidValue, match="is no User"):
            await users.set("x", wrong)
    assert not await users.has("x")
    with pytest.raises(InvalidValue):
        await kv.store(("points",), Point).set(1, Point("1", 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="theme"):
        await kv.store(("settings",), Settings).set(1, {"theme": 1})
    await kv.set(["users", "bad"], {"name": "x", "age": "old"})
    with pytest.raises(InvalidValue, match=r'\["users","bad"\] is no User: .*age'):
        await users.get("bad")
    with pytest.raises(InvalidValue):
        [entry async for entry in users.list()]
    assert await users.has("bad")
    with pytest.raises(InvalidInput, match="cannot be the type"):
        kv.store(("x",), dict[list[int], int | str | bytes])


async def test_keys_are_relative(kv: Any) -> None:
    users = kv.store(("app", "users"), User)
    for number in range(5):
        await users.set(number, User(f"u{number}", number))
    await users.set((3, "friend"), User("friend"))
    await kv.set(["app", "users2", 1], "of somebody else")
    assert users.prefix == ("app", "users")
    assert users.key(3) == ("app", "users", 3)
    assert [entry.key async for entry in users.list(3)] == [(3, "friend")]
    assert len(await users.get_all()) == 6
    assert [e.value.age for e in await users.get_all(where={"age": {"$gt": 1}}, limit=2)] == [2, 3]
    assert [entry.value.name for entry in await users.get_many([4, 9, 0]) if entry.exists] == [
        "u4",
        "u0",
    ]
    assert await users.count() == 6
    page = await users.paginate(limit=2)
    assert [entry.key for entry in page.entries] == [(0,), (1,)]
    assert [e.key async for e in users.list(limit=1, reverse=True)] == [(4,)]
    friends = users.with_prefix(3)
    assert (await friends.get("friend")).value == User("friend")
    with_points = users.with_prefix("points", Point)
    await with_points.set("p", Point(0, 0))
    assert (await users.with_prefix(("points",), Point).get("p")).value == Point(0, 0)
    assert (await users.delete(3, exact=True)).deleted_count == 1
    assert (await kv.get(users.key((3, "friend")))).exists
    result = await kv.atomic().check((users.key(9), None)).set(users.key(9), User("nine")).commit()
    assert (await users.get(9)).versionstamp == result.versionstamp


async def test_delete_all_works_in_batches_and_tells_how_far_it_is(kv: Any) -> None:
    users = kv.store(("users",), User)
    for number in range(25):
        await users.set((number % 2, number), User("x", number))
    await users.set(0, User("the key that is the prefix"))
    await kv.set(["users"], "not in the store")
    progress: list[int] = []
    result = await users.delete_all(0, batch_size=5, on_progress=progress.append)
    assert result.deleted_count == 14
    assert progress == [5, 10, 14]
    assert (await users.delete_all(where={"age": {"$lt": 10}})).deleted_count == 5
    assert (await users.delete_all()).deleted_count == 7
    assert (await kv.get(["users"])).exists


async def test_a_store_may_have_a_lifetime(kv: Any) -> None:
    cache = kv.store(("cache",), int, expires_in="30ms")
    await cache.set("short", 1)
    await cache.set("long", 2, expires_in="1h")
    await cache.with_prefix("inner").set("short", 3)

    async def only_the_long_one() -> bool:
        return [entry.value for entry in await cache.get_all()] == [2]

    await until(only_the_long_one)

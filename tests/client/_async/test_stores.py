"""Typed stores, against a live server."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypedDict
from uuid import UUID, uuid4

import msgspec
import pytest
from buntime_keyval import InvalidInput, InvalidValue, KvEntry, KvMissing, TransactionConflict
from buntime_keyval.shared import contents_of
from buntime_keyval.wire.commits import Mutation
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
    by_number = kv.store(("by number",), dict[int, str])
    await by_number.set("n", {1: "a"})
    await by_number.patch("n", {"2": "b"})
    assert (await by_number.get("n")).value == {1: "a", 2: "b"}
    anything = kv.store(("any",))
    await anything.set("x", [1, b"x"])
    assert (await anything.get("x")).value == [1, b"x"]
    missing = await users.get(2)
    assert (missing.value, missing.exists) == (None, False)


async def test_values_are_validated_on_their_way_in_and_out(kv: Any) -> None:
    users = kv.store(("users",), User)
    for wrong in (User(1), User("x", "old"), {"name": 1}, {}, None, "text", Point(1, 2)):  # type: ignore[arg-type]
        with pytest.raises(InvalidValue, match="is not of type User"):
            await users.set("x", wrong)
    assert not await users.has("x")
    with pytest.raises(InvalidValue):
        await kv.store(("points",), Point).set(1, Point("1", 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="theme"):
        await kv.store(("settings",), Settings).set(1, {"theme": 1})
    await kv.set(["users", "bad"], {"name": "x", "age": "old"})
    with pytest.raises(InvalidValue, match=r'\["users","bad"\] is not of type User: .*age'):
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


async def test_a_commit_takes_a_store_and_a_key_of_it(kv: Any) -> None:
    users, points = kv.store(("users",), User), kv.store(("points",), Point, metadata="of a point")
    commit = kv.atomic().set(users, 1, User("Ada")).set(points, ("a", 1), Point(1, 2))
    assert (await commit.set(["plain"], 1).commit()).ok
    assert (await kv.get(["users", 1])).value["name"] == "Ada"
    details = (await points.get_with_metadata(("a", 1))).details
    assert details.metadata == "of a point"
    assert (await kv.get(["plain"])).value == 1
    for wrong in ((users, 1), (["a"], 1, 2)):
        with pytest.raises(InvalidInput, match="takes a store"):
            kv.atomic().set(*wrong)
    with pytest.raises(InvalidValue, match="is not of type User"):
        kv.atomic().set(users, 1, {"name": 1})
    async with kv.begin() as tx:
        tx.set(users, 2, User("Grace"))
        with pytest.raises(InvalidValue, match="is not of type Point"):
            tx.set(points, 1, User("x"))
    assert (await users.get(2)).value == User("Grace")


async def test_the_commit_of_a_store_has_its_keys_and_its_type(kv: Any) -> None:
    counts = kv.store(("app", "counts"), int, expires_in="1h")
    users = kv.store(("app", "users"), User)
    ada = await users.get(1)
    commit = users.atomic().check(ada).set(1, User("Ada")).set(("log", kv.uuidv7()), User("log"))
    commit.delete("nobody")
    result = await commit.commit()
    assert result.ok
    assert (await users.get(("log", result.versionstamp))).value == User("log")
    assert not (await users.atomic().check(ada).set(1, User("again")).commit()).ok
    ada = await users.get(1)
    others = kv.store(("others",))
    for atomic in (kv.atomic(), others.atomic()):  # an entry knows which store it is of
        assert (await atomic.check(ada).set(["x"], 1).commit()).ok
        assert not (await atomic.check(KvEntry(ada.key, 1, "other")).commit()).ok
    assert not (await users.atomic().check((1, None)).set(1, User("again")).commit()).ok
    whole = kv.atomic().set(["app", "plain"], 1)
    whole.of(users).set(2, User("Grace"))
    whole.of(counts).sum("all", 2).max("most", 5).min("least", -5)
    whole.of(kv.store(("app", "lists"))).append("a", [1]).prepend("a", [0]).enqueue("sent")
    assert whole.size == 8
    assert (await whole.of(counts).commit()).ok
    assert [entry.key async for entry in kv.list(["app", "counts"])] == [
        ("app", "counts", "all"),
        ("app", "counts", "least"),
        ("app", "counts", "most"),
    ]
    assert (await counts.get_with_metadata("all")).details.expires_at is not None
    assert (await kv.get(["app", "lists", "a"])).value == [0, 1]
    message = await kv.dequeue()
    await kv.ack_message(message)
    with pytest.raises(InvalidValue, match="is not of type User"):
        users.atomic().set(1, "Ada")
    with pytest.raises(InvalidInput, match="typed store"):
        kv.atomic().of("users")


async def test_every_mutation_of_a_store_has_a_relative_key(kv: Any) -> None:
    users = kv.store(("app", "users"))
    arguments = {"value": 1, "items": [1], "patch": {"a": 1}, "expires_in": "1h"}
    for name, method in inspect.getmembers(type(users.atomic()), inspect.isfunction):
        parameters = inspect.signature(method).parameters
        if "key" not in parameters or name.startswith("_"):
            continue
        builder = users.atomic()
        given = {other: arguments[other] for other in parameters if other in arguments}
        getattr(builder, name)("x", **given)
        (mutation,) = contents_of(builder).mutations
        assert isinstance(mutation, Mutation)
        assert mutation.key == ("app", "users", "x"), name


async def test_a_transaction_of_a_store_has_its_keys_and_its_type(kv: Any) -> None:
    users = kv.store(("users",), User)
    await users.set(1, User("Ada", 36))
    async with kv.begin() as tx:
        mine = tx.of(users)
        entry = await mine.get(1)
        assert (entry.key, entry.value) == ((1,), User("Ada", 36))
        assert [it.exists for it in await mine.get_many([1, 2])] == [True, False]
        mine.set(2, User("Grace", entry.value.age + 1)).set((2, "x"), User("x"))
        assert (tx.read_count, tx.write_count) == (2, 2)
    assert [it.key async for it in users.list(2)] == [(2, "x")]
    assert (await users.get(2)).value == User("Grace", 37)
    with pytest.raises(RuntimeError, match="already committed"):
        mine.set(3, User("late"))
    with pytest.raises(RuntimeError, match="already committed"):
        mine.enqueue("late")

    async def conflict() -> None:
        async with kv.begin() as tx:
            await tx.of(users).get(1)
            await users.set(1, User("meanwhile"))
            tx.of(users).set(1, User("never"))

    with pytest.raises(TransactionConflict):
        await conflict()
    assert (await users.get(1)).value == User("meanwhile")


async def test_a_store_has_bounds_within_its_prefix(kv: Any) -> None:
    users = kv.store(("users",), User)
    for number in range(6):
        await users.set(number, User("x", number))
    await kv.set(["t"], 1)
    await kv.set(["v"], 1)
    assert [it.key async for it in users.list(start=2, end=4)] == [(2,), (3,)]
    assert [it.key for it in await users.get_all(start=(4,), reverse=True)] == [(5,), (4,)]
    assert len(await users.get_all(end=1)) == 1


async def test_a_store_has_selectors_within_its_prefix(kv: Any) -> None:
    names = kv.store(("names",), int)
    for number, name in enumerate(["ada", "adam", "bob", "zoe"]):
        await names.set(name, number)
        await kv.set([f"names{name}"], "of somebody else")
    await names.set((7, "x"), 7)
    assert [it.key async for it in names.list(starts_with="ad", offset=1)] == [("adam",)]
    assert [it.key for it in await names.get_all(prefixes=[7, "bob"])] == [(7, "x")]
    page = await names.paginate(starts_with="", limit=2, offset=1, end="z")
    assert [it.key for it in page.entries] == [("adam",), ("bob",)]
    assert await names.count(starts_with="") == 4
    assert await names.count(start="b", limit=9, offset=1) == 2
    assert (await names.delete(start="z")).deleted_count == 2
    assert (await names.delete(starts_with="a", limit=1)).deleted_count == 1
    assert (await names.delete(end="c")).deleted_count == 2
    assert await kv.count() == 4
    for wrong in ({}, {"limit": 1}):
        with pytest.raises(InvalidInput, match="Name what to delete"):
            await names.delete(**wrong)
    with pytest.raises(InvalidInput, match="Give only one of"):
        [it async for it in names.list("a", starts_with="b")]


async def test_a_store_can_be_searched(kv: Any) -> None:
    users = kv.store(("app", "users"), User)
    await users.create_index(fields=["name"])
    await users.set(1, User("Ada Lovelace"))
    await users.set(2, User("Grace Hopper"))
    await users.set((3, "friend"), User("Ada Byron"))
    hits = [hit async for hit in users.search("ada", highlight=True)]
    assert {hit.key for hit in hits} == {(1,), (3, "friend")}
    assert {hit.value.name for hit in hits} == {"Ada Lovelace", "Ada Byron"}
    assert all("<mark>" in hit.highlight["name"] for hit in hits)
    assert [hit.key async for hit in users.search("ada", start=2)] == [(3, "friend")]
    page = await users.paginate_search("grace", limit=5, where={"name": {"$startsWith": "G"}})
    assert [(hit.key, hit.value) for hit in page.entries] == [((2,), User("Grace Hopper"))]
    await users.create_index(fields=["name"], prefix=3)
    assert [hit.key async for hit in users.search("ada", prefix=3)] == [(3, "friend")]
    await users.remove_index(prefix=3)
    await users.remove_index()
    assert await kv.list_indexes() == []


async def test_a_store_can_be_watched(kv: Any) -> None:
    users = kv.store(("app", "users"), User)
    await kv.set(["app", "users"], "the prefix itself is not in the store")
    await users.set(1, User("Ada"))
    seen: list[Any] = []

    async def hear(batch: Any) -> None:
        seen.extend((entry.key, entry.value) for entry in batch)

    handle = users.watch((), hear)
    await until(lambda: seen == [((1,), User("Ada"))])
    await kv.set(["app", "users"], "again")
    await users.delete(1)
    await until(lambda: seen[1:] == [((1,), None)])
    await handle.stop()
    assert (handle.closed, handle.dropped, handle.error) == (True, 0, None)
    with pytest.raises(RuntimeError, match="callback"):
        aiter(handle)
    async with users.watch([[2], [3]], exact=True) as batches:
        batch = await anext(aiter(batches))  # by now it follows
        assert [(it.key, it.value) for it in batch] == [((2,), None), ((3,), None)]
        await users.set(3, User("Grace"))
        batch = await anext(batches)
        assert [(it.key, it.value) for it in batch] == [((3,), User("Grace"))]
        await kv.set(["app", "users", 2], {"name": 2})
        with pytest.raises(InvalidValue, match="is not of type User"):
            await anext(batches)
        await users.set(2, User("right"))
        assert [it.value for it in await anext(batches)] == [User("right")]


async def test_what_is_not_of_the_type_may_be_skipped_or_migrated(kv: Any) -> None:
    users = kv.store(("users",), User)
    await users.set(1, User("Ada"))
    await kv.set(["users", 2], {"full_name": "Grace"})
    await kv.set(["users", 3], "nothing to be made of it")
    lenient = kv.store(("users",), User, on_invalid="skip")
    assert [it.key async for it in lenient.list()] == [(1,)]
    assert [it.key for it in (await lenient.paginate()).entries] == [(1,)]
    assert await lenient.get(2) == KvMissing((2,), None, None)
    assert [it.exists for it in await lenient.get_many([1, 2])] == [True, False]
    assert (await lenient.has(2), await lenient.count()) == (True, 3)
    assert [it.key async for it in lenient.list(values=False)] == [(1,), (2,), (3,)]
    told: list[Any] = []

    def renamed(entry: Any, error: InvalidValue) -> Any:
        told.append((entry.key, str(error)))
        return {"name": entry.value["full_name"]} if isinstance(entry.value, dict) else None

    moved = kv.store(("users",), User, on_invalid=renamed)
    entry = await moved.get(2)
    assert (entry.value, entry.exists) == (User("Grace"), True)
    assert told[0][0] == (2,)
    assert "name" in told[0][1]
    with pytest.raises(InvalidValue, match="on_invalid gave another"):
        await moved.get(3)
    assert (await moved.with_prefix(()).get(2)).value == User("Grace")
    with pytest.raises(InvalidValue, match="is not of type Point"):
        await moved.with_prefix((), Point).get(2)
    with pytest.raises(InvalidInput, match="on_invalid must be"):
        kv.store(("users",), User, on_invalid="ignore")


@pytest.mark.parametrize("given", ["ttl", "expiresAt", "expiresIn", "unknown"])
async def test_the_options_of_other_stores_are_named_with_ours(kv: Any, given: str) -> None:
    users = kv.store(("users",))
    hints = {"unknown": "unexpected keyword argument 'unknown'$", "expiresAt": "write expires_at="}
    hint, options = hints.get(given, "write expires_in="), {given: 1000}
    for write in (partial(kv.set, ["a"], 1), partial(users.set, 1, 1)):
        with pytest.raises(TypeError, match=hint):
            await write(**options)
    for build in (
        partial(kv.atomic().set, ["a"], 1),
        partial(users.atomic().set, 1, 1),
        partial(kv.begin().set, ["a"], 1),
        partial(kv.store, ("a",)),
    ):
        with pytest.raises(TypeError, match=hint):
            build(**options)

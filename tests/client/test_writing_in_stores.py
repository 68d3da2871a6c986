"""What is written in a typed store: one rule of lives, metadata and types, whatever the way.

Each test runs with the `LocalKv` of a plugin and with `AsyncKv`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from buntime_keyval import (
    AsyncKv,
    AsyncStore,
    InvalidInput,
    InvalidValue,
    KvDetails,
    PreconditionFailed,
)
from buntime_keyval._typed import make_scope
from buntime_plugin_keyval.faces.local.kv import LocalKv
from support.store import open_kv

pytestmark = pytest.mark.slow

AnyKv = AsyncKv | LocalKv


@pytest.fixture(params=["in-process", "http"])
async def kv(request: pytest.FixtureRequest) -> AsyncIterator[AnyKv]:
    if request.param == "in-process":
        async with open_kv() as local:
            yield local
    else:
        async with AsyncKv(request.getfixturevalue("api")) as client:
            yield client


class Address(msgspec.Struct):
    city: str
    zip: str | None = None


class User(msgspec.Struct, rename="camel"):
    full_name: str
    age: Annotated[int, msgspec.Meta(ge=0)] = 0
    address: Address | None = None
    scores: dict[str, int] = {}
    tags: list[str] = []


@dataclass
class Point:
    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)


class Settings(TypedDict, total=False):
    theme: Literal["dark", "light"]


class Cat(msgspec.Struct, tag="cat"):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str = ""


async def patch_through_the_store(
    kv: AnyKv, store: Any, key: Any, patch: Any, **options: Any
) -> None:
    await store.patch(key, patch, **options)


async def patch_in_its_commit(kv: AnyKv, store: Any, key: Any, patch: Any, **options: Any) -> None:
    assert (await store.atomic().patch(key, patch, **options).commit()).ok


async def patch_in_a_commit_of_it(
    kv: AnyKv, store: Any, key: Any, patch: Any, **options: Any
) -> None:
    assert (await kv.atomic().of(store).patch(key, patch, **options).commit()).ok


async def patch_in_a_transaction(
    kv: AnyKv, store: Any, key: Any, patch: Any, **options: Any
) -> None:
    async with kv.begin() as tx:
        tx.of(store).patch(key, patch, **options)


async def patch_its_key(kv: AnyKv, store: Any, key: Any, patch: Any, **options: Any) -> None:
    await kv.patch(store.key(key), patch, **options)


async def patch_its_key_in_a_commit(
    kv: AnyKv, store: Any, key: Any, patch: Any, **options: Any
) -> None:
    assert (await kv.atomic().patch(store.key(key), patch, **options).commit()).ok


async def details_of(store: AsyncStore[Any], key: Any) -> KvDetails:
    details = (await store.get_with_metadata(key)).details
    assert details is not None
    return details


Patch = Callable[..., Awaitable[None]]

PATCHES: list[Patch] = [
    patch_through_the_store,
    patch_in_its_commit,
    patch_in_a_commit_of_it,
    patch_in_a_transaction,
    patch_its_key,
    patch_its_key_in_a_commit,
]


async def test_a_patch_keeps_what_is_there_and_creates_as_the_store_has_it(kv: AnyKv) -> None:
    for patch in PATCHES:
        prefix = ["s", patch.__name__]
        store = kv.store(prefix, dict[str, Any], expires_in="1h", metadata={"of": "the store"})
        await patch(kv, store, "new", {"a": 1})
        created = await details_of(store, "new")
        assert created.metadata == {"of": "the store"}, patch
        assert created.expires_at == created.created_at + 3_600_000, patch
        await kv.set([*prefix, "old"], {"b": 2}, metadata="its own", type="kind")
        await patch(kv, store, "old", {"a": 1})
        assert (await store.get("old")).value == {"a": 1, "b": 2}
        kept = await details_of(store, "old")
        assert (kept.metadata, kept.expires_at, kept.type) == ("its own", None, "kind"), patch
        await patch(kv, store, "given", {"a": 1}, metadata="given")
        given = await details_of(store, "given")
        assert (given.metadata, given.expires_at) == ("given", given.created_at + 3_600_000), patch


async def test_a_conditional_patch_creates_as_the_store_has_it(kv: AnyKv) -> None:
    store = kv.store(["s"], expires_in="1h", metadata="of the store")
    await store.patch(1, {"a": 1}, create_only=True)
    await store.patch(2, {"a": 1}, if_revision=0, metadata="given")
    await kv.set(["s", 3], {}, metadata="its own")
    await store.patch(3, {"a": 1}, if_revision=1)
    found = [await details_of(store, key) for key in (1, 2, 3)]
    assert [it.metadata for it in found] == ["of the store", "given", "its own"]
    assert [it.expires_at is None for it in found] == [False, False, True]
    with pytest.raises(PreconditionFailed):
        await store.patch(3, {"a": 1}, create_only=True)


async def test_counters_and_lists_keep_what_is_there_too(kv: AnyKv) -> None:
    store = kv.store(["s"], expires_in="1h", metadata={"at": kv.now()})
    for kind, operand in (("sum", 1), ("max", 1), ("min", 1), ("append", [1]), ("prepend", [1])):
        commit = store.atomic()
        await getattr(commit, kind)(kind, operand).commit()
        created = await details_of(store, kind)
        assert created.expires_at is not None
        assert isinstance(created.metadata["at"], int)
        await kv.set(["s", kind], operand, metadata="its own")
        async with kv.begin() as tx:
            getattr(tx, kind)(store.key(kind), operand)
        kept = await details_of(store, kind)
        assert (kept.metadata, kept.expires_at) == ("its own", None)
    for number, count in enumerate([store.key("incr")] * 2, 1):
        assert await kv.incr(count) == number
    counted = await details_of(store, "incr")
    assert counted.expires_at == counted.created_at + 3_600_000


async def test_what_is_created_anew_in_one_commit_is_created(kv: AnyKv) -> None:
    store = kv.store(["s"], dict[str, int], metadata="of the store")
    await kv.set(["s", 1], {"a": 1}, metadata="its own")
    await store.atomic().delete(1).patch(1, {"b": 2}).patch(1, {"c": 3}).commit()
    assert (await store.get(1)).value == {"b": 2, "c": 3}
    assert (await details_of(store, 1)).metadata == "of the store"
    commit = store.atomic().set(2, {"a": 1}, metadata="set first", type="kind").patch(2, {"b": 2})
    await commit.commit()
    details = await details_of(store, 2)
    assert (details.metadata, details.type) == ("set first", "kind")


async def test_a_set_at_the_key_of_a_store_is_checked_and_gets_its_life(kv: AnyKv) -> None:
    store = kv.store(["users"], User, expires_in="1h", metadata="of the store")
    await kv.set(store.key(1), User("Ada"))
    assert (await store.get(1)).value == User("Ada")
    written = await details_of(store, 1)
    assert written.metadata == "of the store"
    assert written.expires_at == written.updated_at + 3_600_000
    await kv.set(store.key(1), User("Ada"), expires_in="2h", metadata="given", type="kind")
    given = await details_of(store, 1)
    assert (given.metadata, given.type) == ("given", "kind")
    assert given.expires_at == given.updated_at + 7_200_000
    for wrong in ({"fullName": 1}, "text"):
        with pytest.raises(InvalidValue, match="is not of type User"):
            await kv.set(store.key(1), wrong)
        with pytest.raises(InvalidValue, match="is not of type User"):
            await kv.set(store.key(1), wrong, if_revision=2)


@pytest.mark.parametrize(
    ("kind", "patch", "reason"),
    [
        (User, {"age": "old"}, r"Expected `int`, got `str` - at `\$.age`"),
        (User, {"age": -1}, r">= 0 - at `\$.age`"),
        (User, 5, r"Expected `object`, got `int` - at `\$`"),
        (User, None, r"got `null` - at `\$`"),
        (User, {"agee": 1}, "no member `agee` .known: fullName, age, address, scores, tags"),
        (User, {"full_name": "Ada"}, "no member `full_name`"),
        (User, {"fullName": None}, "`fullName` is required"),
        (User, {"address": {"city": 1}}, r"got `int` - at `\$.address.city`"),
        (User, {"address": {"town": "x"}}, r"no member `town` .* at `\$.address`"),
        (User, {"scores": {"a": "x"}}, r"at `\$.scores\['a'\]`"),
        (User, {"tags": ["a", 1]}, r"at `\$.tags\[1\]`"),
        (Point, {"x": "1"}, r"at `\$.x`"),
        (Point, {"x": None}, "`x` is required"),
        (Settings, {"theme": "red"}, r"at `\$.theme`"),
        (dict[str, int], {"a": "x"}, r"at `\$\['a'\]`"),
        (int, {"a": 1}, "Expected `int`, got `object`"),
        (list[int], [1, "x"], r"at `\$\[1\]`"),
        (User | None, {"age": "old"}, r"at `\$.age`"),
        (Cat | Dog, 5, "Expected `object`"),
    ],
)
def test_a_patch_that_fits_no_value_of_the_type_is_refused(
    kind: Any, patch: Any, reason: str
) -> None:
    with pytest.raises(InvalidValue, match=reason):
        make_scope(["s"], kind, None, None).merged("patch", patch)


async def test_a_patch_is_checked_whatever_its_way(kv: AnyKv) -> None:
    store = kv.store(["s"], User)
    for write in PATCHES:
        with pytest.raises(InvalidValue, match="patch does not fit values that are User"):
            await write(kv, store, 1, {"age": "old"})
    assert not await store.has(1)


async def test_a_patch_that_fits_is_merged(kv: AnyKv) -> None:
    ada = User("Ada", 36, Address("Paris", "1"))
    fewer = {"age": None, "address": {"zip": None}, "scores": {"a": 1, "b": None}, "old": None}
    cases: list[tuple[Any, Any, Any, Any]] = [
        (User, ada, fewer, User("Ada", 0, Address("Paris"), {"a": 1})),
        (User, User("Ada"), {"address": Address("Rome")}, User("Ada", 0, Address("Rome"))),
        (User, User("Ada"), User("Eve"), User("Eve")),
        (Point, Point(1, 2), {"y": None, "names": ["a"]}, Point(1, 0, ["a"])),
        (Settings, {"theme": "dark"}, {"theme": None}, {}),
        (Cat | Dog, Dog("a"), {"name": "b"}, Dog("b")),
        (Any, 1, {"a": {"b": b"c"}}, {"a": {"b": b"c"}}),
        (dict[str, list[int]], {"a": [1]}, {"b": [2], "a": None}, {"b": [2]}),
        (list[int], [1], [2], [2]),
    ]
    for kind, first, patch, then in cases:
        store = kv.store(["s"], kind)
        await store.set(1, first)
        await store.patch(1, patch)
        assert (await store.get(1)).value == then


async def test_the_time_of_the_server_may_be_patched_into_a_number(kv: AnyKv) -> None:
    store = kv.store(["s"], Point)
    await store.set(1, Point(1))
    await store.patch(1, {"x": kv.now()})
    point = (await store.get(1)).value
    assert point is not None
    assert point.x > 1_000_000
    with pytest.raises(InvalidValue, match="names"):
        await store.patch(1, {"names": kv.now()})


async def test_sums_are_for_numbers_and_items_for_lists(kv: AnyKv) -> None:
    optional: Any = int | None
    users, counts = kv.store(["users"], User), kv.store(["counts"], optional)
    lists = kv.store(["lists"], list[int])
    for write in (
        lambda: users.atomic().sum(1, 1),
        lambda: kv.atomic().max(users.key(1), 1),
        lambda: kv.begin().of(users).min(1, 1),
        lambda: users.atomic().append(1, [1]),
        lambda: lists.atomic().sum(1, 1),
        lambda: counts.atomic().prepend(1, [1]),
        lambda: lists.atomic().append(1, ["x"]),
    ):
        with pytest.raises(InvalidValue, match="does not fit values that are"):
            write()
    commit = kv.atomic()
    commit.of(counts).sum(1, 2).max(2, "3")
    commit.of(lists).append(1, [1]).prepend(1, (0,))
    await commit.commit()
    assert (await counts.get(1)).value == 2
    assert (await lists.get(1)).value == [0, 1]


async def test_a_snapshot_is_of_one_range(kv: AnyKv) -> None:
    store = kv.store(["s"], int)
    for number, name in enumerate(["ada", "adam", "bob"]):
        await store.set(name, number)
    ways: list[dict[str, Any]] = [{"starts_with": "ad"}, {"prefixes": [()], "end": "b"}]
    for selected in ways:
        first = await store.paginate(**selected, limit=1, snapshot=True)
        await store.delete("adam")
        second = await store.paginate(**selected, limit=1, snapshot=True, cursor=first.cursor)
        assert [it.key for it in (*first.entries, *second.entries)] == [("ada",), ("adam",)]
        assert len(await store.get_all(**selected, snapshot=True)) == 1
        await store.set("adam", 1)
    more: list[dict[str, Any]] = [{"offset": 1}, {"prefixes": ["ada", "bob"]}]
    for refused in more:
        with pytest.raises(InvalidInput, match="A snapshot is of one range"):
            await store.get_all(**refused, snapshot=True)
        with pytest.raises(InvalidInput, match="A snapshot is of one range"):
            await store.paginate(**refused, snapshot=True)


async def test_a_deletion_selects_without_a_key(kv: AnyKv) -> None:
    store = kv.store(["s"], int)
    outside = kv.store(["t"], int)
    for number, name in enumerate(["ada", "adam", "bob", "carl", "dora"]):
        for each in (store, outside):
            await each.set(name, number)
            await each.set((name, 1), number)
    assert (await kv.delete(prefixes=[["s", "ada"], ["s", "bob"]])).deleted_count == 4
    assert (await store.delete(prefixes=["adam", "carl"], limit=3)).deleted_count == 3
    assert (await kv.delete(starts_with=["s", "c"], offset=0)).deleted_count == 1
    assert (await store.delete(starts_with="d", start=("dora", 0))).deleted_count == 1
    assert [it.key for it in await store.get_all()] == [("dora",)]
    nothing: list[dict[str, Any]] = [{}, {"prefixes": []}, {"limit": 1}]
    for wrong in (*nothing, {"prefixes": [[]]}, {"prefixes": "st"}, {"starts_with": [""]}):
        with pytest.raises(InvalidInput):
            await kv.delete(**wrong)
    for wrong in (*nothing, {"prefixes": [()]}, {"prefixes": ["x", []]}, {"prefixes": "dora"}):
        with pytest.raises(InvalidInput):
            await store.delete(**wrong)
    also: list[dict[str, Any]] = [{"exact": True}, {"if_revision": 1}, {"starts_with": ["s", "d"]}]
    for wrong in also:
        with pytest.raises(InvalidInput):
            await kv.delete(prefixes=[["s"]], **wrong)
    assert await kv.count() == 11


async def test_a_text_is_not_taken_for_several_keys(kv: AnyKv) -> None:
    store: Any = kv.store(["s"])
    for wrong in ("ab", b"ab", {"ab": 1}):
        for use in (
            lambda it: store.get_all(prefixes=it),
            lambda it: store.paginate(prefixes=it),
            lambda it: store.count(prefixes=it),
            lambda it: store.get_many(it),
            lambda it: kv.begin().of(store).get_many(it),
            lambda it: kv.count(prefixes=it),
        ):
            with pytest.raises(InvalidInput, match=r"must be a list of keys, received"):
                await use(wrong)

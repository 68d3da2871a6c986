"""One versionstamp for each commit, ever growing, and keys that are made from it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import values

pytestmark = pytest.mark.engines("sqlite", "odd", "libsql", "rqlite", "postgres")


async def test_all_mutations_of_a_commit_share_its_versionstamp(kv: LocalKv) -> None:
    await kv.set(("d",), 1)
    atomic = kv.atomic().set(("a",), 1).sum(("b",), 1).append(("c",), [1]).delete(("d",))
    result = await atomic.commit()
    stamps = {entry.versionstamp async for entry in kv.list()}
    assert stamps == {result.versionstamp}
    logged = {change.versionstamp for change in (await kv.changes())[1:]}
    assert logged == {result.versionstamp}


async def test_a_versionstamp_is_a_lower_case_uuidv7(kv: LocalKv) -> None:
    stamp = (await kv.set(("a",), 1)).versionstamp
    assert stamp is not None
    assert str(uuid.UUID(stamp)) == stamp
    assert uuid.UUID(stamp).version == 7


async def test_later_commits_have_greater_versionstamps(kv: LocalKv) -> None:
    def write(number: int) -> Any:
        kinds = (
            lambda: kv.set(("n",), number),
            lambda: kv.atomic().sum(("m", number), 1).commit(),
            lambda: kv.atomic().commit(),
        )
        return kinds[number % 3]()

    stamps: list[str] = []
    for _ in range(5):
        # Together in one group, they are decided in the order in which they came.
        results = await asyncio.gather(*(write(number) for number in range(60)))
        stamps += [result.versionstamp for result in results]
    assert stamps == sorted(set(stamps))


async def test_the_same_value_again_is_a_new_version(kv: LocalKv) -> None:
    first = await kv.set(("a",), 1)
    second = await kv.set(("a",), 1)
    assert second.versionstamp != first.versionstamp
    assert (await kv.get(("a",))).versionstamp == second.versionstamp


async def test_a_placeholder_becomes_the_versionstamp_of_its_commit(kv: LocalKv) -> None:
    one, other = kv.uuidv7(), kv.uuidv7()
    result = await (
        kv.atomic()
        .set(("set", one), 1)
        .set(("set", other, "child"), 2)
        .sum(("sum", other), 3)
        .sum(("sum", one), 4)
        .max(("max", one), 5)
        .min(("min", one), 6)
        .append(("append", one), [7])
        .prepend(("append", other), [8])
        .set((one, one), 9)
        .commit()
    )
    stamp = result.versionstamp
    assert await values(kv) == {
        ("set", stamp): 1,
        ("set", stamp, "child"): 2,
        ("sum", stamp): 7,  # both are one key
        ("max", stamp): 5,
        ("min", stamp): 6,
        ("append", stamp): [8, 7],
        (stamp, stamp): 9,
    }
    assert {entry.versionstamp async for entry in kv.list()} == {stamp}


async def test_placeholders_in_values_become_the_versionstamp(kv: LocalKv) -> None:
    await kv.set(("list",), [0])
    await kv.set(("object",), {"a": 1, "kept": {"b": 2}})
    own = kv.uuidv7()
    result = await (
        kv.atomic()
        .set(("orders", own), {"id": own, "lines": [{"order": own}], "text": '{"$uuidv7":true}'})
        .set(("newest",), own)
        .append(("list",), [own])
        .prepend(("list",), [{"$uuidv7": True}])
        .patch(("object",), {"a": own, "kept": {"c": own}})
        .commit(results=True)
    )
    stamp = result.versionstamp
    assert await values(kv) == {
        ("list",): [stamp, 0, stamp],
        ("newest",): stamp,
        ("object",): {"a": stamp, "kept": {"b": 2, "c": stamp}},
        ("orders", stamp): {"id": stamp, "lines": [{"order": stamp}], "text": '{"$uuidv7":true}'},
    }
    assert result.results[2:] == (
        [0, stamp],
        [stamp, 0, stamp],
        {"a": stamp, "kept": {"b": 2, "c": stamp}},
    )


@pytest.mark.parametrize("length", [1, 200_000], ids=["short", "long"])
async def test_a_value_that_is_set_alone_may_have_its_versionstamp(
    kv: LocalKv, length: int
) -> None:
    value = {"id": kv.uuidv7(), "price": "$" * length, "at": kv.now()}
    stamp = (await kv.set(("a",), value, expires_in="1h")).versionstamp
    entry = await kv.get(("a",))
    assert entry.versionstamp == stamp
    assert entry.value is not None
    assert (entry.value["id"], entry.value["price"]) == (stamp, "$" * length)


async def test_a_placeholder_in_a_value_has_nothing_beside_it(kv: LocalKv) -> None:
    beside = {"$uuidv7": True, "other": 1}
    for value in (beside, {"a": 1, "$uuidv7": "true"}, [{"$uuidv7": 1}], {"$uuidv7": {"a": True}}):
        for call in (kv.set(("a",), value), kv.atomic().set(("b",), 1).set(("a",), value).commit()):
            with pytest.raises(InvalidInput, match="nothing beside it"):
                await call
    assert await values(kv) == {}
    others = {'"$uuidv7': True, '\\"$uuidv7': 1, "a": '{"$uuidv7":1}', "$uuidv": "$uuidv7"}
    await kv.set(("a",), others)
    assert await values(kv) == {("a",): others}


async def test_a_placeholder_stands_for_nothing_outside_of_entries(kv: LocalKv) -> None:
    for call in (
        lambda: kv.enqueue({"id": kv.uuidv7()}),
        lambda: kv.atomic().enqueue({"id": kv.uuidv7()}).commit(),
        lambda: kv.set(("a",), 1, metadata={"id": kv.uuidv7()}),
    ):
        with pytest.raises(InvalidInput, match="uuidv7 placeholder is allowed only"):
            await call()
    assert await values(kv) == {}


@pytest.mark.parametrize("value", [{"id": {"$uuidv7": True}}, [{"$uuidv7": 1}]], ids=str)
async def test_json_that_looks_like_one_is_refused_there(kv: LocalKv, value: Any) -> None:
    for call in (
        lambda: kv.enqueue(value),
        lambda: kv.atomic().enqueue(value).commit(),
        lambda: kv.set(("a",), 1, metadata=value),
        lambda: kv.tasks.send("t", value),
        lambda: kv.atomic().task("t", value).commit(),
    ):
        with pytest.raises(InvalidInput, match="not in metadata, messages or tasks"):
            await call()
    assert await values(kv) == {}


async def test_a_placeholder_can_be_deleted_in_its_own_commit(kv: LocalKv) -> None:
    key = ("a", kv.uuidv7())
    await kv.atomic().set(key, 1).delete(key).commit()
    assert await values(kv) == {}


async def test_placeholders_of_two_commits_are_two_keys_in_order(kv: LocalKv) -> None:
    commits = [kv.atomic().set(("log", kv.uuidv7()), number).commit() for number in range(50)]
    await asyncio.gather(*commits)
    assert [entry.value async for entry in kv.list(("log",))] == list(range(50))


async def test_a_builder_that_commits_twice_fills_its_placeholder_twice(kv: LocalKv) -> None:
    atomic = kv.atomic().set(("log", kv.uuidv7()), 1)
    first, second = await atomic.commit(), await atomic.commit()
    assert list(await values(kv)) == [("log", first.versionstamp), ("log", second.versionstamp)]


async def test_a_placeholder_is_no_key_part_elsewhere(kv: LocalKv) -> None:
    key: Any = ("a", kv.uuidv7())
    for call in (kv.get(key), kv.get([key]), kv.set(key, 1), kv.delete(key), kv.count(key)):
        with pytest.raises(InvalidInput, match="uuidv7 placeholder is allowed only"):
            await call

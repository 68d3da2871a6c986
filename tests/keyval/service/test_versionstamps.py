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

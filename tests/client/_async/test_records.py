"""Records, on a server and in a file: every case that users of string-keyed stores rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from buntime_keyval import (
    InvalidInput,
    InvalidValue,
    KvRecord,
    RecordDelete,
    RecordDeletePrefix,
    RecordDeleteRange,
    RecordPatch,
    RecordPut,
    StreamTrimmed,
    VersionMismatch,
    open_kv,
)
from buntime_keyval._records import merged
from hypothesis import given
from hypothesis import strategies as st


@dataclass
class Person:
    name: str
    age: int = 0


class Pet(msgspec.Struct):
    name: str


@pytest.fixture
def records(kv: Any) -> Any:
    return kv.records()


async def put_all(records: Any, *keys: str) -> None:
    await records.mutate_all(*(RecordPut(key, {"k": key}) for key in keys))


def keys_of(found: list[KvRecord[Any]]) -> list[str]:
    return [record.key for record in found]


async def test_get_tells_found_and_missing(records: Any) -> None:
    assert await records.get("p") is None
    await records.put("p", Person("Ada", 36))
    record = await records.get("p")
    assert (record.key, record.version, record.type) == ("p", 1, "Person")
    assert record.value == {"name": "Ada", "age": 36}
    assert (await records.get("p", Person)).value == Person("Ada", 36)
    assert record.created == record.updated > 1_700_000_000_000
    await records.put("p", {"nom": "Ada"})
    with pytest.raises(InvalidValue, match="is not of type Pet"):
        await records.get("p", Pet)


async def test_batches_leave_out_what_is_missing(records: Any) -> None:
    names = [f"n{number:04}" for number in range(1050)]
    for first in range(0, len(names), 500):
        await put_all(records, *names[first : first + 500])
    found = await records.get_batch("nope", "n0003", "n0001", "n0003")
    assert sorted(found) == ["n0001", "n0003"]
    assert await records.get_batch() == await records.get_batch("x", "y") == {}
    assert list(await records.get_batch(*names)) == names
    assert await records.delete(*names, "nope") == 1050


async def test_lists_have_an_order_a_window_and_an_end(records: Any) -> None:
    await put_all(records, "b/2", "a", "b/1", "b/3", "c")
    assert keys_of(await records.list()) == ["a", "b/1", "b/2", "b/3", "c"]
    assert keys_of(await records.list(1, 2)) == ["b/1", "b/2"]
    assert keys_of(await records.list(0, 1)) == ["a"]
    assert keys_of(await records.get_prefix("b/")) == ["b/1", "b/2", "b/3"]
    assert keys_of(await records.get_prefix("b/", 0, 2)) == ["b/1", "b/2"]
    assert keys_of(await records.get_prefix("b/", 1)) == ["b/2", "b/3"]
    assert keys_of(await records.get_prefix("b/", 1, 0)) == []
    assert keys_of(await records.get_prefix("")) == keys_of(await records.list())
    assert await records.get_prefix("x") == []
    assert keys_of(await records.get_range("a", "b/2")) == ["a", "b/1"]
    assert keys_of(await records.get_range("b", "z", 1, 2)) == ["b/2", "b/3"]
    assert await records.get_range("c", "a") == await records.get_range("a", "a") == []
    assert (
        await records.count(),
        await records.count_prefix("b"),
        await records.count_range("a", "c"),
    ) == (5, 3, 4)
    assert (await records.count_prefix("x"), await records.count_range("x", "a")) == (0, 0)


async def test_types_are_found(records: Any) -> None:
    for key, value in (("a", Person("Ada")), ("b", Pet("Rex")), ("c", Person("Cid")), ("d", None)):
        await records.put(key, value)
    await records.put("e", {}, type="Person")
    assert keys_of(await records.get_type("Person", type=None)) == ["a", "c", "e"]
    assert [it.value for it in await records.get_type("Pet", type=Pet)] == [Pet("Rex")]
    assert keys_of(await records.get_type("Person", 1, 1)) == ["c"]
    assert len(await records.get_type("all")) == 5
    assert (await records.count_type("Person"), await records.count_type("Cat")) == (3, 0)
    assert (await records.get("d")).type == "NoneType"


async def test_versions_follow_writes(records: Any) -> None:
    for version in range(10):
        await records.put("v", {"n": version}, version)
    record = await records.get("v")
    assert (record.version, record.value) == (10, {"n": 9})
    with pytest.raises(VersionMismatch, match="the version of 'v' is 10, and not 3"):
        await records.put("v", {}, 3)
    with pytest.raises(VersionMismatch):
        await records.put("v", {}, 0)
    await records.put("v", {"n": 10})
    after = await records.get("v")
    assert (after.version, after.created) == (11, record.created)
    assert after.updated >= record.updated
    await records.put("missing", 1, 5)
    assert (await records.get("missing")).version == 1


async def test_strict_records_must_be_there_for_a_version(kv: Any) -> None:
    records = kv.records(strict=True)
    with pytest.raises(VersionMismatch, match="is none, and not 5"):
        await records.put("a", 1, 5)
    with pytest.raises(VersionMismatch):
        await records.patch("a", {}, 1)
    await records.put("a", 1, 0)
    await records.put("a", 2, 1)
    assert (await records.get("a")).version == 2


async def test_patches_merge(records: Any) -> None:
    await records.put("p", Person("Ada", 36))
    created = (await records.get("p")).created
    await records.patch("p", {"age": None, "home": {"city": "Lisbon", "zip": None}}, 1)
    await records.patch("p", {"home": {"street": "A"}})
    record = await records.get("p")
    assert record.value == {"name": "Ada", "home": {"city": "Lisbon", "street": "A"}}
    assert (record.version, record.created, record.type) == (3, created, "Person")
    await records.patch("new", {"a": 1, "b": None})
    assert (await records.get("new")).value == {"a": 1}
    for wrong in (0, 2, 4):
        with pytest.raises(VersionMismatch):
            await records.patch("p", {"x": 1}, wrong)
    assert (await records.get("p")) == record
    await records.patch("p", [1])
    assert (await records.get("p")).value == [1]


async def test_a_patch_keeps_life_and_metadata(kv: Any) -> None:
    await kv.set(["p"], {"a": 1}, expires_in="1h", metadata={"by": "me"})
    before = (await kv.get_with_metadata(["p"])).details
    await kv.records().patch("p", {"b": 2})
    after = (await kv.get_with_metadata(["p"])).details
    assert (after.metadata, after.expires_at) == (before.metadata, before.expires_at)


async def test_deleting(records: Any) -> None:
    await put_all(records, "a", "b/1", "b/2", "b/3", "c", "d")
    assert await records.delete("a", "x", "c") == 2
    assert await records.delete("a") == await records.delete() == 0
    assert await records.delete_prefix("b/", 1) == 2
    assert keys_of(await records.list()) == ["b/1", "d"]
    assert await records.delete_prefix("nope") == 0
    with pytest.raises(InvalidInput, match="one after the other, received"):
        await records.mutate_all([RecordPut("a", 1)])
    with pytest.raises(InvalidInput, match="the prefix is empty"):
        await records.delete_prefix("")
    await put_all(records, "b/2", "b/3", "e")
    assert await records.delete_prefix("b", 0, 2) == 2
    assert await records.delete_range("b", "e") == 2
    assert await records.delete_range("e", "b") == 0
    await put_all(records, "f")
    assert await records.delete_range("e", "z", 1, 1) == 1
    assert await records.delete_prefix("*") == 1
    assert await records.count() == 0


async def test_mutate_all_tells_what_each_did(records: Any) -> None:
    await put_all(records, "a", "b", "c/1", "c/2", "c/3", "d")
    assert await records.mutate_all(RecordDelete(["a"]), RecordDelete(["b"])) == [1, 1]
    await put_all(records, "a", "b")
    assert await records.mutate_all(RecordDelete(["a", "b", "x"])) == [2]
    assert await records.mutate_all(RecordDeletePrefix("c/", 0, 2)) == [2]
    assert await records.mutate_all(RecordDeleteRange("c", "d")) == [1]
    assert await records.mutate_all(RecordDelete(["d"]), RecordPatch("n", {"a": 1})) == [1, 1]
    assert await records.mutate_all(RecordPut("nil", None), RecordPatch("nil", None)) == [1, 1]
    assert (await records.get("nil")).version == 1
    assert await records.mutate_all() == []


async def test_mutate_all_is_all_or_nothing(records: Any) -> None:
    await put_all(records, "a", "b", "c")
    before = await records.list()
    with pytest.raises(VersionMismatch) as caught:
        await records.mutate_all(
            RecordPut("a", 1, 1), RecordPut("b", 2, 7), RecordPut("new", 3), RecordDelete(["c"])
        )
    assert caught.value.results == [0, 0, 0, 0]
    assert await records.list() == before


async def test_later_mutations_see_earlier_ones(records: Any) -> None:
    await put_all(records, "p/1")
    done = await records.mutate_all(
        RecordPut("p/2", {"a": 1}, 0),
        RecordPut("p/2", {"a": 2}, 1),
        RecordPatch("p/2", {"b": 3}, 1),
        RecordDelete(["p/1"]),
        RecordPut("p/1", "again", 0),
        RecordDeletePrefix("p/", 1),
        RecordPut("q", 1, 0),
    )
    assert done == [1, 1, 1, 1, 1, 1, 1]
    assert [(it.key, it.value, it.version) for it in await records.list()] == [
        ("p/1", "again", 1),
        ("q", 1, 1),
    ]


async def test_paginators_neither_repeat_nor_pass_over(records: Any) -> None:
    await put_all(records, *(f"k{number}" for number in range(9)))
    seen = []
    async for record in records.paginator(prefix="k", page_size=2):
        seen.append(record.key)
        await records.delete(record.key)
        await records.put(f"a{record.key}", 1)
    assert seen == [f"k{number}" for number in range(9)]
    found = [it.key async for it in records.paginator(start="ak3", end="ak6", page_size=1)]
    assert found == ["ak3", "ak4", "ak5"]
    assert [it.key async for it in records.paginator(of_type="dict")] == []
    assert len([it async for it in records.paginator()]) == 9
    with pytest.raises(InvalidInput, match="give only one of"):
        records.paginator(prefix="a", of_type="b")


@pytest.mark.parametrize("wrong", ["5", None, True, 2.0, -2])
async def test_numbers_that_are_none_are_refused(records: Any, wrong: Any) -> None:
    for size in (wrong, 0, -1, 1001):
        with pytest.raises(InvalidInput, match="page_size must be an integer from 1 to 1000"):
            records.paginator(page_size=size)
    for offset in (wrong, -1):
        with pytest.raises(InvalidInput, match="offset must be an integer from 0"):
            await records.list(offset)
        with pytest.raises(InvalidInput, match="offset must be an integer from 0"):
            await records.mutate_all(RecordDeletePrefix("a", offset))
    with pytest.raises(InvalidInput, match="limit must be -1, for all, or an integer from 0"):
        await records.delete_prefix("a", 0, wrong)
    with pytest.raises(InvalidInput, match="version must be -1"):
        await records.put("a", 1, wrong)
    with pytest.raises(InvalidInput, match="start must be a text"):
        records.paginator(start=5)


# The names say which faults of other stores with records these are, in the order of their list.


async def test_fault_1_a_prefix_is_meant_to_the_letter(records: Any) -> None:
    await put_all(records, "a%b", "a_b", "axb", "A%b", "a", "ab", "é1", "e1", "\U0010ffff1")
    assert keys_of(await records.get_prefix("a%")) == ["a%b"]
    assert keys_of(await records.get_prefix("a_")) == ["a_b"]
    assert keys_of(await records.get_prefix("A")) == ["A%b"]
    assert keys_of(await records.get_prefix("a")) == ["a", "a%b", "a_b", "ab", "axb"]
    assert keys_of(await records.get_prefix("é")) == ["é1"]
    assert keys_of(await records.get_prefix("\U0010ffff")) == ["\U0010ffff1"]


async def test_fault_2_times_are_numbers_that_sort(records: Any) -> None:
    await put_all(records, "a")
    record = await records.get("a")
    assert isinstance(record.created, int)
    assert isinstance(record.updated, int)


async def test_fault_8_a_record_that_was_made_anew_is_another_one(kv: Any) -> None:
    records = kv.records()
    await records.put("a", 1)
    first = await kv.get(["a"])
    await records.delete("a")
    await records.put("a", 2)
    assert (await records.get("a")).version == 1
    assert not (await kv.atomic().check(first).set(["a"], 3).commit()).ok


async def test_fault_9_a_patch_keeps_the_type(records: Any) -> None:
    await records.put("a", Person("Ada"))
    await records.patch("a", {"age": 1})
    assert keys_of(await records.get_type("Person")) == ["a"]


async def test_the_stream_tells_the_changes_of_records(kv: Any) -> None:
    records = kv.records()
    before = await records.stream_seq()
    await records.put("z", Person("Ada"))
    await kv.set(["z", 1], "not a record")
    await records.put("a", [1])
    await records.patch("z", {"age": 1})
    await records.delete("a")
    changes = await records.stream(before + 1)
    assert [(it.action, it.key, it.version, it.type) for it in changes] == [
        ("create", "z", 1, "Person"),
        ("create", "a", 1, "list"),
        ("update", "z", 2, "Person"),
        ("delete", "a", 1, "list"),
    ]
    assert [it.seq for it in changes] == sorted({it.seq for it in changes})
    assert changes[-1].seq == await records.stream_seq()
    assert changes[0].at > 1_700_000_000_000
    assert await records.stream(changes[1].seq) == changes[1:]
    assert await records.stream(before + 1, 2) == changes[:2]
    assert await records.stream(before + 1, 0) == await records.stream(changes[-1].seq + 1) == []
    assert await records.stream(before + 1, of_type="list") == [changes[1], changes[3]]
    assert await records.stream(before + 1, of_type="nothing") == []
    assert await records.stream(before + 1, of_type="all") == changes


async def test_changes_have_the_values_that_the_log_keeps() -> None:
    async with open_kv(":memory:", keyval={"changes": {"values": True}}) as kv:
        records = kv.records()
        await records.put("p", Person("Ada", 36))
        await records.put("n", 1)
        (ada,) = await records.stream(0, of_type="Person", type=Person)
        assert (ada.value, ada.has_value) == (Person("Ada", 36), True)
        with pytest.raises(InvalidValue, match="is not of type Person"):
            await records.stream(type=Person)


async def test_changes_that_were_trimmed_are_not_passed_over(records: Any) -> None:
    await put_all(records, "a", "b", "c")
    changes = await records.stream(await records.stream_seq() - 2)
    assert await records.stream_trim(changes[0].seq) >= 1
    with pytest.raises(StreamTrimmed):
        await records.stream(changes[0].seq)
    assert await records.stream(changes[1].seq) == changes[1:]
    # The newest one stays, so that positions are never given again.
    await records.stream_trim(changes[-1].seq)
    assert await records.stream(changes[-1].seq) == changes[-1:]
    assert await records.stream_seq() == changes[-1].seq


async def test_other_keys_are_no_records(kv: Any) -> None:
    for key in (["a", 1], [1], [b"a"], ["b"], [True]):
        await kv.set(key, 1)
    records = kv.records()
    assert keys_of(await records.list()) == ["b"]
    assert await records.count() == 1
    assert await records.delete_prefix("*") == 1
    assert await kv.count() == 4


@pytest.mark.parametrize(
    "use",
    [
        lambda records: records.get(""),
        lambda records: records.get(1),
        lambda records: records.get(["a"]),
        lambda records: records.put("", 1),
        lambda records: records.put("a", 1, -2),
        lambda records: records.put("a", 1, True),
        lambda records: records.put("a", 1, type=""),
        lambda records: records.put("a", object()),
        lambda records: records.patch("a", {}, "1"),
        lambda records: records.list("a"),
        lambda records: records.list(0, -2),
        lambda records: records.get_prefix(None),
        lambda records: records.get_range("a", None),
        lambda records: records.get_type(""),
        lambda records: records.stream(-1),
        lambda records: records.stream(0, -2),
        lambda records: records.stream(0, of_type=""),
        lambda records: records.stream_trim(-1),
        lambda records: records.mutate_all("put"),
        lambda records: records.mutate_all(RecordDelete("abc")),
        lambda records: records.mutate_all(RecordDeletePrefix("")),
    ],
)
async def test_what_is_wrong_is_refused(records: Any, use: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - InvalidInput or InvalidValue
        await use(records)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=2),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)


@given(value=JSON, patch=JSON)
def test_a_merge_is_that_of_the_standard(value: Any, patch: Any) -> None:
    result = merged(value, patch)
    if isinstance(patch, dict):
        before = value if isinstance(value, dict) else {}
        for name in {*patch, *before}:
            if name not in patch:
                assert result[name] == before[name]
            elif patch[name] is None:
                assert name not in result
            else:
                assert result[name] == merged(before.get(name), patch[name])
    else:
        assert result == patch

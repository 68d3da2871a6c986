# Made by scripts/unasync from _async/test_records.py: change that one.
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
    open_kv_sync,
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


def put_all(records: Any, *keys: str) -> None:
    records.mutate_all(*(RecordPut(key, {"k": key}) for key in keys))


def keys_of(found: list[KvRecord[Any]]) -> list[str]:
    return [record.key for record in found]


def test_get_tells_found_and_missing(records: Any) -> None:
    assert records.get("p") is None
    records.put("p", Person("Ada", 36))
    record = records.get("p")
    assert (record.key, record.version, record.type) == ("p", 1, "Person")
    assert record.value == {"name": "Ada", "age": 36}
    assert (records.get("p", Person)).value == Person("Ada", 36)
    assert record.created == record.updated > 1_700_000_000_000
    records.put("p", {"nom": "Ada"})
    with pytest.raises(InvalidValue, match="is not of type Pet"):
        records.get("p", Pet)


def test_batches_leave_out_what_is_missing(records: Any) -> None:
    names = [f"n{number:04}" for number in range(1050)]
    for first in range(0, len(names), 500):
        put_all(records, *names[first : first + 500])
    found = records.get_batch("nope", "n0003", "n0001", "n0003")
    assert sorted(found) == ["n0001", "n0003"]
    assert records.get_batch() == records.get_batch("x", "y") == {}
    assert list(records.get_batch(*names)) == names
    assert records.delete(*names, "nope") == 1050


def test_lists_have_an_order_a_window_and_an_end(records: Any) -> None:
    put_all(records, "b/2", "a", "b/1", "b/3", "c")
    assert keys_of(records.list()) == ["a", "b/1", "b/2", "b/3", "c"]
    assert keys_of(records.list(1, 2)) == ["b/1", "b/2"]
    assert keys_of(records.list(0, 1)) == ["a"]
    assert keys_of(records.get_prefix("b/")) == ["b/1", "b/2", "b/3"]
    assert keys_of(records.get_prefix("b/", 0, 2)) == ["b/1", "b/2"]
    assert keys_of(records.get_prefix("b/", 1)) == ["b/2", "b/3"]
    assert keys_of(records.get_prefix("b/", 1, 0)) == []
    assert keys_of(records.get_prefix("")) == keys_of(records.list())
    assert records.get_prefix("x") == []
    assert keys_of(records.get_range("a", "b/2")) == ["a", "b/1"]
    assert keys_of(records.get_range("b", "z", 1, 2)) == ["b/2", "b/3"]
    assert records.get_range("c", "a") == records.get_range("a", "a") == []
    assert (
        records.count(),
        records.count_prefix("b"),
        records.count_range("a", "c"),
    ) == (5, 3, 4)
    assert (records.count_prefix("x"), records.count_range("x", "a")) == (0, 0)


def test_types_are_found(records: Any) -> None:
    for key, value in (("a", Person("Ada")), ("b", Pet("Rex")), ("c", Person("Cid")), ("d", None)):
        records.put(key, value)
    records.put("e", {}, type="Person")
    assert keys_of(records.get_type("Person", type=None)) == ["a", "c", "e"]
    assert [it.value for it in records.get_type("Pet", type=Pet)] == [Pet("Rex")]
    assert keys_of(records.get_type("Person", 1, 1)) == ["c"]
    assert len(records.get_type("all")) == 5
    assert (records.count_type("Person"), records.count_type("Cat")) == (3, 0)
    assert (records.get("d")).type == "NoneType"


def test_versions_follow_writes(records: Any) -> None:
    for version in range(10):
        records.put("v", {"n": version}, version)
    record = records.get("v")
    assert (record.version, record.value) == (10, {"n": 9})
    with pytest.raises(VersionMismatch, match="the version of 'v' is 10, and not 3"):
        records.put("v", {}, 3)
    with pytest.raises(VersionMismatch):
        records.put("v", {}, 0)
    records.put("v", {"n": 10})
    after = records.get("v")
    assert (after.version, after.created) == (11, record.created)
    assert after.updated >= record.updated
    records.put("missing", 1, 5)
    assert (records.get("missing")).version == 1


def test_strict_records_must_be_there_for_a_version(kv: Any) -> None:
    records = kv.records(strict=True)
    with pytest.raises(VersionMismatch, match="is none, and not 5"):
        records.put("a", 1, 5)
    with pytest.raises(VersionMismatch):
        records.patch("a", {}, 1)
    records.put("a", 1, 0)
    records.put("a", 2, 1)
    assert (records.get("a")).version == 2


def test_patches_merge(records: Any) -> None:
    records.put("p", Person("Ada", 36))
    created = (records.get("p")).created
    records.patch("p", {"age": None, "home": {"city": "Lisbon", "zip": None}}, 1)
    records.patch("p", {"home": {"street": "A"}})
    record = records.get("p")
    assert record.value == {"name": "Ada", "home": {"city": "Lisbon", "street": "A"}}
    assert (record.version, record.created, record.type) == (3, created, "Person")
    records.patch("new", {"a": 1, "b": None})
    assert (records.get("new")).value == {"a": 1}
    for wrong in (0, 2, 4):
        with pytest.raises(VersionMismatch):
            records.patch("p", {"x": 1}, wrong)
    assert (records.get("p")) == record
    records.patch("p", [1])
    assert (records.get("p")).value == [1]


def test_a_patch_keeps_life_and_metadata(kv: Any) -> None:
    kv.set(["p"], {"a": 1}, expires_in="1h", metadata={"by": "me"})
    before = (kv.get_with_metadata(["p"])).details
    kv.records().patch("p", {"b": 2})
    after = (kv.get_with_metadata(["p"])).details
    assert (after.metadata, after.expires_at) == (before.metadata, before.expires_at)


def test_deleting(records: Any) -> None:
    put_all(records, "a", "b/1", "b/2", "b/3", "c", "d")
    assert records.delete("a", "x", "c") == 2
    assert records.delete("a") == records.delete() == 0
    assert records.delete_prefix("b/", 1) == 2
    assert keys_of(records.list()) == ["b/1", "d"]
    assert records.delete_prefix("nope") == 0
    with pytest.raises(InvalidInput, match="one after the other, received"):
        records.mutate_all([RecordPut("a", 1)])
    with pytest.raises(InvalidInput, match="the prefix is empty"):
        records.delete_prefix("")
    put_all(records, "b/2", "b/3", "e")
    assert records.delete_prefix("b", 0, 2) == 2
    assert records.delete_range("b", "e") == 2
    assert records.delete_range("e", "b") == 0
    put_all(records, "f")
    assert records.delete_range("e", "z", 1, 1) == 1
    assert records.delete_prefix("*") == 1
    assert records.count() == 0


def test_mutate_all_tells_what_each_did(records: Any) -> None:
    put_all(records, "a", "b", "c/1", "c/2", "c/3", "d")
    assert records.mutate_all(RecordDelete(["a"]), RecordDelete(["b"])) == [1, 1]
    put_all(records, "a", "b")
    assert records.mutate_all(RecordDelete(["a", "b", "x"])) == [2]
    assert records.mutate_all(RecordDeletePrefix("c/", 0, 2)) == [2]
    assert records.mutate_all(RecordDeleteRange("c", "d")) == [1]
    assert records.mutate_all(RecordDelete(["d"]), RecordPatch("n", {"a": 1})) == [1, 1]
    assert records.mutate_all(RecordPut("nil", None), RecordPatch("nil", None)) == [1, 1]
    assert (records.get("nil")).version == 1
    assert records.mutate_all() == []


def test_mutate_all_is_all_or_nothing(records: Any) -> None:
    put_all(records, "a", "b", "c")
    before = records.list()
    with pytest.raises(VersionMismatch) as caught:
        records.mutate_all(
            RecordPut("a", 1, 1), RecordPut("b", 2, 7), RecordPut("new", 3), RecordDelete(["c"])
        )
    assert caught.value.results == [0, 0, 0, 0]
    assert records.list() == before


def test_later_mutations_see_earlier_ones(records: Any) -> None:
    put_all(records, "p/1")
    done = records.mutate_all(
        RecordPut("p/2", {"a": 1}, 0),
        RecordPut("p/2", {"a": 2}, 1),
        RecordPatch("p/2", {"b": 3}, 1),
        RecordDelete(["p/1"]),
        RecordPut("p/1", "again", 0),
        RecordDeletePrefix("p/", 1),
        RecordPut("q", 1, 0),
    )
    assert done == [1, 1, 1, 1, 1, 1, 1]
    assert [(it.key, it.value, it.version) for it in records.list()] == [
        ("p/1", "again", 1),
        ("q", 1, 1),
    ]


def test_paginators_neither_repeat_nor_pass_over(records: Any) -> None:
    put_all(records, *(f"k{number}" for number in range(9)))
    seen = []
    for record in records.paginator(prefix="k", page_size=2):
        seen.append(record.key)
        records.delete(record.key)
        records.put(f"a{record.key}", 1)
    assert seen == [f"k{number}" for number in range(9)]
    found = [it.key for it in records.paginator(start="ak3", end="ak6", page_size=1)]
    assert found == ["ak3", "ak4", "ak5"]
    assert [it.key for it in records.paginator(of_type="dict")] == []
    assert len(list(records.paginator())) == 9
    with pytest.raises(InvalidInput, match="give only one of"):
        records.paginator(prefix="a", of_type="b")


@pytest.mark.parametrize("wrong", ["5", None, True, 2.0, -2])
def test_numbers_that_are_none_are_refused(records: Any, wrong: Any) -> None:
    for size in (wrong, 0, -1, 1001):
        with pytest.raises(InvalidInput, match="page_size must be an integer from 1 to 1000"):
            records.paginator(page_size=size)
    for offset in (wrong, -1):
        with pytest.raises(InvalidInput, match="offset must be an integer from 0"):
            records.list(offset)
        with pytest.raises(InvalidInput, match="offset must be an integer from 0"):
            records.mutate_all(RecordDeletePrefix("a", offset))
    with pytest.raises(InvalidInput, match="limit must be -1, for all, or an integer from 0"):
        records.delete_prefix("a", 0, wrong)
    with pytest.raises(InvalidInput, match="version must be -1"):
        records.put("a", 1, wrong)
    with pytest.raises(InvalidInput, match="start must be a text"):
        records.paginator(start=5)


# The names say which faults of other stores with records these are, in the order of their list.


def test_fault_1_a_prefix_is_meant_to_the_letter(records: Any) -> None:
    put_all(records, "a%b", "a_b", "axb", "A%b", "a", "ab", "é1", "e1", "\U0010ffff1")
    assert keys_of(records.get_prefix("a%")) == ["a%b"]
    assert keys_of(records.get_prefix("a_")) == ["a_b"]
    assert keys_of(records.get_prefix("A")) == ["A%b"]
    assert keys_of(records.get_prefix("a")) == ["a", "a%b", "a_b", "ab", "axb"]
    assert keys_of(records.get_prefix("é")) == ["é1"]
    assert keys_of(records.get_prefix("\U0010ffff")) == ["\U0010ffff1"]


def test_fault_2_times_are_numbers_that_sort(records: Any) -> None:
    put_all(records, "a")
    record = records.get("a")
    assert isinstance(record.created, int)
    assert isinstance(record.updated, int)


def test_fault_8_a_record_that_was_made_anew_is_another_one(kv: Any) -> None:
    records = kv.records()
    records.put("a", 1)
    first = kv.get(["a"])
    records.delete("a")
    records.put("a", 2)
    assert (records.get("a")).version == 1
    assert not (kv.atomic().check(first).set(["a"], 3).commit()).ok


def test_fault_9_a_patch_keeps_the_type(records: Any) -> None:
    records.put("a", Person("Ada"))
    records.patch("a", {"age": 1})
    assert keys_of(records.get_type("Person")) == ["a"]


def test_the_stream_tells_the_changes_of_records(kv: Any) -> None:
    records = kv.records()
    before = records.stream_seq()
    records.put("z", Person("Ada"))
    kv.set(["z", 1], "not a record")
    records.put("a", [1])
    records.patch("z", {"age": 1})
    records.delete("a")
    changes = records.stream(before + 1)
    assert [(it.action, it.key, it.version, it.type) for it in changes] == [
        ("create", "z", 1, "Person"),
        ("create", "a", 1, "list"),
        ("update", "z", 2, "Person"),
        ("delete", "a", 1, "list"),
    ]
    assert [it.seq for it in changes] == sorted({it.seq for it in changes})
    assert changes[-1].seq == records.stream_seq()
    assert changes[0].at > 1_700_000_000_000
    assert records.stream(changes[1].seq) == changes[1:]
    assert records.stream(before + 1, 2) == changes[:2]
    assert records.stream(before + 1, 0) == records.stream(changes[-1].seq + 1) == []
    assert records.stream(before + 1, of_type="list") == [changes[1], changes[3]]
    assert records.stream(before + 1, of_type="nothing") == []
    assert records.stream(before + 1, of_type="all") == changes


def test_changes_have_the_values_that_the_log_keeps() -> None:
    with open_kv_sync(":memory:", keyval={"changes": {"values": True}}) as kv:
        records = kv.records()
        records.put("p", Person("Ada", 36))
        records.put("n", 1)
        (ada,) = records.stream(0, of_type="Person", type=Person)
        assert (ada.value, ada.has_value) == (Person("Ada", 36), True)
        with pytest.raises(InvalidValue, match="is not of type Person"):
            records.stream(type=Person)


def test_changes_that_were_trimmed_are_not_passed_over(records: Any) -> None:
    put_all(records, "a", "b", "c")
    changes = records.stream(records.stream_seq() - 2)
    assert records.stream_trim(changes[0].seq) >= 1
    with pytest.raises(StreamTrimmed):
        records.stream(changes[0].seq)
    assert records.stream(changes[1].seq) == changes[1:]
    # The newest one stays, so that positions are never given again.
    records.stream_trim(changes[-1].seq)
    assert records.stream(changes[-1].seq) == changes[-1:]
    assert records.stream_seq() == changes[-1].seq


def test_other_keys_are_no_records(kv: Any) -> None:
    for key in (["a", 1], [1], [b"a"], ["b"], [True]):
        kv.set(key, 1)
    records = kv.records()
    assert keys_of(records.list()) == ["b"]
    assert records.count() == 1
    assert records.delete_prefix("*") == 1
    assert kv.count() == 4


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
def test_what_is_wrong_is_refused(records: Any, use: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - InvalidInput or InvalidValue
        use(records)


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

"""JSON Merge Patches of values, on every engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_keyval.wire import canonical_value
from buntime_keyval.wire.limits import MAX_VALUE_BYTES
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model import merge_patch as module
from buntime_plugin_keyval.model.merge_patch import SPLICED_LEVELS, Merging
from hypothesis import given
from hypothesis import strategies as st
from keyval.service.world import NOW_MS, FakeClock

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres", "odd")

KEY = ("a", 1)
# Those of RFC 7396, appendix A.
RFC: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]

trees = st.recursive(
    st.none() | st.integers(-3, 3) | st.just(2**64 + 1) | st.just({"__type": "unknown"}),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abé"), inner),
    max_leaves=12,
)


def text_of(value: Any) -> str:
    return canonical_value(json.dumps(value).encode(), 0)


def merged(value: Any, patch: Any) -> Any:
    """As the RFC has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result


def merge_patches(text: str | None, *patches: str) -> str:
    merging = Merging(text)
    for patch in patches:
        merging.patch(patch)
    return merging.text()


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = {"n": value, "other": 1}
    return value


@given(
    trees,
    st.lists(trees, max_size=3),
    st.sampled_from([0, SPLICED_LEVELS - 1, SPLICED_LEVELS, 250]),
)
def test_it_does_what_the_rfc_says(value: Any, patches: list[Any], levels: int) -> None:
    value, patches = nested(value, levels), [nested(patch, levels) for patch in patches]
    text = merge_patches(text_of(value), *map(text_of, patches))
    for patch in patches:
        value = merged(value, patch)
    assert text == text_of(value)


def test_many_patches_of_a_wide_value_take_it_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """600 of one with 100,000 members held all writers up for a quarter of a minute."""
    taken: list[int] = []
    decode = module._decode_members

    def counted(raw: Any) -> Any:
        taken.append(len(bytes(raw)))
        return decode(raw)

    monkeypatch.setattr(module, "_decode_members", counted)
    wide = text_of({"in": {f"k{number}": number for number in range(1000)}})
    merge_patches(wide, *[f'{{"in":{{"k{number}":null}}}}' for number in range(600)])
    assert sum(taken) < 2 * len(wide) + 600 * 60


async def test_the_examples_of_the_rfc(kv: LocalKv) -> None:
    for number, (value, _, _) in enumerate(RFC):
        await kv.set((number,), value)
    atomic = kv.atomic()
    for number, (_, patch, _) in enumerate(RFC):
        atomic.patch((number,), patch)
    assert (await atomic.commit()).ok
    entries = await kv.get([(number,) for number in range(len(RFC))])
    assert [entry.value for entry in entries] == [result for _, _, result in RFC]


async def test_what_is_not_named_stays_as_it_is(kv: LocalKv, clock: FakeClock) -> None:
    huge, raw = BigInt(3**200), b"\0\xff"
    await kv.set(KEY, {"n": huge, "f": 1e22, "b": raw, "in": {"n": huge, "x": 1}}, metadata="m",
                 type="T", expires_in="1s")  # fmt: skip
    await kv.patch(KEY, {"in": {"x": None, "y": BigInt(2**80)}, "at": kv.now()})
    entry = await kv.get_with_metadata(KEY)
    inner = {"n": huge, "y": BigInt(2**80)}
    assert entry.value == {"n": huge, "f": 1e22, "b": raw, "in": inner, "at": NOW_MS}
    assert entry.details is not None
    assert (entry.details.metadata, entry.details.type, entry.details.revision) == ("m", "T", 2)
    assert entry.details.expires_at == NOW_MS + 1000
    # A bigint is a value, and no object that is merged.
    await kv.patch(KEY, {"n": {"a": 1, "b": None}, "in": BigInt(5**40)}, type="U", metadata=1)
    entry = await kv.get_with_metadata(KEY)
    assert entry.value is not None
    assert (entry.value["n"], entry.value["in"]) == ({"a": 1}, BigInt(5**40))
    assert entry.details is not None
    assert (entry.details.metadata, entry.details.type) == (1, "U")
    clock.advance(1000)
    await kv.patch(KEY, {"a": {"b": None}})
    entry = await kv.get_with_metadata(KEY)
    assert entry.value == {"a": {}}, "what has expired is missing"
    assert entry.details is not None
    assert entry.details.revision == 1


async def test_mutations_of_a_commit_see_each_other(kv: LocalKv) -> None:
    await (
        kv.atomic()
        .set(KEY, {"a": 1})
        .patch(KEY, {"b": 2})
        .patch(KEY, {"a": None})
        .patch(("sum",), 5)
        .sum(("sum",), 2)
        .patch(("gone",), {"a": 1})
        .delete(("gone",))
        .commit()
    )
    found = await kv.get([KEY, ("sum",), ("gone",)])
    assert [entry.value for entry in found] == [{"b": 2}, 7, None]

    async def both(tx: Any) -> None:
        tx.patch(KEY, {"c": (await tx.get(KEY)).value["b"]})

    assert (await kv.transaction(both)).ok
    assert (await kv.get(KEY)).value == {"b": 2, "c": 2}


async def test_concurrent_patches_lose_nothing(kv: LocalKv) -> None:
    patches = [kv.atomic().patch(KEY, {f"p{number}": number}).commit() for number in range(20)]
    for each in patches:
        await each
    assert (await kv.get(KEY)).value == {f"p{number}": number for number in range(20)}


async def test_long_values(kv: LocalKv) -> None:
    long = "x" * 300_000
    await kv.set(KEY, {"long": long, "a": 1})
    await kv.patch(KEY, {"a": 2, "also": long})
    assert (await kv.get(KEY)).value == {"long": long, "a": 2, "also": long}


def test_a_value_may_not_become_too_large() -> None:
    half = json.dumps("y" * (MAX_VALUE_BYTES // 2))
    with pytest.raises(InvalidInput, match="Value too large"):
        merge_patches(f'{{"a":{half}}}', f'{{"b":{half}}}')


async def test_a_repetition_patches_once(kv: LocalKv) -> None:
    first = await kv.patch(KEY, {"a": 1}, idempotency_key="once")
    await kv.set(KEY, {})
    assert await kv.patch(KEY, {"a": 1}, idempotency_key="once") == first
    assert (await kv.get(KEY)).value == {}

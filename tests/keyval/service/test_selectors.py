"""Which entries selectors mean, on every engine: beginnings of texts, bounds, offsets, several."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_host.access import Permissible, compile_grant
from buntime_host.errors import PermissionDenied
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.requests.permissions import PERMISSIONS

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")

KEYS: list[tuple[Any, ...]] = [
    (b"user",),
    ("use",),
    ("user",),
    ("user", 1),
    ("user\0x",),
    ("users", "ada"),
    ("users", "adam", "x"),
    ("users", "bob"),
    ("users", 1),
    ("userÿ",),
    ("uses",),
    (7, "a"),
]
"""In their order."""


async def fill(kv: LocalKv) -> None:
    for part in (KEYS[:6], KEYS[6:]):
        atomic = kv.atomic()
        for key in part:
            atomic.set(key, {"n": KEYS.index(key)})
        await atomic.commit()


async def keys(kv: LocalKv, **selectors: Any) -> list[Any]:
    return [entry.key async for entry in kv.list(**selectors)]


CASES: list[tuple[dict[str, Any], list[Any]]] = [
    ({"starts_with": ["user"]}, KEYS[2:10]),
    ({"starts_with": ["user\0"]}, KEYS[4:5]),
    ({"starts_with": ["users", "ada"]}, KEYS[5:7]),
    ({"starts_with": ["users", ""]}, KEYS[5:8]),
    ({"starts_with": [""]}, KEYS[1:11]),
    ({"starts_with": ["nobody"]}, []),
    ({"starts_with": ["user"], "start": ["user\0x"], "end": ["users", "b"]}, KEYS[4:7]),
    ({"prefixes": [["users"], ["user"]]}, [KEYS[3], *KEYS[5:9]]),
    ({"prefixes": [["users", "adam"], ["users"], ["users"]]}, KEYS[5:9]),
    ({"prefixes": [["users"], [7]], "end": [7, "a"]}, KEYS[5:9]),
    ({"start": ["uses"]}, KEYS[10:]),
    ({"prefix": ["users"], "start": ["v"]}, []),
]


async def test_lists_pages_and_counts_mean_the_same(kv: LocalKv) -> None:
    await fill(kv)
    for selectors, wanted in CASES:
        assert await keys(kv, **selectors) == wanted, selectors
        assert await keys(kv, **selectors, reverse=True, page_size=2) == wanted[::-1]
        assert await keys(kv, **selectors, offset=1, limit=2) == wanted[1:3], selectors
        assert await keys(kv, **selectors, offset=2, reverse=True) == wanted[::-1][2:], selectors
        assert await kv.count(**selectors) == len(wanted), selectors
        assert await kv.count(**selectors, offset=1, limit=2) == len(wanted[1:3]), selectors
        where: Any = {"n": {"$gte": 6}}
        filtered = [key for key in wanted if KEYS.index(key) >= 6]
        assert await keys(kv, **selectors, where=where, offset=1) == filtered[1:], selectors


@pytest.mark.parametrize("reverse", [False, True])
async def test_pages_go_on_where_they_ended(kv: LocalKv, reverse: bool) -> None:
    await fill(kv)
    for selectors, wanted in CASES:
        page = await kv.paginate(**selectors, limit=2, offset=1, reverse=reverse)
        found = page.entries
        while page.cursor:
            page = await kv.paginate(**selectors, limit=2, cursor=page.cursor, reverse=reverse)
            found += page.entries
        assert [entry.key for entry in found] == (wanted[::-1] if reverse else wanted)[1:]


async def test_deletions_mean_the_same(kv: LocalKv) -> None:
    await fill(kv)
    assert (await kv.delete([], starts_with=["users", "ad"], limit=1, offset=1)).deleted_count == 1
    assert (await kv.delete(["users"], start=["users", "b"])).deleted_count == 2
    assert await keys(kv, prefix=["users"]) == KEYS[5:6]
    assert (await kv.delete([], start=["user\0"], end=["users"])).deleted_count == 1
    assert (await kv.delete([["user"], ["users"]], offset=1, limit=2)).deleted_count == 2
    assert await keys(kv) == [*KEYS[:3], *KEYS[9:]]
    assert (await kv.delete([], start=["z"], end=["a"])).deleted_count == 0
    matching: Any = {"n": {"$gte": 10}}
    assert (await kv.delete([], starts_with=["u"], where=matching)).deleted_count == 1
    assert (await kv.delete([], starts_with=["u"], offset=9)).deleted_count == 0
    for _ in range(2):
        again = await kv.delete([], starts_with=["us"], limit=1, idempotency_key="once")
        assert again.deleted_count == 1
    assert await kv.count() == 4


async def test_entries_of_a_type(kv: LocalKv) -> None:
    for key, value, kind in (("a", 1, "A"), ("b", 2, "B"), ("c", 3, "A"), ("d", 4, None)):
        await kv.set([key], {"n": value}, type=kind)
    await kv.set(["in", "e"], {"n": 5}, type="A")
    assert await keys(kv, type="A") == [("a",), ("c",), ("in", "e")]
    assert await keys(kv, type="A", reverse=True, limit=2) == [("in", "e"), ("c",)]
    assert await keys(kv, type="A", where={"n": {"$gt": 1}}, offset=1) == [("in", "e")]
    assert await keys(kv, type="A", snapshot=True, details=True) == [("a",), ("c",), ("in", "e")]
    assert await keys(kv, type="a") == []
    assert await kv.count(type="A") == 3
    assert await kv.count(["in"], type="B") == 0
    page = await kv.paginate(type="A", limit=2)
    assert (len(page.entries), page.has_more) == (2, True)
    rest = await kv.paginate(type="A", limit=2, cursor=page.cursor)
    assert ([it.key for it in rest.entries], rest.has_more) == ([("in", "e")], False)
    store = kv.store(["in"], type=dict)
    assert [it.key async for it in store.list(type="A")] == [("e",)]
    assert await store.count(type="B") == 0
    records = kv.records()
    assert [it.key for it in await records.get_type("A")] == ["a", "c"]
    assert (await store.delete(type="B")).deleted_count == 0
    assert (await kv.delete(type="A", limit=1)).deleted_count == 1
    assert (await kv.delete(type="A")).deleted_count == 2
    assert await keys(kv) == [("b",), ("d",)]
    with pytest.raises(InvalidInput, match="type must be a text"):
        await kv.count(type="")


@pytest.mark.parametrize(
    ("selectors", "message"),
    [
        ({"prefix": ["a"], "starts_with": ["b"]}, "one of prefix, prefixes, starts_with"),
        ({"prefixes": [["a"]], "starts_with": ["b"]}, "one of prefix, prefixes, starts_with"),
        ({"starts_with": ["a", 1]}, "must end with a text"),
        ({"starts_with": []}, "cannot be empty"),
        ({"prefixes": []}, "cannot be empty"),
        ({"offset": -1}, "offset must be"),
        ({"offset": True}, "offset must be"),
        ({"starts_with": ["a"], "prefix": [], "snapshot": True, "offset": 1}, "snapshot is of one"),
    ],
)
@pytest.mark.engines("sqlite")
async def test_what_means_nothing_is_refused(kv: LocalKv, selectors: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        await keys(kv, **selectors)


@pytest.mark.engines("sqlite")
async def test_deletions_never_mean_everything_by_accident(kv: LocalKv) -> None:
    refused: list[dict[str, Any]] = [
        {"start": ["a"]},
        {"end": ["a"]},
        {"limit": 1},
        {"offset": 1},
        {"exact": True, "starts_with": ["a"]},
        {"starts_with": ["a"], "limit": 1001},
    ]
    await kv.set(["a"], 1)
    for options in refused:
        with pytest.raises(InvalidInput):
            await kv.delete([], **options)
    assert await kv.count() == 1


@pytest.mark.engines("sqlite")
async def test_a_beginning_reads_no_more_than_was_granted(kv: LocalKv) -> None:
    """`["users"]` grants that key and what is below it, and not what only begins so."""
    await fill(kv)
    permissible = Permissible({"keyval": PERMISSIONS})
    grant = compile_grant(['keyval:read:["users"]', 'keyval:write:["users","ada"]'], permissible)
    some = kv.as_principal(grant)
    assert await keys(some, starts_with=["users", "a"]) == KEYS[5:7]
    assert await some.count(prefixes=[["users"], ["users", "adam"]]) == 4
    denied: list[dict[str, Any]] = [
        {"starts_with": ["users"]},
        {"starts_with": ["use"]},
        {"prefixes": [["users"], ["user"]]},
        {"start": ["users"], "end": ["usert"]},
        {"start": ["z"], "end": ["a"]},
    ]
    for selectors in denied:
        with pytest.raises(PermissionDenied):
            await keys(some, **selectors)
        with pytest.raises(PermissionDenied):
            await some.paginate(**selectors)
        with pytest.raises(PermissionDenied):
            await some.count(**selectors)
    assert (await some.delete(["users", "ada"], limit=1)).deleted_count == 1
    ranges: list[dict[str, Any]] = [
        {"starts_with": ["users", "a"]},
        {"start": ["users"], "end": ["users", "b"]},
    ]
    for options in ranges:
        with pytest.raises(PermissionDenied):
            await some.delete([], **options)
    blind = kv.as_principal(compile_grant(['keyval:write:["users"]'], permissible))
    with pytest.raises(PermissionDenied):  # what stays in front of an offset tells of keys
        await blind.delete(["users"], offset=1)


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("nothing", [(), []])
async def test_a_store_ends_where_it_ends(kv: LocalKv, nothing: Any) -> None:
    """The beginning of its own prefix is that of others, too: "iso" of "isolated"."""
    for key in (("iso",), ("iso", "a"), ("isolated",), ("isolated", "a")):
        await kv.set(key, {})
    store = kv.store(("iso",))
    for refused in (
        store.delete(starts_with=nothing),
        store.count(starts_with=nothing),
        store.get_all(starts_with=nothing),
        store.paginate(starts_with=nothing),
    ):
        with pytest.raises(InvalidInput, match="starts_with must end with a text"):
            await refused
    assert await store.count(starts_with="") == 1
    assert (await store.delete(starts_with="")).deleted_count == 1
    assert await kv.count() == 3
    with pytest.raises(InvalidInput, match="Every text begins with an empty one"):
        await kv.delete((), starts_with=("",))

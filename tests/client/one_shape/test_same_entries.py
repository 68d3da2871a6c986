"""The same in process and behind HTTP: entries, one at a time and many, and how they are found."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import BigInt, Field, InvalidInput, KvEntry, NotFound, PreconditionFailed
from client._async.beside import until
from client.one_shape.kinds import AnyKv

pytestmark = pytest.mark.slow


async def test_entries(kv: AnyKv) -> None:
    result = await kv.set(["users", 1], {"name": "Ada", "age": 36}, expires_in="1h")
    assert await kv.get(["users", 1]) == KvEntry(
        ("users", 1), {"name": "Ada", "age": 36}, result.versionstamp
    )
    await kv.set(["users", b"\0"], [BigInt(7), b"\1", 2**70])
    batch = await kv.get([["users", b"\0"], ["users", 2]])
    assert [entry.value for entry in batch] == [[BigInt(7), b"\1", BigInt(2**70)], None]
    assert not await kv.get([])
    adults = {"age": {"$gte": 18}}
    assert [entry.key async for entry in kv.list(["users"], where=adults)] == [("users", 1)]
    assert [e.key async for e in kv.list(limit=1, page_size=1, reverse=True)] == [("users", 1)]
    assert await kv.count(["users"], where=Field("name").starts_with("A")) == 1
    page = await kv.paginate(["users"], limit=1)
    assert (len(page.entries), page.has_more) == (1, True)
    rest = await kv.paginate(["users"], limit=1, cursor=page.cursor)
    assert (rest.entries[0].key, rest.cursor) == (("users", 1), None)
    assert (await kv.delete(["users", 1], where={"age": {"$lt": kv.now()}})).deleted_count == 1
    assert (await kv.delete([["users"], ["none", 1]])).deleted_count == 1
    with pytest.raises(InvalidInput, match="everything=True"):
        await kv.delete([])
    assert (await kv.delete([], everything=True)).deleted_count == 0


async def test_search(kv: AnyKv) -> None:
    for number in range(5):
        text = {"title": "needle" if number == 3 else "hay", "body": f"a needle, no. {number}"}
        await kv.set(["d", number], text)
    with pytest.raises(NotFound, match="No index found"):
        await anext(aiter(kv.search(["d"], "needle")))
    await kv.create_index(["d"], fields=["title", "body"], tokenize="porter")
    (index,) = await kv.list_indexes()
    assert (index.prefix, index.fields, index.tokenize) == (("d",), ["title", "body"], "porter")
    assert (index.documents, index.entries, index.ready) == (5, 5, True)
    hits = [hit async for hit in kv.search(["d"], "needles", weights={"title": 9}, limit=2)]
    assert hits[0].key == ("d", 3)
    assert (len(hits), hits[0].highlight, hits[0].snippet) == (2, None, None)
    options: dict[str, Any] = {"highlight": ("[", "]"), "snippet": 2, "start": ["d", 3]}
    (hit,) = [it async for it in kv.search(["d"], "needle", end=["d", 4], **options)]
    assert hit.highlight == {"title": "[needle]", "body": "a [needle], no. 3"}
    assert hit.snippet is not None
    assert "[needle]" in hit.snippet["body"]
    (marked,) = [it async for it in kv.search(["d"], "3", highlight=True)]
    assert marked.highlight == {"title": "needle", "body": "a needle, no. <mark>3</mark>"}
    keys: list[Any] = []
    cursor = None
    while True:
        page = await kv.paginate_search(["d"], "needle", limit=2, cursor=cursor, reverse=True)
        keys += [it.key for it in page.entries]
        cursor = page.cursor
        if not page.has_more:
            break
    assert keys == [it.key async for it in kv.search(["d"], "needle", reverse=True)]
    assert len(keys) == 5
    with pytest.raises(InvalidInput, match="no such field"):
        await kv.paginate_search(["d"], "needle", weights={"other": 1})
    await kv.remove_index(["d"])
    assert await kv.list_indexes() == []


@pytest.mark.parametrize("mode", ["sse", "polling"])
@pytest.mark.parametrize("exact", [True, False])
async def test_watches(kv: AnyKv, mode: Any, exact: bool) -> None:
    await kv.set(["w"], 0)
    await kv.set(["w", 1], "below")
    seen: list[Any] = []

    async def hear(entries: list[KvEntry[Any]]) -> None:
        seen.extend((entry.key, entry.value) for entry in entries)

    options: dict[str, Any] = {"exact": exact, "mode": mode, "poll_interval": 10}
    watch = kv.watch(["w"], hear, buffer_size=10, **options)
    first = [(("w",), 0)] if exact else [(("w",), 0), (("w", 1), "below")]
    await until(lambda: seen == first)
    await kv.delete(["w"], exact=True)
    await until(lambda: seen == [*first, (("w",), None)])
    await watch.stop()
    assert (watch.closed, watch.dropped, watch.error) == (True, 0, None)
    with pytest.raises(RuntimeError, match="callback"):
        aiter(watch)
    async with kv.watch([["w", 1], ["w", 2]], **options) as batches:
        batch = await anext(batches)
        known = {entry.key: entry.value for entry in batch if entry.exists}
        assert known == {("w", 1): "below"}
        await kv.set(["w", 2], "new")
        while ("w", 2) not in known:
            known.update({entry.key: entry.value for entry in await anext(batches)})
    assert known[("w", 2)] == "new"


async def test_patches(kv: AnyKv) -> None:
    await kv.set(["p", 1], {"a": 1, "in": {"b": BigInt(2**70), "c": 2}}, type="P")
    result = await kv.patch(["p", 1], {"a": None, "in": {"c": None, "d": b"x"}}, metadata="m")
    assert result.ok
    entry = await kv.get_with_metadata(["p", 1])
    assert entry.value == {"in": {"b": 2**70, "d": b"x"}}
    assert entry.versionstamp == result.versionstamp
    assert entry.details is not None
    told = (entry.details.type, entry.details.metadata, entry.details.revision)
    assert told == ("P", "m", 2)
    await kv.atomic().patch(["p", 2], {"a": {"b": None}}, type="Q").commit()
    async with kv.begin() as tx:
        tx.patch(["p", 2], {"a": {"n": 1}})
    people = kv.store(["p"])
    first = await people.patch(2, {"c": 3}, idempotency_key="p")
    assert await people.patch(2, {"c": 3}, idempotency_key="p") == first
    assert (await people.get(2)).value == {"a": {"n": 1}, "c": 3}
    long = ["x" * 900, "y" * 900, "z" * 900]
    await kv.patch(long, {"a": 1})
    assert (await kv.get(long)).value == {"a": 1}


async def test_conditions(kv: AnyKv) -> None:
    first = await kv.set(["c", 1], {"n": 1}, create_only=True)
    with pytest.raises(PreconditionFailed) as failed:
        await kv.set(["c", 1], 2, create_only=True)
    assert failed.value.versionstamp == first.versionstamp
    second = await kv.patch(["c", 1], {"n": 2}, if_match=first.versionstamp)
    with pytest.raises(PreconditionFailed):
        await kv.patch(["c", 1], {"n": 3}, if_match=first.versionstamp)
    store = kv.store(["c"])
    third = await store.set(1, {"n": 3}, if_revision=2, metadata="m", type="T")
    with pytest.raises(PreconditionFailed):
        await store.patch(1, {}, if_revision=2)
    with pytest.raises(PreconditionFailed):
        await store.delete(1, if_match=second.versionstamp)
    assert (await kv.delete(["c", 1], if_match=third.versionstamp, exact=True)).deleted_count == 1
    with pytest.raises(PreconditionFailed) as gone:
        await kv.delete(["c", 1], if_revision=3)
    assert gone.value.versionstamp is None
    await kv.patch(["list"], {"a": 1}, create_only=True, expires_in="1h")
    assert (await kv.get(["list"])).value == {"a": 1}
    wrong: list[dict[str, Any]] = [
        {"if_match": "x", "if_revision": 1},
        {"if_match": ""},
        {"if_revision": -1},
        {"if_revision": True},
        {"create_only": True, "if_revision": 0},
        {"create_only": 1},
    ]
    for options in wrong:
        with pytest.raises(InvalidInput):
            await kv.set(["c", 1], 1, **options)
    with pytest.raises(InvalidInput, match="for one key"):
        await kv.delete([["a"], ["b"]], if_revision=1)
    with pytest.raises(InvalidInput, match="for one key"):
        await kv.delete([], everything=True, if_revision=1)


async def test_counters(kv: AnyKv) -> None:
    await kv.set(["a"], 1)
    assert (await kv.metrics())["storage"]["entries"] == 1
    assert "keyval_entries_total 1" in await kv.metrics("prometheus")


async def test_details(kv: AnyKv) -> None:
    await kv.set(["d", 1], "value", metadata={"by": b"ada", "at": kv.now()}, expires_in="1h")
    entry = await kv.get_with_metadata(["d", 1])
    assert entry.details is not None
    assert entry.details.metadata["by"] == b"ada"
    assert 0 < entry.details.metadata["at"] <= entry.details.created_at == entry.details.updated_at
    assert entry.details.expires_at == entry.details.created_at + 3_600_000
    await kv.atomic().sum(["d", 2], 1, metadata=["m"], expires_at=2**42).commit()
    async with kv.begin() as tx:
        tx.set(["d", 3], 1, metadata="of a transaction")
    several = await kv.get_with_metadata([["d", 2], ["d", 3], ["none"]])
    assert [it.details and it.details.metadata for it in several] == [
        ["m"],
        "of a transaction",
        None,
    ]
    keys = [it async for it in kv.list(["d"], values=False, details=True, page_size=1)]
    assert [(it.key[1], it.value, it.details is not None) for it in keys] == [
        (number, None, True) for number in (1, 2, 3)
    ]
    page = await kv.paginate(["d"], limit=1, values=False)
    assert (page.entries[0].value, page.has_more) == (None, True)
    assert await kv.has(["d", 1])
    assert not await kv.has(["d"])
    store = kv.store(["s"], int, metadata="of the store")
    await store.set("a", 1)
    assert (await store.get_with_metadata("a")).details is not None
    assert [it.value for it in await store.get_all(values=False)] == [None]
    await kv.set(["gone"], 1, expires_at=1_000_000_000_000)
    assert not await kv.has(["gone"])
    assert not (await kv.vacuum()).has_more

"""The same in process and behind HTTP: what is made of entries: typed stores, records, graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from buntime_keyval import (
    InvalidInput,
    InvalidValue,
    RecordDeletePrefix,
    RecordPut,
    VersionMismatch,
)
from client.one_shape.kinds import AnyKv

pytestmark = pytest.mark.slow


async def test_records_with_versions(kv: AnyKv) -> None:
    records = kv.records(strict=True)
    await records.put("a", {"n": 1}, 0)
    await records.patch("a", {"m": 2}, 1)
    with pytest.raises(VersionMismatch):
        await records.put("b", 1, 1)
    assert await records.mutate_all(RecordPut("b", 1), RecordDeletePrefix("a")) == [1, 1]
    assert [(it.key, it.version) for it in await records.get_prefix("")] == [("b", 1)]
    with pytest.raises(InvalidInput):
        await records.get("")


async def test_edges_of_a_graph(kv: AnyKv) -> None:
    graph = kv.graph.at(["places"])
    for source, target, km in (("a", "b", 1), ("b", "c", 1), ("a", "c", 5)):
        await graph.add(("town", source), "road", ("town", target), {"km": km})
    path = await graph.shortest_path(("town", "a"), ("town", "c"), weight="km")
    assert path is not None
    assert ([node.id for node in path.nodes], path.weight) == (["a", "b", "c"], 2)
    assert await graph.degree(("town", "c"), "road") == (2, 0)
    assert [edge.source.id async for edge in graph.incoming(("town", "c"))] == ["a", "b"]
    assert await graph.remove(("town", "a"), "road", ("town", "c"))
    assert len((await graph.paginate()).edges) == 2
    with pytest.raises(InvalidInput, match="the id of a node"):
        await graph.degree(("town", ""))


@dataclass
class User:
    name: str
    age: int = 0


async def test_typed_stores(kv: AnyKv) -> None:
    users = kv.store(["users"], User, expires_in="1h")
    await users.set(1, User("Ada", 2**60))
    await users.set(("old", 1), User("Bob"))
    assert (await users.get(1)).value == User("Ada", 2**60)
    assert [it.value for it in await users.get_many([1, 2])] == [User("Ada", 2**60), None]
    assert await users.has(1)
    assert not await users.has(2)
    wrong: Any = User(1)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=r"\$\.name"):
        await users.set(2, wrong)
    assert [entry.key async for entry in users.list()] == [("old", 1), (1,)]
    assert [it.key for it in await users.with_prefix("old").get_all()] == [(1,)]
    assert await users.count() == 2
    page = await users.paginate(limit=1)
    assert page.has_more
    assert page.entries[0].value == User("Bob")
    async with kv.begin() as tx:
        tx.set(("users", 2), {"name": 5})
    with pytest.raises(InvalidValue, match=r"\$\.name"):
        await users.get(2)
    assert (await users.delete(2)).deleted_count == 1
    told: list[int] = []
    deleted = await users.delete_all(batch_size=1, on_progress=told.append)
    assert (deleted.deleted_count, told) == (2, [1, 2])


class Account(msgspec.Struct):
    name: str


async def test_commits_and_transactions_keep_the_rules_of_a_store(kv: AnyKv) -> None:
    accounts = kv.store(("acc",), Account, expires_in="1h", metadata={"app": "web"})
    with pytest.raises(InvalidValue, match="is not of type Account"):
        kv.atomic().set(accounts.key(1), {"name": 1})
    with pytest.raises(InvalidValue, match="is not of type Account"):
        async with kv.begin() as tx:
            tx.set(accounts.key(1), Account(1))  # type: ignore[arg-type]
    await kv.atomic().set(accounts.key(1), Account("Ada")).commit()
    async with kv.begin() as tx:
        tx.set(accounts.with_prefix("in").key(2), Account("Grace"))
        tx.sum(kv.store(("n",), int, expires_in="1h", metadata=5).key("hits"), 1)
    written: dict[Any, Any] = {
        ("acc", 1): {"app": "web"},
        ("acc", "in", 2): {"app": "web"},
        ("n", "hits"): 5,
    }
    for key, metadata in written.items():
        details = (await kv.get_with_metadata(key)).details
        assert details is not None, key
        assert details.metadata == metadata
        assert details.expires_at == details.updated_at + 3_600_000
    own = kv.atomic().set(accounts.key(3), Account("Own"), expires_in="2h", metadata="mine")
    await own.commit()
    details = (await accounts.get_with_metadata(3)).details
    assert details is not None
    assert (details.metadata, details.expires_at) == ("mine", details.updated_at + 7_200_000)


async def test_stores_take_part_in_everything(kv: AnyKv) -> None:
    accounts = kv.store(("acc",), Account, on_invalid="skip")
    await accounts.create_index(fields=["name"])
    counts = kv.store(("counts",), int)
    result = await accounts.atomic().set(1, Account("Ada")).set(2, Account("Grace")).commit()
    assert result.ok
    assert (await kv.atomic().set(counts, "all", 2).set(accounts, 3, Account("Bob")).commit()).ok
    async with kv.begin() as tx:
        entry = await tx.of(counts).get("all")
        assert entry.value is not None
        tx.of(counts).set("all", entry.value + 1)
        tx.set(counts, "more", 1)
    assert [(it.key, it.value) async for it in counts.list(start="all", end="b")] == [(("all",), 3)]
    assert [(hit.key, hit.value) async for hit in accounts.search("grace")] == [
        ((2,), Account("Grace"))
    ]
    await kv.set(["acc", 9], "of an older program")
    assert len(await accounts.get_all()) == 3
    async with accounts.watch(2) as batches:
        assert [(it.key, it.value) for it in await anext(batches)] == [((2,), Account("Grace"))]
        await accounts.delete(2)
        assert [(it.key, it.exists) for it in await anext(batches)] == [((2,), False)]
    with pytest.raises(TypeError, match="write expires_in="):
        await kv.set(["a"], 1, ttl=5000)  # type: ignore[arg-type]

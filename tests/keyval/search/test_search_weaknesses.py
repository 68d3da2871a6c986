"""Weaknesses of the original in search, by their number in the contract."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.service import KeyValService
from keyval.service.world import LOGGER, FakeClock, World


async def found(kv: LocalKv, query: str, *prefix: Any, **options: Any) -> list[Any]:
    return [hit.key async for hit in kv.search(prefix or ("d",), query, **options)]


@pytest.fixture
async def indexed(kv: LocalKv) -> LocalKv:
    await kv.create_index(["d"], fields=["text"])
    for number in range(4):
        await kv.set(["d", number], {"text": "word", "odd": number % 2 == 1})
    return kv


async def test_weakness_08_names_and_tokenizers_are_no_sql(kv: LocalKv) -> None:
    evil = "a, tokenize='ascii'); DROP TABLE kv_entries; --"
    await kv.create_index(["d"], fields=[evil])
    await kv.set(["d", 1], {evil: "word"})
    assert await found(kv, "word") == [("d", 1)]
    evil_tokenizer: Any = "ascii'); DROP TABLE kv_entries; --"
    with pytest.raises(InvalidInput):
        await kv.create_index(["d"], fields=["a"], tokenize=evil_tokenizer)


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_27_every_kind_of_write_keeps_the_index(
    indexed: LocalKv, clock: FakeClock
) -> None:
    async def expect(*numbers: int) -> None:
        assert await found(indexed, "word") == [("d", number) for number in numbers]

    await expect(0, 1, 2, 3)
    await indexed.atomic().set(["d", 4], {"text": "word"}).delete(["d", 0]).commit()
    await expect(1, 2, 3, 4)
    await indexed.delete(["d"], where={"odd": True})
    await expect(2, 4)
    await indexed.atomic().set(["d", 5, "below"], {"text": "word"}).commit()
    await indexed.set(["d", 5], {"text": "word"}, expires_in="100ms")
    await indexed.delete(("d", 5))
    await expect(2, 4)
    await indexed.delete([("d", 2), ("d", 4)], exact=True)
    await expect()
    await indexed.set(["d", 6], {"text": "word"}, expires_in="100ms")
    clock.advance(100)
    await expect()
    await indexed._store.expire(10)
    assert (await indexed.list_indexes())[0].documents == 0
    await indexed.atomic().append(["d", 7], [{"text": "word"}]).commit()
    await expect()
    await indexed.transaction(lambda tx: _write(tx, ["d", 8]))
    await expect(8)


async def _write(tx: Any, key: list[Any]) -> None:
    tx.set(key, {"text": "word"})


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_27_the_values_of_undelivered_messages(indexed: LocalKv) -> None:
    await indexed.enqueue(
        {"text": "letter"}, backoff_schedule=[], keys_if_undelivered=[["d", "dead"]]
    )
    message = await indexed.dequeue()
    assert message is not None
    await indexed.nack_message(message)
    assert await found(indexed, "letter") == [("d", "dead")]


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_28_filters_and_liveness_come_before_the_limit(
    indexed: LocalKv, clock: FakeClock
) -> None:
    await indexed.set(["d", 0], {"text": "word"}, expires_in="1ms")
    clock.advance(1)
    assert await found(indexed, "word", limit=1) == [("d", 1)]
    assert await found(indexed, "word", limit=1, where={"odd": False}) == [("d", 2)]
    await indexed.set(["d", 9], {"text": "word word"})
    assert await found(indexed, "word", limit=1) == [("d", 9)]


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_29_a_process_that_wrote_nothing_yet_finds(
    world: World, indexed: LocalKv
) -> None:
    store = Store(world.adapter, logger=LOGGER, clock=world.clock)
    restarted = LocalKv(KeyValService(parse_config({}), store))
    assert sorted(await found(restarted, "word")) == [("d", number) for number in range(4)]
    await restarted.close()
    await store.close()


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_30_no_query_is_an_error_and_nested_fields_work(kv: LocalKv) -> None:
    await kv.create_index(["d"], fields=["author.name"])
    await kv.set(["d", 1], {"author": {"name": "Anne-Marie O'Neill: 100%"}})
    for query in ("anne-marie", "o'neill", "o'neill:", "100%", "author.name:anne", "-marie"):
        assert await found(kv, query) == [("d", 1)], query


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_31_creating_again_replaces_the_table(indexed: LocalKv) -> None:
    (before,) = await indexed.list_indexes()
    await indexed.create_index(["d"], fields=["other", "text"], tokenize="porter")
    (after,) = await indexed.list_indexes()
    assert after.table_name != before.table_name
    assert (after.fields, after.tokenize) == (["other", "text"], "porter")
    await indexed.set(["d", 9], {"other": "words"})
    assert len(await found(indexed, "word")) == 5


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_weakness_32_all_overlapping_indexes_are_kept(world: World, indexed: LocalKv) -> None:
    await indexed.create_index(["d", 1], fields=["text"])
    await indexed.create_index(["d", 1, "x"], fields=["more"])
    await indexed.set(["d", 1, "x"], {"text": "deep", "more": "deeper"})
    assert await found(indexed, "deep") == [("d", 1, "x")]
    assert await found(indexed, "deep", "d", 1) == [("d", 1, "x")]
    assert await found(indexed, "deeper", "d", 1, "x") == [("d", 1, "x")]
    assert await found(indexed, "word", "d", 1) == [("d", 1)]
    await indexed.delete(("d", 1))
    for prefix in (("d",), ("d", 1)):
        assert await found(indexed, "deep", *prefix) == []
    assert await found(indexed, "deeper", "d", 1, "x") == []
    assert len(await world.rows("SELECT * FROM kv_docs")) == 3


async def test_weakness_33_data_and_index_are_one_commit(world: World, indexed: LocalKv) -> None:
    # If the index cannot be written, nothing is: here because its table is damaged.
    (index,) = await indexed.list_indexes()
    world.adapter.get_raw_client().execute(f"DROP TABLE {index.table_name}")
    with pytest.raises(Exception, match=index.table_name):
        await indexed.set(["d", 9], {"text": "word"})
    assert not (await indexed.get(["d", 9])).exists

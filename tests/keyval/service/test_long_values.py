"""Long values have a table of their own: the keys around them are found as fast as any others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import apsw
import pytest
from buntime_database import DatabaseError, Guard, Statement
from buntime_keyval import QueueMessage
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.engine.once import keyed
from buntime_plugin_keyval.features.search.index_builder import IndexBuilder
from buntime_plugin_keyval.features.upkeep.feature import UPKEEP
from buntime_plugin_keyval.storage.dialects.sqlite import long_values as long_values_sql
from buntime_plugin_keyval.storage.dialects.sqlite.long_values import MOVED_BYTES, move_some
from buntime_plugin_keyval.storage.dialects.sqlite.values import INLINE_BYTES
from keyval.service.long_values import LONG, faults, long_values
from keyval.service.upgrade import index_as_version_4, put_as_version_4, stamp_of
from keyval.service.world import NOW_MS, World, until, values

OpenStore = Callable[..., AbstractAsyncContextManager[World]]
HUGE = "x" * 9_900_000
FEW_PAGES = 300
"""A value of that size has more than two thousand."""


def pages_touched(world: World) -> int:
    """Pages of the file that its connections have looked at so far."""
    adapter: Any = world.adapter
    return sum(
        connection.status(kind)[0]
        for connection in (adapter.get_raw_client(), *adapter._readers._connections)
        for kind in (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS)
    )


async def test_neighbours_do_not_read_them(world: World) -> None:
    kv = world.kv
    for name in ("a", "c", "e"):
        await kv.set(["k", name], HUGE)

    async def list_keys() -> None:
        assert len([entry async for entry in kv.list(["k"], values=False)]) >= 3

    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "set": lambda: kv.set(["k", "b"], 1),
        "overwrite": lambda: kv.set(["k", "b"], 2),
        "sum": lambda: kv.atomic().sum(["k", "d"], 1).commit(),
        "check": lambda: kv.atomic().check((["k", "bb"], None)).set(["k", "bb"], 1).commit(),
        "get": lambda: kv.get(["k", "b"]),
        "get nothing": lambda: kv.get(["k", "bbb"]),
        "get several": lambda: kv.get([["k", "b"], ["k", "d"], ["k", "dd"]]),
        "exists": lambda: kv.has(["k", "c"]),
        "list": list_keys,
        "count": lambda: kv.count(["k"]),
        "delete": lambda: kv.delete(["k", "b"]),
        "sweep": lambda: world.store.expire(10),
        "report": world.service.report,
    }
    touched = {}
    for name, ask in asked.items():
        before = pages_touched(world)
        await ask()
        touched[name] = pages_touched(world) - before
    assert {name: pages for name, pages in touched.items() if pages > FEW_PAGES} == {}
    await asyncio.gather(*[kv.set(["k", "b", number], number) for number in range(100)])
    assert pages_touched(world) - before < 100 * FEW_PAGES


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize("size", [INLINE_BYTES - 2, INLINE_BYTES - 1])
async def test_the_limit_counts_bytes(world: World, size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    await world.kv.set(["a"], text)
    assert (await world.kv.get(["a"])).value == text
    assert await long_values(world) == (size + 2 > INLINE_BYTES)
    assert await faults(world) == {}


@pytest.mark.engines("sqlite", "libsql")
async def test_none_is_left_behind(world: World) -> None:
    kv = world.kv

    async def expire() -> None:
        world.clock.advance(1000)
        assert await world.store.expire(10) == 1

    async def refused() -> None:
        result = await kv.atomic().set(["a"], LONG).check((["a"], "no")).commit()
        assert not result.ok

    async def failed() -> None:
        with pytest.raises(DatabaseError):
            await world.adapter.batch(
                [
                    Statement("INSERT INTO kv_long_values (text) VALUES ('1')"),
                    Guard("1 = 0"),
                ]
            )

    steps: list[tuple[Callable[[], Awaitable[Any]], int]] = [
        (lambda: kv.set(["a"], LONG), 1),
        (lambda: kv.set(["a"], LONG + "x"), 1),
        (lambda: kv.set(["a"], 1), 0),
        (lambda: kv.set(["a"], [LONG]), 1),
        (lambda: kv.atomic().append(["a"], [LONG]).append(["l"], [1, LONG]).commit(), 2),
        (lambda: kv.atomic().delete(["a"]).set(["a"], LONG).commit(), 2),
        (lambda: kv.atomic().delete(["a"]).delete(["l"]).commit(), 0),
        (lambda: kv.atomic().set(["a", 1], {"t": LONG}).set(["a", 2], {"t": LONG}).commit(), 2),
        (refused, 2),
        (failed, 2),
        (lambda: kv.delete(["a"], where={"t": {"$startsWith": "x"}}), 2),
        (lambda: kv.delete(["a"], where={"t": {"$startsWith": "é"}}), 0),
        (lambda: asyncio.gather(*[kv.set(["g", n % 5], LONG + str(n)) for n in range(20)]), 5),
        (lambda: kv.delete(["g"]), 0),
        (lambda: kv.set(["e"], LONG, expires_in="500ms"), 1),
        (expire, 0),
    ]
    for number, (step, left) in enumerate(steps):
        await step()
        assert await long_values(world) == left, number
        assert await faults(world) == {}, number
    assert (await world.rows("SELECT * FROM kv_totals")) == [(1, 0, 0)]


@pytest.mark.engines("sqlite", "libsql")
async def test_none_of_a_message_is_left_behind(world: World) -> None:
    """A dead letter takes over the value of its message, and a new message that of its letter."""
    kv, value = world.kv, {"t": LONG}

    async def take() -> QueueMessage[Any]:
        message = await kv.dequeue()
        assert message is not None
        assert message.value == value
        return message

    async def check(left: int) -> None:
        assert await long_values(world) == left
        assert await faults(world) == {}

    await kv.enqueue(value, backoff_schedule=[1], keys_if_undelivered=[["lost"]])
    message = await take()
    await kv.extend_message(message)
    await kv.release_message(message)
    await kv.nack_message(await take())
    world.clock.advance(1)
    await check(1)
    await kv.nack_message(await take())
    await check(2)
    assert (await kv.get(["lost"])).value == value
    await kv.delete(["lost"])
    (letter,) = await kv.dlq.list()
    assert letter.value == value
    await kv.dlq.requeue(letter.id)
    await check(1)
    await kv.ack_message(await take())
    await check(0)
    for _ in range(3):
        await kv.atomic().enqueue(value, backoff_schedule=[]).set(["a"], 1).commit()
        await kv.nack_message(await take())
    await check(3)
    await kv.dlq.delete((await kv.dlq.list())[0].id)
    await check(2)
    world.clock.advance(1000)
    assert await world.service.letters.expire(1, 1) == 1
    await check(1)
    await kv.dlq.purge()
    await check(0)


@pytest.mark.engines("sqlite", "libsql")
async def test_a_kept_result_has_its_long_values_by_itself(world: World) -> None:
    key = encode_key(("a",))
    await world.kv.set(["a"], LONG)
    for _ in range(2):
        once = keyed("k", b"the same")
        committed = await world.store.commit([], [], also_read=[key], once=once)
        assert committed is not None
        assert committed.rows[key].value == f'"{LONG}"'
        await world.kv.set(["a"], 1)
    assert once.replayed
    assert await long_values(world) == 0
    assert await faults(world) == {}


async def test_what_becomes_of_a_message_does_not_write_it_again(world: World) -> None:
    """A lease, its prolongation and its end, with as much waiting."""
    kv = world.kv
    for _ in range(3):
        await kv.enqueue(HUGE, backoff_schedule=[10])
    message = await kv.dequeue()
    assert message is not None

    async def sizes() -> list[float]:
        return [world.adapter.statistics()["wal_bytes"], pages_touched(world)]

    before = await sizes()
    await kv.extend_message(message)
    await kv.nack_message(message)
    await world.service.queue.next_visible()
    await world.service.queue.next_exhausted()
    await kv.queue_stats()
    grown, touched = (now - then for now, then in zip(await sizes(), before, strict=True))
    assert grown < 100_000
    assert touched < 12_000, "the message is read once, for its end"


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize("conditions", [1, 50], ids=["a short filter", "a long filter"])
async def test_filters_look_into_them(world: World, conditions: int) -> None:
    kv = world.kv
    for number in range(6):
        text = LONG if number % 2 else ""
        await kv.set(["f", number], {"t": text, "n": number, "end": ["x"], "name": "É"})
    for where, found in [
        ({"n": {"$gte": 3}}, [3, 4, 5]),
        ({"n": {"$ne": 3}}, [0, 1, 2, 4, 5]),
        ({"t": {"$empty": True}}, [0, 2, 4]),
        ({"t": {"$contains": "éé"}, "end": {"$contains": "x"}}, [1, 3, 5]),
        ({"name": {"$containsi": "é"}, "n": {"$in": [1, 2]}}, [1, 2]),
    ]:
        wanted: Any = {"$and": [where] * conditions}
        assert [key[1] for key in await values_where(world, wanted)] == found
        assert await kv.count(["f"], where=wanted) == len(found)
        page = await kv.paginate(["f"], where=wanted, limit=2)
        assert [entry.key[1] for entry in page.entries] == found[:2]
    deleted = await kv.delete(["f"], where={"$and": [{"n": 3}] * conditions})
    assert deleted.deleted_count == 1
    assert await faults(world) == {}


async def values_where(world: World, where: Any) -> list[tuple[Any, ...]]:
    return [entry.key async for entry in world.kv.list(["f"], where=where)]


@pytest.mark.engines("sqlite", "libsql")
async def test_values_of_before_are_moved(
    open_store: OpenStore, open_older_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read where they are, and moved in steps that another process may go on with."""
    texts = {number: str(number) + "x" * (MOVED_BYTES if number % 3 else 5) for number in range(30)}
    async with open_older_store(11) as world:
        await index_as_version_4(world)
        await world.adapter.execute("UPDATE kv_indexes SET format = 2")
        for number, text in texts.items():
            await put_as_version_4(
                world, ("d", number), stamp_of(NOW_MS), value={"t": f"word {text}"}
            )
    written = {("d", number): {"t": f"word {text}"} for number, text in texts.items()}
    async with open_store() as world:
        await world.service.begin()
        totals = await world.rows("SELECT entries, bytes FROM kv_totals")
        assert await values(world.kv, "d") == written
        await world.kv.set(["d", 1], {"t": LONG})
        written["d", 1] = {"t": LONG}
        assert await world.kv.count(["d"], where={"t": {"$contains": "x"}}) == 29
    monkeypatch.setattr(long_values_sql, "SCANNED", 7)
    monkeypatch.setattr(long_values_sql, "STEP_BYTES", MOVED_BYTES)
    async with open_store() as world:
        before = await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id")
        assert await move_some(world.adapter)
        assert await move_some(world.adapter)
        assert 2 <= await long_values(world) < 6
    async with open_store() as world:
        mover = world.service.part(UPKEEP)
        mover.start()

        async def moved() -> bool:
            return not await world.rows("SELECT 1 FROM kv_moving")

        await until(moved)
        await mover.close()
        assert await long_values(world) == 20
        assert await faults(world) == {}
        assert await world.rows("SELECT max(octet_length(value)) < 100 FROM kv_entries") == [(1,)]
        assert await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id") == before
        assert await values(world.kv, "d") == written
        assert not await move_some(world.adapter)
        await world.kv.set(["d", 1], {"t": f"word {texts[1]}"})
        assert await world.rows("SELECT entries, bytes FROM kv_totals") == totals
        assert len([hit async for hit in world.kv.search(["d"], "word")]) == 30


async def test_a_new_store_has_nothing_to_move(world: World) -> None:
    await world.kv.set(["a"], "x" * MOVED_BYTES)
    assert not await move_some(world.adapter)


@pytest.mark.engines("sqlite", "libsql")
async def test_indexes_of_before_know_long_values(
    open_store: OpenStore, open_older_store: OpenStore
) -> None:
    """Their triggers are replaced; their words stay as they are."""
    async with open_older_store(11) as world:
        await index_as_version_4(world)
        await world.adapter.execute("UPDATE kv_indexes SET format = 2")
        await put_as_version_4(world, ("d", "old"), stamp_of(NOW_MS))
        indexed = await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id")
    async with open_store() as world:
        await asyncio.gather(world.service.begin(), IndexBuilder(world.store).refit())
        assert await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id") == indexed
        assert await world.rows("SELECT id, format FROM kv_indexes") == [(1, 3)]
        await world.kv.set(["d", "long"], {"t": LONG + " word"})
        await world.kv.set(["d", "short"], {"t": "word"})
        assert len([hit async for hit in world.kv.search(["d"], "word")]) == 3
        await world.kv.delete(["d", "long"])
        assert len([hit async for hit in world.kv.search(["d"], "word")]) == 2

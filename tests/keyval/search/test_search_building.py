"""Building indexes while others write, and what is left when a process ends in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import buntime_keyval
import pytest
from buntime_database import (
    Batch,
    DatabaseError,
    DatabaseFull,
    OutcomeUnknown,
    ResultSet,
    Statement,
)
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.search import index_builder as building
from buntime_plugin_keyval.model.errors import IndexNotFound, LimitExceeded, SearchNotSupported
from buntime_plugin_keyval.model.limits import Limits
from buntime_plugin_keyval.storage.dialects.sqlite.search import tables
from buntime_plugin_keyval.storage.searching import IndexOptions
from keyval.service.world import World, open_world, until

Outcome = list[ResultSet] | DatabaseError

ENTRIES = 5_000
TEXT = IndexOptions(("text",))


class Stopping(SqliteAdapter):
    """Fails every batch from a chosen one on, as a process that is gone would."""

    batches_left = 1_000_000
    error: type[BaseException] = DatabaseFull
    is_done_first = False
    """Whether what fails is carried out all the same, as when its answer is lost."""

    async def batch_each(self, batches: Sequence[Batch]) -> list[Outcome]:
        if any(batch.patient for batch in batches):
            if self.batches_left == 0:
                if self.is_done_first:
                    self.batches_left = 1_000_000
                    await super().batch_each(batches)
                raise self.error("stopped here")
            self.batches_left -= 1
        return await super().batch_each(batches)


class Killed(BaseException):
    """What no handler of errors sees."""


async def fill(kv: LocalKv, count: int, text: str = "word") -> None:
    for first in range(0, count, 500):
        atomic = kv.atomic()
        for number in range(first, min(first + 500, count)):
            atomic.set(["d", number], {"text": text, "other": "different"})
        await atomic.commit()


async def found(kv: LocalKv, query: str = "word") -> list[Any]:
    return sorted([hit.key[-1] async for hit in kv.search(["d"], query)])


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_nothing_is_missing_when_others_write_meanwhile(world: World) -> None:
    kv = world.kv
    await fill(kv, ENTRIES)
    longest = 0.0
    done = asyncio.Event()
    progress: list[tuple[int, int, bool]] = []

    async def write() -> None:
        nonlocal longest
        number = ENTRIES
        while not done.is_set():
            started = asyncio.get_running_loop().time()
            await kv.set(["d", number], {"text": "word"})
            await kv.set(["d", number - ENTRIES], {"text": "changed"})
            await kv.delete(("d", 2 * ENTRIES - 1 - number))
            longest = max(longest, asyncio.get_running_loop().time() - started)
            number += 1
            progress.extend(
                (index.documents, index.entries, index.ready) for index in await kv.list_indexes()
            )

    writer = asyncio.create_task(write())
    await kv.create_index(["d"], fields=["text"])
    done.set()
    await writer
    entries: dict[Any, str] = {}
    async for entry in kv.list(["d"]):
        assert entry.value is not None
        entries[entry.key[1]] = entry.value["text"]
    assert await found(kv) == sorted(n for n, text in entries.items() if text == "word")
    assert await found(kv, "changed") == sorted(n for n, t in entries.items() if t == "changed")
    # Others could write in between, and see how far it was.
    assert len({documents for documents, _, ready in progress if not ready}) >= 2
    assert all(documents <= entries for documents, entries, _ in progress)
    (index,) = await kv.list_indexes()
    assert (index.documents, index.entries, index.ready) == (len(entries), len(entries), True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "most_entries"), [(10, building.FILL_ENTRIES), (400_000, 4)], ids=["small", "large"]
)
async def test_the_batches_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch, size: int, most_entries: int
) -> None:
    await fill(world.kv, 1200 if size < 100 else 12, "x" * size)
    added: list[int] = []
    plain = world.adapter.batch_each

    async def batch_each(batches: Sequence[Batch]) -> list[Outcome]:
        outcomes = await plain(batches)
        for (steps, *_), results in zip(batches, outcomes, strict=True):
            assert isinstance(results, list)
            added.extend(
                result.rowcount
                for step, result in zip(steps, results, strict=True)
                if "INTO kv_docs" in step[0] and "NEW" not in step[0]
            )
        return outcomes

    monkeypatch.setattr(world.adapter, "batch_each", batch_each)
    await world.kv.create_index(["d"], fields=["text"])
    assert sum(added) == (1200 if size < 100 else 12)
    assert len(added) >= 3
    assert max(added) <= most_entries


async def test_the_old_index_answers_until_the_new_one_is_ready(tmp_path: Path) -> None:
    async with open_world(tmp_path / "kv.db", adapter_type=Stopping) as world:
        await fill(world.kv, 1500)
        await world.kv.create_index(["d"], fields=["text"])
        adapter = world.adapter
        assert isinstance(adapter, Stopping)
        for batches in range(5):
            adapter.batches_left = batches
            with pytest.raises(DatabaseError, match="stopped here"):
                await world.kv.create_index(["d"], fields=["other"])
            adapter.batches_left = 1_000_000
            assert len(await found(world.kv)) == 1500
            assert await found(world.kv, "different") == []
        await world.kv.create_index(["d"], fields=["other"])
        assert await found(world.kv) == []
        assert len(await found(world.kv, "different")) == 1500
        tables = await world.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'kv_fts_%'")
        assert len({name.split("_")[2] for (name,) in tables}) == 1


async def test_an_index_that_may_have_taken_over_is_not_dropped(tmp_path: Path) -> None:
    """The older one is gone by then, so there would be none."""
    async with open_world(tmp_path / "kv.db", adapter_type=Stopping) as world:
        await fill(world.kv, 1000)
        await world.kv.create_index(["d"], fields=["text"])
        adapter = world.adapter
        assert isinstance(adapter, Stopping)
        adapter.error, adapter.is_done_first = OutcomeUnknown, True
        for batches, text in ((1, "word"), (2, "word"), (3, "different")):
            adapter.batches_left = batches
            with pytest.raises(buntime_keyval.OutcomeUnknown, match="stopped here"):
                await world.kv.create_index(["d"], fields=["other"])
            assert len(await found(world.kv, text)) == 1000
            (index,) = await world.kv.list_indexes()
            assert index.ready


@pytest.mark.parametrize("batches", range(1, 5))
async def test_the_next_start_finishes_what_a_crash_left(tmp_path: Path, batches: int) -> None:
    path = tmp_path / "kv.db"
    async with open_world(path, adapter_type=Stopping) as world:
        await fill(world.kv, 1200)
        adapter = world.adapter
        assert isinstance(adapter, Stopping)
        adapter.batches_left, adapter.error = batches, Killed
        with pytest.raises(Killed):
            await world.kv.create_index(["d"], fields=["text"])
        adapter.batches_left = 1_000_000
        await world.kv.set(["d", 0], {"text": "changed"})
        await world.kv.delete(("d", 1))
        (index,) = await world.kv.list_indexes()
        assert not index.ready
    async with open_world(path) as world:
        world.service.search.start()

        async def ready() -> bool:
            return (await world.kv.list_indexes())[0].ready

        await until(ready)
        await world.service.search.close()
        assert await found(world.kv) == list(range(2, 1200))
        assert await found(world.kv, "changed") == [0]


async def test_stopping_in_the_middle_of_resuming(tmp_path: Path) -> None:
    async with open_world(tmp_path / "kv.db") as world:
        await fill(world.kv, 3000)
        await world.service.search._builder._define(("d",), TEXT)
        world.service.search.start()
        await asyncio.sleep(0)
        await world.service.search.close()
        await world.service.search.close()
        await world.service.search._builder.resume()
        assert len(await found(world.kv)) == 3000


async def test_resuming_survives_a_failing_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buntime_plugin_keyval.features.search import search

    monkeypatch.setattr(search, "RETRY_SECONDS", 0.01)
    async with open_world(tmp_path / "kv.db", adapter_type=Stopping) as world:
        await fill(world.kv, 100)
        await world.service.search._builder._define(("d",), TEXT)
        adapter = world.adapter
        assert isinstance(adapter, Stopping)
        adapter.batches_left = 0
        world.service.search.start()
        await asyncio.sleep(0.05)
        adapter.batches_left = 1_000_000

        async def ready() -> bool:
            return (await world.kv.list_indexes())[0].ready

        await until(ready)
        assert len(await found(world.kv)) == 100


@pytest.mark.slow
@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_removing_while_building(world: World) -> None:
    await fill(world.kv, ENTRIES)
    building_it = asyncio.create_task(world.kv.create_index(["d"], fields=["text"]))

    async def begun() -> bool:
        return bool(await world.kv.list_indexes())

    await until(begun)
    await world.kv.remove_index(["d"])
    await building_it
    assert await world.kv.list_indexes() == []
    await world.kv.remove_index(["d"])
    assert await world.rows("SELECT * FROM kv_docs") == []
    if world.adapter.capabilities.full_text_search == "fts5":
        assert await world.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'kv_fts%'") == []


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_the_last_of_several_creations_wins(world: World) -> None:
    await fill(world.kv, 1500)
    first = asyncio.create_task(world.kv.create_index(["d"], fields=["text"]))

    async def begun() -> bool:
        return bool(await world.kv.list_indexes())

    await until(begun)
    await asyncio.gather(first, world.kv.create_index(["d"], fields=["other"]))
    (index,) = await world.kv.list_indexes()
    assert index.fields == ["other"]
    assert len(await found(world.kv, "different")) == 1500


@pytest.mark.slow
@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_searches_go_on_while_indexes_are_replaced(world: World) -> None:
    await fill(world.kv, 700)
    await world.kv.create_index(["d"], fields=["text"])
    searches = 0

    async def search() -> None:
        nonlocal searches
        while not replacing.done():
            assert len(await found(world.kv)) == 700
            searches += 1

    async def replace() -> None:
        for number in range(8):
            await world.kv.create_index(["d"], fields=["text", f"more{number}"])

    replacing = asyncio.create_task(replace())
    await asyncio.gather(search(), search(), replacing)
    assert searches > 2


async def test_two_processes_at_one_file(tmp_path: Path) -> None:
    path = tmp_path / "kv.db"
    async with open_world(path) as one, open_world(path) as two:
        await fill(one.kv, 1500)
        await asyncio.gather(
            one.kv.create_index(["d"], fields=["text"]),
            two.kv.create_index(["e"], fields=["text"]),
            one.kv.create_index(["f"], fields=["text"]),
            two.kv.create_index(["g"], fields=["text"]),
        )
        assert len(await two.kv.list_indexes()) == 4
        assert len({index.table_name for index in await two.kv.list_indexes()}) == 4
        await two.kv.set(["d", 0], {"text": "changed"})
        assert await found(one.kv, "changed") == [0]
        # Both finish what neither had finished.
        await one.service.search._builder._define(("d",), IndexOptions(("other",)))
        resume = [world.service.search._builder.resume() for world in (one, two)]
        await asyncio.gather(*resume)
        assert len(await found(one.kv, "different")) == 1499
        await asyncio.gather(one.kv.remove_index(["d"]), two.kv.remove_index(["d"]))
        assert [index.prefix for index in await one.kv.list_indexes()] == [("e",), ("f",), ("g",)]


@pytest.mark.parametrize(("failures", "survives"), [(1, True), (4, True), (5, False)])
async def test_a_search_is_tried_again(world: World, failures: int, survives: bool) -> None:
    # SQLite refuses to open an FTS5 table at the moment at which another one comes or goes.
    await fill(world.kv, 10)
    await world.kv.create_index(["d"], fields=["text"])
    plain = world.adapter.query
    left = failures

    async def query(sql: str, *args: Any, **options: Any) -> Any:
        nonlocal left
        if "MATCH" in sql and left:
            left -= 1
            raise DatabaseError("vtable constructor failed")
        return await plain(sql, *args, **options)

    world.adapter.query = query  # type: ignore[method-assign]
    if survives:
        assert len(await found(world.kv)) == 10
    else:
        with pytest.raises(DatabaseError, match="vtable"):
            await found(world.kv)


async def test_what_another_process_does_to_an_index_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "kv.db"
    async with open_world(path) as one, open_world(path) as two:
        await fill(one.kv, 3)
        await one.kv.create_index(["d"], fields=["text"])
        for _ in range(3):
            assert await found(two.kv) == [0, 1, 2]
            await one.kv.create_index(["d"], fields=["other"])
            assert await found(two.kv) == []
            assert await found(two.kv, "different") == [0, 1, 2]
            assert await found(two.kv, "other:different") == [0, 1, 2]
            await one.kv.remove_index(["d"])
            for query in ("different", "different word*"):
                with pytest.raises(IndexNotFound):
                    await found(two.kv, query)
            await one.kv.create_index(["d"], fields=["text"])


@pytest.mark.engines("sqlite", "libsql", "postgres")
async def test_an_equal_index_is_left_alone(world: World) -> None:
    await fill(world.kv, 3)
    await world.kv.create_index(["d"], fields=["text"])
    (before,) = await world.kv.list_indexes()
    await world.kv.create_index(["d"], fields=["text"], tokenize="unicode61")
    assert await world.kv.list_indexes() == [before]
    await world.kv.create_index(["d"], fields=["text"], tokenize="porter")
    (after,) = await world.kv.list_indexes()
    assert after.table_name != before.table_name


@pytest.mark.engines("sqlite", "libsql")
async def test_an_index_of_an_older_format_is_built_anew(world: World) -> None:
    """Until then it answers as it did, without a vocabulary and with one mark folded only."""
    store = world.store
    await world.kv.set(["d", 1], {"text": "Nguyễn"})
    old_way = {"unicode61": "unicode61"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "FTS5_TOKENIZERS", old_way)
        await world.kv.create_index(["d"], fields=["text"])
    await store.adapter.batch([Statement("UPDATE kv_indexes SET format = 1")])
    (old,) = await world.kv.list_indexes()
    await store.adapter.batch([Statement(f"DROP TABLE {old.table_name}_words")])
    assert await found(world.kv, "nguyen") == []

    async def is_found() -> bool:
        return await found(world.kv, "nguyen") == [1]

    search = world.service.search
    search.start()
    try:
        await until(is_found)
    finally:
        await search.close()
    (new,) = await world.kv.list_indexes()
    assert new.ready
    assert new.table_name != old.table_name
    assert new.fields == old.fields


async def test_the_number_of_indexes_is_limited(tmp_path: Path) -> None:
    limits = Limits(indexes=3)
    async with open_world(tmp_path / "kv.db", limits=limits) as world:
        for number in range(3):
            await world.kv.create_index(["p", number], fields=["text"])
        with pytest.raises(LimitExceeded, match=r"Too many indexes \(limits.indexes is 3\)"):
            await world.kv.create_index(["p", 3], fields=["text"])
        await world.kv.create_index(["p", 2], fields=["title"])  # in the place of one
        await world.kv.remove_index(["p", 0])
        await world.kv.create_index(["p", 3], fields=["text"])
        assert [i.prefix for i in await world.kv.list_indexes()] == [("p", n) for n in (1, 2, 3)]


async def test_two_that_make_the_last_index_at_once(tmp_path: Path) -> None:
    limits = Limits(indexes=1)
    async with (
        open_world(tmp_path / "kv.db", limits=limits) as one,
        open_world(tmp_path / "kv.db", limits=limits) as two,
    ):
        found = await asyncio.gather(
            one.kv.create_index(["a"], fields=["text"]),
            two.kv.create_index(["b"], fields=["text"]),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in found].count(LimitExceeded) == 1
        assert len(await one.kv.list_indexes()) == 1


async def test_an_engine_without_search_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = world.store.adapter
    without = adapter.capabilities._replace(full_text_search=None)
    monkeypatch.setattr(adapter, "capabilities", without)
    with pytest.raises(SearchNotSupported, match="has no full-text search"):
        await world.kv.create_index(["d"], fields=["text"])

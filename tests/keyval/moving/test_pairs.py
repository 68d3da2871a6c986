"""A store that was moved is the same store, whatever the engines are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from buntime_database import Adapter
from buntime_keyval import ServiceUnavailable
from buntime_plugin_keyval.features.moving.checks import MoveRefused
from buntime_plugin_keyval.storage.database import database_of
from keyval.engines import Servers
from keyval.moving.support import LONG, content, fill, mover_of, open_database, open_store
from keyval.service.world import World, values

slow = pytest.mark.slow
PAIRS = [
    pytest.param("sqlite", "sqlite"),
    pytest.param("sqlite", "postgres", marks=slow),
    pytest.param("postgres", "sqlite", marks=slow),
    pytest.param("sqlite", "rqlite", marks=slow),
    pytest.param("rqlite", "postgres", marks=slow),
    pytest.param("sqlite", "libsql", marks=slow),
    pytest.param("libsql", "sqlite", marks=slow),
    pytest.param("sqlite", "odd"),
]


@pytest.fixture
def open_side(database_servers: Servers, tmp_path: Path) -> Callable[[str, str], Adapter]:
    """Opens the empty database `name` of an engine."""
    return lambda engine, name: open_database(database_servers, engine, tmp_path, name)


@pytest.mark.parametrize(("here", "there"), PAIRS)
async def test_all_of_a_store_comes_over(
    open_side: Callable[[str, str], Adapter], here: str, there: str
) -> None:
    async with open_store(open_side(here, "a")) as old:
        await fill(old)
        await old.kv.create_index(["n"], fields=["text"])
        target = open_side(there, "b")
        moved = await mover_of(old.adapter, target).run()
        assert moved.counts.entries == 43
        before = await content(database_of(old.adapter))
        after = await content(database_of(target))
        for name, rows in before.items():
            assert (name, after[name]) == (name, rows)
        with pytest.raises(ServiceUnavailable) as refused:
            await old.kv.set(["n", 1], "lost")
        assert refused.value.code == "KEYVAL_MOVED"
    async with open_store(target) as new:
        await _goes_on(new)


async def _goes_on(new: World) -> None:
    """The store is used where it came to."""
    kv = new.kv
    assert len(await values(kv, "n")) == 39
    long, old = await kv.get(["long"]), await kv.get(["n", 1])
    assert long is not None
    assert old is not None
    assert long.value == LONG
    again = await kv.atomic().sum(["counted"], 5).commit(idempotency_key="five")
    counted = await kv.get(["counted"])
    assert counted is not None
    assert (counted.value, counted.versionstamp) == (5, again.versionstamp)
    result = await kv.set(["n", 1], {"text": "new word"})
    assert str(result.versionstamp) > str(old.versionstamp)
    await kv.enqueue("more")
    await kv.enqueue("once more", queue="films", id="id of films")
    assert [it.value for it in (await kv.queues.paginate("films")).messages] == ["films"]
    assert (await kv.queues.options("")).max_running == 50
    await kv.queues.pause("another")
    assert [entry.key async for entry in kv.search(["n"], "word")] == [("n", 1)]


async def test_indexes_are_left_behind_only_if_that_is_said(
    open_side: Callable[[str, str], Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(open_side("sqlite", "a")) as old:
        await old.kv.set(["n"], {"text": "word"})
        await old.kv.create_index(["n"], fields=["text"])
        target = open_side("sqlite", "b")
        without = target.capabilities._replace(full_text_search=None)
        monkeypatch.setattr(target, "capabilities", without)
        with pytest.raises(MoveRefused, match="--without-indexes"):
            await mover_of(old.adapter, target).run()
        moved = await mover_of(old.adapter, target, without_indexes=True).run()
        assert (moved.counts.entries, moved.counts.indexes) == (1, 0)
        await target.close()

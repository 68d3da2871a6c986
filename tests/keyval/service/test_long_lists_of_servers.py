"""Long lists of database servers are read one after the other, as those of files are."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.storage.ranges import descendants
from buntime_plugin_keyval.storage.reads import SHORT_BYTES
from buntime_plugin_keyval.storage.within import Text
from keyval.service.world import World
from msgspec.structs import replace

pytestmark = pytest.mark.engines("libsql", "postgres", "rqlite")

READERS = 5
NUMBER = 8
VALUE = "v" * (SHORT_BYTES // 4)


@pytest.fixture
async def turns(world: World, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each long answer of the server, whether it came in a turn of its own."""
    for number in range(NUMBER):
        await world.kv.set(("long", number), VALUE)
        await world.kv.set(("short", number), number)
    seen: list[bool] = []
    query = world.adapter.query

    async def watched(*args: Any, **options: Any) -> Any:
        rows = await query(*args, **options)
        if any(isinstance(cell, bytes) and len(cell) > SHORT_BYTES for row in rows for cell in row):
            seen.append(world.store.long_reads.turn.locked())
        return rows

    monkeypatch.setattr(world.adapter, "query", watched)
    return seen


def values_in(entries: Text | None) -> list[Any]:
    text = entries.decode() if isinstance(entries, bytes) else entries or ""
    return [entry["value"] for entry in msgspec.json.decode(f"[{text}]")]


async def test_lists(world: World, turns: list[bool]) -> None:
    async def read(name: str) -> list[Any]:
        keys = descendants(encode_key((name,)))
        return values_in(await world.store.list_within(keys, limit=100))

    found = await asyncio.gather(*(read("long") for _ in range(READERS)), read("short"))
    assert found == [*[[VALUE] * NUMBER] * READERS, [*range(NUMBER)]]
    assert turns == [True] * READERS


async def test_pages(world: World, turns: list[bool]) -> None:
    async def read(name: str) -> list[Any]:
        keys = descendants(encode_key((name,)))
        return values_in((await world.store.page_within(keys, limit=100))[0])

    found = await asyncio.gather(*(read("long") for _ in range(READERS)), read("short"))
    assert found == [*[[VALUE] * NUMBER] * READERS, [*range(NUMBER)]]
    assert turns == [True] * READERS


async def test_what_is_too_large_is_told_as_before(
    world: World, turns: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = world.store.limits
    monkeypatch.setattr(world.store, "limits", replace(limits, answer_bytes=3 * SHORT_BYTES // 2))
    keys = descendants(encode_key(("long",)))
    with pytest.raises(LimitExceeded):
        await world.store.list_within(keys, limit=100)
    assert len(values_in((await world.store.page_within(keys, limit=100))[0])) == 5
    assert turns == [True]

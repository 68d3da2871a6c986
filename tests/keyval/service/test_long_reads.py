"""Long values are read in threads, and one read after the other, whatever asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Value
from buntime_keyval.wire import encode_key
from buntime_keyval.wire.shapes import PLAIN, Shape
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.storage.ranges import descendants
from keyval.service.world import World, open_world

MIB = 1024 * 1024
KEYS = [encode_key(["long", number]) for number in range(3)]
BELOW = descendants(encode_key(["long"]))


class Watched(SqliteAdapter):
    """Knows how much was read on the event loop at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.most_inline = 0

    async def query(self, sql: str, args: Sequence[Value] = (), **options: Any) -> Any:
        rows = await super().query(sql, args, **options)
        if options.get("point"):
            values = [value for row in rows for value in row if isinstance(value, str | bytes)]
            self.most_inline = max(self.most_inline, sum(map(len, values)))
        return rows


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "kv.db", adapter_type=Watched) as opened:
        for number, key in enumerate(KEYS):
            value = f'"{"v" * 2 * MIB}"'
            await opened.store.set(key, f'["long",{number}]', value)
        yield opened
        await opened.service.close()


Ask = Callable[[World], Awaitable[Any]]
ASKED: dict[str, Ask] = {
    "get": lambda world: world.store.get_long(KEYS[0]),
    "batch": lambda world: world.store.get_many_within(KEYS),
    "details": lambda world: world.store.get_many_within(KEYS, Shape(True, True)),
    "rows": lambda world: world.store.get_many(KEYS),
    "json": lambda world: world.store.get_many_json(KEYS, PLAIN),
    "list-rows": lambda world: world.store.list_rows(BELOW, limit=10),
    "list-json": lambda world: world.store.list_json(BELOW, limit=10),
    "changed": lambda world: world.store.get_changed(KEYS, [""] * 3),
    "list": lambda world: world.store.list_within(BELOW, limit=10),
    "page": lambda world: world.store.page_within(BELOW, limit=10),
    "states": lambda world: world.store.states(KEYS, [], limit=10),
    "states-below": lambda world: world.store.states([], [BELOW], limit=10),
    "poll": lambda world: world.store.poll({}, [BELOW], limit=10),
    "snapshot": lambda world: world.service.snapshots.page(BELOW, limit=10, shape=PLAIN),
}


@pytest.mark.parametrize("name", ASKED)
async def test_one_after_the_other(world: World, name: str) -> None:
    turn = world.store.long_reads.turn
    async with turn:
        asking = asyncio.ensure_future(ASKED[name](world))
        done, _ = await asyncio.wait({asking}, timeout=0.3)
        assert not done, "it does not wait for its turn"
    assert await asking


async def test_all_of_them_at_once(world: World) -> None:
    answers = await asyncio.gather(*(ask(world) for ask in ASKED.values() for _ in range(3)))
    assert all(answers)


@pytest.mark.parametrize("name", ASKED)
async def test_none_on_the_event_loop(world: World, name: str) -> None:
    assert await ASKED[name](world)
    assert isinstance(world.adapter, Watched)
    assert world.adapter.most_inline < MIB


@pytest.mark.parametrize("name", ["rows", "json", "list-rows", "list-json", "batch", "list"])
async def test_not_of_many_that_are_shorter(world: World, name: str) -> None:
    """Each may be read on the event loop, but not as many as are asked for."""
    for number, key in enumerate(KEYS):
        await world.store.set(key, f'["long",{number}]', f'"{"v" * 400_000}"')
    assert len(await ASKED[name](world)) >= len(KEYS)
    assert isinstance(world.adapter, Watched)
    assert world.adapter.most_inline < MIB


async def test_not_for_a_commit(world: World) -> None:
    for number, key in enumerate(KEYS):
        await world.store.set(key, f'["long",{number}]', f'["{"v" * 400_000}"]')
    commit = world.kv.atomic()
    for number in range(len(KEYS)):
        commit.append(["long", number], [1])
    assert (await commit.commit()).ok
    assert isinstance(world.adapter, Watched)
    assert world.adapter.most_inline < MIB

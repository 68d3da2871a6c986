"""A store that was empty when the server last looked at it, and is full since.

The server believes that its tables are empty, for up to a minute or as long as much is written.
What it plans for that must do as well for what is there: each key is looked up, never compared with
all of them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from buntime_database import Statement
from buntime_keyval.wire import encode_key
from buntime_keyval.wire.shapes import Shape
from buntime_plugin_keyval.storage.dialects.postgres.reads import READS
from buntime_plugin_keyval.storage.dialects.postgres.watch import WATCH
from buntime_plugin_keyval.storage.ranges import subtree
from buntime_plugin_keyval.storage.selection import Selection
from keyval.postgres.support import open_postgres_world
from keyval.service.world import World, until
from support.postgres import Postgres

pytestmark = pytest.mark.engines("postgres")

ENTRIES = 2_000
LOOK_UP = re.compile(r"Index Cond: \((\w+\.)?key = ")
TOUCHED = 100
COUNTS = """
SELECT relname, seq_tup_read, n_tup_del FROM pg_stat_user_tables
WHERE relname IN ('kv_entries', 'kv_docs')"""
TEXT = {"text": "word " * 20}


async def fill(world: World) -> None:
    for first in range(0, ENTRIES, 500):
        atomic = world.kv.atomic()
        for number in range(first, first + 500):
            atomic.set(["d", number], TEXT)
        await atomic.commit()


async def plan(world: World, sql: str, args: Sequence[Any]) -> list[str]:
    rows = await world.adapter.query(f"EXPLAIN {sql}", args)
    return [str(line).strip() for (line,) in rows]


async def test_each_key_is_looked_up(world: World) -> None:
    await fill(world)
    await world.kv.delete(["d"])
    for table in ("kv_entries", "kv_docs", "kv_changes"):
        await world.adapter.execute(f"ANALYZE {table}")
    await fill(world)
    await world.kv.create_index(["d"], fields=["text"])
    found = await world.kv.paginate_search(["d"], "word", explain=True)
    assert found.explained is not None
    keys = subtree(encode_key(("d",)))
    codes = [encode_key(("d", number)) for number in range(100)]
    given = json.dumps([code.hex() for code in codes])
    selection = Selection(keys, limit=1_000, shape=Shape(True, False))
    reads = {
        "page": READS.page_within(selection, 0, 1_000_000),
        "list": READS.list_within(selection, 0, 1_000_000),
        "rows": READS.page_rows_within(selection, 0, 1_000_000),
        "keys": READS.get_many_within(dict.fromkeys(codes, 1), 0, selection.shape, 1_000_000),
        "states": Statement(WATCH.states, (given, "[]", 1_000, 1_000_000, 1_000)),
    }
    plans = {name: await plan(world, *statement) for name, statement in reads.items()}
    plans["search"] = [line.strip() for line in found.explained.plan]
    for name, lines in plans.items():
        assert not [line for line in lines if line.startswith("Join Filter")], (name, lines)
        assert any(LOOK_UP.match(line) for line in lines), (name, lines)


async def test_commits_look_keys_up_by_plans_of_when_the_store_was_empty(
    postgres: Postgres,
) -> None:
    url = postgres.url_of(postgres.create_database())
    async with open_postgres_world(url) as world:
        kv = world.kv
        for table in ("kv_entries", "kv_docs"):
            await world.adapter.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        await kv.create_index(["d"], fields=["text"])

        async def touch(number: int) -> None:
            await kv.set(["d", number], TEXT)
            await kv.set(["d", number], TEXT)
            await asyncio.gather(kv.delete(["d", number]), kv.delete(["d", number + 1]))
            await kv.atomic().sum(["n", number], 1).sum(["n", number], 1).commit()

        await touch(0)
        await fill(world)
        for number in range(0, TOUCHED, 2):
            await touch(number)
    connection = await asyncpg.connect(url)
    counted: dict[str, tuple[int, int]] = {}

    async def is_counted() -> bool:  # the server counts a little later
        rows = await connection.fetch(COUNTS)
        counted.update({name: (read, removed) for name, read, removed in rows})
        return all(removed >= TOUCHED for _, removed in counted.values())

    await until(is_counted)
    await connection.close()
    assert all(read < ENTRIES for read, _ in counted.values()), counted

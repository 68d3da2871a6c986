"""Stores that are moved, and all that is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from buntime_database import Adapter
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.features.moving.copying import pages_behind, rows_of
from buntime_plugin_keyval.features.moving.mover import MoveStep, StoreMover
from buntime_plugin_keyval.storage.database import Database, database_of
from buntime_plugin_keyval.storage.dialects.moving import TableSql
from keyval.engines import ENGINES, Servers
from keyval.libsql.support import open_server_world
from keyval.service.world import FAST, World

LONG = "long text " * 300
NAMES = ("source", "target")
FIRST: dict[str, Any] = {"entries": b"", "locks": "", "message_ids": "", "metrics": ""}


def open_database(servers: Servers, engine: str, folder: Path, name: str) -> Adapter:
    """An empty database of an engine, the same one for the same name; the caller closes it."""
    if engine == "rqlite":
        ENGINES[engine](servers).empty_worlds()  # a node has one database
        return RqliteAdapter([servers.node_of_worlds.url])
    if engine == "sqlite":
        return SqliteAdapter(str(folder / f"{name}.db"), options=FAST)
    return ENGINES[engine](servers).open_database(folder, name)


@asynccontextmanager
async def open_store(adapter: Adapter) -> AsyncIterator[World]:
    """The store in a database, as a process has it; its adapter is closed with it."""
    async with open_server_world(adapter, None) as world:
        await world.service.begin()
        yield world
        await world.service.close()


async def fill(world: World) -> None:
    """Write something of everything that a store may hold."""
    kv, clock = world.kv, world.clock
    for number in range(40):
        await kv.set(["n", number], {"number": number, "text": "\x00é𝄞"})
    await kv.set(["long"], LONG, metadata={"by": "me"}, type="letter")
    await kv.set(["long"], LONG, metadata={"by": "me"}, type="letter")
    await kv.set(["late"], 1, expires_in="1h")
    await kv.set([b"\x00\xff", True, 1.5], None)
    await kv.delete(["n", 3])
    await kv.atomic().sum(["counted"], 5).commit(idempotency_key="five")
    for value in ("first", "second", LONG):
        await kv.enqueue(value)
    await kv.enqueue("later", delay="1h")
    await kv.enqueue("lost", backoff_schedule=[])
    await kv.locks.acquire("job", "me", duration="1h", metadata={"by": "me"})
    await kv.queues.pause("")
    await kv.queues.set_options("films", lease="1m", backoff_schedule=[5], rate=(9, "1h"))
    for name in ("films", ""):
        await kv.enqueue(name, queue=name, priority=-3, id=f"id of {name}")
    await kv.queues.resume("")
    await kv.queues.set_options("", max_running=50)
    queue = world.service.queue
    await queue.take()
    leased = await queue.lease(10)
    (lost,) = [message for message in leased if message.value == '"lost"']
    while not (await queue.stats()).dlq:
        await queue.nack(lost.id, lease=lost.lease)
        clock.advance(60_000)
        lost = next((it for it in await queue.lease(10) if it.id == lost.id), lost)


async def content(db: Database) -> dict[str, Any]:
    """All that a move has to take over, as it stands in the tables."""
    sql = db.sql.moving
    told: dict[str, Any] = {}
    for name in (
        *("entries", "changes", "messages", "letters", "replays", "locks", "metrics"),
        *("queues", "message_ids"),
    ):
        told[name] = await _rows(db, sql.tables[name], FIRST.get(name, -1))
    told["notes"] = await db.adapter.query(sql.notes, fresh=True)
    rows = await db.adapter.query(db.sql.search.catalogue.all, fresh=True)
    # The format is that of the dialect.
    told["indexes"] = [
        (int(row[0] or 0), row[1], row[2], row[3], bool(row[5]), row[6]) for row in rows
    ]
    return told


async def _rows(db: Database, table: TableSql, first: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    async for page, _ in pages_behind(db, table, first):
        found |= await rows_of(db, table, page)
    return dict(sorted(found.items()))


def silent(step: MoveStep) -> None:
    """What is told of a move that nobody watches."""


def mover_of(
    source: Adapter, target: Adapter, tell: Callable[[MoveStep], None] = silent, **options: Any
) -> StoreMover:
    """What moves a store from one database to another."""
    return StoreMover(database_of(source), database_of(target), NAMES, tell, **options)


def told(steps: Sequence[MoveStep]) -> str:
    """Steps as JSON, for a failure to show."""
    return msgspec.json.encode(steps).decode()

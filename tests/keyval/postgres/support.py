"""Stores on PostgreSQL servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from buntime_database import Transaction
from buntime_keyval.wire import encode_key, key_to_json
from buntime_keyval.wire.keys import Key
from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter, PostgresServer
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.dialects.postgres.dialect import POSTGRES
from buntime_plugin_keyval.storage.effects import Put
from buntime_plugin_keyval.storage.schema import migrate
from keyval.service.world import LOGGER, FakeClock, World
from support.postgres import Postgres

# As a new database has it, without making all of its tables once more. Rows are deleted: files that
# TRUNCATE makes anew for each table and index take four times as long.
EMPTY = """
DO $$ DECLARE
  name text;
BEGIN
IF EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = 'kv_migrations') THEN
  FOREACH name IN ARRAY ARRAY[
    'kv_entries', 'kv_changes', 'kv_queue', 'kv_dlq', 'kv_indexes', 'kv_docs', 'kv_metrics',
    'kv_replays', 'kv_writers', 'kv_locks', 'kv_lock_waiters', 'kv_queues', 'kv_queue_starts',
    'kv_message_ids', 'kv_consumers', 'kv_consumer_letters', 'kv_tasks', 'kv_task_order',
    'kv_schedules'
  ] LOOP
    EXECUTE 'DELETE FROM ' || name;
  END LOOP;
  PERFORM setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL;
  UPDATE kv_totals SET entries = 0, bytes = 0;
  UPDATE kv_stamps SET newest = '';
  UPDATE kv_log SET epoch = substr(replace(gen_random_uuid()::text, '-', ''), 1, 16),
    trimmed_seq = 0, trimmed_stamp = '';
END IF;
END $$"""


def config_of(url: str, keyval: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The configuration of a host whose store is in a database."""
    return {
        "plugins": [
            [
                "@buntime/plugin-database",
                {"adapters": [{"type": "postgres", "url": url, **options}]},
            ],
            ["@buntime/plugin-keyval", dict(keyval or {})],
        ]
    }


def open_adapter(url: str) -> PostgresAdapter:
    """A database, for which nothing is prepared yet."""
    return PostgresAdapter(PostgresServer(url, PostgresOptions(pool_size=6)))


def empty(server: Postgres, database: str) -> None:
    """Let the store in a database be as if it were new."""
    server.run(EMPTY, database)


@asynccontextmanager
async def open_postgres_world(
    url: str, clock: FakeClock | None = None, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[World]:
    """Open the store, without its background tasks; all is closed at the end."""
    clock = clock or FakeClock()
    adapter: Any = open_adapter(url)
    try:
        store = Store(adapter, logger=LOGGER, clock=clock, limits=limits)
        await migrate(adapter, clock.now())
        service = KeyValService(parse_config({}), store)
        kv = LocalKv(service)
        yield World(clock, adapter, service, store, kv, adapter)
        await kv.close()
    finally:
        await adapter.close()


async def write_slowly(world: World, key: Key, now_ms: int) -> None:
    """Put an entry by a commit that has its place in the log long before it can be seen."""

    async def write(transaction: Transaction) -> None:
        put = Put(encode_key(key), key_to_json(key), "1")
        at = Moment(now_ms, now_ms)
        for statement in put.statements(POSTGRES, Stamps().make(now_ms), at, is_firm=False):
            await transaction.execute(*statement)
        await asyncio.sleep(0.1)

    await world.adapter.transaction(write)

"""A `LocalKv` over a database in memory, with none of its background tasks running."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.clock import Clock, SystemClock
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.schema import migrate


@asynccontextmanager
async def open_kv(clock: Clock | None = None) -> AsyncIterator[LocalKv]:
    """An empty store; nothing sweeps it, so that what has expired stays in the table."""
    adapter = SqliteAdapter(":memory:")
    try:
        clock = clock or SystemClock()
        await migrate(adapter, clock.wall())
        store = Store(adapter, logger=logging.getLogger("test"), clock=clock)
        kv = LocalKv(KeyValService(parse_config({}), store))
        yield kv
        await kv.close()
    finally:
        await adapter.close()

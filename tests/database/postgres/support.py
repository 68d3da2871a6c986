"""Adapters on a real server, each test in a schema of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from buntime_database import Adapter
from buntime_database_conformance import EngineUnderTest, OpenAdapter
from buntime_plugin_database.engines.postgres.adapter import (
    CAPABILITIES,
    PostgresAdapter,
    PostgresServer,
)
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.engines.postgres.starting import prepare

SECONDS = 10.0


def new_schema() -> str:
    """A name that no other test has."""
    return f"s{uuid.uuid4().hex}"


def make_adapter(url: str, **options: Any) -> PostgresAdapter:
    """An adapter that was not used yet; without a schema in the options it has one of its own."""
    options.setdefault("schema", new_schema())
    options.setdefault("pool_size", 6)
    return PostgresAdapter(PostgresServer(url, PostgresOptions(**options)))


@asynccontextmanager
async def database(
    url: str,
    change: Callable[[PostgresAdapter], object] = lambda _: None,
    **options: Any,
) -> AsyncIterator[OpenAdapter]:
    """Adapters on an empty schema, which is the server's to forget."""
    schema = new_schema()
    opened: list[PostgresAdapter] = []

    async def open_adapter() -> Adapter:
        adapter = make_adapter(url, schema=schema, **options)
        opened.append(adapter)
        await prepare(adapter, SECONDS)
        change(adapter)
        return adapter

    try:
        yield open_adapter
    finally:
        for adapter in opened:
            await adapter.close()


def postgres_target(name: str, url: str, **options: Any) -> EngineUnderTest:
    """The engine on this server."""
    return EngineUnderTest(
        name, CAPABILITIES, partial(database, url, **options), losing_database=None
    )

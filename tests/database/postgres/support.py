"""Adapters on a real server, each test in a schema of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from buntime_database import Adapter
from buntime_database_conformance import EngineUnderTest, OpenAdapter
from buntime_plugin_database.engines.postgres.adapter import (
    CAPABILITIES,
    PostgresAdapter,
    PostgresServer,
)
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.engines.postgres.starting import prepare
from support.cutting import cutting_link
from support.waiting import PATIENCE


def new_schema() -> str:
    """A name that no other test has."""
    return f"s{uuid.uuid4().hex}"


def make_adapter(url: str, **options: Any) -> PostgresAdapter:
    """An adapter that was not used yet; without a schema in the options it has one of its own."""
    options.setdefault("schema", new_schema())
    options.setdefault("pool_size", 6)
    return PostgresAdapter(PostgresServer(url, PostgresOptions(**options)))


@asynccontextmanager
async def database(url: str, **options: Any) -> AsyncIterator[OpenAdapter]:
    """Adapters on an empty schema, which is the server's to forget."""
    schema = new_schema()
    opened: list[PostgresAdapter] = []

    async def open_adapter() -> Adapter:
        adapter = make_adapter(url, schema=schema, **options)
        opened.append(adapter)
        await prepare(adapter, PATIENCE)
        return adapter

    try:
        yield open_adapter
    finally:
        for adapter in opened:
            await adapter.close()


@asynccontextmanager
async def losing_database(url: str, **options: Any) -> AsyncIterator[OpenAdapter]:
    """The same, but the connection of every commit breaks before its answer has come."""
    port = urlsplit(url).port or 0
    async with cutting_link(port) as (cutting, cutting_port):
        cut_url = url.replace(f":{port}/", f":{cutting_port}/")
        cutting.fate = "answer lost"
        async with database(cut_url, **options) as open_adapter:
            yield open_adapter
        assert cutting.cuts, "no commit was cut"


def postgres_target(name: str, url: str, **options: Any) -> EngineUnderTest:
    """The engine on this server."""
    return EngineUnderTest(
        name,
        CAPABILITIES,
        partial(database, url, **options),
        losing_database=partial(losing_database, url, **options),
    )

"""A node that the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.rqlite.options import RqliteOptions
from database.rqlite.support import wipe
from support.rqlite import Rqlited, running_rqlite

OpenRqlite = Callable[..., RqliteAdapter]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rqlited]:
    with running_rqlite(tmp_path_factory.mktemp("rqlite")) as (server,):
        yield server


@pytest.fixture
async def open_rqlite(node: Rqlited) -> AsyncIterator[OpenRqlite]:
    """Opens adapters on an empty database, and closes them at the end."""
    opened: list[RqliteAdapter] = []
    wipe(node)

    def open_one(*urls: str, **options: Any) -> RqliteAdapter:
        opened.append(RqliteAdapter(urls or [node.url], options=RqliteOptions(**options)))
        return opened[-1]

    yield open_one
    for adapter in opened:
        await adapter.close()

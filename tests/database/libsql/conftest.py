"""A primary and a replica that the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from database.libsql.support import wipe
from support.sqld import Sqld, running_sqld

OpenLibsql = Callable[..., LibsqlAdapter]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sqld]]:
    with running_sqld(tmp_path_factory.mktemp("sqld"), replicas=1) as servers:
        yield servers


@pytest.fixture(scope="module")
def namespaced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sqld]]:
    """The same with a database for each namespace.

    They end with the module: a hundred namespaces take half a processor while nobody asks.
    """
    folder = tmp_path_factory.mktemp("namespaced")
    with running_sqld(folder, replicas=1, namespaces=True) as servers:
        yield servers


@pytest.fixture
def urls(pair: list[Sqld]) -> list[str]:
    return [server.url for server in pair]


@pytest.fixture
async def open_libsql(urls: list[str]) -> AsyncIterator[OpenLibsql]:
    """Opens adapters on an empty database, and closes them at the end."""
    opened: list[LibsqlAdapter] = []
    await wipe(urls)

    def open_one(*places: str, **options: Any) -> LibsqlAdapter:
        opened.append(LibsqlAdapter(places or urls, options=LibsqlOptions(**options)))
        return opened[-1]

    yield open_one
    for adapter in opened:
        await adapter.close()
